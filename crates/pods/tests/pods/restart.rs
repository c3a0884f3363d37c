//! The node's process ends and another takes its place.

use std::collections::BTreeSet;

use serde_json::json;

use crate::bed::*;

#[test]
fn containers_outlive_the_node() {
    on_a_node("outlive", async |bed| {
        let mut pod = echo("a", json!({}));
        let before = bed.run(pod.clone()).await;
        bed.restart().await;
        // As the API server has it.
        pod["status"] = serde_json::to_value(&before).unwrap();
        bed.set(pod.clone());
        let after = bed.until("a", "known", |_| true).await;
        assert_eq!(serde_json::to_value(&after).unwrap(), pod["status"], "a restart of the node was noticed");
        let address = after.pod_ip.unwrap();
        assert_eq!(get(&address, 8080, "/hostname").unwrap().1, "pod-a\n");
        request("POST", &address, 8080, "/readyz?fail").unwrap();
        bed.until("a", "not ready", |s| condition(s, "Ready") == Some("False")).await;
        request("POST", &address, 8080, "/exit?code=5").unwrap();
        let again = bed.until("a", "restarted", |s| container(s).restart_count == 1 && container(s).ready).await;
        assert_eq!(container(&again).last_state.clone().unwrap().terminated.unwrap().exit_code, 5);
        bed.delete(pod, 30).await;
    });
}

#[test]
fn what_ended_meanwhile() {
    on_a_node("meanwhile", async |bed| {
        let mut pod = echo("a", json!({}));
        pod["spec"]["restartPolicy"] = json!("Never");
        let before = bed.run(pod.clone()).await;
        bed.restart().await;
        request("POST", &before.pod_ip.clone().unwrap(), 8080, "/exit?code=6").unwrap();
        let record = bed.pod_dir("a").join("containers/echo/0/record.json");
        eventually("its end is noted", || std::fs::read_to_string(&record).unwrap().contains("\"code\":6")).await;
        pod["status"] = serde_json::to_value(&before).unwrap();
        bed.set(pod.clone());
        let status = bed.until("a", "failed", |s| s.phase.as_deref() == Some("Failed")).await;
        assert_eq!(container(&status).state.clone().unwrap().terminated.unwrap().exit_code, 6);
        bed.delete(pod, 30).await;
    });
}

#[test]
fn pods_that_are_not_wanted_any_more() {
    on_a_node("unwanted", async |bed| {
        let (kept, gone) = (echo("a", json!({})), echo("b", json!({})));
        bed.run(kept.clone()).await;
        bed.run(gone).await;
        bed.restart().await;
        bed.set(kept.clone());
        bed.until("a", "ready", |s| condition(s, "Ready") == Some("True")).await;
        bed.runtime.retain(&BTreeSet::from(["a".to_owned()])).unwrap();
        let dir = bed.pod_dir("b");
        eventually("it is removed", || !dir.exists() && links().len() == 1).await;
        assert_eq!(get("10.244.1.2", 8080, "/hostname").unwrap().1, "pod-a\n");
        bed.delete(kept, 30).await;
    });
}

#[test]
fn a_container_whose_parent_was_killed() {
    on_a_node("orphan", async |bed| {
        let pod = echo("a", json!({}));
        bed.run(pod.clone()).await;
        let record = std::fs::read(bed.pod_dir("a").join("containers/echo/0/record.json")).unwrap();
        let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
        let pid = i32::try_from(record["parent"]["pid"].as_i64().unwrap()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
        let status = bed.until("a", "restarted", |s| container(s).restart_count == 1 && container(s).ready).await;
        let last = container(&status).last_state.clone().unwrap().terminated.unwrap();
        assert_eq!((last.exit_code, last.reason.as_deref()), (137, Some("ContainerStatusUnknown")));
        bed.delete(pod, 30).await;
    });
}

#[test]
fn after_a_boot_of_the_machine() {
    on_a_node("boot", async |bed| {
        if !busybox(bed) {
            return;
        }
        let init = sh("init", "echo init >> /v/order", json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}));
        let mut pod = echo("a", json!({}));
        pod["spec"]["initContainers"] = json!([init]);
        pod["spec"]["volumes"] = json!([{"name": "v", "emptyDir": {}}]);
        let before = bed.run(pod.clone()).await;
        bed.restart().await;
        // Everything that does not outlast a boot goes: processes, mounts, the run directory.
        let state = bed.dir.path().join("state");
        let (kept, aside) = (state.join("pods"), bed.dir.path().join("aside"));
        std::fs::create_dir(&aside).unwrap();
        let copy = |from: &std::path::Path, to: &std::path::Path| {
            let done = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
            assert!(done.success());
        };
        copy(&kept, &aside);
        pods::cleanup(&state).unwrap();
        copy(&aside.join("pods"), &state);
        bed.restart().await;
        pod["status"] = serde_json::to_value(&before).unwrap();
        bed.set(pod.clone());
        let status = bed.until("a", "up again", |s| container(s).restart_count == 1 && container(s).ready).await;
        let last = container(&status).last_state.clone().unwrap().terminated.unwrap();
        assert_eq!(last.reason.as_deref(), Some("ContainerStatusUnknown"));
        let order = std::fs::read_to_string(bed.pod_dir("a").join("volumes/v/order")).unwrap();
        assert_eq!(order, "init\ninit\n");
        bed.delete(pod, 30).await;
    });
}

#[test]
fn nothing_is_left_of_a_node_that_was_killed() {
    on_a_node("killed", async |bed| {
        for uid in ["a", "b", "c"] {
            bed.run(echo(uid, json!({}))).await;
        }
        // The bed's end finds everything by what is on disk, and looks that nothing is left.
    });
}
