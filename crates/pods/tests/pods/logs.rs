//! Logs over HTTP, as an API server asks for them.

use serde_json::json;

use crate::bed::*;
use crate::exec::serve;

#[test]
fn output_as_it_is_and_as_it_comes() {
    on_a_node("logs", async |bed| {
        if !busybox(bed) {
            return;
        }
        let address = serve(bed).await;
        let get = |path: String| {
            tokio::task::spawn_blocking(move || {
                crate::bed::get(&address.ip().to_string(), address.port(), &path).unwrap()
            })
        };
        let script = "echo one; echo two >&2; echo -n three; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo; echo four; exit 3";
        let mut pod = once("a", script, json!({}), json!({}));
        pod["spec"]["restartPolicy"] = json!("OnFailure");
        bed.set(pod.clone());
        bed.until("a", "running", |s| s.phase.as_deref() == Some("Running")).await;
        eventually("it has written", || said(bed, "a", "c", 0).lines().count() >= 2).await;
        let path = "/containerLogs/default/pod-a/c";
        let (code, body) = get(path.into()).await.unwrap();
        assert_eq!(code, 200);
        assert!(body.contains("one\n") && body.contains("two\n") && !body.contains("three"), "{body}");
        let following = get(format!("{path}?follow=true&tailLines=1"));
        let marker = bed.pod_dir("a").join("containers/c/0/upper/tmp");
        std::fs::create_dir_all(&marker).unwrap();
        touch_inside(bed, "a").await;
        let (_, body) = following.await.unwrap();
        assert!(body.contains("three") && body.contains("four") && !body.contains("one"), "{body}");
        bed.until("a", "restarted", |s| container(s).restart_count >= 1).await;
        let (code, body) = get(format!("{path}?previous=true&limitBytes=3")).await.unwrap();
        // In one chunk of three bytes.
        assert_eq!((code, body.as_str()), (200, "3\r\none\r\n0\r\n\r\n"), "{body}");
        for (path, want) in [
            ("/containerLogs/default/pod-a/nope", 404),
            ("/containerLogs/default/nope/c", 404),
            ("/containerLogs/default/pod-a/c?tailLines=x", 400),
            ("/nope", 404),
            ("/attach/default/pod-a/c", 501),
        ] {
            assert_eq!(get(path.into()).await.unwrap().0, want, "{path}");
        }
        bed.delete(pod, 0).await;
    });
}

/// Lets the script of the test above go on.
async fn touch_inside(bed: &Bed, uid: &str) {
    let (code, _) = crate::exec::run(bed, &format!("pod-{uid}"), "c", &["touch", "/tmp/go"], b"").await;
    assert_eq!(code, 0);
}
