//! How long the kernel takes for a flat map: full load, one change, dump. Run as root:
//! `cargo run --release -p nft --example load`. It works in a network namespace of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nft::{Batch, Element, Family, Set, Socket, Table, TableId, Type, Value};

/// Repetitions of what is short.
const REPETITIONS: usize = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(reason) = testbed::skip_unless_root() {
        return Err(reason.into());
    }
    println!(
        "{:>9} {:>10} {:>12} {:>12} {:>12} {:>10}",
        "services", "load ms", "change us", "p99 us", "dump ms", "RSS MB"
    );
    for services in [1_000, 10_000, 100_000] {
        let namespace = testbed::Namespace::new("load")?;
        namespace.run(|| measure(services).map_err(|error| error.to_string()))??;
    }
    Ok(())
}

struct Maps {
    services: Arc<Set>,
    endpoints: Arc<Set>,
}

impl Maps {
    fn new(table: &TableId) -> Maps {
        let key = [Type::Ipv4Addr, Type::InetProto, Type::InetService];
        let slot = [Type::Ipv4Addr, Type::InetProto, Type::InetService, Type::Mark];
        let data = [Type::Ipv4Addr, Type::InetService];
        Maps {
            services: Arc::new(Set::map(table, "services", &key, &[Type::Mark])),
            endpoints: Arc::new(Set::map(table, "endpoints", &slot, &data)),
        }
    }

    /// A Service and its two endpoints.
    fn service(&self, n: u32) -> (Element, [Element; 2]) {
        let key = Value::new().ipv4((0x0a60_0000 + n).into()).u8(6).u16(80);
        let slot = |index: u32| {
            let target = Value::new().ipv4((0x0af4_0000 + 2 * n + index).into()).u16(8080);
            Element::value(key.clone().host_u32(index), target)
        };
        (Element::value(key.clone(), Value::new().host_u32(2)), [slot(0), slot(1)])
    }
}

fn measure(services: u32) -> Result<(), Box<dyn std::error::Error>> {
    let table = TableId::new(Family::Ip, "load");
    let maps = Maps::new(&table);
    let mut socket = Socket::in_current_netns()?;
    let begin = Instant::now();
    let mut batch = Batch::new();
    batch.add_table(Table::new(table.clone()));
    batch.add_set(&maps.services);
    batch.add_set(&maps.endpoints);
    let (entries, slots): (Vec<_>, Vec<_>) = (0..services).map(|n| maps.service(n)).unzip();
    batch.add_elements(&maps.services, entries);
    batch.add_elements(&maps.endpoints, slots.into_iter().flatten().collect());
    socket.commit(&batch)?;
    let load = begin.elapsed();
    drop(batch);

    let mut changes: Vec<Duration> = Vec::new();
    for n in 0..REPETITIONS as u32 {
        let (entry, slots) = maps.service(services + n);
        let begin = Instant::now();
        let mut batch = Batch::new();
        batch.add_elements(&maps.services, vec![entry]);
        batch.add_elements(&maps.endpoints, slots.into());
        socket.commit(&batch)?;
        changes.push(begin.elapsed());
    }
    changes.sort();

    let begin = Instant::now();
    let mut count = 0;
    for set in ["services", "endpoints"] {
        socket.each_element(&table, set, |_| count += 1)?;
    }
    let dump = begin.elapsed();
    if count != 3 * (services as usize + REPETITIONS) {
        return Err(format!("{count} elements dumped").into());
    }
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{services:>9} {:>10.1} {:>12.1} {:>12.1} {:>12.1} {:>10.1}",
        milliseconds(load),
        milliseconds(changes[REPETITIONS / 2]) * 1e3,
        milliseconds(changes[REPETITIONS * 99 / 100]) * 1e3,
        milliseconds(dump),
        resident()?,
    );
    Ok(())
}

/// The process' resident memory in MB.
fn resident() -> Result<f64, Box<dyn std::error::Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: f64 = statm.split_whitespace().nth(1).ok_or("no resident pages")?.parse()?;
    Ok(pages * 4096.0 / 1e6)
}
