//! A node dies without a word: how long an address is away.

use std::net::IpAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::wait_until;

use crate::bird::Bird;
use crate::flow::Flow;
use crate::table::Table;
use crate::wire;
use crate::world::{BRIDGE, CLIENT, SOON, World, port};

fn udp() -> Value {
    json!({"ports": [{"port": 80, "targetPort": 8080, "protocol": "UDP"}]})
}

/// By ARP: the cable of the node that answers is pulled, again and again.
pub fn l2(table: &mut Table, rounds: usize) {
    let Some(world) = World::new() else { return };
    let addresses: Vec<IpAddr> = (0..30).map(|n| world.balanced(&format!("web-{n}"), &udp())).collect();
    (0..addresses.len()).for_each(|n| world.wait_ready(&format!("web-{n}")));
    let flow = Flow::start(&world.client, addresses[0]);
    let (mut away, mut spoken) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let dead = world.owner(addresses[0]);
        let lost: Vec<IpAddr> = addresses.iter().copied().filter(|address| world.owner(*address) == dead).collect();
        let (cut, stamp) = (Instant::now(), wire::now());
        world.here.set_down(&port(dead)).unwrap();
        lost.iter().for_each(|address| world.wait_succeeded(*address, dead));
        let first = |address: &IpAddr| world.wire.words(*address).into_iter().find(|word| word.at > stamp);
        spoken.extend(lost.iter().map(|address| first(address).unwrap().at - stamp));
        let succeeded = Instant::now();
        wait_until(SOON, "datagrams come back", || flow.is_on_since(succeeded)).unwrap();
        away.push(flow.longest_gap(cut));
        world.here.set_up(&port(dead)).unwrap();
        lost.iter().for_each(|address| world.wait_owner(*address, dead));
        (0..addresses.len()).for_each(|n| world.wait_ready(&format!("web-{n}")));
    }
    table.times("ARP, sudden death, 1,000 datagrams/s: none came back for", away, "p99 1,000 ms");
    table.times("the same: another node spoke for an address after", spoken, "");
    addresses.iter().for_each(|address| world.assert_never_two(*address));
}

/// By BGP and BFD: the router spreads flows over three nodes; the cable of the one that has the flow is pulled.
pub fn bgp(table: &mut Table, rounds: usize) {
    let Some(world) = World::new() else { return };
    let Some(bird) = Bird::start() else { return };
    world.route("198.51.100.0/24");
    world.choose(
        "pools: [{name: a, addresses: [198.51.100.0/24]}]
bgp: {as: 64512, peers: [{address: 192.0.2.1, as: 64500, holdTime: 240, bfd: {}}]}",
    );
    let address = world.balanced("web", &udp());
    let route = |arguments: &[&str]| {
        let output = Command::new("ip").args(["route"]).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let target = address.to_string();
    let ways = || route(&["show", &target]).matches("via 192.0.2.1").count();
    wait_until(SOON, "three ways", || ways() == 3).unwrap();
    let flow = Flow::start(&world.client, address);
    let from = flow.port.to_string();
    let mut away = Vec::new();
    for _ in 0..rounds {
        // Else neither would miss the other for a while.
        bird.wait_up();
        let begun = Instant::now();
        wait_until(SOON, "datagrams come back", || flow.is_on_since(begun)).unwrap();
        let chosen = ["ipproto", "udp", "sport", from.as_str(), "dport", "80"];
        let way = route(&[&["get", &target, "from", CLIENT, "iif", BRIDGE], &chosen[..]].concat());
        let has = |node: &usize| way.contains(&format!("via 192.0.2.1{node} "));
        let dead = (0..3).find(has).unwrap_or_else(|| panic!("no way: {way}"));
        let cut = Instant::now();
        world.here.set_down(&port(dead)).unwrap();
        wait_until(SOON, "the router leaves it", || ways() == 2).unwrap();
        let left = Instant::now();
        wait_until(SOON, "datagrams come back", || flow.is_on_since(left)).unwrap();
        away.push(flow.longest_gap(cut));
        world.here.set_up(&port(dead)).unwrap();
        wait_until(SOON, "three ways", || ways() == 3).unwrap();
    }
    table.times("BGP and BFD (3 of 100 ms), sudden death, 1,000 datagrams/s: none came back for", away, "500 ms");
}

/// From POST until a client gets an answer; the endpoints are there.
pub fn reach(table: &mut Table, rounds: usize) {
    let Some(world) = World::new() else { return };
    // Nothing is begun by the first one alone.
    world.balanced("first", &json!({}));
    world.wait_ready("first");
    let mut times = Vec::new();
    for n in 0..rounds {
        let (service, address) = (format!("web-{n}"), format!("192.0.2.{}", 205 + n % 40));
        world.endpoint(&service, "elsewhere");
        let posted = Instant::now();
        world.create(&service, &json!({"loadBalancerIP": address}));
        let address = std::net::SocketAddr::new(address.parse().unwrap(), 80);
        let reached = || world.client.run(|| std::net::TcpStream::connect_timeout(&address, SOON)).unwrap().is_ok();
        wait_until(SOON, "an answer", reached).unwrap();
        times.push(posted.elapsed());
        world.delete(&service);
    }
    table.times("POST until a client is connected", times, "300 ms");
}

/// A thousand addresses on three nodes.
pub fn thousand(table: &mut Table) {
    const ADDRESSES: usize = 1000;
    let Some(world) = World::new() else { return };
    world.client.add_link_route("198.18.0.0/16".parse().unwrap(), "eth0").unwrap();
    world.choose("pools: [{name: a, addresses: [198.18.0.1-198.18.7.255]}]");
    let empty = world.memory();
    let begun = (Instant::now(), wire::now());
    (0..ADDRESSES).for_each(|n| drop(world.create(&format!("web-{n}"), &json!({}))));
    let created = begun.0.elapsed();
    let speakers = || world.wire.speakers();
    wait_until(SOON * 3, "all are answered for", || speakers().len() == ADDRESSES).unwrap();
    table.row(
        "1,000 Services made one after the other; all answered for",
        format!("{} ms; {} ms", created.as_millis(), begun.0.elapsed().as_millis()),
        "",
    );
    world.wait_ready(&format!("web-{}", ADDRESSES - 1));
    let full = world.memory();
    let shown =
        |memory: &[u64]| memory.iter().map(|kib| format!("{:.1}", *kib as f64 / 1024.0)).collect::<Vec<_>>().join(", ");
    table.row(
        "memory of the three agents, MB: empty; 1,000 addresses",
        format!("{}; {}", shown(&empty), shown(&full)),
        "",
    );
    let (words, peak) = world.wire.pace(begun.1);
    table.row("words while they were taken: all; most in one second", format!("{words}; {peak}"), "");
    let quiet = wire::now();
    std::thread::sleep(Duration::from_secs(30));
    let (words, peak) = world.wire.pace(quiet);
    table.row("words in 30 s when nothing changes: all; most in one second", format!("{words}; {peak}"), "");
    let holders = speakers();
    let lost: Vec<IpAddr> = holders.iter().filter(|(_, mac)| world.node_of(**mac) == 0).map(|(at, _)| *at).collect();
    let stamp = wire::now();
    world.here.set_down(&port(0)).unwrap();
    let dead = world.nodes[0].link("eth0").unwrap().mac;
    wait_until(SOON, "all are taken over", || speakers().values().all(|mac| *mac != dead)).unwrap();
    let first = |address: &IpAddr| world.wire.words(*address).into_iter().find(|word| word.at > stamp).unwrap().at;
    let times: Vec<Duration> = lost.iter().map(|address| first(address) - stamp).collect();
    let worst = times.iter().max().copied().unwrap_or_default();
    table.times(&format!("take-over of {} at once, the last after {} ms", lost.len(), worst.as_millis()), times, "");
}
