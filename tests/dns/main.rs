//! `portolan dns` in CoreDNS' place: names, health, readiness, metrics, and an API that comes late and goes away.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod beside;
mod clients;
mod replay;
#[allow(dead_code, reason = "the agent's tests need more of a cluster than these")]
#[path = "../agent/world.rs"]
mod world;

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RecordType};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::Namespace;

use world::{KUBECONFIG, PODS, Process, World};

const DNS: &str = "192.0.2.10:53";

/// What a question asked from inside a namespace gets: the response code and the records' data; `None` for silence.
fn ask(from: &Namespace, name: &str, kind: RecordType) -> Option<String> {
    ask_at(DNS, from, name, kind)
}

fn ask_at(server: &str, from: &Namespace, name: &str, kind: RecordType) -> Option<String> {
    let mut question = Message::new(7, MessageType::Query, OpCode::Query);
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    let packet = question.to_vec().unwrap();
    let exchange = || -> std::io::Result<Message> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        socket.connect(server.parse::<SocketAddr>().unwrap())?;
        socket.send(&packet)?;
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer)?;
        Ok(Message::from_vec(&buffer[..length]).unwrap())
    };
    let answer = from.run(exchange).unwrap().ok()?;
    let code = format!("{:?}", answer.metadata.response_code).to_uppercase();
    let data: Vec<_> = answer.answers.iter().map(|record| record.data.to_string()).collect();
    Some([&[code], data.as_slice()].concat().join(" "))
}

/// Starts DNS on the node.
fn start_dns(world: &World, flags: &[&str]) -> Process {
    let mut command = world.node.command(env!("CARGO_BIN_EXE_portolan"));
    command.args(["dns", "--kubeconfig", KUBECONFIG]).args(flags);
    Process::start(command)
}

/// Changes the status of a Pod in the namespace `default`.
fn patch_pod(world: &World, name: &str, status: &Value) {
    let (params, patch) = (PatchParams::default(), json!({ "status": status }));
    let pods = world.objects("v1", "pods", "default");
    world.runtime.block_on(pods.patch_status(name, &params, &Patch::Merge(&patch))).unwrap();
}

fn metric(world: &World, name: &str) -> Option<String> {
    let (_, text) = world.http(&world.node, "127.0.0.1:9153", "/metrics")?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::to_owned)
}

fn status(world: &World, port: u16, path: &str) -> Option<u16> {
    Some(world.http(&world.node, &format!("127.0.0.1:{port}"), path)?.0)
}

#[test]
fn names_are_answered_from_when_they_are_known_and_while_the_api_is_away() {
    let Some(mut world) = World::new() else { return };
    let service = world.service("web", json!({}));
    let (web, address) = ("web.default.svc.cluster.local.", service["spec"]["clusterIP"].as_str().unwrap());
    world.stop_server();
    let dns = start_dns(&world, &["--no-upstream", "--reverse-range", "10.96.0.0/16"]);
    let pod = &world.pods[0];
    world.wait("it says that it does not know", || ask(pod, web, RecordType::A).as_deref() == Some("SERVFAIL"));
    world.wait("it is healthy", || status(&world, 8080, "/health") == Some(200));
    assert_eq!(status(&world, 8181, "/ready"), Some(503));
    assert_eq!(ask(pod, "example.com.", RecordType::A).as_deref(), Some("REFUSED"));

    world.restart_server();
    let known = format!("NOERROR {address}");
    world.wait("names are known", || ask(&world.pods[0], web, RecordType::A).as_ref() == Some(&known));
    world.wait("it is ready", || status(&world, 8181, "/ready") == Some(200));
    let backwards: Vec<_> = address.split('.').rev().collect();
    let reverse = ask(&world.pods[0], &format!("{}.in-addr.arpa.", backwards.join(".")), RecordType::PTR);
    assert_eq!(reverse.as_deref(), Some("NOERROR web.default.svc.cluster.local."));
    assert_eq!(ask(&world.pods[0], "gone.default.svc.cluster.local.", RecordType::A).as_deref(), Some("NXDOMAIN"));
    assert!(ask(&world.outside, web, RecordType::A).is_none(), "an address of the Internet may be forged");
    ask(&world.pods[0], "www.example.com.default.svc.cluster.local.", RecordType::A);
    let misses = "portolan_dns_search_misses_total{namespace=\"default\"}";
    assert_eq!(metric(&world, misses).as_deref(), Some("1"));
    let code = "coredns_dns_responses_total{server=\"dns://:53\",zone=\".\",view=\"\",rcode=\"NXDOMAIN\",plugin=\"kubernetes\"}";
    assert_eq!(metric(&world, code).as_deref(), Some("2"));
    world.wait("the API is reached", || metric(&world, "portolan_dns_api_reached").as_deref() == Some("1"));

    world.stop_server();
    world.wait("the loss is told", || metric(&world, "portolan_dns_api_reached").as_deref() == Some("0"));
    assert_eq!(ask(&world.pods[0], web, RecordType::A), Some(known));
    assert_eq!(status(&world, 8181, "/ready"), Some(200));
    world.restart_server();
    world.wait("the API is reached again", || metric(&world, "portolan_dns_api_reached").as_deref() == Some("1"));
    let made = world.service("late", json!({ "clusterIP": "None" }));
    assert_eq!(made["spec"]["clusterIP"], "None");
    world.slice("late", &[(PODS[1], "node-1")]);
    let late = format!("NOERROR {}", PODS[1]);
    let name = "late.default.svc.cluster.local.";
    world.wait("a new name is known", || ask(&world.pods[0], name, RecordType::A).as_ref() == Some(&late));
    dns.end();
}

#[test]
fn names_of_pods_are_verified() {
    let Some(world) = World::new() else { return };
    let flags = ["--pods", "verified", "--no-upstream", "--zone", "cluster.local", "--zone", "k8s.example.org"];
    let dns = start_dns(&world, &flags);
    let name = "10-244-1-77.default.pod.k8s.example.org.";
    world.wait("names are known", || ask(&world.pods[0], name, RecordType::A).as_deref() == Some("NXDOMAIN"));
    let spec = json!({ "containers": [{ "name": "c", "image": "none" }], "nodeSelector": { "no": "where" } });
    world.create("v1", "pods", "default", json!({ "metadata": { "name": "p" }, "spec": spec }));
    let status = json!({ "phase": "Running", "podIP": "10.244.1.77", "podIPs": [{ "ip": "10.244.1.77" }] });
    patch_pod(&world, "p", &status);
    let known = || ask(&world.pods[0], name, RecordType::A);
    world.wait("the Pod has its name", || known().as_deref() == Some("NOERROR 10.244.1.77"));
    patch_pod(&world, "p", &json!({ "phase": "Succeeded" }));
    world.wait("it has ended", || known().as_deref() == Some("NXDOMAIN"));
    dns.end();
}

/// The rules of the node that keep DNS there, and its loopback interface's addresses.
fn left_behind(world: &World) -> Vec<String> {
    let tables = || nft::Socket::in_current_netns().unwrap().tables().unwrap();
    let tables = world.node.run(tables).unwrap().into_iter().map(|table| table.object.id.to_string());
    tables.filter(|name| name.contains("dns")).collect()
}

#[test]
fn an_agent_answers_at_the_clusters_address_and_gives_it_back() {
    let Some(world) = World::new() else { return };
    world.register();
    let address = world.get("v1", "services", "kube-system", "kube-dns").unwrap()["spec"]["clusterIP"].clone();
    let server = format!("{}:53", address.as_str().unwrap());
    let service = world.service("web", json!({}));
    let agent = world.start_agent_with(&["--dns", "--upstream-dns", "192.0.2.250"]);
    let want = format!("NOERROR {}", service["spec"]["clusterIP"].as_str().unwrap());
    let name = "web.default.svc.cluster.local.";
    for from in [&world.pods[0], &world.node] {
        world.wait("it answers", || ask_at(&server, from, name, RecordType::A).as_ref() == Some(&want));
    }
    world.wait("its rules are there", || left_behind(&world) == ["ip portolan-dns"]);
    agent.kill();
    world.wait("they go with it", || left_behind(&world).is_empty());
    let agent = world.start_agent_with(&["--dns"]);
    world.wait("it is back", || ask_at(&server, &world.pods[0], name, RecordType::A).as_ref() == Some(&want));
    agent.end();
    world.agent_succeeds(&["--cleanup"]);
    let is_own = || UdpSocket::bind((address.as_str().unwrap(), 5353)).is_ok();
    assert!(!world.node.run(is_own).unwrap(), "the address is the node's still");
    assert!(left_behind(&world).is_empty());
}

#[test]
fn an_agents_corefile_is_followed_and_what_a_node_cannot_do_is_refused() {
    let Some(world) = World::new() else { return };
    world.register();
    let address = world.get("v1", "services", "kube-system", "kube-dns").unwrap()["spec"]["clusterIP"].clone();
    let server = format!("{}:53", address.as_str().unwrap());
    let file = "/tmp/Corefile";
    let write = |address: &str, option: &str| {
        let text = format!(
            ".:53 {{\n kubernetes cluster.local in-addr.arpa ip6.arpa {{\n  pods insecure\n{option} }}\n hosts {{\n  \
             {address} static.example.org\n  fallthrough\n }}\n reload 2s 1s\n}}\n"
        );
        std::fs::write("/tmp/Corefile.new", text).unwrap();
        std::fs::rename("/tmp/Corefile.new", file).unwrap();
    };
    write("203.0.113.1", "  namespaces shop\n");
    let mut refused = world.node.command(env!("CARGO_BIN_EXE_portolan"));
    refused.args(["agent", "--kubeconfig", KUBECONFIG, "--node-name", "node-1", "--dns", "--corefile", file]);
    let output = refused.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && complaint.contains("kubernetes: namespaces is not possible on a node"),
        "{complaint}"
    );
    write("203.0.113.1", "");
    let agent = world.start_agent_with(&["--dns", "--corefile", file]);
    let told = || ask_at(&server, &world.pods[0], "static.example.org.", RecordType::A);
    world.wait("it answers", || told().as_deref() == Some("NOERROR 203.0.113.1"));
    write("203.0.113.2", "");
    world.wait("the file is followed", || told().as_deref() == Some("NOERROR 203.0.113.2"));
    let counted = || world.http(&world.node, "127.0.0.1:10249", "/metrics/dns").map(|(_, text)| text);
    let wants = "coredns_dns_responses_total{";
    world.wait("it is counted", || {
        counted().is_some_and(|text| text.contains(wants) && text.contains("plugin=\"hosts\""))
    });
    agent.end();
}

#[test]
fn a_corefile_is_followed_and_a_mistake_in_it_changes_nothing() {
    let Some(world) = World::new() else { return };
    let file = "/tmp/Corefile";
    let write = |pods: &str, address: &str, more: &str| {
        let text = format!(
            ".:53 {{\n errors\n health\n ready\n kubernetes cluster.local in-addr.arpa ip6.arpa {{\n  pods {pods}\n  \
             fallthrough in-addr.arpa ip6.arpa\n  ttl 30\n }}\n hosts {{\n  {address} static.example.org\n  \
             fallthrough\n }}\n prometheus :9153\n cache 30\n loop\n reload 2s 1s\n loadbalance\n{more}}}\n"
        );
        // In one step, as a kubelet changes the files of a ConfigMap.
        std::fs::write("/tmp/Corefile.new", text).unwrap();
        std::fs::rename("/tmp/Corefile.new", file).unwrap();
    };
    write("insecure", "203.0.113.1", "");
    let dns = start_dns(&world, &["--corefile", file]);
    let ask = |name: &str| ask(&world.pods[0], name, RecordType::A);
    let pod = "10-1-2-3.default.pod.cluster.local.";
    world.wait("names are known", || ask(pod).as_deref() == Some("NOERROR 10.1.2.3"));
    assert_eq!(ask("static.example.org.").as_deref(), Some("NOERROR 203.0.113.1"));
    assert_eq!(ask("elsewhere.example.org.").as_deref(), Some("REFUSED"));
    write("disabled", "203.0.113.2", "");
    world.wait("the file is followed", || ask("static.example.org.").as_deref() == Some("NOERROR 203.0.113.2"));
    assert_eq!(ask(pod).as_deref(), Some("NXDOMAIN"));
    let failed = || metric(&world, "coredns_reload_failed_total");
    assert_eq!(failed().as_deref(), Some("0"));
    write("insecure", "203.0.113.3", " nosuchplugin\n");
    world.wait("the mistake is told", || failed().as_deref() == Some("1"));
    assert_eq!(ask("static.example.org.").as_deref(), Some("NOERROR 203.0.113.2"));
    assert_eq!(ask(pod).as_deref(), Some("NXDOMAIN"));
    dns.end();
}
