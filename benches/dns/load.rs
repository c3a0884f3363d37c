//! What is asked, and how fast it is answered.

use std::fmt;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use testbed::Namespace;

use crate::generator::{self, Generator, Load, question};
use crate::server::DNS;

/// Sockets of a generator, each with a source port of its own.
const SOCKETS: usize = 128;
/// Questions under way on each: what a server takes best is looked for.
const WINDOWS: [usize; 4] = [1, 2, 6, 16];
/// How long a window is tried.
const TRY: Duration = Duration::from_millis(1500);
/// Where the echo is.
pub const ECHO: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5301);
/// Names from outside.
const HOSTS: u32 = 1000;

/// Which cores a server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cores {
    /// The first alone.
    First,
    /// The first two.
    Both,
}

impl Cores {
    /// Their numbers.
    pub fn list(self) -> &'static [usize] {
        match self {
            Cores::First => &[0],
            Cores::Both => &[0, 1],
        }
    }
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub enum Mix {
    /// Of so many Services A (60%), AAAA (20%), SRV (10%), and names with a search path's domain that do not exist (10%).
    Cluster(u32),
    /// A of names from outside.
    Outside,
}

/// What came of a load.
#[derive(Debug, Clone, Copy)]
pub struct Found {
    /// Answers a second.
    pub rate: f64,
    /// CPU time of the server for a query, in microseconds.
    pub server: f64,
    /// The same of the generator.
    pub generator: f64,
    lost: u64,
    window: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Found { rate, server, generator, lost, window } = self;
        write!(
            f,
            "{rate:.0} answers/s, {server:.2} us of CPU a query, generator {generator:.2} us, {lost} lost, \
             {window} under way on each of {SOCKETS} sockets"
        )
    }
}

/// The top rate of a server whose cores are not the generator's.
pub fn top(node: &Namespace, mix: Mix, time: Duration, pid: u32) -> Found {
    let last = std::thread::available_parallelism().expect("cores").get() - 1;
    let try_it = |window, time| on(node, mix, window, &[last], time, pid);
    let window = best(|window| try_it(window, TRY));
    try_it(window, time)
}

/// The rate of a server, asked by generators on both cores, whatever it has of them.
pub fn together(node: &Namespace, mix: Mix, time: Duration, pid: u32) -> Found {
    let try_it = |window, time| on(node, mix, window, Cores::Both.list(), time, pid);
    let window = best(|window| try_it(window, TRY));
    try_it(window, time)
}

fn best(try_it: impl Fn(usize) -> Found) -> usize {
    let tried = WINDOWS.map(|window| (window, try_it(window).rate));
    tried.into_iter().max_by(|one, other| one.1.total_cmp(&other.1)).expect("windows").0
}

/// Asks on each of these cores by a generator.
fn on(node: &Namespace, mix: Mix, window: usize, cores: &[usize], time: Duration, pid: u32) -> Found {
    let load = Load { sockets: SOCKETS / cores.len(), window, rate: None };
    let ask = |core: usize| {
        let asked = || -> std::io::Result<_> {
            let mut generator = Generator::new(DNS, load, questions(mix, core as u32 + 1))?;
            generator::pin(0, core)?;
            generator.run(Duration::from_millis(200))?;
            let (server, own) = (generator::process_time(pid)?, generator::own_time()?);
            let report = generator.run(time)?;
            Ok((report, generator::process_time(pid)? - server, generator::own_time()? - own))
        };
        node.run(asked).expect("a thread on the node").expect("a load")
    };
    let all: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = cores.iter().map(|core| scope.spawn(|| ask(*core))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a generator")).collect()
    });
    let answers: u64 = all.iter().map(|one| one.0.answers).sum();
    let each = |time: Duration| time.as_secs_f64() * 1e6 / answers.max(1) as f64;
    Found {
        rate: all.iter().map(|one| one.0.answers as f64 / one.0.took.as_secs_f64()).sum(),
        // Each of them saw all that the server spent.
        server: each(all.iter().map(|one| one.1).sum::<Duration>() / cores.len() as u32),
        generator: each(all.iter().map(|one| one.2).sum()),
        lost: all.iter().map(|one| one.0.lost).sum(),
        window,
    }
}

/// Latencies of a server at a rate: the 50th, 99th and 99.9th percentile.
pub fn latencies(node: &Namespace, server: SocketAddr, mix: Mix, rate: f64, time: Duration) -> [Duration; 3] {
    let last = std::thread::available_parallelism().expect("cores").get() - 1;
    let asked = || -> std::io::Result<_> {
        let load = Load { sockets: SOCKETS, window: 1, rate: Some(rate) };
        let mut generator = Generator::new(server, load, questions(mix, 1))?;
        generator::pin(0, last)?;
        generator.run(Duration::from_millis(500))?;
        generator.run(time)
    };
    node.run(asked).expect("a thread on the node").expect("a load").latencies.expect("latencies at a rate")
}

/// Starts what does nothing but send each question back, on the first core, until the process ends: what it takes is the
/// generator's and the kernel's.
pub fn echo(node: &Namespace) {
    let socket = node.run(|| UdpSocket::bind(ECHO)).expect("a thread on the node").expect("an echo");
    std::thread::spawn(move || {
        generator::pin(0, Cores::First.list()[0]).expect("the first core");
        let mut packet = [0; 4096];
        while let Ok((length, peer)) = socket.recv_from(&mut packet) {
            packet[2] |= 0x80;
            // Who asks has gone perhaps, and then nobody waits for it.
            _ = socket.send_to(&packet[..length], peer);
        }
    });
}

/// Asks once for each name from outside.
pub fn warm(node: &Namespace) {
    let asked = || -> std::io::Result<()> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        socket.connect(DNS)?;
        for packet in questions(Mix::Outside, 1) {
            socket.send(&packet)?;
            socket.recv(&mut [0; 4096])?;
        }
        Ok(())
    };
    node.run(asked).expect("a thread on the node").expect("every name is answered");
}

/// Questions, the same each time for a seed.
fn questions(mix: Mix, seed: u32) -> Vec<Vec<u8>> {
    let mut state = 0x9e37_79b9_u32.wrapping_mul(seed);
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    match mix {
        Mix::Outside => (0..HOSTS).map(|host| question(&format!("host-{host}.example.com"), 1)).collect(),
        Mix::Cluster(services) => {
            let mut one = || {
                let name = format!("many-{}.default.svc.cluster.local", random() % services);
                match random() % 10 {
                    0..=5 => question(&name, 1),
                    6..=7 => question(&name, 28),
                    8 => question(&format!("_http._tcp.{name}"), 33),
                    _ => question(&format!("host-{}.example.com.default.svc.cluster.local", random() % HOSTS), 1),
                }
            };
            (0..40_000).map(|_| one()).collect()
        }
    }
}
