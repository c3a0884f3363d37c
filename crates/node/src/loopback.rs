//! Node ports at 127.0.0.1 and ::1, for processes of the machine itself.
//!
//! No rule alone can send a packet from one loopback address to an endpoint elsewhere (it would need `route_localnet`,
//! with which others can reach what listens on loopback alone). So a rule redirects what is sent to a node port of a
//! loopback address to this relay, and the relay connects to the same port of the node's own address: from there on all
//! is decided as for any process of the node. What follows from that:
//!
//! - Endpoints see the node's address, whatever the policy, as they do with any process of the node.
//! - The relay accepts a TCP connection before it knows whether anybody serves. If nobody does the client is reset.
//! - A half-closed connection stays half-closed; one that is reset on either side is reset on the other.
//! - UDP: a client is remembered for [`udp::IDLE`] after its last datagram, in whichever direction. It is not told when
//!   nobody serves.
//! - SCTP node ports do not answer on loopback.
//! - A process that itself listens at 127.0.0.1 on a port that a Service has as its node port is not reached while the
//!   Service has it: the rule comes first. (Kubernetes gives node ports from a range that is kept free for that.)
//! - Node ports answer on loopback whatever the node-port addresses are: nobody outside can use that.
//!
//! All is bounded by the process' limit of open files; what is beyond is refused with a reset, or dropped, and counted.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;

use dataplane::Family;
use dataplane::model::Node;
use nix::sys::resource::{Resource, getrlimit};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::counters::Counters;

mod tcp;
pub mod udp;

/// Tried first, so that a restart finds the rules as they were. No well-known service has it.
const USUAL_PORT: u16 = 10_239;
/// How often another port is tried when one is free for one protocol or family and not for the other.
const ATTEMPTS: usize = 32;
/// Of a process' open files, one in so many may be a client of the relay over TCP (which takes two), and as many over
/// UDP.
const SHARE_OF_FILES: u64 = 8;
/// Not more clients than these of each sort, however many files there may be.
const MOST_CLIENTS: u64 = 4096;
/// Not fewer.
const FEWEST_CLIENTS: u64 = 32;

/// Why there is no relay.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// No port is free.
    #[error("no port of loopback is free for node ports")]
    Bind(#[source] io::Error),
    /// The kernel does not tell what a datagram was sent to.
    #[error("no netlink socket for conntrack")]
    Conntrack(#[from] nft::SocketError),
}

/// A relay that listens, and does not answer yet.
#[derive(Debug)]
pub struct Relay {
    port: NonZeroU16,
    sockets: Vec<(TcpListener, UdpSocket)>,
    conntrack: nft::Conntrack,
}

impl Relay {
    /// Listens at one port of 127.0.0.1 and, where the machine has IPv6, of ::1, over TCP and UDP. In the network
    /// namespace of the calling thread.
    ///
    /// # Errors
    /// When no port is free, or the kernel has no conntrack.
    pub fn bind() -> Result<Relay, RelayError> {
        let conntrack = nft::Conntrack::in_current_netns()?;
        let mut refused = io::Error::from(io::ErrorKind::AddrInUse);
        for wanted in std::iter::once(USUAL_PORT).chain(std::iter::repeat_n(0, ATTEMPTS)) {
            match bind_all(wanted) {
                Ok((port, sockets)) => return Ok(Relay { port, sockets, conntrack }),
                Err(error) => refused = error,
            }
        }
        Err(RelayError::Bind(refused))
    }

    /// Where it listens: for [`Node::loopback_relay`].
    pub fn port(&self) -> NonZeroU16 {
        self.port
    }

    /// Relays until told to stop. `node` says at which addresses node ports answer. Connections end with it.
    pub async fn run(self, node: watch::Receiver<Node>, counters: Arc<Counters>, stop: CancellationToken) {
        let most = most_clients();
        let mut parts = JoinSet::new();
        let mut datagrams = Vec::new();
        let connections = tcp::Connections::new(most, node.clone(), counters.clone());
        for (listener, socket) in self.sockets {
            parts.spawn(connections.clone().accept(listener, self.port, stop.clone()));
            datagrams.push(socket);
        }
        parts.spawn(udp::Flows::new(most, self.conntrack, node, counters).relay(datagrams, self.port, stop));
        parts.join_all().await;
    }
}

fn most_clients() -> usize {
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(FEWEST_CLIENTS, |(soft, _)| soft);
    let clients = (files / SHARE_OF_FILES).clamp(FEWEST_CLIENTS, MOST_CLIENTS);
    usize::try_from(clients).unwrap_or(usize::MAX)
}

/// One port for all; 0: any.
fn bind_all(wanted: u16) -> io::Result<(NonZeroU16, Vec<(TcpListener, UdpSocket)>)> {
    let (first, port) = bind_one(Ipv4Addr::LOCALHOST.into(), wanted)?;
    let mut sockets = vec![first];
    match bind_one(Ipv6Addr::LOCALHOST.into(), port.get()) {
        Ok((second, _)) => sockets.push(second),
        // A machine without IPv6.
        Err(error) if is_absent(&error) => {}
        Err(error) => return Err(error),
    }
    Ok((port, sockets))
}

fn bind_one(address: IpAddr, port: u16) -> io::Result<((TcpListener, UdpSocket), NonZeroU16)> {
    let listener = std::net::TcpListener::bind(SocketAddr::new(address, port))?;
    let at = listener.local_addr()?;
    let socket = std::net::UdpSocket::bind(at)?;
    listener.set_nonblocking(true)?;
    socket.set_nonblocking(true)?;
    let port = NonZeroU16::new(at.port()).ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(((TcpListener::from_std(listener)?, UdpSocket::from_std(socket)?), port))
}

fn is_absent(error: &io::Error) -> bool {
    let absent = [nix::libc::EADDRNOTAVAIL, nix::libc::EAFNOSUPPORT];
    error.raw_os_error().is_some_and(|code| absent.contains(&code))
}

/// The address of the node at which a node port of a loopback address answers: the first of its family among those at
/// which node ports answer at all.
fn own_address(node: &Node, asked: IpAddr) -> Option<IpAddr> {
    let answers = |address: &&IpAddr| {
        let chosen = &node.node_port_addresses;
        Family::of(**address) == Family::of(asked)
            && (chosen.is_empty() || chosen.iter().any(|net| net.contains(*address)))
    };
    node.addresses.iter().find(answers).copied()
}

#[cfg(test)]
mod tests;
