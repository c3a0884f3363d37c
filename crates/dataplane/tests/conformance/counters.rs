//! What came to each port of each Service: exact, across changes and restarts, and from zero for a Service that is new.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use dataplane::Config;
use dataplane::model::Protocol;

use crate::packets::{Cluster, Met};
use crate::scene::{Kernel, cluster, remove, set, vip};
use crate::world;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Connections and refusals by Service, port and protocol, but for those of which there was nothing.
fn counted(kernel: &mut Kernel) -> anyhow::Result<BTreeMap<String, (u64, u64)>> {
    let all = kernel.counters()?;
    let text = |one: &dataplane::ServiceCounters| format!("{}:{}/{}", one.service, one.port, one.protocol);
    let counted = all.iter().map(|one| (text(one), (one.connections, one.refused)));
    Ok(counted.filter(|(_, counts)| *counts != (0, 0)).collect())
}

fn expected(rows: &[(&str, u64, u64)]) -> BTreeMap<String, (u64, u64)> {
    rows.iter().map(|(name, connections, refused)| (format!("default/{name}"), (*connections, *refused))).collect()
}

/// So many connections that are answered.
fn connect(cluster: &Cluster, who: &str, to: SocketAddr, times: usize) -> anyhow::Result<()> {
    for _ in 0..times {
        let met = cluster.ask(who, TCP, to)?;
        anyhow::ensure!(matches!(met, Met::Server(..)), "{who} to {to}: {met:?}");
    }
    Ok(())
}

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(world::ip(address), port)
}

#[test]
fn every_connection_and_every_refusal_counts_once() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("counters")?;
    let model = kernel.model_mut();
    set(model, "web", 1, "np lb ranges=192.0.2.0/28", "a c");
    set(model, "nobody", 2, "", "");
    set(model, "elsewhere", 3, "itp=local", "c");
    set(model, "sticky", 4, "affinity=60", "a c");
    set(model, "udp", 5, "udp", "a");
    kernel.sync()?;
    assert_eq!(counted(&mut kernel)?, expected(&[]));
    assert_eq!(kernel.counters()?.len(), 5, "ports without connections are told too");

    connect(&cluster, "p", vip(1), 3)?;
    connect(&cluster, "out", at(world::LOCAL[0], world::NODE_PORT), 2)?;
    connect(&cluster, "host", vip(1), 1)?;
    connect(&cluster, "out", at(world::BALANCED, world::PORT), 1)?;
    assert_eq!(cluster.ask("out2", TCP, at(world::BALANCED, world::PORT))?, Met::Silence);
    assert_eq!(cluster.ask("p", TCP, vip(2))?, Met::Refused);
    assert_eq!(cluster.ask("p", TCP, vip(3))?, Met::Silence);
    connect(&cluster, "p", vip(4), 4)?;
    for _ in 0..2 {
        assert!(matches!(cluster.ask("p", UDP, vip(5))?, Met::Server(..)));
    }
    // Another port is nobody's.
    assert_eq!(cluster.ask("p", TCP, SocketAddr::new(vip(1).ip(), 81))?, Met::Refused);
    let all = expected(&[
        ("web:80/tcp", 7, 1),
        ("nobody:80/tcp", 0, 1),
        ("elsewhere:80/tcp", 0, 1),
        ("sticky:80/tcp", 4, 0),
        ("udp:80/udp", 2, 0),
    ]);
    assert_eq!(counted(&mut kernel)?, all);

    // Changes that give a Service another class, and a restart, leave what was counted.
    let model = kernel.model_mut();
    set(model, "web", 1, "np lb ranges=192.0.2.0/28", "a c d");
    set(model, "elsewhere", 3, "itp=local", "a c");
    kernel.sync()?;
    connect(&cluster, "p", vip(3), 1)?;
    let mut restarted = cluster.dataplane(Config::default())?;
    for (name, last, given, endpoints) in [
        ("web", 1, "np lb ranges=192.0.2.0/28", "a c d"),
        ("nobody", 2, "", ""),
        ("elsewhere", 3, "itp=local", "a c"),
        ("udp", 5, "udp", "a"),
    ] {
        set(restarted.model_mut(), name, last, given, endpoints);
    }
    // While nobody looked, one Service went.
    let report = restarted.sync()?;
    assert!(report.full && report.changes < 20, "{} changes", report.changes);
    let mut all = all;
    all.insert("default/elsewhere:80/tcp".into(), (1, 1));
    all.remove("default/sticky:80/tcp");
    assert_eq!(counted(&mut restarted)?, all);

    // Those that come back begin at zero.
    remove(restarted.model_mut(), "web");
    restarted.sync()?;
    set(restarted.model_mut(), "web", 1, "np lb ranges=192.0.2.0/28", "a c");
    set(restarted.model_mut(), "sticky", 4, "affinity=60", "a c");
    restarted.sync()?;
    connect(&cluster, "p", vip(4), 1)?;
    all.remove("default/web:80/tcp");
    all.insert("default/sticky:80/tcp".into(), (1, 0));
    assert_eq!(counted(&mut restarted)?, all);
    Ok(())
}

#[test]
fn an_address_that_goes_over_to_another_service_begins_at_zero() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("counters-over")?;
    set(kernel.model_mut(), "first", 1, "ext", "a");
    set(kernel.model_mut(), "second", 2, "ext", "a");
    kernel.sync()?;
    connect(&cluster, "out", at(world::EXTERNAL, world::PORT), 2)?;
    assert_eq!(counted(&mut kernel)?, expected(&[("first:80/tcp", 2, 0)]));
    remove(kernel.model_mut(), "first");
    kernel.sync()?;
    connect(&cluster, "out", at(world::EXTERNAL, world::PORT), 1)?;
    assert_eq!(counted(&mut kernel)?, expected(&[("second:80/tcp", 1, 0)]));
    Ok(())
}

#[test]
fn counting_can_be_left_and_begun_without_cutting_anything() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("counters-off")?;
    set(kernel.model_mut(), "web", 1, "", "a");
    kernel.sync()?;
    connect(&cluster, "p", vip(1), 2)?;
    let stream = crate::scene::Stream::open(&cluster, "p", vip(1))?;
    for counters in [false, true, false] {
        let mut other = cluster.dataplane(Config { counters, ..Config::default() })?;
        set(other.model_mut(), "web", 1, "", "a");
        other.sync()?;
        stream.echo()?;
        connect(&cluster, "p", vip(1), 2)?;
        let wanted = if counters { expected(&[("web:80/tcp", 2, 0)]) } else { expected(&[]) };
        assert_eq!(counted(&mut other)?, wanted);
    }
    Ok(())
}

/// A set that is full counts no more destinations; all are served all the same, and can be changed.
#[test]
fn a_full_set_stops_counting_and_nothing_else() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let cluster = Cluster::new("counters-full")?;
    let mut kernel = cluster.dataplane(Config { counters_size: 2, ..Config::default() })?;
    for n in 1..=4 {
        set(kernel.model_mut(), &format!("s{n}"), n, "", "a");
    }
    kernel.sync()?;
    for n in 1..=4 {
        connect(&cluster, "p", vip(n), 1)?;
    }
    assert_eq!(counted(&mut kernel)?.len(), 2);
    for n in 1..=4 {
        remove(kernel.model_mut(), &format!("s{n}"));
        kernel.sync()?;
    }
    assert!(kernel.counters()?.is_empty());
    Ok(())
}

#[test]
fn ports_and_protocols_of_a_service_are_counted_apart() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("counters-ports")?;
    set(kernel.model_mut(), "two", 1, "second-port", "a");
    kernel.sync()?;
    connect(&cluster, "p", vip(1), 2)?;
    assert_eq!(cluster.ask("p", TCP, SocketAddr::new(vip(1).ip(), 81))?, Met::Refused);
    assert_eq!(counted(&mut kernel)?, expected(&[("two:80/tcp", 2, 0), ("two:81/tcp", 0, 1)]));
    let ports: Vec<_> = kernel.counters()?.iter().map(|one| (one.port.get(), one.protocol)).collect();
    assert_eq!(ports, [(80, Protocol::Tcp), (81, Protocol::Tcp)]);
    Ok(())
}
