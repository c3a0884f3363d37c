//! `sessionAffinity: ClientIP` with real packets.

use std::collections::BTreeSet;
use std::time::Duration;

use dataplane::compile::Map;
use nft::{Element, Family, TableId};

use crate::packets::Cluster;
use crate::scene::{self, cluster, server, set, vip};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// What the kernel remembers of clients.
fn remembered(cluster: &Cluster) -> anyhow::Result<Vec<Element>> {
    let table = TableId::new(Family::Ip, "portolan");
    cluster.node.run(|| Ok(nft::Socket::in_current_netns()?.elements(&table, Map::Affinity.name())?))?
}

/// The endpoint that a client meets on each of many connections.
fn stays_with(cluster: &Cluster, who: &str, protocol: u8, last: u8) -> anyhow::Result<String> {
    let first = server(cluster, who, protocol, vip(last))?;
    for _ in 0..30 {
        assert_eq!(server(cluster, who, protocol, vip(last))?, first, "{who} is moved");
    }
    Ok(first)
}

#[test]
fn a_client_stays_with_its_endpoint() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("affinity")?;
    let mut met = BTreeSet::new();
    // Each Service chooses anew: with ten of them, one client meets more than one endpoint but for one run in 500.
    for last in 1..=10 {
        set(kernel.model_mut(), &format!("s{last}"), last, "affinity=60", "a b c");
        set(kernel.model_mut(), &format!("u{last}"), 100 + last, "affinity=60 udp", "a b c");
    }
    kernel.sync()?;
    for last in 1..=10 {
        met.insert(stays_with(&cluster, "p", TCP, last)?);
        stays_with(&cluster, "out", UDP, 100 + last)?;
    }
    assert!(met.len() > 1, "ten Services always chose {met:?}");
    Ok(())
}

#[test]
fn an_endpoint_that_is_gone_does_not_stick_and_the_others_do() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("affinity-gone")?;
    let names = ["a", "b", "c", "d"];
    for last in 1..=8 {
        set(kernel.model_mut(), &format!("s{last}"), last, "affinity=10800", &names.join(" "));
    }
    kernel.sync()?;
    for last in 1..=8 {
        let first = stays_with(&cluster, "p", TCP, last)?;
        // Another one goes: whoever takes its slot, the client stays.
        let other = names.iter().find(|name| **name != first).unwrap();
        let rest: Vec<&str> = names.iter().filter(|name| *name != other).copied().collect();
        set(kernel.model_mut(), &format!("s{last}"), last, "affinity=10800", &rest.join(" "));
        kernel.sync()?;
        assert_eq!(stays_with(&cluster, "p", TCP, last)?, first);
        // Its own goes: it gets another, and stays with that.
        let rest: Vec<&str> = rest.into_iter().filter(|name| *name != first).collect();
        set(kernel.model_mut(), &format!("s{last}"), last, "affinity=10800", &rest.join(" "));
        kernel.sync()?;
        let second = stays_with(&cluster, "p", TCP, last)?;
        assert!(rest.contains(&second.as_str()), "{second} is gone, or was never there");
        // And when the first comes back, it stays where it is.
        set(kernel.model_mut(), &format!("s{last}"), last, "affinity=10800", &names.join(" "));
        kernel.sync()?;
        assert_eq!(stays_with(&cluster, "p", TCP, last)?, second);
    }
    Ok(())
}

#[test]
fn each_service_has_its_own_timeout_which_each_connection_begins_anew() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("affinity-timeout")?;
    set(kernel.model_mut(), "short", 1, "affinity=1", "a b");
    set(kernel.model_mut(), "long", 2, "affinity=10800", "a b");
    kernel.sync()?;
    let mut met = BTreeSet::new();
    let long = server(&cluster, "p", TCP, vip(2))?;
    // Two endpoints are not chosen in turn by 40 choices in one run in 10^12.
    for round in 0..40 {
        met.insert(server(&cluster, "p", TCP, vip(1))?);
        if round == 0 {
            let timeouts: BTreeSet<_> = remembered(&cluster)?.iter().map(|element| element.timeout).collect();
            let seconds = |n| Some(Duration::from_secs(n));
            assert_eq!(timeouts, BTreeSet::from([seconds(1), seconds(10800)]));
        }
        if met.len() == 2 {
            break;
        }
        testbed::wait_until(Duration::from_secs(10), "the client is forgotten", || {
            remembered(&cluster).is_ok_and(|all| all.len() == 1)
        })?;
    }
    assert_eq!(met.len(), 2, "a client that was forgotten always gets {met:?}");
    assert_eq!(server(&cluster, "p", TCP, vip(2))?, long, "the other Service's client is forgotten too");

    let left = || anyhow::Ok(remembered(&cluster)?.iter().filter_map(|element| element.expires).max());
    let before = left()?;
    testbed::wait_until(Duration::from_secs(10), "a second of the timeout passes", || {
        left().is_ok_and(|now| now < before.map(|before| before - Duration::from_secs(1)))
    })?;
    server(&cluster, "p", TCP, vip(2))?;
    assert!(left()? > before.map(|before| before - Duration::from_secs(1)), "a connection does not begin it anew");
    Ok(())
}

/// What a client remembers from the time of another policy must not lead it past the new one.
#[test]
fn a_policy_that_becomes_local_moves_clients_of_other_nodes_endpoints() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("affinity-policy")?;
    let node_port = std::net::SocketAddr::new(crate::world::ip("172.30.0.1"), crate::world::NODE_PORT);
    for _ in 0..10 {
        set(kernel.model_mut(), "s", 1, "affinity=10800 np", "c d");
        kernel.sync()?;
        let far = server(&cluster, "out", TCP, node_port)?;
        set(kernel.model_mut(), "s", 1, "affinity=10800 np etp=local", "a b c d");
        kernel.sync()?;
        let near = server(&cluster, "out", TCP, node_port)?;
        assert!(["a", "b"].contains(&near.as_str()), "{near} is of another node, as was {far}");
    }
    scene::remove(kernel.model_mut(), "s");
    kernel.sync()?;
    Ok(())
}

/// An endpoint that is on its way out, or not ready, keeps no client while others are ready; the fall-back keeps them.
#[test]
fn an_endpoint_that_stops_serving_loses_its_clients() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("affinity-leaving")?;
    for (last, mark) in [(1, "~"), (2, "!"), (3, "-")] {
        let name = format!("s{last}");
        set(kernel.model_mut(), &name, last, "affinity=10800", "a c");
        kernel.sync()?;
        let first = stays_with(&cluster, "p", TCP, last)?;
        let other = if first == "a" { "c" } else { "a" };
        set(kernel.model_mut(), &name, last, "affinity=10800", &format!("{first}{mark} {other}"));
        kernel.sync()?;
        assert_eq!(stays_with(&cluster, "p", TCP, last)?, other, "{first}{mark} keeps its client");
        // Nobody is ready: both that leave serve, and the client stays where it is.
        set(kernel.model_mut(), &name, last, "affinity=10800", &format!("{first}~ {other}~"));
        kernel.sync()?;
        assert_eq!(stays_with(&cluster, "p", TCP, last)?, other);
    }
    Ok(())
}

/// As kube-proxy has it: a client is remembered for the port, by whichever of its addresses it came.
#[test]
fn a_client_meets_the_same_endpoint_at_every_address() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("affinity-addresses")?;
    let at = |address, port| std::net::SocketAddr::new(crate::world::ip(address), port);
    let node_port = at("172.30.0.1", crate::world::NODE_PORT);
    let addresses = [
        vip(1),
        node_port,
        at(crate::world::BALANCED, crate::world::PORT),
        at(crate::world::EXTERNAL, crate::world::PORT),
    ];
    for given in ["affinity=10800 np lb ext", "affinity=10800 np lb ext udp"] {
        let protocol = if given.ends_with("udp") { UDP } else { TCP };
        for first in addresses {
            // Another Service each time, so that nobody is known.
            scene::remove(kernel.model_mut(), "many");
            kernel.sync()?;
            set(kernel.model_mut(), "many", 1, given, "a b c d e");
            kernel.sync()?;
            let met = server(&cluster, "p", protocol, first)?;
            for address in addresses.into_iter().chain([first]) {
                for _ in 0..5 {
                    assert_eq!(server(&cluster, "p", protocol, address)?, met, "{address} after {first}, {given}");
                }
            }
        }
    }
    // From outside, a policy that is local lets the client keep what it has where that is of this node.
    set(kernel.model_mut(), "many", 1, "affinity=10800 np lb ext", "a b");
    kernel.sync()?;
    let met = server(&cluster, "out", TCP, node_port)?;
    set(kernel.model_mut(), "many", 1, "affinity=10800 np lb ext etp=local", "a b c d");
    kernel.sync()?;
    for _ in 0..10 {
        assert_eq!(server(&cluster, "out", TCP, node_port)?, met);
        assert_eq!(server(&cluster, "out", TCP, addresses[2])?, met);
    }
    Ok(())
}

/// A client of one port is not known at the other, nor at that of another protocol.
#[test]
fn each_port_of_a_service_remembers_for_itself() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("affinity-ports")?;
    let given = "affinity=60 named=a also=b:81/tcp also=c:80/udp";
    set(kernel.model_mut(), "ports", 1, given, "[a=8080/tcp,b=8081/tcp,c=8080/udp] a b c");
    kernel.sync()?;
    let second = std::net::SocketAddr::new(vip(1).ip(), 81);
    let met =
        [stays_with(&cluster, "p", TCP, 1)?, server(&cluster, "p", TCP, second)?, server(&cluster, "p", UDP, vip(1))?];
    assert_eq!(remembered(&cluster)?.len(), 3, "{met:?}");
    for _ in 0..10 {
        let again = [
            server(&cluster, "p", TCP, vip(1))?,
            server(&cluster, "p", TCP, second)?,
            server(&cluster, "p", UDP, vip(1))?,
        ];
        assert_eq!(again, met);
    }
    // The ports' endpoints come and go each on their own.
    set(kernel.model_mut(), "ports", 1, given, &format!("[a=8080/tcp,c=8080/udp] a b c / [b=8081/tcp] {}", met[1]));
    kernel.sync()?;
    assert_eq!(stays_with(&cluster, "p", TCP, 1)?, met[0]);
    assert_eq!(server(&cluster, "p", TCP, second)?, met[1]);
    Ok(())
}

#[test]
fn affinity_holds_for_sctp() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("affinity-sctp")?;
    if !cluster.node.run(testbed::sctp::is_tracked)? {
        testbed::privilege::skip("this kernel does not track SCTP");
        return Ok(());
    }
    set(kernel.model_mut(), "sctp", 1, "affinity=60 sctp", "a b c");
    kernel.sync()?;
    stays_with(&cluster, "p", testbed::sctp::SCTP, 1)?;
    stays_with(&cluster, "out", testbed::sctp::SCTP, 1)?;
    Ok(())
}
