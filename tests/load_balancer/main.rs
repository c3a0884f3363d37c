//! Load-balancer addresses on a real switch: nodes die, leave, are stopped and cut off. Every word about who has an
//! address is recorded, and no two nodes ever speak for one at a time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod wire;
mod world;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testbed::wait_until;

use world::{KUBECONFIG, SOON, World, name, port};

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

    // It comes back, and has what it had.
    world.start_agent(first);
    world.wait_owner(address, first);

    // It leaves as it should: no request fails but the one that is under way when the client learns of the next node,
    // which knows nothing of its connection.
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
    assert!(failed <= 1, "{failed} of {}", done.load(Ordering::Relaxed));
    world.agents[first].take().unwrap().end();
    drop(asking);
    world.wire.assert_never_two(address);
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
    world.wire.assert_never_two(address);
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
    world.wire.assert_never_two(address);
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
    world.wire.assert_never_two(address);
}
