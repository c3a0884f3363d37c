//! The programs that ask in Pods: dig, kdig, glibc's resolver and busybox', which asks as musl does.

use std::process::Command;

use hickory_proto::rr::RecordType;
use serde_json::{Value, json};
use testbed::Namespace;

use super::world::{PODS, World};
use super::{DNS, ask, patch_pod, start_dns, status};

const RESOLV_CONF: &str = "/tmp/resolv.conf";

/// Runs a program in a Pod, with a kubelet's resolv.conf; what it prints, in one line, and `None` where it fails.
fn run(pod: &Namespace, command: &str) -> Option<String> {
    let mut words = command.split_whitespace();
    let mut shell: Command = pod.command("unshare");
    let script = format!("mount --bind {RESOLV_CONF} /etc/resolv.conf && exec \"$@\"");
    shell.args(["--mount", "sh", "-c", &script, "sh"]).args(words.by_ref());
    let output = shell.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    output.status.success().then_some(text)
}

fn is_installed(program: &str) -> bool {
    let is_there = Command::new("which").arg(program).output().is_ok_and(|output| output.status.success());
    if !is_there {
        testbed::privilege::skip(&format!("{program} is not installed"));
    }
    is_there
}

fn write_resolv_conf(server: &str) {
    let search = "search default.svc.cluster.local svc.cluster.local cluster.local";
    std::fs::write(RESOLV_CONF, format!("nameserver {server}\n{search}\noptions ndots:5\n")).unwrap();
}

#[test]
fn dig_kdig_glibc_and_busybox_find_names_by_their_search_paths() {
    let Some(world) = World::new() else { return };
    let service = world.service("web", json!({}));
    let address = service["spec"]["clusterIP"].as_str().unwrap();
    world.service("db", json!({ "clusterIP": "None" }));
    let slice = json!({
        "metadata": { "name": "db-1", "labels": { "kubernetes.io/service-name": "db" } }, "addressType": "IPv4",
        "endpoints": [{ "addresses": ["10.9.0.1"], "hostname": "db-0" }, { "addresses": ["10.9.0.2"], "hostname": "db-1" }],
        "ports": [{ "name": "pg", "port": 5432, "protocol": "TCP" }],
    });
    world.create("discovery.k8s.io/v1", "endpointslices", "default", slice);
    world.service("out", json!({ "type": "ExternalName", "externalName": "www.example.org" }));
    let dns = start_dns(&world, &["--no-upstream"]);
    world.wait("it is ready", || status(&world, 8181, "/ready") == Some(200));
    write_resolv_conf(DNS.split(':').next().unwrap());
    let pod = &world.pods[0];
    let full = "web.default.svc.cluster.local";
    let reverse = format!("-x {address}");
    let srv = "0 50 5432 db-0.db.default.svc.cluster.local. 0 50 5432 db-1.db.default.svc.cluster.local.";
    let rows = [
        (full.to_owned(), address),
        (format!("{full} +tcp"), address),
        (format!("{full} +noedns"), address),
        (format!("{full} AAAA"), ""),
        ("+search web".to_owned(), address),
        ("+search web.default".to_owned(), address),
        ("+search web.default.svc".to_owned(), address),
        ("db-1.db.default.svc.cluster.local".to_owned(), "10.9.0.2"),
        ("_pg._tcp.db.default.svc.cluster.local SRV".to_owned(), srv),
        ("dns-version.cluster.local TXT".to_owned(), "\"1.1.0\""),
        ("out.default.svc.cluster.local".to_owned(), "www.example.org."),
        (reverse, "web.default.svc.cluster.local."),
    ];
    for program in ["dig", "kdig"].into_iter().filter(|program| is_installed(program)) {
        // kdig knows no search paths.
        let knows = |arguments: &str| program == "dig" || !arguments.starts_with("+search");
        for (arguments, want) in rows.iter().filter(|(arguments, _)| knows(arguments)) {
            let told = run(pod, &format!("{program} +short {arguments}")).unwrap_or_else(|| "it fails".to_owned());
            let sorted = |text: &str| -> Vec<String> {
                let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
                words.sort_unstable();
                words
            };
            assert_eq!(sorted(&told), sorted(want), "{program} {arguments}");
        }
    }
    for name in ["web", "web.default", "web.default.svc", full] {
        let found = run(pod, &format!("getent ahostsv4 {name}")).unwrap_or_default();
        assert!(found.starts_with(address), "glibc: {name}: {found:?}");
        if is_installed("busybox") {
            let found = run(pod, &format!("busybox nslookup {full}")).unwrap_or_default();
            assert!(found.contains(&format!("Address: {address}")), "busybox: {found:?}");
        }
    }
    let found = run(pod, "getent ahostsv4 db").unwrap_or_default();
    assert!(found.contains("10.9.0.1") && found.contains("10.9.0.2"), "{found:?}");
    // Where there is no AAAA, getent asks for IPv4 addresses and maps them.
    let mapped = run(pod, "getent ahostsv6 web").unwrap_or_default();
    assert!(mapped.starts_with(&format!("::ffff:{address} ")), "{mapped:?}");
    assert_eq!(run(pod, "getent ahosts gone"), None);
    dns.end();
}

/// Starts an upstream server on the node that answers every name with one address, and says how often it was asked.
fn upstream(world: &World) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let socket = world.node.run(|| std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = asked.clone();
    std::thread::spawn(move || {
        let mut packet = [0; 2048];
        while let Ok((length, peer)) = socket.recv_from(&mut packet) {
            let question = hickory_proto::op::Message::from_vec(&packet[..length]).unwrap();
            let query = question.queries[0].clone();
            let mut answer = hickory_proto::op::Message::response(question.metadata.id, question.metadata.op_code);
            if query.name().to_string() == "www.example.com." {
                count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
            if query.query_type() == RecordType::A {
                let data = hickory_proto::rr::RData::A("203.0.113.7".parse().unwrap());
                answer.add_answer(hickory_proto::rr::Record::from_rdata(query.name().clone(), 300, data));
            }
            answer.add_query(query);
            // Who asked may have gone with the test.
            _ = socket.send_to(&answer.to_vec().unwrap(), peer);
        }
    });
    (address, asked)
}

fn make_pod(world: &World, name: &str, address: &str, more: &Value) {
    let mut spec = json!({ "containers": [{ "name": "c", "image": "none" }], "nodeSelector": { "no": "where" } });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.create("v1", "pods", "default", json!({ "metadata": { "name": name }, "spec": spec }));
    patch_pod(world, name, &json!({ "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }] }));
}

#[test]
fn search_paths_are_gone_through_for_pods_that_have_the_clusters() {
    let Some(world) = World::new() else { return };
    let (upstream, asked) = upstream(&world);
    make_pod(&world, "first", PODS[0], &json!({}));
    let own = json!({ "dnsConfig": { "searches": ["example.net"] } });
    make_pod(&world, "second", PODS[1], &own);
    let dns = start_dns(&world, &["--upstream", &upstream, "--complete-searches"]);
    let searched = "www.example.com.default.svc.cluster.local.";
    let found = Some("NOERROR www.example.com. 203.0.113.7");
    world.wait("the first question finds it", || ask(&world.pods[0], searched, RecordType::A).as_deref() == found);
    assert_eq!(ask(&world.pods[1], searched, RecordType::A).as_deref(), Some("NXDOMAIN"), "it searches elsewhere too");
    let other = "www.example.com.kube-system.svc.cluster.local.";
    assert_eq!(ask(&world.pods[0], other, RecordType::A).as_deref(), Some("NXDOMAIN"), "it is of another namespace");
    write_resolv_conf(DNS.split(':').next().unwrap());
    let hosts = run(&world.pods[0], "getent ahostsv4 www.example.com").unwrap_or_default();
    assert!(hosts.starts_with("203.0.113.7"), "{hosts:?}");
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 1, "the cache knows it");
    let (_, metrics) = world.http(&world.node, "127.0.0.1:9153", "/metrics").unwrap();
    assert!(metrics.lines().any(|line| line.starts_with("portolan_dns_searched_total ") && !line.ends_with(" 0")));
    dns.end();
}
