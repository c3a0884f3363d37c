//! How containers begin, end and begin again.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::bed::*;

#[test]
fn what_ends_starts_again_later_each_time() {
    on_a_node("crash", async |bed| {
        let pod = echo("a", json!({"terminationMessagePolicy": "FallbackToLogsOnError"}));
        let first = bed.run(pod.clone()).await;
        let address = first.pod_ip.clone().unwrap();
        request("POST", &address, 8080, "/exit?code=3").unwrap();
        let again = bed.until("a", "restarted", |s| container(s).restart_count == 1 && container(s).ready).await;
        assert_ne!(container(&again).container_id, container(&first).container_id);
        let last = container(&again).last_state.clone().unwrap().terminated.unwrap();
        assert_eq!((last.exit_code, last.reason.as_deref()), (3, Some("Error")));
        assert_eq!(last.message.as_deref(), Some("listening on port 8080, TCP and UDP"));
        assert_eq!(again.pod_ip, first.pod_ip);
        request("POST", &address, 8080, "/exit?code=0").unwrap();
        let loops = |s: &k8s_openapi::api::core::v1::PodStatus| {
            let waiting = container(s).state.as_ref().and_then(|s| s.waiting.as_ref());
            waiting.is_some_and(|w| w.reason.as_deref() == Some("CrashLoopBackOff"))
        };
        let status = bed.until("a", "in back-off", loops).await;
        assert_eq!(condition(&status, "Ready"), Some("False"));
        assert_eq!(status.phase.as_deref(), Some("Running"));
        bed.until("a", "restarted again", |s| container(s).restart_count == 2 && container(s).ready).await;
        bed.delete(pod, 30).await;
    });
}

#[test]
fn exit_codes_signals_and_last_words() {
    on_a_node("ends", async |bed| {
        if !busybox(bed) {
            return;
        }
        let cases = [
            ("a", "echo -n bye > /dev/termination-log; exit 0", 0, None, "Completed", Some("bye")),
            ("b", "exit 7", 7, None, "Error", None),
            ("c", "sleep 60 & kill -9 $!; wait $!; exit $?", 137, None, "Error", None),
        ];
        for (uid, script, code, signal, reason, message) in cases {
            let pod = once(uid, script, json!({}), json!({}));
            bed.set(pod.clone());
            let status = bed.until(uid, "ended", |s| container(s).state.as_ref().unwrap().terminated.is_some()).await;
            let ended = container(&status).state.clone().unwrap().terminated.unwrap();
            assert_eq!((ended.exit_code, ended.signal, ended.reason.as_deref()), (code, signal, Some(reason)));
            assert_eq!(ended.message.as_deref(), message);
            let phase = bed.until(uid, "over", |s| s.phase.as_deref() != Some("Running")).await.phase;
            assert_eq!(phase.as_deref(), Some(if code == 0 { "Succeeded" } else { "Failed" }));
            bed.delete(pod, 0).await;
        }
    });
}

#[test]
fn a_program_that_is_not_there() {
    on_a_node("nothing", async |bed| {
        let pod = echo("a", json!({"command": ["nope"]}));
        bed.set(pod.clone());
        let failed = |s: &k8s_openapi::api::core::v1::PodStatus| {
            let container = container(s);
            let of = |s: &Option<k8s_openapi::api::core::v1::ContainerState>| s.clone().and_then(|s| s.terminated);
            of(&container.state)
                .or(of(&container.last_state))
                .is_some_and(|t| t.reason.as_deref() == Some("StartError"))
        };
        let status = bed.until("a", "not started", failed).await;
        let seen = container(&status);
        let ended = seen.state.clone().unwrap().terminated.or(seen.last_state.clone().unwrap().terminated).unwrap();
        assert_eq!(ended.exit_code, 128);
        assert_eq!(ended.message.as_deref(), Some("exec \"nope\": executable file not found in $PATH"));
        bed.delete(pod, 30).await;
    });
}

#[test]
fn an_image_that_is_loaded_later() {
    on_a_node("later", async |bed| {
        let pod = once("a", "echo hello", json!({}), json!({}));
        bed.set(pod.clone());
        let waiting = |reason: &'static str| {
            move |s: &k8s_openapi::api::core::v1::PodStatus| {
                let waiting = container(s).state.as_ref().and_then(|s| s.waiting.clone());
                waiting.is_some_and(|w| w.reason.as_deref() == Some(reason))
            }
        };
        let status = bed.until("a", "without its image", waiting("ErrImagePull")).await;
        let message = container(&status).state.clone().unwrap().waiting.unwrap().message.unwrap();
        assert!(message.contains("portolan image load"), "{message}");
        bed.until("a", "waiting for it", waiting("ImagePullBackOff")).await;
        assert_eq!(bed.event("ErrImagePull").await.message, message);
        if busybox(bed) {
            bed.until("a", "run", |s| s.phase.as_deref() == Some("Succeeded")).await;
        }
        bed.delete(pod, 0).await;
        let never = echo("b", json!({"image": "nope", "imagePullPolicy": "Never"}));
        bed.set(never.clone());
        bed.until("b", "never pulled", waiting("ErrImageNeverPull")).await;
        bed.delete(never, 0).await;
    });
}

#[test]
fn init_containers_and_sidecars() {
    on_a_node("inits", async |bed| {
        if !busybox(bed) {
            return;
        }
        let mounts = || json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]});
        let append = |name: &str, more: &str| sh(name, &format!("echo {name} >> /v/order; {more}"), mounts());
        let mut sidecar =
            append("side", "trap 'echo side-ends >> /v/order; exit 0' TERM; while :; do sleep 0.05; done");
        sidecar["restartPolicy"] = json!("Always");
        let pod = pod(
            "a",
            json!({
                "restartPolicy": "Never", "volumes": [{"name": "v", "emptyDir": {}}],
                "initContainers": [append("one", "true"), sidecar, append("two", "true")],
                "containers": [append("app", "sleep 0.2; echo app-ends >> /v/order")]
            }),
        );
        bed.set(pod.clone());
        let status = bed.until("a", "over", |s| s.phase.as_deref() == Some("Succeeded")).await;
        let order = std::fs::read_to_string(bed.pod_dir("a").join("volumes/v/order")).unwrap();
        let words: Vec<&str> = order.split_whitespace().collect();
        assert_eq!(words[0], "one");
        assert_eq!(
            words.iter().filter(|w| **w != "side").collect::<Vec<_>>(),
            [&"one", &"two", &"app", &"app-ends", &"side-ends"]
        );
        let inits = status.init_container_statuses.unwrap();
        assert!(inits[0].ready && inits[2].ready, "{inits:?}");
        bed.delete(pod, 0).await;

        let failing = once("b", "true", json!({}), json!({"initContainers": [sh("init", "exit 4", json!({}))]}));
        bed.set(failing.clone());
        let status = bed.until("b", "failed", |s| s.phase.as_deref() == Some("Failed")).await;
        assert_eq!(condition(&status, "Initialized"), Some("False"));
        bed.delete(failing, 0).await;
    });
}

#[test]
fn hooks_and_the_grace_period() {
    on_a_node("hooks", async |bed| {
        if !busybox(bed) {
            return;
        }
        let volumes = json!([{"name": "v", "emptyDir": {}}]);
        let hooks = json!({
            "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            "lifecycle": {
                "postStart": {"exec": {"command": ["sh", "-c", "sleep 0.2; echo started >> /v/order"]}},
                "preStop": {"exec": {"command": ["sh", "-c", "echo stopping >> /v/order"]}}
            }
        });
        let script = "trap 'echo term >> /v/order; exit 0' TERM; while :; do sleep 0.05; done";
        let polite = once("a", script, hooks, json!({"volumes": volumes, "terminationGracePeriodSeconds": 20}));
        let status = bed.run(polite.clone()).await;
        assert_eq!(container(&status).started, Some(true));
        let order = bed.pod_dir("a").join("volumes/v/order");
        assert_eq!(std::fs::read_to_string(&order).unwrap(), "started\n", "ready before the hook was through");
        let mut ending = polite.clone();
        ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        ending["metadata"]["deletionGracePeriodSeconds"] = json!(20);
        let begun = Instant::now();
        bed.set(ending);
        bed.until_change("a", "gone", |c| c.gone).await;
        assert_eq!(std::fs::read_to_string(&order).unwrap(), "started\nstopping\nterm\n");
        assert!(begun.elapsed() < Duration::from_secs(15));
        bed.remove("a").await;

        let stubborn = once("b", "trap '' TERM; while :; do sleep 0.05; done", json!({}), json!({}));
        bed.set(stubborn.clone());
        bed.until("b", "running", |s| s.phase.as_deref() == Some("Running")).await;
        let begun = Instant::now();
        bed.delete(stubborn, 1).await;
        assert!(
            (Duration::from_millis(900)..Duration::from_secs(10)).contains(&begun.elapsed()),
            "{:?}",
            begun.elapsed()
        );

        let slow = json!({"lifecycle": {"preStop": {"sleep": {"seconds": 60}}}});
        let mut slow = echo("c", slow);
        slow["spec"]["terminationGracePeriodSeconds"] = json!(60);
        bed.run(slow.clone()).await;
        let mut ending = slow.clone();
        ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        ending["metadata"]["deletionGracePeriodSeconds"] = json!(60);
        bed.set(ending);
        bed.event("Killing").await;
        let status = bed.latest.get("c").unwrap().status.clone();
        assert_eq!(condition(&status, "Ready"), Some("True"), "a Pod serves while it ends");
        let begun = Instant::now();
        // Less time is given afterwards.
        bed.delete(slow, 0).await;
        assert!(begun.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn memory_that_is_not_there() {
    on_a_node("oom", async |bed| {
        if !busybox(bed) {
            return;
        }
        if !bed.runtime.has_limits() {
            testbed::privilege::skip("no control groups can be made here");
            return;
        }
        // tail keeps a line that never ends in memory.
        let limits = json!({"resources": {"limits": {"memory": "16Mi", "cpu": "500m"}}});
        let pod = once("a", "exec tail /dev/zero", limits, json!({}));
        bed.set(pod.clone());
        let status = bed.until("a", "ended", |s| container(s).state.as_ref().unwrap().terminated.is_some()).await;
        let ended = container(&status).state.clone().unwrap().terminated.unwrap();
        assert_eq!((ended.exit_code, ended.reason.as_deref()), (137, Some("OOMKilled")));
        bed.delete(pod, 0).await;
    });
}

#[test]
fn a_pod_whose_time_is_over() {
    on_a_node("deadline", async |bed| {
        let mut pod = echo("a", json!({}));
        pod["spec"]["activeDeadlineSeconds"] = json!(1);
        bed.set(pod.clone());
        let status = bed.until("a", "failed", |s| s.phase.as_deref() == Some("Failed")).await;
        assert_eq!(status.reason.as_deref(), Some("DeadlineExceeded"));
        bed.delete(pod, 0).await;
    });
}

#[test]
fn another_image() {
    on_a_node("update", async |bed| {
        let mut pod = echo("a", json!({}));
        bed.run(pod.clone()).await;
        pod["spec"]["containers"][0]["image"] = json!("portolan/echo:v2");
        bed.set(pod.clone());
        let status = bed.until("a", "restarted", |s| container(s).restart_count == 1 && container(s).ready).await;
        assert_eq!(container(&status).image, "portolan/echo:v2");
        bed.delete(pod, 30).await;
    });
}

#[test]
fn what_is_not_supported_is_said() {
    on_a_node("unsupported", async |bed| {
        let mut pod = echo("a", json!({}));
        pod["spec"]["hostPID"] = json!(true);
        bed.set(pod.clone());
        let waits = |s: &k8s_openapi::api::core::v1::PodStatus| {
            let waiting = container(s).state.as_ref().and_then(|s| s.waiting.clone());
            waiting.is_some_and(|w| w.message.as_deref() == Some("hostPID is not supported by this node"))
        };
        let status = bed.until("a", "refused", waits).await;
        let waiting = container(&status).state.clone().unwrap().waiting.unwrap();
        assert_eq!(waiting.reason.as_deref(), Some("CreateContainerConfigError"));
        bed.delete(pod, 0).await;
    });
}
