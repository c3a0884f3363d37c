//! Probes of containers that run.

use serde_json::json;

use crate::bed::*;

#[test]
fn readiness_comes_and_goes() {
    on_a_node("readiness", async |bed| {
        let mut pod = echo("a", json!({}));
        pod["spec"]["containers"][0]["readinessProbe"]["failureThreshold"] = json!(1);
        let status = bed.run(pod.clone()).await;
        let address = status.pod_ip.unwrap();
        request("POST", &address, 8080, "/readyz?fail").unwrap();
        let status = bed.until("a", "not ready", |s| condition(s, "Ready") == Some("False")).await;
        assert!(!container(&status).ready);
        assert_eq!(container(&status).restart_count, 0);
        let event = bed.event("Unhealthy").await;
        assert_eq!(event.message, "Readiness probe failed: HTTP probe failed with statuscode: 503");
        assert_eq!((event.field.as_str(), event.warning), ("spec.containers{echo}", true));
        request("POST", &address, 8080, "/readyz?ok").unwrap();
        bed.until("a", "ready again", |s| condition(s, "Ready") == Some("True")).await;
        bed.delete(pod, 30).await;
    });
}

#[test]
fn what_is_not_alive_starts_again() {
    on_a_node("liveness", async |bed| {
        let liveness =
            json!({"httpGet": {"path": "/healthz", "port": "web"}, "periodSeconds": 1, "failureThreshold": 1});
        let pod = echo("a", json!({"livenessProbe": liveness, "ports": [{"name": "web", "containerPort": 8080}]}));
        let status = bed.run(pod.clone()).await;
        request("POST", &status.pod_ip.unwrap(), 8080, "/healthz?fail").unwrap();
        let status = bed.until("a", "restarted", |s| container(s).restart_count == 1 && container(s).ready).await;
        let last = container(&status).last_state.clone().unwrap().terminated.unwrap();
        assert_eq!(last.exit_code, 0, "it was asked to end, and did");
        let event = bed.event("Killing").await;
        assert_eq!(event.message, "Container echo failed liveness probe, will be restarted");
        bed.delete(pod, 30).await;
    });
}

#[test]
fn the_others_wait_for_the_startup_probe() {
    on_a_node("startup", async |bed| {
        if !busybox(bed) {
            return;
        }
        let probes = json!({
            "startupProbe": {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 30},
            "readinessProbe": {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1},
            "livenessProbe": {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 1}
        });
        let pod = once("a", "sleep 1.5; touch /tmp/up; sleep 1; touch /tmp/ready; sleep 600", probes, json!({}));
        bed.set(pod.clone());
        let status = bed.until("a", "running", |s| s.phase.as_deref() == Some("Running")).await;
        assert_eq!((container(&status).started, container(&status).ready), (Some(false), false));
        let status = bed.until("a", "started", |s| container(s).started == Some(true)).await;
        assert!(!container(&status).ready);
        let status = bed.until("a", "ready", |s| container(s).ready).await;
        assert_eq!(container(&status).restart_count, 0);
        bed.delete(pod, 0).await;

        let never = json!({"startupProbe": {"tcpSocket": {"port": 9}, "periodSeconds": 1, "failureThreshold": 1}});
        let mut pod = echo("b", never);
        pod["spec"]["terminationGracePeriodSeconds"] = json!(1);
        bed.set(pod.clone());
        bed.until("b", "restarted", |s| container(s).restart_count >= 1).await;
        bed.delete(pod, 0).await;
    });
}
