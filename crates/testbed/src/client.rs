//! Clients of [`crate::server`].

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, setsockopt, socket, sockopt};

use crate::namespace::Namespace;

/// How long a client waits for each step.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The server's name.
    pub name: String,
    /// The client's address as the server saw it.
    pub seen_as: SocketAddr,
}

/// Connects once, checks that a byte comes back, and says who answered. At most some seconds.
pub fn ask_tcp(namespace: &Namespace, address: SocketAddr) -> Result<Answer> {
    let asked = namespace.run(|| exchange(TcpStream::connect_timeout(&address, PATIENCE)?))?;
    asked.with_context(|| format!("asking tcp {address} from {}", namespace.name()))
}

/// As [`ask_tcp`], from an address and port of the client's own.
pub fn ask_tcp_from(namespace: &Namespace, from: SocketAddr, address: SocketAddr) -> Result<Answer> {
    let asked = namespace.run(|| exchange(connect_from(from, address)?))?;
    asked.with_context(|| format!("asking tcp {address} from {from} in {}", namespace.name()))
}

/// Sends one datagram from a new socket and says who answered. At most some seconds.
pub fn ask_udp(namespace: &Namespace, address: SocketAddr) -> Result<Answer> {
    let any: SocketAddr = if address.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    ask_udp_from(namespace, any, address)
}

/// As [`ask_udp`], from an address and port of the client's own.
pub fn ask_udp_from(namespace: &Namespace, from: SocketAddr, address: SocketAddr) -> Result<Answer> {
    let asked = namespace.run(|| -> Result<Answer> {
        let socket = UdpSocket::bind(from)?;
        socket.connect(address)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send(b"?")?;
        let mut buffer = [0; 512];
        let len = socket.recv(&mut buffer)?;
        let text = std::str::from_utf8(&buffer[..len])?;
        let (line, echo) = text.split_once('\n').context("an answer without a line")?;
        ensure!(echo == "?", "sent \"?\", got {echo:?}");
        parse(line)
    })?;
    asked.with_context(|| format!("asking udp {address} from {}", namespace.name()))
}

fn exchange(mut stream: TcpStream) -> Result<Answer> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    lines.read_line(&mut line).context("reading the greeting")?;
    stream.write_all(b"?\n")?;
    let mut echo = String::new();
    lines.read_line(&mut echo).context("reading the echo")?;
    ensure!(echo == "?\n", "sent \"?\", got {echo:?}");
    parse(&line)
}

fn connect_from(from: SocketAddr, address: SocketAddr) -> Result<TcpStream> {
    let family = if from.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    // The time to connect is bounded by the time to send (socket(7)).
    let patience = nix::sys::time::TimeVal::new(PATIENCE.as_secs() as i64, 0);
    setsockopt(&socket, sockopt::SendTimeout, &patience)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(from))?;
    nix::sys::socket::connect(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(TcpStream::from(socket))
}

fn parse(line: &str) -> Result<Answer> {
    let (name, seen_as) = line.trim_end().split_once(' ').with_context(|| format!("a greeting of {line:?}"))?;
    Ok(Answer { name: name.to_owned(), seen_as: seen_as.parse()? })
}
