//! Load-balancer addresses on a real switch: nodes die, leave, are stopped and cut off. Every word about who has an
//! address is recorded, and no two nodes ever speak for one at a time.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "the measurement uses the rest of the world")]

mod ledger;
mod wire;
mod world;

use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testbed::wait_until;

use world::{KUBECONFIG, SOON, World, name, port, second_port};

#[test]
fn a_node_that_dies_or_leaves_is_succeeded() {
    let Some(mut world) = World::new() else { return };
    let address = world.balanced("web", &json!({}));
    let asking = world.ask(address);
    world.wait_ready("web");
    wait_until(SOON, "the client reaches it", || world.reaches(address)).unwrap();
    let first = world.owner(address);
    let shown = world.portolan(&["lb", "status", "--kubeconfig", KUBECONFIG]);
    let line = shown.lines().find(|line| line.contains("default/web")).unwrap();
    assert!(line.starts_with(&address.to_string()) && line.contains(&name(first)) && line.contains("True"), "{shown}");

    // Without a word.
    drop(world.agents[first].take());
    world.wait_succeeded(address, first);
    assert!(world.reaches(address));
    // It says so again when another node sees the new one answer.
    let moved = || {
        let status: Value =
            serde_json::from_str(&world.portolan(&["lb", "status", "--json", "--kubeconfig", KUBECONFIG])).unwrap();
        let node = status["addresses"][0]["node"].as_str().map(str::to_owned);
        node.is_some_and(|node| node != name(first)) && status["addresses"][0]["ready"] == "True"
    };
    wait_until(SOON, "the status follows", moved).unwrap();

    // It comes back, and has what it had. Connections live on that were made meanwhile.
    let mut long = world.converse(address);
    assert!(long.lives());
    world.start_agent(first);
    world.wait_owner(address, first);
    assert!(long.lives());

    // It leaves as it should: no request fails, not even the one that is under way when the client learns of the next
    // node, which passes on what it does not know.
    let (over, failed, done) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                if world.reaches(address) { &done } else { &failed }.fetch_add(1, Ordering::Relaxed);
            }
        });
        let agent = world.agents[first].as_ref().unwrap();
        wait_until(SOON, "some requests", || done.load(Ordering::Relaxed) > 20).unwrap();
        agent.signal(Signal::SIGTERM);
        world.wait_succeeded(address, first);
        let before = done.load(Ordering::Relaxed);
        wait_until(SOON, "more requests", || done.load(Ordering::Relaxed) > before + 20).unwrap();
        over.store(true, Ordering::Relaxed);
        load.join().unwrap();
    });
    let failed = failed.load(Ordering::Relaxed);
    assert_eq!(failed, 0, "of {}", done.load(Ordering::Relaxed));
    assert!(long.lives());
    world.agents[first].take().unwrap().end();
    drop(asking);
    world.assert_never_two(address);
}

#[test]
fn a_node_that_is_stopped_and_goes_on_does_not_speak_for_what_is_anothers() {
    let Some(world) = World::new() else { return };
    let address = world.balanced("web", &json!({}));
    let asking = world.ask(address);
    world.wait_ready("web");
    for _ in 0..3 {
        let owner = world.owner(address);
        let agent = world.agents[owner].as_ref().unwrap();
        agent.signal(Signal::SIGSTOP);
        world.wait_succeeded(address, owner);
        agent.signal(Signal::SIGCONT);
        // It is heard again only when the one that followed has let go.
        world.wait_owner(address, owner);
    }
    drop(asking);
    assert!(world.reaches(address));
    world.assert_never_two(address);
}

#[test]
fn a_cable_that_is_cut_in_any_way_leads_to_one_owner() {
    let Some(world) = World::new() else { return };
    let address: IpAddr = world.balanced("web", &json!({}));
    let asking = world.ask(address);
    world.wait_ready("web");
    let owner = world.owner(address);
    let port = port(owner);

    // Both ways: the cable is out.
    world.here.set_down(&port).unwrap();
    world.wait_succeeded(address, owner);
    assert!(world.reaches(address));
    world.here.set_up(&port).unwrap();
    world.wait_owner(address, owner);

    // One way, then the other: what the node says is not heard; what is said to it does not reach it.
    for hook in ["ingress", "egress"] {
        let chain =
            format!("add chain netdev cut c {{ type filter hook {hook} device \"{port}\" priority 0; policy drop; }}");
        let Some(()) = world.switch_rules(&format!("add table netdev cut; {chain}")) else { return };
        world.wait_succeeded(address, owner);
        assert!(world.reaches(address));
        world.switch_rules("delete table netdev cut").unwrap();
        world.wait_owner(address, owner);
    }
    drop(asking);
    world.assert_never_two(address);
}

#[test]
fn with_local_policy_the_address_is_where_the_endpoint_is() {
    let Some(world) = World::new() else { return };
    let address = world.balanced("local", &json!({"externalTrafficPolicy": "Local"}));
    let asking = world.ask(address);
    let says = || world.says("local", "portolan.dev/LoadBalancerReady");
    let nowhere = Some(("False".to_owned(), "NoNodeCanAnnounce".to_owned()));
    wait_until(SOON, "it says that no node can", || says() == nowhere).unwrap();
    for node in [0, 2, 1] {
        world.endpoint("local", &name(node));
        world.wait_owner(address, node);
        world.wait_ready("local");
    }
    drop(asking);
    world.assert_never_two(address);
}

#[test]
fn a_node_whose_cable_to_clients_is_out_yields_though_the_server_hears_it() {
    let Some(world) = World::new() else { return };
    world.second_network();
    world.choose(
        "pools: [{name: a, addresses: [192.0.2.200-192.0.2.250]}]
announce: {interfaces: [eth1], leaseMilliseconds: 1000}",
    );
    let address = world.balanced("web", &json!({}));
    let asking = world.ask_by("eth1", address);
    world.wait_ready("web");
    let owner = world.owner(address);
    world.here.set_down(&second_port(owner)).unwrap();
    world.wait_succeeded(address, owner);
    world.here.set_up(&second_port(owner)).unwrap();
    world.wait_owner(address, owner);
    drop(asking);
    world.assert_never_two(address);
}

/// BIRD on the switch, ended when dropped.
struct Bird(Child);

impl Drop for Bird {
    fn drop(&mut self) {
        // One that has ended already is no error.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

impl Bird {
    /// With a session to each of the three nodes; `None` where it is not installed, which has been said.
    fn start() -> Option<Self> {
        let session = |n: u8| {
            format!(
                "protocol bgp node{n} {{ local 192.0.2.1 as 64500; neighbor 192.0.2.1{n} as 64512; passive on; bfd on;
                   ipv4 {{ import all; export none; }}; }}\n"
            )
        };
        let config = format!(
            "router id 192.0.2.1; protocol device {{}} protocol bfd {{ interface \"*\" {{ interval 100 ms; multiplier 3; }}; }}\n{}",
            (0..3).map(session).collect::<String>()
        );
        std::fs::write("/run/bird.conf", config).unwrap();
        let mut command = Command::new("bird");
        command.args(["-f", "-c", "/run/bird.conf", "-s", "/run/bird.socket"]).stdin(Stdio::null());
        let Ok(child) = command.spawn() else {
            testbed::privilege::skip("bird is not installed");
            return None;
        };
        Some(Self(child))
    }

    /// What it says of the routes to an address.
    fn routes(&self, address: IpAddr) -> String {
        let question = format!("show route {address}/32");
        let mut command = Command::new("birdc");
        let output = command.args(["-s", "/run/bird.socket"]).args(question.split(' ')).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

#[test]
fn a_router_is_told_by_every_node_that_can_serve_an_address() {
    let Some(mut world) = World::new() else { return };
    let Some(bird) = Bird::start() else { return };
    world.choose(
        "pools: [{name: a, addresses: [192.0.2.200-192.0.2.250]}]
bgp: {as: 64512, peers: [{address: 192.0.2.1, as: 64500, holdTime: 240, bfd: {}}]}",
    );
    let everywhere = world.balanced("web", &json!({}));
    let local = world.balanced("local", &json!({"externalTrafficPolicy": "Local"}));
    world.endpoint("local", &name(1));
    let ways = |address| {
        let said = bird.routes(address);
        (0..3).filter(|n| said.contains(&format!("via 192.0.2.1{n} "))).collect::<Vec<_>>()
    };
    wait_until(SOON, "all three nodes", || ways(everywhere) == [0, 1, 2]).unwrap();
    wait_until(SOON, "the node with the endpoint", || ways(local) == [1]).unwrap();
    world.wait_ready("web");
    let shown = || world.portolan(&["lb", "status", "--kubeconfig", KUBECONFIG]);
    wait_until(SOON, "three sessions", || shown().matches("Established; BFD Up").count() == 3).unwrap();

    // One leaves, one is cut off, which is noticed long before the hold time.
    world.agents[0].take().unwrap().end();
    wait_until(SOON, "two are left", || ways(everywhere) == [1, 2]).unwrap();
    world.here.set_down(&port(2)).unwrap();
    wait_until(SOON, "one is left", || ways(everywhere) == [1]).unwrap();
}
