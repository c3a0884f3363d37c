//! SCTP without the kernel's own: whoever wants to know where an association would go needs no more than its first
//! packet and the first answer, sent and read through raw sockets (RFC 9260 sections 3 and 5.1).
//!
//! The server answers INIT with INIT ACK, and puts the line that the other servers greet with into the state cookie.

use std::io::{Error, ErrorKind, Result};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use nix::sys::socket::{SockaddrStorage, recvfrom};
use socket2::{Domain, Protocol, Socket, Type};

use crate::namespace::Namespace;
use crate::server::{Worker, readable, start};

/// IANA's number.
pub const SCTP: u8 = 132;
/// Chunk types.
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
/// The parameter that holds the line.
const STATE_COOKIE: u16 = 7;
/// Common header, chunk header and what INIT and INIT ACK have in common.
const FIXED: usize = 12 + 4 + 16;

/// Whether the kernel tracks SCTP, and so can rewrite where it goes: to be asked in the namespace that is meant.
pub fn is_tracked() -> bool {
    std::path::Path::new("/proc/sys/net/netfilter/nf_conntrack_sctp_timeout_established").exists()
}

/// Answers INIT to some ports of one address of a namespace. Stops when dropped.
pub struct SctpServer {
    _worker: Worker,
}

impl SctpServer {
    /// Answers at once, at these ports, as `NAME:PORT`.
    pub fn start(namespace: &Namespace, address: IpAddr, ports: &[u16], name: &str) -> anyhow::Result<SctpServer> {
        let socket = namespace.run(|| raw(address))?;
        let socket = socket.with_context(|| format!("a raw socket at {address} in {}", namespace.name()))?;
        socket.set_nonblocking(true)?;
        let (ports, name) = (ports.to_vec(), name.to_owned());
        let worker = start(format!("sctp-{name}"), move |stopped| {
            while readable(socket.as_fd(), &stopped) {
                let Ok((init, peer)) = receive(&socket) else { continue };
                let Some(to) = init.is(INIT).then_some(init.destination).filter(|port| ports.contains(port)) else {
                    continue;
                };
                let line = format!("{name}:{to} {}\n", SocketAddr::new(peer, init.source));
                let answer = Packet {
                    source: to,
                    destination: init.source,
                    verification: init.initiate,
                    kind: INIT_ACK,
                    initiate: init.initiate ^ u32::MAX,
                    cookie: line.into_bytes(),
                };
                // A client that went away does not hear the answer.
                _ = socket.send_to(&answer.encode(), &SocketAddr::new(peer, 0).into());
            }
        })?;
        Ok(SctpServer { _worker: worker })
    }
}

/// Sends one INIT from a port of its own, in the calling thread's namespace; the line of whoever answers. `from` may be
/// unspecified. `ConnectionRefused` and the like are what ICMP said.
pub fn ask_sctp(from: IpAddr, to: SocketAddr, patience: Duration) -> Result<String> {
    static NEXT_PORT: AtomicU16 = AtomicU16::new(20_000);
    let source = 20_000 + NEXT_PORT.fetch_add(1, Ordering::Relaxed) % 10_000;
    let socket = raw(from)?;
    socket.connect(&SocketAddr::new(to.ip(), 0).into())?;
    let initiate = 0x5c70_0000 | u32::from(source);
    let destination = to.port();
    let init = Packet { source, destination, verification: 0, kind: INIT, initiate, cookie: Vec::new() };
    match socket.send(&init.encode()) {
        // What the output hook says to a process of the node itself; whether it is told more is read below.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
        sent => drop(sent?),
    }
    let end = Instant::now() + patience;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        socket.set_read_timeout(Some(left))?;
        match receive(&socket) {
            Ok((answer, _)) if answer.is(INIT_ACK) && answer.destination == source => {
                let line = String::from_utf8_lossy(&answer.cookie).into_owned();
                return Ok(line.trim_end_matches(['\n', '\0']).to_owned());
            }
            // Somebody else's.
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::InvalidData => {}
            Err(error) => return Err(error),
        }
    }
}

fn raw(address: IpAddr) -> Result<Socket> {
    let socket = Socket::new(Domain::for_address(SocketAddr::new(address, 0)), Type::RAW, Some(Protocol::SCTP))?;
    socket.bind(&SocketAddr::new(address, 0).into())?;
    Ok(socket)
}

fn receive(socket: &Socket) -> Result<(Packet, IpAddr)> {
    let mut buffer = [0; 2048];
    let (len, peer) = recvfrom::<SockaddrStorage>(socket.as_raw_fd(), &mut buffer)?;
    let peer = peer.and_then(|peer| {
        let v4 = peer.as_sockaddr_in().map(|peer| IpAddr::V4(peer.ip()));
        v4.or_else(|| peer.as_sockaddr_in6().map(|peer| IpAddr::V6(peer.ip())))
    });
    let peer = peer.ok_or(ErrorKind::InvalidData)?;
    // Raw sockets of IPv4 give the IP header too, those of IPv6 do not.
    let header = if peer.is_ipv4() { usize::from(buffer[0] & 0xf) * 4 } else { 0 };
    let packet = buffer.get(header..len).and_then(Packet::decode);
    Ok((packet.ok_or_else(|| Error::from(ErrorKind::InvalidData))?, peer))
}

/// A packet with one chunk, INIT or INIT ACK.
#[derive(Debug, PartialEq, Eq)]
struct Packet {
    source: u16,
    destination: u16,
    verification: u32,
    kind: u8,
    initiate: u32,
    cookie: Vec<u8>,
}

impl Packet {
    fn is(&self, kind: u8) -> bool {
        self.kind == kind
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = [self.source.to_be_bytes(), self.destination.to_be_bytes()].concat();
        bytes.extend(self.verification.to_be_bytes());
        bytes.extend([0; 4]);
        let parameter = if self.cookie.is_empty() { 0 } else { 4 + self.cookie.len() };
        bytes.extend([self.kind, 0]);
        bytes.extend((20 + parameter as u16).to_be_bytes());
        bytes.extend(self.initiate.to_be_bytes());
        // Window, streams out and in, first sequence number.
        bytes.extend(0xffff_u32.to_be_bytes());
        bytes.extend([0, 1, 0, 1]);
        bytes.extend(self.initiate.to_be_bytes());
        if parameter > 0 {
            bytes.extend(STATE_COOKIE.to_be_bytes());
            bytes.extend((parameter as u16).to_be_bytes());
            bytes.extend(&self.cookie);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        let checksum = crc32c(&bytes);
        bytes[8..12].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Packet> {
        let word = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let half = |at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let mut unsummed = bytes.to_vec();
        unsummed.get_mut(8..12)?.fill(0);
        if crc32c(&unsummed).to_le_bytes() != bytes[8..12] {
            return None;
        }
        let cookie = match half(FIXED) {
            Some(STATE_COOKIE) => bytes.get(FIXED + 4..FIXED + usize::from(half(FIXED + 2)?))?.to_vec(),
            _ => Vec::new(),
        };
        let (source, destination, kind) = (half(0)?, half(2)?, *bytes.get(12)?);
        Some(Packet { source, destination, verification: word(4)?, kind, initiate: word(16)?, cookie })
    }
}

/// RFC 9260 appendix A. Bit by bit: a few packets are summed.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step));
    !crc
}

#[cfg(test)]
mod tests;
