//! Loads: a flow of datagrams, and connections one after the other.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use testbed::Namespace;

use crate::world::CLIENT;

/// Between two datagrams, and between two connections of all threads together: 1,000 requests a second.
const EVERY: Duration = Duration::from_millis(1);
/// How long a request may take until it has failed.
const PATIENCE: Duration = Duration::from_secs(2);

/// A flow of datagrams, one each millisecond: when each came back.
pub struct Flow {
    pub port: u16,
    returned: Arc<Mutex<Vec<Instant>>>,
    over: Arc<AtomicBool>,
}

impl Flow {
    pub fn start(client: &Namespace, to: IpAddr) -> Self {
        let bind = || UdpSocket::bind((CLIENT, 0));
        let socket = Arc::new(client.run(bind).unwrap().unwrap());
        let port = socket.local_addr().unwrap().port();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (returned, over) = (Arc::<Mutex<Vec<Instant>>>::default(), Arc::<AtomicBool>::default());
        let (sending, sent_over) = (socket.clone(), over.clone());
        std::thread::spawn(move || {
            let begin = Instant::now();
            let mut number: u32 = 0;
            while !sent_over.load(Ordering::Relaxed) {
                let _ = sending.send_to(&number.to_be_bytes(), SocketAddr::new(to, 80));
                number += 1;
                std::thread::sleep((begin + EVERY * number).saturating_duration_since(Instant::now()));
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
        Self { port, returned, over }
    }

    pub fn is_on_since(&self, since: Instant) -> bool {
        self.returned.lock().unwrap().last().is_some_and(|last| *last > since)
    }

    /// The longest time without an answer, of those that end after a moment.
    pub fn longest_gap(&self, after: Instant) -> Duration {
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

/// What became of requests.
#[derive(Default)]
pub struct Counts {
    pub done: AtomicUsize,
    pub failed: AtomicUsize,
    /// Why the first ones failed.
    pub why: Mutex<Vec<String>>,
}

/// Requests over a new connection each, 1,000 a second as far as the machine can.
pub struct Requests {
    pub counts: Arc<Counts>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

const THREADS: u32 = 4;

impl Requests {
    pub fn start(client: &Namespace, to: SocketAddr) -> Self {
        let (counts, over) = (Arc::<Counts>::default(), Arc::<AtomicBool>::default());
        let one = |_| {
            let (counts, over) = (counts.clone(), over.clone());
            let load = move || {
                let mut next = Instant::now();
                while !over.load(Ordering::Relaxed) {
                    match request(to) {
                        Ok(()) => drop(counts.done.fetch_add(1, Ordering::Relaxed)),
                        Err(error) => {
                            counts.failed.fetch_add(1, Ordering::Relaxed);
                            let mut why = counts.why.lock().unwrap();
                            if why.len() < 5 {
                                why.push(error.to_string());
                            }
                        }
                    }
                    next += EVERY * THREADS;
                    std::thread::sleep(next.saturating_duration_since(Instant::now()));
                }
            };
            // A thread that is started inside is inside.
            client.run(|| std::thread::spawn(load)).unwrap()
        };
        let threads = (0..THREADS).map(one).collect();
        Self { counts, over, threads }
    }

    pub fn done(&self) -> usize {
        self.counts.done.load(Ordering::Relaxed)
    }

    /// Ends; how many were done, how many failed.
    pub fn end(self) -> (usize, usize, Vec<String>) {
        self.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        let why = self.counts.why.lock().unwrap().clone();
        (self.counts.done.load(Ordering::Relaxed), self.counts.failed.load(Ordering::Relaxed), why)
    }
}

/// One request: a connection, a greeting, an echo.
pub fn request(to: SocketAddr) -> std::io::Result<()> {
    let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut stream = BufReader::new(stream);
    if stream.read_line(&mut String::new())? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    stream.get_mut().write_all(b"!")?;
    stream.read_exact(&mut [0])
}
