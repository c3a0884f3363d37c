//! How fast the DNS answers: a server in a network namespace of its own, and a load generator that costs less.
//!
//! ```text
//! cargo run --release -p dns --example dns_load -- [--services 10000] [--endpoints 3] [--workers 1] [--seconds 5]
//!     [--sockets 128] [--window 16] [--rate QUERIES/S] [--headless] [--forwarded] [--target ADDRESS:PORT --pid PID]
//! ```
//!
//! Asks for A (60%), AAAA (20%), SRV (10%) and search-path misses (10%) of that many Services, or with `--forwarded`
//! for names outside that are cached. With `--headless` all Services are headless and their endpoints have hostnames. Without `--rate` each of the sockets, which have a source port each, keeps
//! `--window` questions under way. With it, questions leave at that rate, and latencies are printed. The server's
//! threads are pinned to the first processors, the generator to the last. With `--target`, another server is asked,
//! in the namespace in which this is run; `--pid` is its process, whose processor time is counted.

mod generator;

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dns::forward::Settings;
use dns::forward::keep::Keep;
use dns::forward::stored::Stored;
use dns::forward::wanted::Wanted;
use dns::index::{EndpointRecord, PortRecord, ServiceRecord, Shape, SliceRecord};
use dns::query::Query;
use dns::{Config, Forwarder, Index, IndexOptions, Server};
use generator::{Generator, Load, question};

#[derive(Clone)]
struct Arguments {
    services: u32,
    endpoints: u32,
    workers: usize,
    seconds: u64,
    load: Load,
    forwarded: bool,
    headless: bool,
    target: Option<SocketAddr>,
    pid: Option<u32>,
}

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn arguments() -> Outcome<Arguments> {
    let mut arguments = Arguments {
        services: 10_000,
        endpoints: 3,
        workers: 1,
        seconds: 5,
        load: Load { sockets: 128, window: 16, rate: None },
        forwarded: false,
        headless: false,
        target: None,
        pid: None,
    };
    let mut given = std::env::args().skip(1);
    while let Some(flag) = given.next() {
        match flag.as_str() {
            "--forwarded" => arguments.forwarded = true,
            "--headless" => arguments.headless = true,
            _ => set(&mut arguments, &flag, &given.next().ok_or_else(|| format!("{flag} needs a value"))?)?,
        }
    }
    Ok(arguments)
}

fn set(arguments: &mut Arguments, flag: &str, value: &str) -> Outcome<()> {
    match flag {
        "--services" => arguments.services = value.parse()?,
        "--endpoints" => arguments.endpoints = value.parse()?,
        "--workers" => arguments.workers = value.parse()?,
        "--seconds" => arguments.seconds = value.parse()?,
        "--sockets" => arguments.load.sockets = value.parse()?,
        "--window" => arguments.load.window = value.parse()?,
        "--rate" => arguments.load.rate = Some(value.parse()?),
        "--target" => arguments.target = Some(value.parse()?),
        "--pid" => arguments.pid = Some(value.parse()?),
        _ => return Err(format!("{flag} is not known").into()),
    }
    Ok(())
}

fn main() -> Outcome<()> {
    let arguments = arguments()?;
    if let Some(target) = arguments.target {
        let spent = || arguments.pid.map_or(Ok(Duration::ZERO), |pid| Ok(generator::process_time(pid)?));
        return run(&arguments, target, spent);
    }
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let lab = testbed::Lab::new("dns-load");
    let namespace = lab.namespace("dns")?;
    namespace.run(|| -> Outcome<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let _inside = runtime.enter();
        let before = resident()?;
        let index = Arc::new(fill(&arguments)?);
        println!("index: {:?}, {:.1} MB", index.stats(), (resident()? - before) as f64 / 1e6);
        change(&index)?;
        let forwarder = forwarder(&arguments)?;
        let listen = vec!["127.0.0.1:53".parse()?];
        let config = Config { listen, workers: arguments.workers, ..Config::default() };
        let server = Server::start(&config, Some(index), Some(forwarder))?;
        let threads = loop {
            // A thread bears its name only when it has begun to run.
            let threads = threads("dns-udp-")?;
            if threads.len() == arguments.workers {
                break threads;
            }
        };
        for (processor, thread) in threads.iter().enumerate() {
            generator::pin(*thread, processor)?;
        }
        run(&arguments, server.addresses()[0], || {
            threads.iter().map(|thread| Ok(generator::thread_time(*thread)?)).sum()
        })?;
        println!("server: {:?}, {:.1} MB resident in all", server.counts(), resident()? as f64 / 1e6);
        runtime.block_on(server.shutdown());
        Ok(())
    })?
}

fn run(arguments: &Arguments, target: SocketAddr, spent: impl Fn() -> Outcome<Duration>) -> Outcome<()> {
    let questions = questions(arguments);
    let mut generator = Generator::new(target, arguments.load, questions)?;
    generator::pin(0, std::thread::available_parallelism()?.get() - 1)?;
    generator.run(Duration::from_millis(300))?;
    let (start, own) = (spent()?, generator::own_time()?);
    let report = generator.run(Duration::from_secs(arguments.seconds))?;
    let (server, own) = (spent()? - start, generator::own_time()? - own);
    let rate = report.answers as f64 / report.took.as_secs_f64();
    let each = |time: Duration| time.as_secs_f64() * 1e6 / report.answers.max(1) as f64;
    println!(
        "{rate:.0} answers/s, {} lost; server {:.2} us of processor time a query, generator {:.2} us",
        report.lost,
        each(server),
        each(own)
    );
    println!("a core full of this: {:.0} queries/s", report.answers as f64 / server.as_secs_f64());
    if let Some([p50, p99, p999]) = report.latencies {
        println!("latency p50 {p50:?}, p99 {p99:?}, p99.9 {p999:?}");
    }
    Ok(())
}

fn service(number: u32) -> (String, String) {
    (format!("service-{number}"), format!("namespace-{}", number % 100))
}

fn fill(arguments: &Arguments) -> Outcome<Index> {
    let index = Index::new(&IndexOptions::default())?;
    let start = Instant::now();
    for number in 0..arguments.services {
        let (name, namespace) = service(number);
        index.set_namespace(&namespace)?;
        let mut service = record(&namespace, &name, number);
        if arguments.headless {
            service.shape = Shape::Headless;
        }
        index.set_service(&service)?;
        let endpoints: Vec<EndpointRecord> = (0..arguments.endpoints)
            .map(|endpoint| EndpointRecord {
                addresses: vec![IpAddr::from(Ipv4Addr::from(0x0b00_0000 + number * arguments.endpoints + endpoint))],
                hostname: arguments.headless.then(|| format!("{name}-{endpoint}")),
                ready: true,
                pod: None,
            })
            .collect();
        for (slice, endpoints) in endpoints.chunks(100).enumerate() {
            index.set_slice(&SliceRecord {
                namespace: namespace.clone(),
                name: format!("{name}-x7k{slice}"),
                service: name.clone(),
                endpoints: endpoints.to_vec(),
                ports: ports(8080),
            })?;
        }
    }
    index.set_synced(true);
    println!("filled in {:?}", start.elapsed());
    Ok(index)
}

fn record(namespace: &str, name: &str, number: u32) -> ServiceRecord {
    let address = IpAddr::from(Ipv4Addr::from(0x0a60_0000 + number + 1));
    let shape = Shape::ClusterIp(vec![address]);
    ServiceRecord { namespace: namespace.to_owned(), name: name.to_owned(), shape, ports: ports(80) }
}

fn ports(number: u16) -> Vec<PortRecord> {
    vec![PortRecord { name: "http".to_owned(), number: Some(number), ..PortRecord::default() }]
}

/// What a change costs: of one Service, and of one slice of a headless Service with five thousand endpoints.
fn change(index: &Index) -> Outcome<()> {
    let start = Instant::now();
    for number in 0..1000 {
        index.set_service(&record("bench", "changing", number))?;
    }
    println!("one Service changed in {:?}", start.elapsed() / 1000);
    let shape = Shape::Headless;
    index.set_service(&ServiceRecord { namespace: "bench".into(), name: "wide".into(), shape, ports: ports(80) })?;
    let slice = |slice: u32, shift: u32| SliceRecord {
        namespace: "bench".into(),
        name: format!("wide-{slice:02}"),
        service: "wide".into(),
        endpoints: (0..100)
            .map(|n| EndpointRecord {
                addresses: vec![Ipv4Addr::from(0x0c00_0000 + slice * 256 + n + shift).into()],
                ready: true,
                ..EndpointRecord::default()
            })
            .collect(),
        ports: ports(80),
    };
    for number in 0..50 {
        index.set_slice(&slice(number, 0))?;
    }
    let start = Instant::now();
    for number in 0..50 {
        index.set_slice(&slice(number, 1))?;
    }
    println!("one slice of fifty changed in {:?}", start.elapsed() / 50);
    index.remove_service("bench", "changing");
    index.remove_service("bench", "wide");
    for number in 0..50 {
        index.remove_slice("bench", &format!("wide-{number:02}"));
    }
    Ok(())
}

/// A forwarder whose cache knows the outside names already, and whose upstream is nobody.
fn forwarder(arguments: &Arguments) -> Outcome<Arc<Forwarder>> {
    let keep = Keep::default();
    let forwarder = Arc::new(Forwarder::new(Settings::to(["127.0.0.1:9".parse()?]))?);
    for packet in questions(&Arguments { forwarded: true, ..arguments.clone() }) {
        let query = Query::parse(&packet).map_err(|refusal| format!("{refusal:?}"))?;
        let mut answer = packet.clone();
        answer[2] |= 0x80;
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, 1]);
        let message = hickory_proto::op::Message::from_vec(&answer)?;
        let stored = Stored::new(message, &Wanted::of(&query), &keep, Instant::now()).ok_or("no answer")?;
        forwarder.cache().put(Arc::new(stored), &keep, Instant::now());
    }
    Ok(forwarder)
}

/// Questions in the proportions of the mix, shuffled the same way each time.
fn questions(arguments: &Arguments) -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_u32;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    let mix = |random: &mut dyn FnMut() -> u32| {
        let (name, namespace) = service(random() % arguments.services.max(1));
        match random() % 10 {
            0..=5 => question(&format!("{name}.{namespace}.svc.cluster.local"), 1),
            6..=7 => question(&format!("{name}.{namespace}.svc.cluster.local"), 28),
            8 => question(&format!("_http._tcp.{name}.{namespace}.svc.cluster.local"), 33),
            _ => question(&format!("www.example.com.{namespace}.svc.cluster.local"), 1),
        }
    };
    if arguments.forwarded {
        (0..1000).map(|host| question(&format!("host-{host}.example.com"), 1)).collect()
    } else {
        (0..20_000).map(|_| mix(&mut random)).collect()
    }
}

/// Octets of memory that this process has.
fn resident() -> Outcome<u64> {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm")?.split(' ').nth(1).ok_or("statm")?.parse()?;
    Ok(pages * 4096)
}

/// Threads of this process whose names start so.
fn threads(prefix: &str) -> Outcome<Vec<u32>> {
    let mut threads = Vec::new();
    for entry in std::fs::read_dir("/proc/self/task")? {
        let path = entry?.path();
        if std::fs::read_to_string(path.join("comm"))?.starts_with(prefix) {
            threads.push(path.file_name().and_then(|name| name.to_str()).ok_or("task")?.parse()?);
        }
    }
    threads.sort_unstable();
    Ok(threads)
}
