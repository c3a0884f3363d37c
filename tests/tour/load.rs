//! A client that connects again and again, and remembers every failure.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long one connection may take until it counts as failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a client has seen.
#[derive(Debug, Default)]
pub struct Seen {
    /// How many answers each Pod gave.
    pub answers: BTreeMap<String, usize>,
    /// What went wrong.
    pub errors: Vec<String>,
}

impl Seen {
    /// How many answers there were.
    pub fn total(&self) -> usize {
        self.answers.values().sum()
    }

    fn add(&mut self, other: Self) {
        for (pod, count) in other.answers {
            *self.answers.entry(pod).or_default() += count;
        }
        self.errors.extend(other.errors);
    }
}

/// A client under way.
pub struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Seen>>,
}

impl Load {
    /// Connects so many times a second, each time anew, from the namespace of the calling thread.
    pub fn start(address: SocketAddr, per_second: u32) -> Self {
        const THREADS: u32 = 8;
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..THREADS)
            .map(|_| {
                let stop = stop.clone();
                std::thread::spawn(move || run(address, Duration::from_secs(1) * THREADS / per_second, &stop))
            })
            .collect();
        Self { stop, threads }
    }

    /// Stops, and says what was seen.
    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        let mut seen = Seen::default();
        for thread in self.threads {
            seen.add(thread.join().unwrap());
        }
        seen
    }
}

fn run(address: SocketAddr, every: Duration, stop: &AtomicBool) -> Seen {
    let mut seen = Seen::default();
    let mut next = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        match ask(address) {
            Ok(pod) => *seen.answers.entry(pod).or_default() += 1,
            Err(error) => seen.errors.push(error.to_string()),
        }
        next += every;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    seen
}

/// Connects so many times from the namespace of the calling thread, and says who answered.
pub fn connect_times(address: SocketAddr, times: usize) -> Seen {
    let mut seen = Seen::default();
    for _ in 0..times {
        match ask(address) {
            Ok(pod) => *seen.answers.entry(pod).or_default() += 1,
            Err(error) => seen.errors.push(error.to_string()),
        }
    }
    seen
}

/// One connection, one request: the name of the Pod that answered.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: tour\r\nAccept: application/json\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let start = body.find('{').unwrap_or(0);
    let end = body.rfind('}').map_or(body.len(), |e| e + 1);
    let answer: serde_json::Value = serde_json::from_str(&body[start..end])
        .map_err(|e| std::io::Error::other(format!("an answer that is none ({e}): {answer:?}")))?;
    Ok(answer["pod"].as_str().unwrap_or_default().to_owned())
}
