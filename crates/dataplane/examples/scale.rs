//! What a change costs, and what it all takes, at 1,000, 10,000 and 30,000 Services of three endpoints, and with one
//! Service of 10,000 endpoints. Prints a table; as root, in a network namespace of its own:
//!
//! `cargo run --release -p dataplane --example scale [comments] [uncounted] [sticky] [SERVICES]...`
//!
//! `sticky`: Services with affinity and a node port.
//! `connects` instead measures what counting costs a connection: many through one Service, with and without in turn.

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dataplane::backend::nftables;
use dataplane::model::{
    EndpointSlice, IpMode, LoadBalancerAddress, Protocol, Service, ServicePort, SliceEndpoint, SlicePort,
};
use dataplane::{Config, Dataplane, NamespacedName, Node};

const REPETITIONS: usize = 50;
/// Whether Services have affinity and a node port.
static STICKY: AtomicBool = AtomicBool::new(false);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (words, numbers): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.parse::<u32>().is_err());
    let has = |word: &str| words.iter().any(|given| given == word);
    if has("connects") {
        return connects();
    }
    STICKY.store(has("sticky"), Ordering::Relaxed);
    let config = Config { comments: has("comments"), counters: !has("uncounted"), ..Config::default() };
    let mut sizes: Vec<u32> = Vec::new();
    for number in numbers {
        sizes.push(number.parse()?);
    }
    if sizes.is_empty() {
        sizes = vec![1_000, 10_000, 30_000];
    }
    let nested = std::env::var_os("SCALE_ONE").is_some();
    if let (true, [size]) = (nested, &sizes[..]) {
        return one(*size, config);
    }
    println!("milliseconds; p50 and greatest of {REPETITIONS}");
    println!(
        "services  full load  restart  endpoint +1      endpoint moves   service +1       service -1       RSS MB"
    );
    for size in sizes {
        // A process for each size: memory that one leaves behind does not count for the next.
        let mut child = std::process::Command::new(std::env::current_exe()?);
        let status = child.args(&words).arg(size.to_string()).env("SCALE_ONE", "1").status()?;
        if !status.success() {
            return Err(format!("{size}: {status}").into());
        }
    }
    Ok(())
}

fn one(size: u32, config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let lab = testbed::Namespace::new(&format!("scale-{size}"))?;
    lab.enter()?;
    let kernel_before = kernel_memory()?;
    let mut dataplane = Dataplane::new(nftables::Backend::new(config)?, node());
    for n in 0..size {
        dataplane.model_mut().set_service(name(n), service(n));
        dataplane.model_mut().set_slice(slice_name(n), slice(n, 3, 0));
    }
    let with_model = resident()?;
    let start = Instant::now();
    let changes = dataplane.sync()?.changes;
    let full = start.elapsed();
    let with_rules = resident()?;
    let kernel = kernel_memory()? - kernel_before;
    assert!(changes > size as usize * 4);

    dataplane.forget();
    let start = Instant::now();
    assert_eq!(dataplane.sync()?.changes, 0, "a restart changes nothing");
    let restart = start.elapsed();

    let mut times: [Vec<Duration>; 4] = Default::default();
    for n in 0..REPETITIONS as u32 {
        let at = n * 7 % size;
        dataplane.model_mut().set_slice(slice_name(at), slice(at, 4, 0));
        times[0].push(timed(&mut dataplane)?);
        dataplane.model_mut().set_slice(slice_name(at), slice(at, 4, 1));
        times[1].push(timed(&mut dataplane)?);
        dataplane.model_mut().set_service(name(size + n), service(size + n));
        dataplane.model_mut().set_slice(slice_name(size + n), slice(size + n, 3, 0));
        times[2].push(timed(&mut dataplane)?);
        dataplane.model_mut().remove_service(&name(size + n));
        dataplane.model_mut().remove_slice(&slice_name(size + n));
        times[3].push(timed(&mut dataplane)?);
    }
    let columns: Vec<String> = times.iter_mut().map(|times| summary(times)).collect();
    println!(
        "{size:>8}  {:>9.1}  {:>7.1}  {}  {with_model:.1} {with_rules:.1} {:.1}  kernel {kernel:.1}",
        milliseconds(full),
        milliseconds(restart),
        columns.join("  "),
        resident()?
    );
    if size == 1_000 {
        large(&mut dataplane)?;
        firewalled(&mut dataplane)?;
    }
    Ok(())
}

/// Connections of this machine to itself through a cluster IP. The ways take turns, so that a busy machine slows all.
fn connects() -> Result<(), Box<dyn std::error::Error>> {
    const ROUNDS: usize = 10;
    const CONNECTIONS: usize = 2_000;
    let lab = testbed::Namespace::new("scale-connects")?;
    lab.enter()?;
    lab.add_address("lo", "10.128.0.0/32".parse()?)?;
    lab.add_link_route("10.0.0.0/8".parse()?, "lo")?;
    let listener = std::net::TcpListener::bind("10.128.0.0:8080")?;
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let mut times: [Vec<Duration>; 3] = Default::default();
    for round in 0..=ROUNDS {
        for (way, times) in times.iter_mut().enumerate() {
            let config = Config { counters: way == 2, ..Config::default() };
            let mut dataplane = Dataplane::new(nftables::Backend::new(config)?, node());
            dataplane.model_mut().set_service(name(0), service(0));
            dataplane.model_mut().set_slice(slice_name(0), slice(0, 1, 0));
            dataplane.sync()?;
            let to: std::net::SocketAddr = if way == 0 { "10.128.0.0:8080" } else { "10.0.1.0:1" }.parse()?;
            for _ in 0..CONNECTIONS {
                let start = Instant::now();
                drop(std::net::TcpStream::connect(to)?);
                // The first round warms everything up.
                if round > 0 {
                    times.push(start.elapsed());
                }
            }
        }
    }
    for (way, times) in ["direct", "uncounted", "counted"].iter().zip(&mut times) {
        times.sort_unstable();
        let at = |part: usize| times[times.len() * part / 100].as_secs_f64() * 1e6;
        println!("{way:>10}: connect p10 {:.1} µs, p50 {:.1} µs, p90 {:.1} µs", at(10), at(50), at(90));
    }
    Ok(())
}

/// One Service of 10,000 endpoints among the others.
fn large(dataplane: &mut Dataplane<nftables::Backend>) -> Result<(), Box<dyn std::error::Error>> {
    let at = 60_000;
    dataplane.model_mut().set_service(name(at), service(at));
    let fill = |dataplane: &mut Dataplane<nftables::Backend>, slice_number: u32, count: u32| {
        let mut part = slice(at, 0, 0);
        let first = slice_number * 1_000;
        part.endpoints.extend((first..first + count).map(|n| endpoint(100_000 + n)));
        let slice_name = NamespacedName::new("scale", &format!("large-{slice_number}"));
        dataplane.model_mut().set_slice(slice_name, part);
    };
    (0..10).for_each(|n| fill(dataplane, n, 1_000));
    let first = timed(dataplane)?;
    let mut times = Vec::new();
    for n in 0..REPETITIONS as u32 {
        fill(dataplane, n / 2 % 10, 999 + n % 2);
        times.push(timed(dataplane)?);
    }
    println!("one Service of 10,000 endpoints: first {:.1}, one endpoint {}", milliseconds(first), summary(&mut times));
    Ok(())
}

/// A thousand load balancers that let only three ranges in.
fn firewalled(dataplane: &mut Dataplane<nftables::Backend>) -> Result<(), Box<dyn std::error::Error>> {
    let add = |dataplane: &mut Dataplane<nftables::Backend>, n: u32| -> Result<(), Box<dyn std::error::Error>> {
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + n);
        let balanced = LoadBalancerAddress { address: IpAddr::V4(address), mode: IpMode::Vip };
        let mut balancer = Service { load_balancer: vec![balanced], ..service(70_000 + n) };
        for range in ["192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24"] {
            balancer.source_ranges.push(range.parse()?);
        }
        dataplane.model_mut().set_service(name(70_000 + n), balancer);
        dataplane.model_mut().set_slice(slice_name(70_000 + n), slice(70_000 + n, 3, 0));
        Ok(())
    };
    (0..1_000).try_for_each(|n| add(dataplane, n))?;
    let first = timed(dataplane)?;
    let mut times = Vec::new();
    for n in 0..REPETITIONS as u32 {
        add(dataplane, 1_000 + n)?;
        times.push(timed(dataplane)?);
    }
    println!("1,000 firewalled load balancers: first {:.1}, one more {}", milliseconds(first), summary(&mut times));
    Ok(())
}

fn timed(dataplane: &mut Dataplane<nftables::Backend>) -> Result<Duration, Box<dyn std::error::Error>> {
    let start = Instant::now();
    dataplane.sync()?;
    Ok(start.elapsed())
}

fn summary(times: &mut [Duration]) -> String {
    times.sort_unstable();
    format!("{:>6.3} ({:>6.3})", milliseconds(times[times.len() / 2]), milliseconds(times[times.len() - 1]))
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Megabytes.
fn resident() -> Result<f64, Box<dyn std::error::Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kilobytes: f64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kilobytes / 1024.0)
}

/// Megabytes of the kernel's own: what it allocates in slabs, page tables of large allocations, counters for each CPU.
fn kernel_memory() -> Result<f64, Box<dyn std::error::Error>> {
    let info = std::fs::read_to_string("/proc/meminfo")?;
    let field = |name: &str| -> f64 {
        let line = info.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or_default()
    };
    let kilobytes: f64 = ["SUnreclaim:", "VmallocUsed:", "Percpu:"].into_iter().map(field).sum();
    Ok(kilobytes / 1024.0)
}

fn node() -> Node {
    let net = |text: &str| text.parse().ok();
    Node {
        name: "here".into(),
        addresses: vec![IpAddr::V4(Ipv4Addr::new(172, 30, 0, 1))],
        pod_cidrs: net("10.128.0.0/9").into_iter().collect(),
        service_cidrs: net("10.0.0.0/9").into_iter().collect(),
        ..Node::default()
    }
}

fn name(n: u32) -> NamespacedName {
    NamespacedName::new("scale", &format!("service-{n}"))
}

fn slice_name(n: u32) -> NamespacedName {
    NamespacedName::new("scale", &format!("service-{n}-x7k2p"))
}

fn service(n: u32) -> Service {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 1, 0)) + n);
    let sticky = STICKY.load(Ordering::Relaxed);
    let node_port = u16::try_from(n).ok().and_then(|n| NonZeroU16::new(n.checked_add(1)?)).filter(|_| sticky);
    let port = ServicePort { name: "http".into(), protocol: Protocol::Tcp, port: NonZeroU16::MIN, node_port };
    let affinity = sticky.then_some(10_800);
    Service { cluster_ips: vec![IpAddr::V4(address)], ports: vec![port], affinity, ..Service::default() }
}

fn slice(n: u32, endpoints: u32, generation: u32) -> EndpointSlice {
    let mut slice = EndpointSlice::new(name(n));
    let port = NonZeroU16::MIN.saturating_add(8079);
    slice.ports.push(SlicePort { name: "http".into(), protocol: Protocol::Tcp, port });
    slice.endpoints = (0..endpoints).map(|m| endpoint(n * 8 + m + if m == 1 { generation * 4 } else { 0 })).collect();
    slice
}

fn endpoint(n: u32) -> SliceEndpoint {
    let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 128, 0, 0)) + n);
    let node = format!("node-{}", n % 100);
    SliceEndpoint { node: Some(node.into()), ..SliceEndpoint::new(IpAddr::V4(address)) }
}
