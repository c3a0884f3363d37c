//! A Pod that runs, and its end.

use serde_json::json;

use crate::bed::*;

#[test]
fn an_echo_pod_answers_and_goes_without_a_trace() {
    on_a_node("echo", async |bed| {
        let pod = echo("a", json!({"args": ["--port", "9376"]}));
        let status = bed.run(pod.clone()).await;
        assert_eq!(status.phase.as_deref(), Some("Running"));
        assert_eq!(status.pod_ip.as_deref(), Some("10.244.1.2"));
        assert_eq!(status.host_ip.as_deref(), Some("172.30.0.2"));
        let running = container(&status);
        assert!(running.ready && running.started == Some(true) && running.restart_count == 0);
        assert!(running.container_id.as_ref().unwrap().starts_with("portolan://"));
        let (code, body) = get("10.244.1.2", 9376, "/x?y").unwrap();
        assert_eq!(code, 200);
        assert!(body.starts_with("pod: pod-a\nclient: 172.30.0.2:"), "{body}");
        assert!(body.contains("GET /x?y HTTP/1.1"), "{body}");
        let udp = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
        udp.set_read_timeout(Some(PATIENCE)).unwrap();
        udp.send_to(b"hello", "10.244.1.2:9376").unwrap();
        let mut buffer = [0; 200];
        let (length, _) = udp.recv_from(&mut buffer).unwrap();
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert!(answer.starts_with("pod: pod-a\nclient: 172.30.0.2:") && answer.ends_with("hello"), "{answer}");
        eventually("the log has a line", || log(bed, "a", "echo", 0).contains(" stdout F listening on port 9376"))
            .await;
        bed.delete(pod, 30).await;
        assert!(links().is_empty(), "{:?}", links());
    });
}
