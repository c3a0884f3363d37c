//! Load-balancer addresses on a real switch: nodes die, leave, are stopped and cut off. Every word about who has an
//! address is recorded, and no two nodes ever speak for one at a time.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "the measurement uses the rest of the world")]

mod bird;
mod ledger;
mod wire;
mod world;

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use testbed::wait_until;

use bird::Bird;
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
    wait_until(SOON, "all three nodes", || bird.ways(everywhere) == [0, 1, 2]).unwrap();
    wait_until(SOON, "the node with the endpoint", || bird.ways(local) == [1]).unwrap();
    world.wait_ready("web");
    let shown = || world.portolan(&["lb", "status", "--kubeconfig", KUBECONFIG]);
    bird.wait_up();
    wait_until(SOON, "three sessions", || shown().matches("Established; BFD Up").count() == 3).unwrap();

    // One leaves, one is cut off, which is noticed long before the hold time.
    world.agents[0].take().unwrap().end();
    wait_until(SOON, "two are left", || bird.ways(everywhere) == [1, 2]).unwrap();
    world.here.set_down(&port(2)).unwrap();
    wait_until(SOON, "one is left", || bird.ways(everywhere) == [1]).unwrap();
}

#[test]
fn connections_keep_their_endpoints_when_the_router_leaves_a_node() {
    let Some(mut world) = World::new() else { return };
    let Some(bird) = Bird::start() else { return };
    world.route("198.51.100.0/24");
    world.choose(
        "pools: [{name: a, addresses: [198.51.100.0/24]}]
bgp: {as: 64512, peers: [{address: 192.0.2.1, as: 64500, bfd: {}}]}",
    );
    let server = |n: usize| {
        let at = format!("192.0.2.{}:8080", 10 + n).parse().unwrap();
        testbed::TcpServer::start(&world.nodes[n], at, &format!("pod-{n}")).unwrap()
    };
    let _servers = [0, 1].map(server);
    world.create("web", &json!({}));
    world.annotate("web", "portolan.dev/consistent", "maglev");
    let endpoint = |n: usize| json!({"addresses": [format!("192.0.2.{}", 10 + n)], "nodeName": name(n)});
    world.slice("web", "web", &json!([endpoint(0), endpoint(1)]), 8080);
    let address = world.address("web");
    wait_until(SOON, "three ways", || bird.ways(address) == [0, 1, 2]).unwrap();
    let passes_on = |node: &testbed::Namespace| {
        let list = |map| {
            let output = node.command("nft").args(["list", "map", "ip", "portolan", map]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        list("takers").matches("192.0.2.1").count() == 2 && list("passed-on").contains("198.51.100.")
    };
    wait_until(SOON, "nodes know each other", || world.nodes.iter().all(passes_on)).unwrap();
    let mut conversations: Vec<_> = (0..40).map(|_| world.converse(address)).collect();
    assert!(conversations.iter_mut().all(world::Conversation::lives));

    // It serves none itself, but a third came by it; and the others are spread anew.
    world.agents[2].take().unwrap().end();
    wait_until(SOON, "two ways", || bird.ways(address) == [0, 1]).unwrap();
    world.here.set_down(&port(2)).unwrap();
    let lost = conversations.iter_mut().map(|one| usize::from(!one.lives())).sum::<usize>();
    assert_eq!(lost, 0, "of {}", conversations.len());
}
