//! Load balancers' figures: `cargo bench --bench load_balancer`, or with the names of some parts behind it:
//! `l2 bgp reach thousand cluster local`.
//!
//! Three nodes, a client, a machine that serves, and a router where one is needed, on a real switch, all in namespaces.
//! A node dies by its cable being pulled. `PORTOLAN_ROUNDS` (20) says how often.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot go on ends")]
#![allow(dead_code, reason = "the tests' world can do more than is needed here")]

#[path = "../../tests/load_balancer/bird.rs"]
mod bird;
mod flow;
#[path = "../../tests/load_balancer/ledger.rs"]
mod ledger;
mod rolling;
mod table;
mod takeover;
#[path = "../../tests/load_balancer/wire.rs"]
mod wire;
#[path = "../../tests/load_balancer/world.rs"]
mod world;

use table::Table;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    // `cargo test --benches` only asks whether it is built.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let chosen = |part: &str| named.is_empty() || named.iter().any(|name| name == part);
    let rounds = number("PORTOLAN_ROUNDS", 20);
    let mut table = Table::default();
    if chosen("l2") {
        takeover::l2(&mut table, rounds);
    }
    if chosen("bgp") {
        takeover::bgp(&mut table, rounds);
    }
    if chosen("reach") {
        takeover::reach(&mut table, rounds);
    }
    if chosen("thousand") {
        takeover::thousand(&mut table);
    }
    for (part, policy) in [("cluster", "Cluster"), ("local", "Local")] {
        if chosen(part) {
            rolling::rolling(&mut table, policy);
        }
    }
}
