//! Others who change the rules of a kernel: it is heard who they are, what is not right is mended, what is right stays;
//! and tables of older versions are brought up to date under traffic.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use dataplane::backend::{Backend as _, Other};
use dataplane::compile::Map;
use dataplane::{Config, NamespacedName};
use nft::{
    Batch, Chain, ChainType, Element, Expr, Family, Field, Hook, ObjectId, Operation, Register, Rule, Set, Table,
    TableId, Type, Value, Verdict,
};

use crate::packets::{Cluster, Met};
use crate::scene::{Kernel, cluster, server, set, vip};
use crate::world;

const TCP: u8 = 6;

fn table() -> TableId {
    TableId::new(Family::Ip, "portolan")
}

fn fill(kernel: &mut Kernel) {
    let model = kernel.model_mut();
    set(model, "plain", 1, "", "a b c");
    set(model, "sticky", 2, "affinity=10800 lb etp=local ranges=192.0.2.0/28,10.0.0.0/8", "a b c d");
    set(model, "named", 3, "named=http np", "a c");
    set(model, "nobody", 4, "", "");
}

/// A process of another name changes something.
fn tamper(cluster: &Cluster, batch: &Batch) -> anyhow::Result<()> {
    let commit = || anyhow::Ok(nft::Socket::in_current_netns()?.commit(batch).map(drop)?);
    let inside = || {
        cluster.node.enter()?;
        commit()
    };
    std::thread::scope(|scope| {
        let other = std::thread::Builder::new().name("meddler".to_owned()).spawn_scoped(scope, inside)?;
        other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn remembered(cluster: &Cluster) -> anyhow::Result<Vec<Value>> {
    let socket = || anyhow::Ok(nft::Socket::in_current_netns()?.elements(&table(), Map::Affinity.name())?);
    let mut keys: Vec<Value> = cluster.node.run(socket)??.into_iter().map(|element| element.key).collect();
    keys.sort_unstable();
    Ok(keys)
}

/// A stream under way, and clients that connect all the time; what goes wrong is kept until the end.
struct Traffic {
    stop: Arc<AtomicBool>,
    exchanged: Arc<AtomicUsize>,
    threads: Vec<std::thread::JoinHandle<anyhow::Result<()>>>,
}

impl Traffic {
    fn start(cluster: &Cluster, to: SocketAddr) -> anyhow::Result<Traffic> {
        let stop = Arc::new(AtomicBool::new(false));
        let exchanged = Arc::new(AtomicUsize::new(0));
        let stream = cluster.place("p").run(|| TcpStream::connect_timeout(&to, Duration::from_secs(5)))??;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&exchanged));
        let talk = move || {
            let mut lines = BufReader::new(stream.try_clone()?);
            lines.read_line(&mut String::new())?;
            while !stopped.load(Ordering::Relaxed) {
                (&stream).write_all(b"still there?\n")?;
                let mut line = String::new();
                lines.read_line(&mut line)?;
                anyhow::ensure!(line == "still there?\n", "an answer of {line:?}");
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        Ok(Traffic { threads: vec![std::thread::spawn(talk)], stop, exchanged })
    }

    /// So many more lines went to and fro.
    fn wait(&self, more: usize) -> anyhow::Result<()> {
        let goal = self.exchanged.load(Ordering::Relaxed) + more;
        testbed::wait_until(Duration::from_secs(10), "more lines", || self.exchanged.load(Ordering::Relaxed) >= goal)
    }

    fn finish(self) -> anyhow::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    }
}

fn is_readable(file: &impl std::os::fd::AsFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    poll(&mut [PollFd::new(file.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).unwrap() == 1
}

#[test]
fn who_changed_the_rules_is_heard_and_what_is_right_stays() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("heal")?;
    fill(&mut kernel);
    kernel.sync()?;
    let watch = kernel.backend().changes()?.unwrap();
    assert!(!kernel.listen(), "our own transactions are taken for somebody else's");
    assert!(!is_readable(&watch.as_fd()));
    let stuck = server(&cluster, "p", TCP, vip(2))?;
    let clients = remembered(&cluster)?;
    assert_eq!(clients.len(), 1);
    let traffic = Traffic::start(&cluster, vip(1))?;

    let element = |text: &str| Element::new(Value::new().ip(world::ip(text)));
    let cluster_ips = Arc::new(Set::new(&table(), "cluster-ips", &[Type::Ipv4Addr]));
    type Damage<'a> = (&'a str, Box<dyn Fn(&mut Batch)>);
    let damages: [Damage<'_>; 6] = [
        ("elements that go", Box::new(|batch| batch.push(Operation::FlushSet(table(), "endpoints".into())))),
        (
            "elements that are not ours",
            Box::new(move |batch| batch.add_elements(&cluster_ips, vec![element("10.96.0.77")])),
        ),
        ("rules that go", Box::new(|batch| batch.push(Operation::FlushChain(table(), "services".into())))),
        (
            "a rule that is not ours",
            Box::new(|batch| batch.add_rule(Rule::new(&table(), "postrouting", vec![Expr::counter()]))),
        ),
        (
            "a hook that is not ours",
            Box::new(|batch| {
                batch.add_chain(Chain::base(&table(), "block", ChainType::Filter, Hook::Forward, 0));
                let to_plain = Field::IpDaddr.load(Register::R0);
                let address = Expr::eq(Register::R0, Value::new().ip(world::ip("10.96.0.1")));
                batch.add_rule(Rule::new(&table(), "block", vec![to_plain, address, Expr::Verdict(Verdict::Drop)]));
            }),
        ),
        (
            "chains that go",
            Box::new(|batch| {
                batch.push(Operation::FlushChain(table(), "prerouting".into()));
                batch.delete(ObjectId::Chain(table(), "prerouting".into()));
            }),
        ),
    ];
    for (what, damage) in &damages {
        let mut batch = Batch::new();
        damage(&mut batch);
        tamper(&cluster, &batch)?;
        assert!(is_readable(&watch.as_fd()), "{what}: not heard");
        assert!(kernel.listen(), "{what}: not noticed");
        // Not more than a few times in a row are mended at once: here no time passes.
        let due = kernel.due().unwrap();
        let mended = kernel.sync_at(due)?.mended.unwrap();
        let names: Vec<&str> = mended.by.iter().map(|culprit| culprit.name.as_str()).collect();
        assert_eq!(names, ["meddler"], "{what}");
        assert!((1..100).contains(&mended.changes), "{what}: {} changes", mended.changes);
        assert_eq!(server(&cluster, "p", TCP, vip(2))?, stuck, "{what}");
        assert_eq!(remembered(&cluster)?, clients, "{what}");
        assert_eq!(server(&cluster, "p", TCP, vip(1))?.len(), 1, "{what}");
        traffic.wait(3)?;
        assert!(!kernel.listen(), "{what}: mending is taken for somebody else's change");
        kernel.forget();
        assert_eq!(kernel.sync()?.changes, 0, "{what}");
    }
    traffic.finish()
}

#[test]
fn a_whole_table_comes_back_and_streams_go_on() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("heal-table")?;
    fill(&mut kernel);
    kernel.sync()?;
    // It is silent while there are no rules: what it sends then, nobody rewrites.
    let stream = cluster.place("p").run(|| TcpStream::connect_timeout(&vip(1), Duration::from_secs(5)))??;
    let mut lines = BufReader::new(stream.try_clone()?);
    lines.read_line(&mut String::new())?;
    let (mut gone, mut asleep) = (Batch::new(), Batch::new());
    gone.delete(ObjectId::Table(table()));
    asleep.add_table(Table { dormant: true, ..Table::new(table()) });
    for damage in [gone, asleep] {
        tamper(&cluster, &damage)?;
        assert!(kernel.listen());
        assert!(kernel.sync()?.mended.is_some_and(|mended| mended.changes > 0));
        assert_eq!(server(&cluster, "p", TCP, vip(3))?.len(), 1);
        (&stream).write_all(b"still there?\n")?;
        let mut line = String::new();
        lines.read_line(&mut line)?;
        assert_eq!(line, "still there?\n");
        kernel.forget();
        assert_eq!(kernel.sync()?.changes, 0);
    }
    Ok(())
}

/// More than any socket holds: it is not listened to, and yet it is known that nobody else did anything.
#[test]
fn own_large_transactions_are_no_loss_and_others_are_heard_all_the_same() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("heal-large")?;
    let fill = |kernel: &mut Kernel, endpoints: &str| {
        for n in 0..2_000u32 {
            let mut row = crate::scene::row("", endpoints);
            let own = NamespacedName::new("default", &format!("s{n}"));
            row.service.cluster_ips = vec![std::net::Ipv4Addr::from(0x0a60_0100 + n).into()];
            kernel.model_mut().set_service(own.clone(), row.service);
            for slice in row.slices {
                let slice = dataplane::model::EndpointSlice { service: own.clone(), ..slice };
                kernel.model_mut().set_slice(own.clone(), slice);
            }
        }
    };
    fill(&mut kernel, "a b c");
    assert!(kernel.sync()?.changes > 8_000);
    assert!(!kernel.listen());
    fill(&mut kernel, "b c d e");
    assert!(kernel.sync()?.changes > 2_000);
    assert!(!kernel.listen());
    let mut batch = Batch::new();
    batch.push(Operation::FlushSet(table(), "endpoints".into()));
    tamper(&cluster, &batch)?;
    assert!(kernel.listen());
    let mended = kernel.sync()?.mended.unwrap();
    assert_eq!(mended.changes, 8_000);
    kernel.forget();
    assert_eq!(kernel.sync()?.changes, 0);
    Ok(())
}

#[test]
fn kube_proxys_rules_beside_ours_are_told() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("beside")?;
    assert_eq!(kernel.sync()?.others, None);
    let (own, nat) = (TableId::new(Family::Ip6, "kube-proxy"), TableId::new(Family::Ip, "nat"));
    let mut batch = Batch::new();
    batch.add_table(Table::new(own.clone()));
    batch.add_table(Table::new(nat.clone()));
    batch.add_chain(Chain::regular(&nat, "KUBE-SERVICES"));
    tamper(&cluster, &batch)?;
    assert!(kernel.listen());
    let others = vec![Other::KubeProxyNftables(own.clone()), Other::KubeProxyIptables(nat.clone())];
    let report = kernel.sync()?;
    assert_eq!((report.others, report.mended), (Some(others), None));
    let mut batch = Batch::new();
    batch.delete(ObjectId::Table(own));
    batch.delete(ObjectId::Table(nat));
    tamper(&cluster, &batch)?;
    assert!(kernel.listen());
    assert_eq!(kernel.sync()?.others, Some(Vec::new()));
    Ok(())
}

/// Makes of our table one as an older version might have made it.
fn older(layout: usize) -> Batch {
    let mut batch = Batch::new();
    let flush = |batch: &mut Batch| batch.push(Operation::FlushTable(table()));
    let lookup = |set: &str| Expr::Lookup { set: set.into(), key: Register::R0, result: nft::expr::Lookup::Contained };
    match layout {
        // Another definition of two sets, one of them of intervals.
        0 => {
            flush(&mut batch);
            for name in ["hairpins", "sources"] {
                batch.delete(ObjectId::Set(table(), name.into()));
                let set = Arc::new(Set::new(&table(), name, &[Type::Ipv4Addr]));
                batch.add_set(&set);
                batch.add_elements(&set, vec![Element::new(Value::new().ip(world::ip("10.96.0.1")))]);
                batch.add_rule(Rule::new(&table(), "output", vec![Field::IpDaddr.load(Register::R0), lookup(name)]));
            }
        }
        // A map of verdicts, with chains of which one has the name of one of ours, and a hook at another place.
        1 => {
            batch.add_chain(Chain::regular(&table(), "svc-1"));
            batch.add_chain(Chain::base(&table(), "raw", ChainType::Filter, Hook::Prerouting, -300));
            let services = Arc::new(Set::verdict_map(&table(), "by-address", &[Type::Ipv4Addr]));
            batch.add_set(&services);
            let goto = Verdict::Goto("svc-1".into());
            batch.add_elements(&services, vec![Element::verdict(Value::new().ip(world::ip("10.96.0.9")), goto)]);
            let result = nft::expr::Lookup::Verdict;
            let vmap = Expr::Lookup { set: "by-address".into(), key: Register::R0, result };
            batch.add_rule(Rule::new(&table(), "raw", vec![Field::IpDaddr.load(Register::R0), vmap]));
        }
        // Our hook with another priority.
        2 => {
            flush(&mut batch);
            batch.delete(ObjectId::Chain(table(), "postrouting".into()));
            batch.add_chain(Chain::base(&table(), "postrouting", ChainType::Nat, Hook::Postrouting, 90));
        }
        // Our chain of endpoints called by a hook, and a hook of ours called by none.
        3 => {
            flush(&mut batch);
            batch.push(Operation::FlushSet(table(), "classes".into()));
            for name in ["n3", "output"] {
                batch.delete(ObjectId::Chain(table(), name.into()));
            }
            batch.add_chain(Chain::base(&table(), "n3", ChainType::Filter, Hook::Input, 0));
            batch.add_chain(Chain::regular(&table(), "output"));
        }
        // A map that we had, with fewer places.
        4 => {
            flush(&mut batch);
            batch.delete(ObjectId::Set(table(), "services".into()));
            let key = [Type::Ipv4Addr, Type::InetProto, Type::InetService];
            batch.add_set(&Arc::new(Set::map(&table(), "services", &key, &[Type::Mark]).with_size(7)));
        }
        _ => unreachable!("layouts are numbered to {LAYOUTS}"),
    }
    // As long as a rule rewrites addresses the kernel tracks connections and rewrites those that it knows.
    let nobody = Expr::eq(Register::R0, Value::new().ip(world::ip("10.96.0.250")));
    let masquerade = Expr::Masquerade { flags: nft::expr::NatFlags::FULLY_RANDOM, ports: None };
    batch.add_rule(Rule::new(&table(), "postrouting", vec![Field::IpDaddr.load(Register::R0), nobody, masquerade]));
    batch
}

const LAYOUTS: usize = 5;

#[test]
fn tables_of_older_versions_are_brought_up_to_date_under_traffic() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    for layout in 0..LAYOUTS {
        let (cluster, mut kernel) = cluster("upgrade")?;
        fill(&mut kernel);
        kernel.sync()?;
        let stuck = server(&cluster, "p", TCP, vip(2))?;
        let clients = remembered(&cluster)?;
        let traffic = Traffic::start(&cluster, vip(1))?;
        tamper(&cluster, &older(layout))?;
        traffic.wait(3).with_context(|| format!("layout {layout}: the older version"))?;

        // The new version starts.
        let mut newer = cluster.dataplane(Config::default())?;
        fill(&mut newer);
        let before = cluster.node.run(|| anyhow::Ok(nft::Socket::in_current_netns()?.generation()?))??;
        let report = newer.sync()?;
        let after = cluster.node.run(|| anyhow::Ok(nft::Socket::in_current_netns()?.generation()?))??;
        assert_eq!(after, before + 1, "layout {layout}: more than one transaction");
        assert!(report.changes > 0);
        assert_eq!(remembered(&cluster)?, clients, "layout {layout}");
        assert_eq!(server(&cluster, "p", TCP, vip(2))?, stuck, "layout {layout}");
        assert_eq!(server(&cluster, "p", TCP, vip(3))?.len(), 1, "layout {layout}");
        assert_eq!(cluster.ask("p", TCP, vip(4))?, Met::Refused, "layout {layout}");
        traffic.wait(3)?;
        newer.forget();
        assert_eq!(newer.sync()?.changes, 0, "layout {layout}");
        traffic.finish().with_context(|| format!("layout {layout}"))?;
    }
    Ok(())
}
