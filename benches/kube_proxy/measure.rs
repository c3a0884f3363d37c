//! What is measured of one peer, on a fresh node.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use testbed::Namespace;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, Name};
use crate::figures::{cpu, memory, percentile};
use crate::lab::{Node, endpoint};
use crate::peer::{Kind, Process, metric};
use crate::probe::{self, Held};
use crate::report::{Figure, Row};

/// Services that are connected to after the last one answers, to see that all do.
const SPOT_CHECKS: u32 = 100;
/// Connections for each of the two distributions.
const CONNECTS: usize = 5_000;
/// The endpoint that is connected to directly.
const DIRECT: u32 = 900_000;
/// Slices that change each second.
const CHURN: u32 = 200;
/// Services with held connections, and connections to each.
const HELD: (u32, usize) = (20, 10);
/// Slices of the large Service, and endpoints in each.
const LARGE: (u32, u32) = (100, 100);
/// Endpoints of the large Service are counted from here: nobody else's.
const LARGE_FIRST: u32 = 1_000_000;
/// Endpoints of probes are counted from here.
const PROBE_FIRST: u32 = 2_000_000;
/// The longest that slices are made one after another: kube-proxy takes seconds for each.
const SAMPLING: Duration = Duration::from_secs(40);
/// Of so many of the slowest connections it is said when they were.
const SLOWEST: usize = 3;

/// A peer on its node, and what is known of it so far.
pub struct Measured<'a> {
    cluster: &'a Cluster,
    kind: Kind,
    program: &'a Path,
    work: &'a Path,
    node: Node,
    process: Option<Process>,
    cap: Duration,
    /// The next probe that has no slice yet.
    probe: u32,
    /// Probes that have a Service.
    probes: u32,
    figures: BTreeMap<Row, Figure>,
}

impl<'a> Measured<'a> {
    /// On a fresh node; nothing runs yet.
    pub fn new(cluster: &'a Cluster, kind: Kind, program: &'a Path, work: &'a Path, cap: Duration) -> Measured<'a> {
        println!("{} Services, {kind}", cluster.services());
        let (node, figures) = (Node::new(), BTreeMap::new());
        Measured { cluster, kind, program, work, node, process: None, cap, probe: 0, probes: 0, figures }
    }

    /// From the start of the process until the last Service, and a sample of the others, answer. `false` when that took
    /// longer than it may.
    pub fn first_sync(&mut self) -> bool {
        self.start();
        let (started, cap, services) = (self.process().started, self.cap, self.cluster.services());
        let seen = self.client(move || {
            probe::first_connection(Name::Many(services - 1).vip(), started, cap)?;
            let check = |n| probe::first_connection(Name::Many(n).vip(), started, cap);
            (0..SPOT_CHECKS.min(services))
                .map(|n| check(n.wrapping_mul(7919) % services))
                .collect::<Option<Vec<_>>>()?
                .pop()
        });
        if !self.process.as_mut().is_some_and(Process::lives) {
            panic!("{} ended; its log is in {}", self.kind, self.work.display());
        }
        self.put(Row::FirstSync, seen.map_or(Figure::MoreThan(cap.as_secs_f64() * 1e3), milliseconds));
        if seen.is_none() {
            return false;
        }
        self.settle();
        if let Some(seconds) = metric(&self.node.node, "kubeproxy_sync_proxy_rules_duration_seconds_sum") {
            self.put(Row::SyncItself, Figure::Value(seconds * 1e3));
        }
        true
    }

    /// Resident memory.
    pub fn memory(&mut self) {
        let (rss, pss) = memory(self.process().pid());
        self.put(Row::Rss, Figure::Value(rss));
        self.put(Row::Pss, Figure::Value(pss));
    }

    /// Connecting to a Service beside connecting to an endpoint, by turns. Neither is in the other's way, nor in that of
    /// what was tried before: the endpoint is nobody's, and the Service not the one that was waited for. What conntrack
    /// remembers of attempts from before there were rules would lead connections from the same port astray.
    pub fn connect(&mut self) {
        let name = Name::Many(self.cluster.services().saturating_sub(2));
        let direct = std::net::SocketAddrV4::new(endpoint(DIRECT), crate::lab::CLOSING_PORT);
        let cap = self.cap;
        let (mut direct, mut vip) = self.client(|| probe::connects(direct, name.vip(), CONNECTS, cap));
        if direct.len() + vip.len() < 2 * CONNECTS {
            println!("  of {CONNECTS} connections each, {} and {} were answered in time", direct.len(), vip.len());
        }
        let (direct_p50, vip_p50) = (percentile(&mut direct, 50.0), percentile(&mut vip, 50.0));
        self.put(Row::ConnectDirect, Figure::Value(direct_p50));
        self.put(Row::ConnectVip, Figure::Value(vip_p50));
        self.put(Row::ConnectRatio, Figure::Value(vip_p50 / direct_p50));
        self.put(Row::ConnectRatioP01, Figure::Value(percentile(&mut vip, 1.0) / percentile(&mut direct, 1.0)));
    }

    /// From sending a slice to the first connection, one after another.
    pub fn latency(&mut self, samples: usize) {
        let mut times = self.samples(samples);
        let mut written = written(&times);
        self.put_times([Row::Latency50, Row::Latency99, Row::LatencyMax], &mut times);
        self.put(Row::Written50, Figure::Value(percentile(&mut written, 50.0)));
        self.put(Row::Written99, Figure::Value(percentile(&mut written, 99.0)));
    }

    /// The same while many slices change.
    pub fn churn(&mut self, samples: usize) {
        if self.cluster.services() < CHURN {
            println!("  {CHURN} slices a second: left out, there are not so many");
            return;
        }
        self.more_probes(samples);
        let stop = CancellationToken::new();
        let started = Instant::now();
        let task = self.cluster.churn(CHURN, stop.clone());
        let before = cpu(self.process().pid());
        let mut times = self.samples(samples);
        let used = cpu(self.process().pid()).saturating_sub(before);
        let elapsed = started.elapsed().as_secs_f64();
        stop.cancel();
        let changed = self.cluster.churned(task);
        println!("  {:.0} slices a second changed", changed as f64 / elapsed);
        let mut written = written(&times);
        self.put_times([Row::Churn50, Row::Churn99, Row::ChurnMax], &mut times);
        self.put(Row::ChurnWritten99, Figure::Value(percentile(&mut written, 99.0)));
        self.put(Row::ChurnCpu, Figure::Value(used.as_secs_f64() / elapsed * 100.0));
        self.settle();
    }

    /// Two restarts: one with nothing to do, one with a slice that came meanwhile.
    pub fn restart(&mut self) {
        self.more_probes(2);
        let held: Vec<Name> = (0..HELD.0).map(Name::Held).collect();
        self.cluster.make_services(held.iter().copied());
        self.cluster.make_slices(held.iter().map(|name| (*name, 0, LARGE_FIRST, 3)));
        let (vips, cap) = (held.iter().map(|name| name.vip()).collect::<Vec<_>>(), self.cap);
        let answers = self.client(|| {
            let start = Instant::now();
            vips.iter().all(|vip| probe::first_connection(*vip, start, cap).is_some())
        });
        if !answers {
            println!("  restart: left out, the Services with held connections did not answer in time");
            return;
        }
        let mut open = self.client(|| Held::open(&vips, HELD.1));
        self.settle();

        let before = generation(&self.node.node);
        self.stop();
        self.start();
        self.settle();
        self.put(Row::RestartTransactions, Figure::Value(f64::from(generation(&self.node.node) - before)));

        self.stop();
        let name = Name::Probe(self.next_probe());
        _ = self.cluster.wait(self.cluster.make_slice(name, PROBE_FIRST));
        self.start();
        let (started, cap) = (self.process().started, self.cap);
        let seen = self.client(|| probe::first_connection(name.vip(), started, cap));
        self.put(Row::Restart, seen.map_or(Figure::MoreThan(cap.as_secs_f64() * 1e3), milliseconds));
        let (all, lost) = open.lost();
        println!("  {lost} of {all} held connections were lost by two restarts");
        self.put(Row::RestartLost, Figure::Value(lost as f64));
        self.settle();
    }

    /// CPU while nothing changes, in milliseconds a minute.
    pub fn quiet(&mut self, time: Duration) {
        self.settle();
        let pid = self.process().pid();
        let before = cpu(pid);
        std::thread::sleep(time);
        let used = cpu(pid).saturating_sub(before);
        self.put(Row::Quiet, Figure::Value(used.as_secs_f64() * 1e3 / time.as_secs_f64() * 60.0));
    }

    /// One Service of 10,000 endpoints: until its last slice serves, and then one slice more.
    pub fn large(&mut self) {
        self.cluster.make_services([Name::Large].into_iter());
        self.settle();
        let (slices, each) = LARGE;
        let cap = self.cap;
        let make = |numbers: std::ops::Range<u32>| {
            self.cluster.make_slices(numbers.map(|n| (Name::Large, n, LARGE_FIRST + n * each, each)));
        };
        let time = |numbers: std::ops::Range<u32>| {
            let first = endpoint(LARGE_FIRST + (numbers.end - 1) * each);
            let started = Instant::now();
            make(numbers);
            self.client(|| probe::first_at(Name::Large.vip(), first, each, started, cap))
        };
        let all = time(0..slices);
        let more = all.and_then(|_| {
            self.settle();
            time(slices..slices + 1)
        });
        let figure = |time: Option<Duration>| time.map_or(Figure::MoreThan(cap.as_secs_f64() * 1e3), milliseconds);
        self.put(Row::Large, figure(all));
        self.put(Row::LargeMore, figure(more));
        let (rss, _) = memory(self.process().pid());
        self.put(Row::LargeRss, Figure::Value(rss));
    }

    /// Ends the peer, and removes what was made for it.
    pub fn finish(mut self) -> BTreeMap<Row, Figure> {
        self.process = None;
        let probes = (0..self.probes).map(Name::Probe);
        self.cluster.remove(probes.chain((0..HELD.0).map(Name::Held)).chain([Name::Large]));
        self.figures
    }

    /// Makes slices one after another, as long as the part may take; each time until the first connection.
    fn samples(&mut self, samples: usize) -> Vec<Sample> {
        self.more_probes(samples);
        let end = Instant::now() + self.cap.min(SAMPLING);
        let mut times = Vec::with_capacity(samples);
        while times.len() < samples && Instant::now() < end {
            let probe = self.next_probe();
            let (name, cap) = (Name::Probe(probe), self.cap);
            let (sent, started) = (SystemTime::now(), Instant::now());
            let task = self.cluster.make_slice(name, PROBE_FIRST + 3 * probe);
            let connected = self.client(|| probe::first_connection(name.vip(), started, cap));
            let written = self.cluster.wait(task) - started;
            times.push(Sample { sent, written, connected });
        }
        times
    }

    fn put_times(&mut self, rows: [Row; 3], times: &mut [Sample]) {
        times.sort_by_key(|sample| Reverse(sample.connected));
        for Sample { sent, written, connected } in
            times.iter().filter(|sample| sample.connected.is_some()).take(SLOWEST)
        {
            // The time of day finds it in the peer's log.
            let day = sent.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64() % 86_400.0;
            println!(
                "  slow: sent {day:.4} s into the day, written after {written:.1?}, connected after {connected:.1?}"
            );
        }
        let mut seen: Vec<f64> =
            times.iter().filter_map(|sample| Some(sample.connected?.as_secs_f64() * 1e3)).collect();
        let lost = times.len() - seen.len();
        println!("  {} slices, {lost} of them never answered", times.len());
        for (row, p) in rows.into_iter().zip([50.0, 99.0, 100.0]) {
            self.put(row, Figure::Value(percentile(&mut seen, p)));
        }
    }

    /// Sees to it that so many Services wait for a slice, and that the peer knows them.
    fn more_probes(&mut self, count: usize) {
        let wanted = self.probe + count as u32;
        if wanted > self.probes {
            self.cluster.make_services((self.probes..wanted).map(Name::Probe));
            self.probes = wanted;
            self.settle();
        }
    }

    fn next_probe(&mut self) -> u32 {
        self.probe += 1;
        self.probe - 1
    }

    fn start(&mut self) {
        let (node, kubeconfig) = (&self.node.node, &self.cluster.kubeconfig);
        self.process = Some(Process::start(self.kind, self.program, node, kubeconfig, self.work));
    }

    fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop();
        }
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("the peer runs")
    }

    /// Waits until the peer has done what it had to do: for two seconds it used less than a twentieth of a CPU, and the
    /// kernel's rules stayed as they are.
    fn settle(&self) {
        let window = Duration::from_secs(2);
        let end = Instant::now() + self.cap;
        let pid = self.process().pid();
        while Instant::now() < end {
            let before = (cpu(pid), generation(&self.node.node));
            std::thread::sleep(window);
            let after = (cpu(pid), generation(&self.node.node));
            if after.0.saturating_sub(before.0) < window / 20 && after.1 == before.1 {
                return;
            }
        }
        println!("  {} did not come to rest within {:?}", self.kind, self.cap);
    }

    fn client<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        self.node.client.run(inside).expect("a thread of the client")
    }

    fn put(&mut self, row: Row, figure: Figure) {
        println!("  {}: {figure}", row.label());
        self.figures.insert(row, figure);
    }
}

/// A slice that was made while a client waited for it.
struct Sample {
    sent: SystemTime,
    /// Until the API server's answer.
    written: Duration,
    /// Until the first connection, if there was one.
    connected: Option<Duration>,
}

fn written(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|sample| sample.written.as_secs_f64() * 1e3).collect()
}

fn milliseconds(time: Duration) -> Figure {
    Figure::Value(time.as_secs_f64() * 1e3)
}

/// The kernel's generation of nf_tables' rules: each transaction adds one.
fn generation(node: &Namespace) -> u32 {
    let ask = || nft::Socket::in_current_netns().expect("a socket").generation().expect("the generation");
    node.run(ask).expect("a thread on the node")
}
