//! `portolan agent` beside kube-proxy in its modes nftables and iptables, on one real API server: `cargo bench --bench
//! kube_proxy` for 1, 1,000, 10,000 and 30,000 Services, and with `-- --all` for 100,000 too. After 20 minutes nothing
//! more is begun; with `--keep DIR` the same command goes on where it was.
//!
//! Everything happens in namespaces of its own: etcd and kube-apiserver in one, and for each peer in turn a fresh node
//! between a client's namespace and one that is all endpoints. The programs of the peers are looked for in
//! `PORTOLAN_PEERS` (default: `~/.cache/portolan-peers`): etcd, kube-apiserver, kube-proxy. Printed, never asserted.
//!
//! Reading order: [`lab`] (namespaces), [`cluster`] (the API and its objects, most of them by [`seed`]), [`peer`] (who is measured),
//! [`probe`] (how it is seen), [`measure`] (what is measured), [`report`] (the table), [`kept`] (figures that
//! are there already).
#![expect(clippy::expect_used, reason = "a benchmark says by a panic what it could not do")]

mod cluster;
mod figures;
mod kept;
mod lab;
mod measure;
mod peer;
mod probe;
mod report;
mod seed;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};

use cluster::Cluster;
use kept::Kept;
use measure::Measured;
use peer::Kind;
use report::Report;

/// As many as Kubernetes is said to carry, and ten times as many.
const ALL: [u32; 5] = [1, 1_000, 10_000, 30_000, 100_000];
/// With how many Services kube-proxy is asked for what takes it seconds each time.
const PATIENT: u32 = 10_000;

/// What to run.
#[derive(Debug, Parser)]
struct Arguments {
    /// Numbers of Services, each with three endpoints, in rising order.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1_000, 10_000, 30_000])]
    services: Vec<u32>,
    /// The same with 100,000.
    #[arg(long, conflicts_with = "services")]
    all: bool,
    /// After so many minutes nothing more is begun.
    #[arg(long, default_value_t = 20)]
    minutes: u64,
    /// kube-proxy is not measured with more Services than that: in its mode nftables, and in its mode iptables.
    #[arg(long, value_delimiter = ',', num_args = 2, default_values_t = [30_000, 30_000])]
    up_to: Vec<u32>,
    /// Who is measured.
    #[arg(long, value_delimiter = ',', value_enum, default_values_t = [Kind::Portolan, Kind::Nftables, Kind::Iptables])]
    peers: Vec<Kind>,
    /// What is measured. Default: everything.
    #[arg(long, value_delimiter = ',', value_enum)]
    only: Vec<Part>,
    /// The longest that one peer may take for its first sync, and for each of the other parts, in seconds.
    #[arg(long, default_value_t = 240)]
    cap: u64,
    /// How long the CPU is watched while nothing changes, in seconds.
    #[arg(long, default_value_t = 60)]
    quiet: u64,
    /// Slices that are made one after another to see how soon each is connected to.
    #[arg(long, default_value_t = 200)]
    samples: usize,
    /// A folder for figures, etcd's data and the logs; figures that are there are not taken again. Default: a temporary
    /// one.
    #[arg(long)]
    keep: Option<PathBuf>,
    /// Another binary of Portolan than the one just built, to compare two versions.
    #[arg(long)]
    portolan: Option<PathBuf>,
    /// cargo gives this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A part of the benchmark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// From the start of the process to every Service answering. Always run: the others need it.
    FirstSync,
    /// VmRSS and PSS.
    Memory,
    /// Connecting through a VIP beside connecting to an endpoint.
    Connect,
    /// From a slice's creation to the first connection.
    Latency,
    /// The same while 200 slices a second change.
    Churn,
    /// A restart: time until in step, connections that live on, kernel transactions.
    Restart,
    /// CPU while nothing changes.
    Quiet,
    /// One Service of 10,000 endpoints.
    Large,
}

fn main() {
    let arguments = Arguments::parse();
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let peers = std::env::var_os("PORTOLAN_PEERS").map_or_else(default_peers, PathBuf::from);
    for program in ["etcd", "kube-apiserver", "kube-proxy"] {
        if !peers.join(program).is_file() {
            println!(
                "skipped: {} is not there; name the peers' folder in PORTOLAN_PEERS",
                peers.join(program).display()
            );
            return;
        }
    }
    testbed::isolate(&[Path::new("/run")]).expect("namespaces of its own");
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let work = arguments.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&work).expect("a folder to work in");
    let portolan = arguments.portolan.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_portolan")));

    let of_peers = ["kube-proxy", "kube-apiserver", "etcd"].map(|program| (peers.join(program), "--version"));
    let installed = ["nft", "iptables"].map(|program| (program.into(), "--version"));
    figures::describe_machine(&[&[(portolan.clone(), "--version")], &of_peers[..], &installed].concat());
    let can_run = |kind: &Kind| {
        let missing = kind.tools().iter().find(|tool| Command::new(tool).arg("--version").output().is_err());
        missing.inspect(|tool| println!("{kind}: left out, there is no {tool} on this machine")).is_none()
    };
    let kinds: Vec<Kind> = arguments.peers.iter().copied().filter(can_run).collect();
    let end = Instant::now() + Duration::from_secs(60 * arguments.minutes);
    let mut kept = Kept::open(&work, &portolan);
    let mut cluster = Cluster::start(&peers, &work);
    let sizes = if arguments.all { &ALL[..] } else { &arguments.services };
    for services in sizes.iter().copied() {
        cluster.grow(services);
        let mut report = Report::new(services, cluster.describe());
        for kind in kinds.iter().copied().filter(|kind| arguments.measures(*kind, services)) {
            if let Some(figures) = kept.get(services, kind) {
                report.add(kind, figures);
                continue;
            }
            if Instant::now() > end {
                println!("{services} Services, {kind}: left out, {} minutes are over", arguments.minutes);
                continue;
            }
            let program = if kind == Kind::Portolan { portolan.clone() } else { peers.join("kube-proxy") };
            let mut measured = Measured::new(&cluster, kind, &program, &work, Duration::from_secs(arguments.cap));
            run_parts(&arguments, (services, kind), &mut measured);
            let figures = measured.finish();
            kept.put(services, kind, &figures);
            report.add(kind, figures);
        }
        report.print();
    }
}

impl Arguments {
    /// Whether a peer is measured with so many Services.
    fn measures(&self, kind: Kind, services: u32) -> bool {
        match kind {
            Kind::Portolan => true,
            Kind::Nftables => services <= self.up_to[0],
            Kind::Iptables => services <= self.up_to[1],
        }
    }

    /// Whether a part of it is. Of what nobody asks for by name, kube-proxy is left out where it would take long: each
    /// of its changes takes seconds with many Services.
    fn wants(&self, part: Part, (services, kind): (u32, Kind)) -> bool {
        if !self.only.is_empty() {
            return self.only.contains(&part);
        }
        match part {
            Part::FirstSync | Part::Memory | Part::Connect => true,
            Part::Latency | Part::Restart => kind == Kind::Portolan || services <= PATIENT,
            Part::Churn => kind == Kind::Portolan || services < PATIENT,
            Part::Quiet => services == PATIENT,
            Part::Large => services == 1_000,
        }
    }
}

fn run_parts(arguments: &Arguments, of: (u32, Kind), measured: &mut Measured<'_>) {
    let wanted = |part: Part| arguments.wants(part, of);
    if !measured.first_sync() {
        return;
    }
    if wanted(Part::Memory) {
        measured.memory();
    }
    if wanted(Part::Connect) {
        measured.connect();
    }
    if wanted(Part::Latency) {
        measured.latency(arguments.samples);
    }
    if wanted(Part::Churn) {
        measured.churn(arguments.samples);
    }
    if wanted(Part::Restart) {
        measured.restart();
    }
    if wanted(Part::Quiet) {
        measured.quiet(Duration::from_secs(arguments.quiet));
    }
    if wanted(Part::Large) {
        measured.large();
    }
}

fn default_peers() -> PathBuf {
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    home.join(".cache/portolan-peers")
}
