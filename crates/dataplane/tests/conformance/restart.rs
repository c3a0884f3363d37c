//! What is in the kernel when an agent starts: its own rules, an older version's, or rules that somebody changed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use dataplane::{Config, Dataplane, Node};
use nft::{Batch, Element, Family, ObjectId, Operation, Set, Table, TableId, Type, Value};

use crate::packets::{Cluster, Met};
use crate::scene::{Kernel, cluster, server, set, vip};
use crate::world;

const TCP: u8 = 6;

fn table() -> TableId {
    TableId::new(Family::Ip, "portolan")
}

fn commit(cluster: &Cluster, batch: &Batch) -> anyhow::Result<()> {
    cluster.node.run(|| Ok(nft::Socket::in_current_netns()?.commit(batch).map(drop)?))?
}

/// One Service of each sort.
fn fill(kernel: &mut Kernel) {
    let model = kernel.model_mut();
    set(model, "plain", 1, "", "a b c");
    set(model, "named", 2, "named=http np", "a c");
    set(model, "udp", 3, "udp np itp=local", "a b");
    set(model, "sticky", 4, "affinity=60 lb etp=local ranges=192.0.2.0/28,10.0.0.0/8", "a b c d");
    set(model, "nobody", 5, "", "");
    set(model, "one", 6, "affinity=10800 udp", "c");
    set(model, "elsewhere", 7, "itp=local", "c");
}

#[test]
fn a_restart_changes_nothing_and_cuts_nothing() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("restart")?;
    fill(&mut kernel);
    kernel.sync()?;
    // Endpoints that came and went leave slots and classes in another order than a first load makes.
    set(kernel.model_mut(), "plain", 1, "", "b c d e");
    set(kernel.model_mut(), "sticky", 4, "affinity=60 lb etp=local ranges=192.0.2.0/28,10.0.0.0/8", "b c d e");
    kernel.sync()?;
    let connection = cluster.place("p").run(|| TcpStream::connect_timeout(&vip(1), Duration::from_secs(5)))??;
    let stuck = server(&cluster, "out", TCP, SocketAddr::new(world::ip(world::BALANCED), world::PORT))?;

    let mut restarted = cluster.dataplane(Config::default())?;
    fill(&mut restarted);
    set(restarted.model_mut(), "plain", 1, "", "b c d e");
    set(restarted.model_mut(), "sticky", 4, "affinity=60 lb etp=local ranges=192.0.2.0/28,10.0.0.0/8", "b c d e");
    let report = restarted.sync()?;
    assert_eq!((report.changes, report.full), (0, true));
    assert_eq!(server(&cluster, "out", TCP, SocketAddr::new(world::ip(world::BALANCED), world::PORT))?, stuck);

    // Only the difference, and connections go on.
    set(restarted.model_mut(), "plain", 1, "", "d");
    restarted.forget();
    let report = restarted.sync()?;
    assert!((1..20).contains(&report.changes), "{} changes", report.changes);
    let mut lines = BufReader::new(connection.try_clone()?);
    let mut line = String::new();
    lines.read_line(&mut line)?;
    (&connection).write_all(b"still there?\n")?;
    line.clear();
    lines.read_line(&mut line)?;
    assert_eq!(line, "still there?\n");
    Ok(())
}

#[test]
fn what_somebody_changed_is_mended() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("mend")?;
    fill(&mut kernel);
    kernel.sync()?;
    let mut damage = Batch::new();
    damage.push(Operation::FlushSet(table(), "endpoints".into()));
    damage.push(Operation::FlushChain(table(), "postrouting".into()));
    damage.push(Operation::FlushSet(table(), "hairpins".into()));
    let ip = [Type::Ipv4Addr];
    let ours = std::sync::Arc::new(Set::new(&table(), "cluster-ips", &ip));
    damage.add_elements(&ours, vec![Element::new(Value::new().ip(world::ip("10.96.0.77")))]);
    commit(&cluster, &damage)?;
    assert_eq!(cluster.ask("p", TCP, vip(77))?, Met::Refused);

    kernel.forget();
    let report = kernel.sync()?;
    assert!(report.changes > 0);
    assert_eq!(cluster.ask("p", TCP, vip(77))?, Met::Silence);
    assert_eq!(server(&cluster, "a", TCP, vip(6 - 5))?.len(), 1);
    kernel.forget();
    assert_eq!(kernel.sync()?.changes, 0);

    // All of it.
    let mut damage = Batch::new();
    damage.delete(ObjectId::Table(table()));
    commit(&cluster, &damage)?;
    kernel.forget();
    kernel.sync()?;
    assert_eq!(server(&cluster, "p", TCP, vip(2))?.len(), 1);
    Ok(())
}

/// A table of the same name that is made otherwise is replaced within one transaction.
#[test]
fn an_older_versions_table_is_replaced() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("older")?;
    let mut older = Batch::new();
    older.add_table(Table::new(table()));
    let services = std::sync::Arc::new(Set::verdict_map(&table(), "services", &[Type::Ipv4Addr]));
    older.add_set(&services);
    older.add_chain(nft::Chain::regular(&table(), "old"));
    let goto = nft::Verdict::Goto("old".into());
    older.add_elements(&services, vec![Element::verdict(Value::new().ip(world::ip("10.96.0.1")), goto)]);
    commit(&cluster, &older)?;
    fill(&mut kernel);
    kernel.sync()?;
    assert_eq!(server(&cluster, "p", TCP, vip(2))?.len(), 1);
    kernel.forget();
    assert_eq!(kernel.sync()?.changes, 0);
    Ok(())
}

#[test]
fn another_mark_takes_effect_with_a_restart() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("mark")?;
    fill(&mut kernel);
    kernel.sync()?;
    let mut other = cluster.dataplane(Config { masquerade_mark: 0x8, ..Config::default() })?;
    fill(&mut other);
    let report = other.sync()?;
    assert!((1..60).contains(&report.changes), "{} changes", report.changes);
    let node_port = SocketAddr::new(world::ip("172.30.0.1"), world::NODE_PORT);
    let Met::Server(_, seen_as) = cluster.ask("out", TCP, node_port)? else { anyhow::bail!("nobody answers") };
    assert!(world::LOCAL.iter().any(|local| world::ip(local) == seen_as), "{seen_as} is not masqueraded");
    Ok(())
}

#[test]
fn a_change_is_programmed_although_the_kernel_does_not_hold_what_it_replaces() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("replaces")?;
    fill(&mut kernel);
    kernel.sync()?;
    let mut damage = Batch::new();
    damage.push(Operation::FlushSet(table(), "endpoints".into()));
    commit(&cluster, &damage)?;
    set(kernel.model_mut(), "plain", 1, "", "a");
    let report = kernel.sync()?;
    assert!(report.full && report.mended.is_some());
    assert_eq!(server(&cluster, "p", TCP, vip(1))?, "a");
    Ok(())
}

#[test]
fn cleanup_leaves_nothing() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("cleanup")?;
    fill(&mut kernel);
    kernel.sync()?;
    kernel.backend_mut().cleanup()?;
    let tables = cluster.node.run(|| anyhow::Ok(nft::Socket::in_current_netns()?.tables()?))??;
    assert_eq!(tables, []);
    kernel.backend_mut().cleanup()?;
    kernel.forget();
    kernel.sync()?;
    assert_eq!(server(&cluster, "p", TCP, vip(2))?.len(), 1);
    Ok(())
}

/// The namespace is that in which the backend was opened, whichever thread syncs.
#[test]
fn the_namespace_is_that_of_the_opening_thread() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, kernel) = cluster("thread")?;
    let mut kernel: Dataplane<_> = std::thread::spawn(move || {
        let mut kernel = kernel;
        kernel.model_mut().set_node(Node { ..world::node() });
        fill(&mut kernel);
        kernel.sync().map(|_| kernel)
    })
    .join()
    .unwrap()?;
    assert_eq!(server(&cluster, "p", TCP, vip(2))?.len(), 1);
    kernel.backend_mut().cleanup()?;
    Ok(())
}
