//! Addresses and packets of Pods.

use serde_json::json;

use crate::bed::*;

#[test]
fn pods_reach_each_other_and_the_node() {
    on_a_node("network", async |bed| {
        if !busybox(bed) {
            return;
        }
        let server = echo("a", json!({}));
        bed.run(server.clone()).await;
        let ask = "wget -q -O - http://10.244.1.2:8080/hostname; ip addr show eth0 | grep -o 'inet [0-9./]*'; \
                   ip route | sort; cat /etc/resolv.conf; grep 10.244 /etc/hosts; wget -q -O - 10.244.1.2:8080 | grep client";
        let text = output(bed, "b", ask, json!({}), json!({})).await;
        let want = [
            "pod-a",
            "inet 10.244.1.3/32",
            "10.244.1.1 dev eth0 scope link",
            "default via 10.244.1.1 dev eth0",
            "search default.svc.cluster.local svc.cluster.local cluster.local",
            "nameserver 10.96.0.10",
            "options ndots:5",
            "10.244.1.3\tpod-b",
        ];
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(&lines[..want.len()], want, "{text}");
        assert!(lines[want.len()].starts_with("client: 10.244.1.3:"), "{text}");
        // The node's own server, from a Pod.
        let listener = std::net::TcpListener::bind((NODE_IP, 7000)).unwrap();
        let served = std::thread::spawn(move || {
            use std::io::{Read, Write};
            let (mut stream, from) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 512]).unwrap();
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nnode").unwrap();
            from
        });
        let text = output(bed, "c", "wget -q -O - http://172.30.0.2:7000/", json!({}), json!({})).await;
        assert_eq!(text, "node");
        assert_eq!(served.join().unwrap().ip().to_string(), "10.244.1.4");
        bed.delete(server, 30).await;
    });
}

#[test]
fn addresses_are_not_given_again_soon() {
    on_a_node("addresses", async |bed| {
        let mut seen = Vec::new();
        for uid in ["a", "b", "c"] {
            let pod = echo(uid, json!({}));
            seen.push(bed.run(pod.clone()).await.pod_ip.unwrap());
            bed.delete(pod, 30).await;
        }
        assert_eq!(seen, ["10.244.1.2", "10.244.1.3", "10.244.1.4"]);
    });
}

#[test]
fn the_node_s_own_network() {
    on_a_node("host", async |bed| {
        let mut pod = echo("a", json!({"args": ["--port", "7070"]}));
        pod["spec"]["hostNetwork"] = json!(true);
        let status = bed.run(pod.clone()).await;
        assert_eq!(status.pod_ip.as_deref(), Some("172.30.0.2"));
        assert!(links().is_empty());
        let (_, body) = get("172.30.0.2", 7070, "/hostname").unwrap();
        assert_eq!(body, "node-1\n");
        bed.delete(pod, 30).await;
    });
}

#[test]
fn sysctls_of_a_pod() {
    on_a_node("sysctls", async |bed| {
        if !busybox(bed) {
            return;
        }
        let sysctls = json!({"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "0"}]}});
        let text = output(bed, "a", "cat /proc/sys/net/ipv4/tcp_syncookies", json!({}), sysctls).await;
        assert_eq!(text, "0");
        let mut pod = echo("b", json!({}));
        pod["spec"]["securityContext"] = json!({"sysctls": [{"name": "kernel.panic", "value": "1"}]});
        bed.set(pod.clone());
        let event = bed.event("FailedCreatePodSandBox").await;
        assert!(event.message.contains("forbidden sysctl"), "{}", event.message);
        bed.delete(pod, 0).await;
    });
}
