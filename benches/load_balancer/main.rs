//! How long an address is away when its node dies without a word: `cargo bench --bench load_balancer`.
//!
//! Three nodes on a real switch, all in namespaces. A client sends a datagram each millisecond to one address, which a
//! machine behind the nodes sends back. The cable of the node that answers for the address is pulled; what is printed is
//! how long no datagram came back, and how long until another node speaks for each of the addresses that were the dead
//! node's. `PORTOLAN_ROUNDS` (20) says how often, `PORTOLAN_ADDRESSES` (30, at most 50) how many addresses there are.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a measurement that cannot go on ends")]
#![allow(dead_code, reason = "the tests' world can do more than is needed here")]

#[path = "../../tests/load_balancer/wire.rs"]
mod wire;
#[path = "../../tests/load_balancer/world.rs"]
mod world;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use testbed::{Namespace, wait_until};

use world::{CLIENT, SOON, World, port};

/// A flow of datagrams: when each came back.
struct Flow {
    returned: Arc<Mutex<Vec<Instant>>>,
    over: Arc<AtomicBool>,
}

impl Flow {
    fn start(client: &Namespace, to: IpAddr) -> Self {
        let bind = || UdpSocket::bind((CLIENT, 0));
        let socket = Arc::new(client.run(bind).unwrap().unwrap());
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (returned, over) = (Arc::<Mutex<Vec<Instant>>>::default(), Arc::<AtomicBool>::default());
        let (sending, sent_over) = (socket.clone(), over.clone());
        std::thread::spawn(move || {
            let begin = Instant::now();
            let mut number: u32 = 0;
            while !sent_over.load(Ordering::Relaxed) {
                let _ = sending.send_to(&number.to_be_bytes(), SocketAddr::new(to, 80));
                number += 1;
                let next = begin + Duration::from_millis(number.into());
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
        let (arrived, heard_over) = (returned.clone(), over.clone());
        std::thread::spawn(move || {
            let mut bytes = [0; 64];
            while !heard_over.load(Ordering::Relaxed) {
                if socket.recv(&mut bytes).is_ok() {
                    arrived.lock().unwrap().push(Instant::now());
                }
            }
        });
        Self { returned, over }
    }

    fn is_on_since(&self, since: Instant) -> bool {
        self.returned.lock().unwrap().last().is_some_and(|last| *last > since)
    }

    /// The longest time without an answer, of those that end after a moment.
    fn longest_gap(&self, after: Instant) -> Duration {
        let returned = self.returned.lock().unwrap();
        let gaps = returned.windows(2).filter(|two| two[1] > after).map(|two| two[1] - two[0]);
        gaps.max().unwrap_or_default()
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_millis();
    println!("{what}: p50 {} ms, p90 {} ms, p99 {} ms, of {}", at(50), at(90), at(99), times.len());
}

fn main() {
    // `cargo test --benches` only asks whether it is built.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let Some(world) = World::new() else { return };
    let udp = json!({"ports": [{"port": 80, "targetPort": 8080, "protocol": "UDP"}]});
    let addresses: Vec<IpAddr> =
        (0..number("PORTOLAN_ADDRESSES", 30)).map(|n| world.balanced(&format!("web-{n}"), &udp)).collect();
    (0..addresses.len()).for_each(|n| world.wait_ready(&format!("web-{n}")));
    let flow = Flow::start(&world.client, addresses[0]);
    let (mut away, mut spoken) = (Vec::new(), Vec::new());
    for _ in 0..number("PORTOLAN_ROUNDS", 20) {
        let dead = world.owner(addresses[0]);
        let lost: Vec<IpAddr> = addresses.iter().copied().filter(|address| world.owner(*address) == dead).collect();
        let cut = Instant::now();
        world.here.set_down(&port(dead)).unwrap();
        lost.iter().for_each(|address| world.wait_succeeded(*address, dead));
        let first = |address: &IpAddr| world.wire.words(*address).into_iter().find(|word| word.at > cut);
        spoken.extend(lost.iter().map(|address| first(address).unwrap().at - cut));
        let succeeded = Instant::now();
        wait_until(SOON, "datagrams come back", || flow.is_on_since(succeeded)).unwrap();
        away.push(flow.longest_gap(cut));
        world.here.set_up(&port(dead)).unwrap();
        lost.iter().for_each(|address| world.wait_owner(*address, dead));
        (0..addresses.len()).for_each(|n| world.wait_ready(&format!("web-{n}")));
    }
    print("no datagram came back for", away);
    print("another node spoke for an address after", spoken);
    addresses.iter().for_each(|address| world.wire.assert_never_two(*address));
}
