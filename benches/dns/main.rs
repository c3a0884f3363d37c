//! `portolan dns` beside CoreDNS, on one real API server: `cargo bench --bench dns`.
//!
//! Everything happens in namespaces of its own: etcd and kube-apiserver in one, and the servers in turn in another, with
//! the load generator, which speaks to them over loopback. All read the same Corefile (kubernetes, forward, cache), but for
//! `multisocket` and the kubeconfig. etcd, kube-apiserver and coredns are looked for in `PORTOLAN_PEERS` (default:
//! `~/.cache/portolan-peers`). Printed, never asserted.
//!
//! Reading order: [`server`] (who is measured), [`load`] (what is asked, and how fast), [`made`] (Services that are made
//! meanwhile, and headless ones), [`outside`] (names that are none of the cluster's), [`share`] (of the processors), [`quiet`] (the API server meanwhile), [`table`]. The API server and its
//! objects are those of the benchmark `kube_proxy`.
#![expect(clippy::expect_used, reason = "a benchmark says by a panic what it could not do")]

#[allow(dead_code, reason = "the benchmark of the data plane needs more of it")]
#[path = "../kube_proxy/cluster.rs"]
mod cluster;
#[allow(dead_code, reason = "as above")]
#[path = "../kube_proxy/figures.rs"]
mod figures;
#[allow(dead_code, reason = "as above")]
#[path = "../../crates/dns/examples/dns_load/generator.rs"]
mod generator;
#[allow(dead_code, reason = "as above")]
#[path = "../kube_proxy/lab.rs"]
mod lab;
mod load;
mod made;
mod outside;
#[allow(dead_code, reason = "as above")]
#[path = "../kube_proxy/peer.rs"]
mod peer;
mod quiet;
#[path = "../kube_proxy/seed.rs"]
mod seed;
mod server;
mod share;
mod table;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Parser, ValueEnum};
use testbed::Namespace;

use cluster::Cluster;
use load::{Cores, Mix};
use made::Maker;
use quiet::Quiet;
use server::{DNS, Denials, Kind, Server};
use share::Share;
use table::{Row, Table};

/// What to run.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many Services there are.
    #[arg(long, default_value_t = 10_000)]
    services: u32,
    /// How many endpoints headless Services have in the end, a hundred each.
    #[arg(long, default_value_t = 100_000)]
    endpoints: u32,
    /// How long each load lasts, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Who is measured.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = [Kind::CoreDns, Kind::Multisocket, Kind::Portolan])]
    peers: Vec<Kind>,
    /// What is measured. Default: everything.
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// Half of CoreDNS' top rate, where CoreDNS is not measured, in queries a second.
    #[arg(long)]
    half: Option<f64>,
    /// A folder for logs. Default: a temporary one.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Another binary of Portolan than the one just built.
    #[arg(long)]
    portolan: Option<PathBuf>,
    /// cargo gives this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The cluster's names on one core, and the memory after that.
    Mix,
    /// Latency at half of CoreDNS' top rate.
    Latency,
    /// Names from outside, warm.
    Forwarded,
    /// One core and two.
    Scaling,
    /// From a Service's making to its name's answer.
    Resolves,
    /// Memory with many endpoints of headless Services.
    Headless,
}

/// What all parts need.
struct Bench<'a> {
    arguments: Arguments,
    peers: PathBuf,
    portolan: PathBuf,
    work: PathBuf,
    cluster: Cluster,
    node: &'a Namespace,
    table: Table,
    /// Half of CoreDNS' top rate, when that is known.
    half: Option<f64>,
    /// Whether it was measured at that rate what an echo takes.
    echoed: bool,
}

/// What of both cores a server has where it is looked how it scales: so many hundredths of each.
const SHARE: u64 = 40;

fn main() {
    let arguments = Arguments::parse();
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let peers = std::env::var_os("PORTOLAN_PEERS").map_or_else(default_peers, PathBuf::from);
    for program in ["etcd", "kube-apiserver", "coredns"] {
        let program = peers.join(program);
        if !program.is_file() {
            println!("skipped: {} is not there; name the peers' folder in PORTOLAN_PEERS", program.display());
            return;
        }
    }
    testbed::isolate(&[Path::new("/run")]).expect("namespaces of its own");
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let work = arguments.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&work).expect("a folder to work in");
    let portolan = arguments.portolan.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_portolan")));

    figures::describe_machine(&[
        (portolan.clone(), "--version"),
        (peers.join("coredns"), "-version"),
        (peers.join("kube-apiserver"), "--version"),
        (peers.join("etcd"), "--version"),
    ]);
    let mut cluster = Cluster::start(&peers, &work);
    cluster.grow(arguments.services);
    let place = lab::Node::new();
    outside::serve(&place.node);
    let half = arguments.half;
    let mut bench = Bench {
        arguments,
        peers,
        portolan,
        work,
        cluster,
        node: &place.node,
        table: Table::default(),
        half,
        echoed: false,
    };
    for kind in bench.arguments.peers.clone() {
        bench.on_one_core(kind);
        bench.on_two_cores(kind);
        bench.resolves(kind);
    }
    bench.headless();
    bench.table.print(bench.arguments.services);
}

impl Bench<'_> {
    fn wants(&self, part: Part) -> bool {
        self.arguments.only.is_empty() || self.arguments.only.contains(&part)
    }

    fn time(&self) -> Duration {
        Duration::from_secs(self.arguments.seconds)
    }

    /// Starts a server that has such cores, and waits until it knows the last Service.
    fn start(&self, kind: Kind, cores: Cores, denials: Denials) -> Server {
        let program = if kind == Kind::Portolan { self.portolan.clone() } else { self.peers.join("coredns") };
        let server = Server::start(kind, &program, (cores, denials), self.node, &self.cluster.kubeconfig, &self.work);
        server.wait_for(self.node, &format!("many-{}.default.svc.cluster.local", self.arguments.services - 1));
        server
    }

    fn on_one_core(&mut self, kind: Kind) {
        if ![Part::Mix, Part::Latency, Part::Forwarded].iter().any(|part| self.wants(*part)) {
            return;
        }
        let server = self.start(kind, Cores::First, Denials::Kept);
        let quiet = Quiet::new();
        let (services, time, pid) = (self.arguments.services, self.time(), server.pid());
        if self.wants(Part::Mix) {
            let top = load::top(self.node, Mix::Cluster(services), time, pid);
            println!("{kind}: {top}");
            self.table.put(Row::Top, kind, top.rate);
            self.table.put(Row::Cpu, kind, top.server);
            self.table.put(Row::Memory, kind, figures::memory(pid).0);
            if kind == Kind::CoreDns {
                self.half = Some(top.rate / 2.0);
            }
        }
        if let Some(half) = self.half.filter(|_| self.wants(Part::Latency)) {
            if !std::mem::replace(&mut self.echoed, true) {
                load::echo(self.node);
                let [p50, p99, p999] = load::latencies(self.node, load::ECHO, Mix::Cluster(services), half, time);
                println!("an echo on the server's core: at {half:.0}/s: p50 {p50:?}, p99 {p99:?}, p99.9 {p999:?}");
                self.table.echo(p50, p99);
            }
            let [p50, p99, p999] = load::latencies(self.node, DNS, Mix::Cluster(services), half, time);
            println!("{kind}: at {half:.0}/s: p50 {p50:?}, p99 {p99:?}, p99.9 {p999:?}");
            self.table.put(Row::Half50, kind, p50.as_secs_f64() * 1e6);
            self.table.put(Row::Half99, kind, p99.as_secs_f64() * 1e6);
        }
        if self.wants(Part::Forwarded) {
            load::warm(self.node);
            let top = load::top(self.node, Mix::Outside, time, pid);
            println!("{kind}, names from outside: {top}");
            self.table.put(Row::Forwarded, kind, top.rate);
            self.table.put(Row::ForwardedCpu, kind, top.server);
        }
        drop(quiet);
        server.stop();
    }

    /// A share of one core, then as much of each of two; the generators have what is left of both, and their work is the
    /// same.
    fn on_two_cores(&mut self, kind: Kind) {
        if !self.wants(Part::Scaling) {
            return;
        }
        let mix = Mix::Cluster(self.arguments.services);
        let mut found = Vec::new();
        for (cores, count) in [(Cores::First, 1), (Cores::Both, 2)] {
            let Some(share) = Share::new(SHARE * count).expect("a control group") else {
                println!("skipped: how {kind} scales: there is no controller cpu of cgroup v1");
                return;
            };
            let server = self.start(kind, cores, Denials::Kept);
            share.take(server.pid()).expect("the server is put into the group");
            let quiet = Quiet::new();
            let one = load::together(self.node, mix, self.time(), server.pid());
            println!("{kind}, {SHARE}% of {count} cores, generators on both: {one}");
            found.push(one);
            drop(quiet);
            server.stop();
        }
        self.table.put(Row::Scaling, kind, found[1].rate / found[0].rate);
        self.table.put(Row::ScalingCpu, kind, 2.0 * found[0].server / found[1].server);
    }

    fn resolves(&mut self, kind: Kind) {
        if !self.wants(Part::Resolves) {
            return;
        }
        let server = self.start(kind, Cores::Both, Denials::NotKept);
        let maker = Maker::new(&self.cluster.kubeconfig, self.node);
        let mut found = maker.resolves(&format!("made-{}", kind.file()), 100, self.time() * 2);
        println!(
            "{kind}: {} Services were made, {} names denied before they were there",
            found.names.len(),
            found.denied
        );
        for (rows, times) in [
            ([Row::Resolves50, Row::Resolves99], &mut found.names),
            ([Row::Watched50, Row::Watched99], &mut found.watched),
        ] {
            for (row, p) in rows.into_iter().zip([50.0, 99.0]) {
                self.table.put(row, kind, figures::percentile(times, p));
            }
        }
        server.stop();
    }

    fn headless(&mut self) {
        if !self.wants(Part::Headless) {
            return;
        }
        let wide = self.arguments.endpoints / 100;
        Maker::new(&self.cluster.kubeconfig, self.node).make_headless(wide);
        for kind in self.arguments.peers.clone() {
            let server = self.start(kind, Cores::First, Denials::Kept);
            server.wait_for(self.node, &format!("wide-{}-99.wide-{}.default.svc.cluster.local", wide - 1, wide - 1));
            self.table.put(Row::Headless, kind, figures::memory(server.pid()).0);
            server.stop();
        }
    }
}

fn default_peers() -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    home.join(".cache/portolan-peers")
}
