//! `portolan agent` in place of kube-proxy: rules, health, restarts, and an API that goes away.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod world;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::json;
use testbed::{TcpServer, ask_tcp};

use world::{NODE, NODE_ADDRESS, PODS, World};

fn cluster_ip(service: &serde_json::Value) -> SocketAddr {
    format!("{}:80", service["spec"]["clusterIP"].as_str().unwrap()).parse().unwrap()
}

fn node_port(service: &serde_json::Value) -> SocketAddr {
    format!("{NODE_ADDRESS}:{}", service["spec"]["ports"][0]["nodePort"]).parse().unwrap()
}

fn listen(world: &World, pod: usize) -> TcpServer {
    let address = format!("{}:8080", PODS[pod]).parse().unwrap();
    TcpServer::start(&world.pods[pod], address, &format!("pod-{}", pod + 1)).unwrap()
}

#[test]
fn packets_arrive_and_every_source_is_who_it_was() {
    let Some(world) = World::new() else { return };
    let _agent = world.start_agent();
    let _pod = listen(&world, 1);
    let service = world.service("web", json!({ "type": "NodePort" }));
    world.slice("web", &[(PODS[1], NODE)]);
    // The agent waits for the node's object, which comes last here.
    world.register();
    let vip = cluster_ip(&service);
    world.wait("a Pod reaches the Service", || ask_tcp(&world.pods[0], vip).is_ok());
    assert_eq!(ask_tcp(&world.pods[0], vip).unwrap().seen_as.ip().to_string(), PODS[0], "Pods are not masqueraded");
    let seen = ask_tcp(&world.outside, node_port(&service)).unwrap();
    assert_eq!(seen.name, "pod-2");
    assert_eq!(seen.seen_as.ip().to_string(), "10.244.1.5", "answers to the outside must come back this way");
    let seen = ask_tcp(&world.outside, vip).unwrap();
    assert_ne!(seen.seen_as.ip().to_string(), "198.51.100.2", "and so must those of a cluster IP that is routed here");
    let mut text = String::new();
    world.wait("the kernel's counts are shown", || {
        let Some((200, shown)) = world.http(&world.node, "127.0.0.1:10249", "/metrics/services") else { return false };
        text = shown;
        true
    });
    let sample = r#"portolan_service_connections_total{namespace="default",service="web",port="80",protocol="tcp"} "#;
    let count = text.lines().find_map(|line| line.strip_prefix(sample)).expect(&text);
    assert!(count.parse::<u32>().unwrap() >= 4, "{text}");
    let tables = || nft::Socket::in_current_netns().unwrap().tables().unwrap();
    let mut tables: Vec<String> =
        world.node.run(tables).unwrap().into_iter().map(|table| table.object.id.to_string()).collect();
    tables.sort();
    assert_eq!(tables, ["ip portolan", "ip6 portolan"], "the node has addresses of both families");
}

#[test]
fn both_families_are_served() {
    let Some(world) = World::of_ipv6() else { return };
    world.register();
    let _agent = world.start_agent();
    let _pod = TcpServer::start(&world.pods[1], "[fd00:2::2]:8080".parse().unwrap(), "pod-2").unwrap();
    let service = world.service("six", json!({ "type": "NodePort" }));
    world.slice_of_family("six", "IPv6", &[("fd00:2::2", NODE)]);
    let vip = format!("[{}]:80", service["spec"]["clusterIP"].as_str().unwrap()).parse().unwrap();
    world.wait("a Pod reaches the Service", || ask_tcp(&world.pods[0], vip).is_ok());
    assert_eq!(ask_tcp(&world.pods[0], vip).unwrap().seen_as.ip().to_string(), "fd00:1::2");
    let port: SocketAddr = format!("[2001:db8::10]:{}", service["spec"]["ports"][0]["nodePort"]).parse().unwrap();
    let seen = ask_tcp(&world.outside, port).unwrap();
    assert_eq!((seen.name.as_str(), seen.seen_as.ip().to_string().as_str()), ("pod-2", "fd00:2::1"));
    let (_, text) = world.http(&world.outside, "192.0.2.10:10256", "/healthz").unwrap();
    assert!(text.contains("\"IPv4\"") && text.contains("\"IPv6\""), "{text}");
}

#[test]
fn a_restart_changes_nothing_and_cuts_no_connection() {
    let Some(mut world) = World::new() else { return };
    world.register();
    let agent = world.start_agent();
    let _pod = listen(&world, 1);
    let service = world.service("web", json!({ "type": "NodePort" }));
    world.slice("web", &[(PODS[1], NODE)]);
    world.wait("the Service is served", || ask_tcp(&world.outside, node_port(&service)).is_ok());
    let mut held = world.outside.run(|| TcpStream::connect(node_port(&service)).unwrap()).unwrap();
    held.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut lines = BufReader::new(held.try_clone().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();

    let before = world.generation();
    agent.end();
    assert!(ask_tcp(&world.outside, node_port(&service)).is_ok(), "the rules stay");
    let agent = world.start_agent();
    world.wait("the agent is in step again", || synced(&world));
    assert_eq!(world.generation(), before, "the kernel was told nothing");
    agent.kill();

    // Nor does one that finds no API do anything.
    world.stop_server();
    let _agent = world.start_agent();
    world.wait("the agent answers", || world.http(&world.outside, "192.0.2.10:10256", "/livez").is_some());
    assert!(ask_tcp(&world.outside, node_port(&service)).is_ok(), "without an API what is stays");
    assert_eq!(world.generation(), before);
    held.write_all(b"still there\n").unwrap();
    line.clear();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "still there\n", "the connection has outlived two agents and the server");

    world.restart_server();
    let other = world.service("other", json!({ "type": "NodePort" }));
    world.slice("other", &[(PODS[1], NODE)]);
    world.wait("what comes later is served", || ask_tcp(&world.outside, node_port(&other)).is_ok());
}

#[test]
fn what_changes_under_the_agent_is_taken_over_without_a_restart() {
    let Some(world) = World::new() else { return };
    let write = |lines: &str| {
        let head =
            "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nclusterCIDR: 10.244.0.0/16";
        std::fs::write("/tmp/config.new", format!("{head}\n{lines}\n")).unwrap();
        std::fs::rename("/tmp/config.new", "/tmp/config.yaml").unwrap();
    };
    write("metricsBindAddress: 127.0.0.1:10249");
    world.create("v1", "nodes", "", json!({ "metadata": { "name": NODE }, "spec": { "podCIDR": "10.244.1.0/24" } }));
    world.addresses(&[NODE_ADDRESS]);
    let _agent = world.start_agent_with(&["--config", "/tmp/config.yaml"]);
    let _pod = listen(&world, 1);
    let service = world.service("web", json!({}));
    world.slice("web", &[(PODS[1], NODE)]);
    let vip = cluster_ip(&service);
    world.wait("a Pod reaches the Service", || ask_tcp(&world.pods[0], vip).is_ok());
    let mut held = world.pods[0].run(move || TcpStream::connect(vip)).unwrap().unwrap();
    held.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut lines = BufReader::new(held.try_clone().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    let answers = |port: u16| {
        world.http(&world.node, &format!("127.0.0.1:{port}"), "/metrics").is_some_and(|(status, _)| status == 200)
    };
    assert!(answers(10249));

    write("metricsBindAddress: 127.0.0.1:20249");
    world.wait("the file is read again", || answers(20249));
    assert!(!answers(10249), "nothing of the former life stays");

    let tables = || world.node.run(|| nft::Socket::in_current_netns().unwrap().tables().unwrap().len()).unwrap();
    assert_eq!(tables(), 1);
    world.addresses(&[NODE_ADDRESS, "2001:db8::10"]);
    world.wait("the other family is served too", || tables() == 2 && answers(20249));
    assert!(ask_tcp(&world.pods[0], vip).is_ok());
    held.write_all(b"still there\n").unwrap();
    line.clear();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "still there\n", "no connection was cut");
}

/// Whether the agent has told the kernel of everything once: its metrics say so.
fn synced(world: &World) -> bool {
    let Some((200, text)) = world.http(&world.node, "127.0.0.1:10249", "/metrics") else { return false };
    text.lines().any(|l| l.starts_with("kubeproxy_sync_full_proxy_rules_duration_seconds_count") && !l.ends_with(" 0"))
}

#[test]
fn health_is_answered_as_kube_proxy_does_and_a_node_that_drains_says_so() {
    let Some(world) = World::new() else { return };
    let _agent = world.start_agent();
    let ask = |path: &str| world.http(&world.outside, "192.0.2.10:10256", path);
    world.wait("the agent answers", || ask("/livez").is_some());
    assert_eq!(ask("/livez").unwrap().0, 200);
    assert_eq!(ask("/healthz").unwrap().0, 503, "nobody knows the node yet");
    world.register();
    world.wait("the node is healthy", || ask("/healthz").is_some_and(|(status, _)| status == 200));
    world.wait("both families are programmed", || ask("/healthz").is_some_and(|(_, t)| t.contains("\"IPv6\"")));
    let (_, text) = ask("/healthz").unwrap();
    assert!(text.contains("\r\nContent-Type: application/json\r\n"), "{text}");
    assert!(text.contains("\r\nX-Content-Type-Options: nosniff\r\n"), "{text}");
    assert!(text.contains(r#""nodeEligible":true,"healthy":true,"status":{"IPv4":{"lastUpdated":""#), "{text}");

    let taint = json!([{ "key": "ToBeDeletedByClusterAutoscaler", "value": "1", "effect": "NoSchedule" }]);
    world.patch("v1", "nodes", "", NODE, &json!({ "spec": { "taints": taint } }));
    world.wait("balancers are sent elsewhere", || ask("/healthz").is_some_and(|(status, _)| status == 503));
    assert_eq!(ask("/livez").unwrap().0, 200, "but nobody restarts the agent for it");
    world.patch("v1", "nodes", "", NODE, &json!({ "spec": { "taints": null } }));
    world.wait("the node is healthy again", || ask("/healthz").is_some_and(|(status, _)| status == 200));

    let own = |path: &str| world.http(&world.node, "127.0.0.1:10249", path).unwrap();
    assert!(own("/proxyMode").1.ends_with("\r\n\r\nnftables"));
    assert!(own("/healthz").1.ends_with("\r\n\r\nok"));
    let (_, text) = own("/metrics");
    assert!(text.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{text}");
    assert!(text.contains(r#"kubeproxy_proxy_healthz_total{code="503"}"#), "{text}");
    assert_eq!(own("/else").0, 404);
}

#[test]
fn a_health_check_node_port_says_how_many_endpoints_the_node_has() {
    let Some(world) = World::new() else { return };
    world.register();
    let _agent = world.start_agent();
    let service = world.service("web", json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local" }));
    let port = service["spec"]["healthCheckNodePort"].as_u64().unwrap();
    let address = format!("{NODE_ADDRESS}:{port}");
    let ask = || world.http(&world.outside, &address, "/");
    world.wait("the port is open", || ask().is_some());
    let (status, text) = ask().unwrap();
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("\r\nX-Load-Balancing-Endpoint-Weight: 0\r\n"), "{text}");
    world.slice("web", &[(PODS[0], NODE), (PODS[1], NODE), ("10.244.9.9", "node-9")]);
    world.wait("the node has endpoints", || ask().is_some_and(|(status, _)| status == 200));
    let (_, text) = ask().unwrap();
    let golden = "\r\n\r\n{\n\t\"service\": {\n\t\t\"namespace\": \"default\",\n\t\t\"name\": \"web\"\n\t},\n\t\"localEndpoints\": 2,\n\t\"serviceProxyHealthy\": true\n}";
    assert!(text.ends_with(golden), "{text}");
    let local = format!("127.0.0.1:{port}");
    assert!(world.http(&world.node, &local, "/").is_none(), "only at the node's addresses");
    world.delete("discovery.k8s.io/v1", "endpointslices", "default", "web-ipv4");
    world.wait("the node has none any more", || ask().is_some_and(|(status, _)| status == 503));

    world.delete("v1", "services", "default", "web");
    let free = || world.node.run(|| TcpListener::bind(&address)).unwrap();
    world.wait("the port is closed", || free().is_ok());

    // A port that somebody else has is told of, and taken when it is free.
    let service = world.service("late", json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local" }));
    let second = format!("{NODE_ADDRESS}:{}", service["spec"]["healthCheckNodePort"]);
    world.wait("the second port is open", || world.http(&world.outside, &second, "/").is_some());
    world.delete("v1", "services", "default", "late");
    let mut taken = None;
    world.wait("the port is free", || {
        taken = world.node.run(|| TcpListener::bind(&second)).unwrap().ok();
        taken.is_some()
    });
    let number: u64 = second.rsplit(':').next().unwrap().parse().unwrap();
    let spec = json!({ "type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": number });
    world.service("again", spec);
    world.wait("an event tells of it", || {
        let events = world.events("again");
        events.iter().any(|e| e["reason"] == "FailedToStartServiceHealthcheck")
    });
    drop(taken);
    world.wait("the port is open again", || world.http(&world.outside, &second, "/").is_some());
}

/// What kube-proxy in iptables mode leaves, for one Service at 10.96.0.77:80, beside rules of kubelet's.
const KUBE_PROXY: &str = "*filter
:KUBE-FIREWALL - [0:0]
:KUBE-FORWARD - [0:0]
-A FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD
-A INPUT -j KUBE-FIREWALL
COMMIT
*nat
:KUBE-SERVICES - [0:0]
:KUBE-SVC-WEB - [0:0]
:KUBE-SEP-WEB - [0:0]
-A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.96.0.77/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-WEB
-A KUBE-SVC-WEB -j KUBE-SEP-WEB
-A KUBE-SEP-WEB -p tcp -m tcp -j DNAT --to-destination 10.244.1.6:8080
COMMIT
";

#[test]
fn what_kube_proxy_leaves_is_taken_away_and_connections_go_on() {
    let Some(world) = World::new() else { return };
    let Some(()) = world.iptables("iptables-nft-restore", KUBE_PROXY) else { return };
    let table = nft::TableId::new(nft::Family::Ip6, "kube-proxy");
    let make = || {
        let mut batch = nft::Batch::new();
        batch.add_table(nft::Table::new(table.clone()));
        nft::Socket::in_current_netns().unwrap().commit(&batch).unwrap();
    };
    world.node.run(make).unwrap();
    let _pod = listen(&world, 1);
    let vip: SocketAddr = "10.96.0.77:80".parse().unwrap();
    let mut held = world.outside.run(|| TcpStream::connect(vip).unwrap()).unwrap();
    held.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut lines = BufReader::new(held.try_clone().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();

    // The agent first: the kernel translates while somebody's rules ask for it.
    assert_eq!(world.agent_succeeds(&["--cleanup"]), "no rules of portolan are here\n");
    world.register();
    let agent = world.start_agent();
    let service = world.service("web", json!({ "type": "NodePort" }));
    world.slice("web", &[(PODS[1], NODE)]);
    world.wait("the Service is served", || ask_tcp(&world.outside, node_port(&service)).is_ok());
    let said = world.agent_succeeds(&["--cleanup-kube-proxy"]);
    assert_eq!(said, "removed table ip6 kube-proxy\niptables-nft: removed 4 chains and the 2 rules that led to them\n");
    let left = world.saved("iptables-nft-save");
    assert!(left.contains("KUBE-FIREWALL"), "{left}");
    assert!(!left.contains("KUBE-S") && !left.contains("KUBE-FORWARD"), "{left}");
    held.write_all(b"still there\n").unwrap();
    line.clear();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "still there\n");
    assert_eq!(world.agent_succeeds(&["--cleanup-kube-proxy"]), "no rules of kube-proxy are here\n");

    agent.end();
    assert_eq!(world.agent_succeeds(&["--cleanup"]), "removed table ip portolan\nremoved table ip6 portolan\n");
    assert!(ask_tcp(&world.outside, node_port(&service)).is_err(), "nobody serves it any more");
}

#[test]
fn what_the_file_or_a_flag_gets_wrong_is_refused_in_one_line() {
    let refused = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_portolan"));
        let output = command.arg("agent").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.yaml");
    let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
    std::fs::write(&path, format!("{head}conntrack: {{ min: -5 }}\n")).unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(
        refused(&["--config", path]),
        format!(
            "portolan: --config {path}: conntrack.min: -5 is out of range; write 0, which leaves it as it is, or more\n"
        )
    );
    let line = refused(&["--config", "/nowhere"]);
    assert!(line.starts_with("portolan: --config /nowhere: No such file or directory"), "{line}");
    let line = refused(&["--detect-local-mode", "BridgeInterface"]);
    assert!(line.contains("give it as detectLocal.bridgeInterface, or as --pod-bridge-interface"), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    let line = refused(&["--conntrack-udp-timeout", "soon"]);
    assert!(line.contains("give one such as 30s"), "{line}");
}
