//! What a client sees. Each function runs inside the client's namespace.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;
use socket2::{Domain, Socket, Type};

/// Attempts that are under way at the same time: what was dropped while there were no rules stays dropped, and the next
/// attempt must not wait for it.
const ATTEMPTS: usize = 48;

/// Tries to connect, with a new attempt each millisecond, until one is answered by a connection: how long that took since
/// `since`. `None` when patience ends.
pub fn first_connection(address: SocketAddrV4, since: Instant, patience: Duration) -> Option<Duration> {
    let mut waiting: VecDeque<Socket> = VecDeque::new();
    while since.elapsed() < patience {
        let socket = attempt();
        match socket.connect(&SocketAddr::V4(address).into()) {
            Ok(()) => return Some(since.elapsed()),
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => waiting.push_back(socket),
            // Refused at once, by a rule in the own way out.
            Err(_) => {}
        }
        if waiting.len() > ATTEMPTS {
            waiting.pop_front();
        }
        let next = Instant::now() + Duration::from_millis(1);
        while let Some(left) = next.checked_duration_since(Instant::now()) {
            if any_connected(&mut waiting, left) {
                return Some(since.elapsed());
            }
        }
    }
    None
}

/// A socket that leaves nothing behind: closing it resets the connection.
fn attempt() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None).expect("a socket");
    socket.set_linger(Some(Duration::ZERO)).expect("no lingering");
    socket
}

/// Waits that long for an answer to any attempt; those that were refused go.
fn any_connected(waiting: &mut VecDeque<Socket>, left: Duration) -> bool {
    let mut polled: Vec<PollFd<'_>> = waiting.iter().map(|s| PollFd::new(s.as_fd(), PollFlags::POLLOUT)).collect();
    if ppoll(&mut polled, Some(TimeSpec::from(left)), None).expect("poll") == 0 {
        return false;
    }
    let answered: Vec<bool> = polled.iter().map(|p| p.any().unwrap_or(false)).collect();
    let connected = waiting
        .iter()
        .zip(&answered)
        .any(|(socket, answered)| *answered && matches!(socket.take_error(), Ok(None)) && socket.peer_addr().is_ok());
    let mut answered = answered.into_iter();
    waiting.retain(|_| !answered.next().unwrap_or(false));
    connected
}

/// How long connecting takes, in microseconds: by turns to each of two addresses, on one CPU. Those that were not
/// answered within a second are left out, and those that do not fit into the time that there is.
pub fn connects(direct: SocketAddrV4, vip: SocketAddrV4, count: usize, cap: Duration) -> (Vec<f64>, Vec<f64>) {
    let mut one = CpuSet::new();
    one.set(0).expect("the first CPU");
    sched_setaffinity(Pid::from_raw(0), &one).expect("on the first CPU");
    let end = Instant::now() + cap;
    let turns = (0..count).take_while(|_| Instant::now() < end);
    let (direct, vip): (Vec<_>, Vec<_>) = turns.map(|_| (connect(direct), connect(vip))).unzip();
    (direct.into_iter().flatten().collect(), vip.into_iter().flatten().collect())
}

/// The endpoint closes first, and its end is waited for: no connection is in anybody's way when its port is taken again.
fn connect(address: SocketAddrV4) -> Option<f64> {
    let patience = Duration::from_secs(1);
    let started = Instant::now();
    let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(address), patience).ok()?;
    let time = started.elapsed();
    stream.set_read_timeout(Some(patience)).ok()?;
    stream.read_to_end(&mut Vec::new()).ok()?;
    Some(time.as_secs_f64() * 1e6)
}

/// Connects again and again until a connection ends at one of the addresses from `first` on, `count` in number.
pub fn first_at(
    vip: SocketAddrV4,
    first: Ipv4Addr,
    count: u32,
    since: Instant,
    patience: Duration,
) -> Option<Duration> {
    while since.elapsed() < patience {
        let Some(address) = whose(vip) else { continue };
        let offset = u32::from(address).checked_sub(u32::from(first));
        if offset.is_some_and(|offset| offset < count) {
            return Some(since.elapsed());
        }
    }
    None
}

/// Which endpoint answers; `None` if none does within a tenth of a second.
fn whose(vip: SocketAddrV4) -> Option<Ipv4Addr> {
    let patience = Duration::from_millis(100);
    let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(vip), patience).ok()?;
    stream.set_read_timeout(Some(patience)).ok()?;
    let mut address = [0; 4];
    stream.read_exact(&mut address).ok()?;
    Some(Ipv4Addr::from(address))
}

/// Connections that are held open to echoing endpoints.
pub struct Held(Vec<TcpStream>);

impl Held {
    /// `each` connections to each address.
    pub fn open(vips: &[SocketAddrV4], each: usize) -> Held {
        let open = |vip: &SocketAddrV4| {
            let patience = Duration::from_secs(5);
            let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(*vip), patience).expect("a connection");
            stream.set_read_timeout(Some(patience)).expect("a time limit");
            stream.set_write_timeout(Some(patience)).expect("a time limit");
            stream.read_exact(&mut [0; 4]).expect("the endpoint says which one it is");
            stream
        };
        Held(vips.iter().flat_map(|vip| (0..each).map(move |_| open(vip))).collect())
    }

    /// How many there are, and how many no longer echo.
    pub fn lost(&mut self) -> (usize, usize) {
        let dead = |stream: &mut TcpStream| {
            let mut byte = [0];
            stream.write_all(b"x").and_then(|()| stream.read_exact(&mut byte)).is_err() || byte != *b"x"
        };
        (self.0.len(), self.0.iter_mut().filter_map(|stream| dead(stream).then_some(())).count())
    }
}
