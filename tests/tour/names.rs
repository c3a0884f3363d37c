//! Names: steps 19 to 22.

use std::net::UdpSocket;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cluster::Cluster;

/// The cluster's DNS.
const CLUSTER_DNS: &str = "@10.96.0.10";

/// What `dig +short` says to a question, asked from the host; a line an answer.
pub fn dig(question: &[&str]) -> Vec<String> {
    let fixed = [CLUSTER_DNS, "+short", "+time=1", "+tries=1"];
    let output = Command::new("dig").args(fixed).args(question).output().unwrap();
    String::from_utf8_lossy(&output.stdout).lines().filter(|l| !l.starts_with(';')).map(str::to_owned).collect()
}

/// The response code to a question, asked from the host.
fn code(question: &[&str]) -> String {
    let output = Command::new("dig").args([CLUSTER_DNS, "+time=1", "+tries=1"]).args(question).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split("status: ").nth(1).and_then(|t| t.split(',').next()).unwrap_or("none").to_owned()
}

#[test]
fn step_19_a_service_resolves_in_its_namespace_from_others_and_fully() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    cluster.kubectl(&["create", "namespace", "my-ns"]);
    cluster.apply(
        "{apiVersion: v1, kind: Service, metadata: {name: my-service, namespace: my-ns}, spec: {ports: [{port: 80}]}}",
    );
    let ip = cluster.kubectl(&["-n", "my-ns", "get", "service", "my-service", "-o", "jsonpath={.spec.clusterIP}"]);
    for namespace in ["my-ns", "default"] {
        cluster.start_client(namespace);
    }
    // glibc's resolver, with the search list and `ndots` of resolv.conf.
    let resolve = |namespace: &str, name: &str| {
        let said = cluster.kubectl(&["-n", namespace, "exec", "client", "--", "getent", "ahostsv4", name]);
        said.split_whitespace().next().unwrap_or_default().to_owned()
    };
    assert_eq!(resolve("my-ns", "my-service"), ip);
    for name in ["my-service.my-ns", "my-service.my-ns.svc.cluster.local", "my-service.my-ns.svc.cluster.local."] {
        assert_eq!(resolve("default", name), ip, "{name}");
    }
    let conf = cluster.kubectl(&["-n", "my-ns", "exec", "client", "--", "cat", "/etc/resolv.conf"]);
    assert!(conf.contains("nameserver 10.96.0.10"), "{conf}");
    assert!(conf.contains("search my-ns.svc.cluster.local svc.cluster.local cluster.local"), "{conf}");
    assert!(conf.contains("ndots:5"), "{conf}");
}

#[test]
fn step_20_srv_gives_port_and_target_and_ptr_the_name() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    cluster.kubectl(&["create", "namespace", "my-ns"]);
    cluster.apply("{apiVersion: v1, kind: Service, metadata: {name: my-service, namespace: my-ns}, spec: {ports: [{name: http, port: 80}]}}");
    let ip = cluster.kubectl(&["-n", "my-ns", "get", "service", "my-service", "-o", "jsonpath={.spec.clusterIP}"]);
    let name = "my-service.my-ns.svc.cluster.local.";
    let srv = cluster.wait("SRV answers", || dig(&[&format!("_http._tcp.{name}"), "SRV"]).first().cloned());
    let words: Vec<&str> = srv.split(' ').collect();
    assert_eq!(&words[2..], ["80", name], "{srv}");
    cluster.wait("PTR answers", || (dig(&["-x", &ip]) == [name]).then_some(()));
    assert_eq!(dig(&["+tcp", name, "A"]), [ip]);
}

#[test]
fn step_21_a_new_service_resolves_at_once_and_a_deleted_one_is_gone_as_fast() {
    let Some(cluster) = Cluster::up(&[]) else { return };
    let name = "fresh.default.svc.cluster.local";
    cluster.wait("DNS is in step", || (code(&[name]) == "NXDOMAIN").then_some(()));
    cluster.apply("{apiVersion: v1, kind: Service, metadata: {name: fresh}, spec: {ports: [{port: 80}]}}");
    let ip = cluster.cluster_ip("fresh");
    cluster.wait("it resolves", || (dig(&[name]) == [ip.clone()]).then_some(()));
    cluster.kubectl(&["delete", "service", "fresh"]);
    cluster.wait("it is gone", || (code(&[name]) == "NXDOMAIN").then_some(()));
}

#[test]
fn step_22_names_outside_are_forwarded_and_cached() {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    // The name server of the world outside: it answers every question for A with one address, and counts.
    let asked = Arc::new(AtomicUsize::new(0));
    let Some(cluster) = Cluster::up(&["--upstream-dns", "127.0.0.1:5399"]) else { return };
    let socket = UdpSocket::bind("127.0.0.1:5399").unwrap();
    let counter = asked.clone();
    std::thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut question) {
            counter.fetch_add(1, Ordering::SeqCst);
            let _ = socket.send_to(&answer(&question[..length]), client);
        }
    });
    let found = cluster.wait("a name outside resolves", || dig(&["outside.example.org", "A"]).first().cloned());
    assert_eq!(found, "192.0.2.7");
    let before = asked.load(Ordering::SeqCst);
    for _ in 0..20 {
        assert_eq!(dig(&["outside.example.org", "A"]), ["192.0.2.7"]);
    }
    assert_eq!(asked.load(Ordering::SeqCst), before, "answers come from the cache");
}

/// An answer with one address and a lifetime of a minute.
fn answer(question: &[u8]) -> Vec<u8> {
    // The question ends after its name (a zero byte), type and class.
    let end = 12 + question[12..].iter().position(|b| *b == 0).unwrap() + 5;
    let mut answer = question[..end].to_vec();
    answer[2..4].copy_from_slice(&[0x81, 0x80]);
    answer[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
    answer
}
