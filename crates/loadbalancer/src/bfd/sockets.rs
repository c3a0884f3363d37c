//! The sockets of BFD: two ports for all sessions of a node, and for each session one to send by.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrStorage, bind, recvmsg, setsockopt,
    socket, sockopt,
};
use tokio::io::Interest;

use super::Target;
use super::packet::Packet;

/// Where neighbours are spoken to (RFC 5881, 4).
const NEIGHBOUR: u16 = 3784;
/// Where others are (RFC 5883, 5).
const DISTANT: u16 = 4784;
/// What is sent with it cannot have come from farther than the same network (RFC 5881, 5).
const HOPS: u8 = 255;
/// The ports that are sent from (RFC 5881, 4).
const FIRST_SOURCE: u16 = 49_152;
/// How many of them are tried.
const TRIES: u64 = 32;
/// More than any packet without authentication; what is longer is cut off, and then not valid.
const LONGEST: usize = 64;

/// A packet that has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    /// Whose it is.
    pub from: IpAddr,
    /// Whether it came to the port of neighbours.
    pub is_neighbour: bool,
    /// The packet.
    pub packet: Packet,
}

/// The ports of a node, of both families as far as there are both.
pub(super) struct Sockets {
    sockets: Vec<(bool, tokio::net::UdpSocket)>,
}

impl Sockets {
    /// In the calling thread's network namespace.
    pub(super) fn open() -> io::Result<Self> {
        let mut sockets = Vec::new();
        for (port, is_neighbour) in [(NEIGHBOUR, true), (DISTANT, false)] {
            sockets.push((is_neighbour, receiver((Ipv4Addr::UNSPECIFIED, port).into())?));
            match receiver((Ipv6Addr::UNSPECIFIED, port).into()) {
                Ok(socket) => sockets.push((is_neighbour, socket)),
                Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { sockets })
    }

    /// The next packet that is one.
    pub(super) async fn receive(&self) -> Arrived {
        loop {
            let waiting = self.sockets.iter().map(|(is_neighbour, socket)| {
                Box::pin(async move {
                    let read = || receive(socket.as_raw_fd());
                    (*is_neighbour, socket.async_io(Interest::READABLE, read).await)
                })
            });
            match first(waiting.collect()).await {
                (is_neighbour, Ok((from, hops, bytes))) => {
                    let Some(packet) = Packet::from_bytes(&bytes) else { continue };
                    if !is_neighbour || hops == Some(HOPS) {
                        return Arrived { from, is_neighbour, packet };
                    }
                }
                // An error that the network told of an earlier packet.
                (_, Err(error)) => tracing::debug!(%error, "a BFD packet was not received"),
            }
        }
    }
}

/// What the first of several futures gives; the others are dropped, which loses nothing of a socket.
async fn first<T, F: Future<Output = T> + Unpin>(mut all: Vec<F>) -> T {
    std::future::poll_fn(move |context| {
        let done = all.iter_mut().find_map(|one| match std::pin::Pin::new(one).poll(context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        });
        done.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
    })
    .await
}

fn receiver(at: SocketAddr) -> io::Result<tokio::net::UdpSocket> {
    let family = if at.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let file = socket(family, SockType::Datagram, flags, None)?;
    if at.is_ipv4() {
        setsockopt(&file, sockopt::Ipv4RecvTtl, &true)?;
    } else {
        setsockopt(&file, sockopt::Ipv6V6Only, &true)?;
        setsockopt(&file, sockopt::Ipv6RecvHopLimit, &true)?;
    }
    bind(file.as_raw_fd(), &SockaddrStorage::from(at))?;
    tokio::net::UdpSocket::from_std(UdpSocket::from(file))
}

/// A datagram: whose, with how many hops left, its bytes.
fn receive(file: i32) -> io::Result<(IpAddr, Option<u8>, Vec<u8>)> {
    let mut bytes = [0; LONGEST];
    let mut space = nix::cmsg_space!(libc::c_int);
    let mut into = [io::IoSliceMut::new(&mut bytes)];
    let got = recvmsg::<SockaddrStorage>(file, &mut into, Some(&mut space), MsgFlags::MSG_DONTWAIT)?;
    let address = got.address.ok_or(io::ErrorKind::InvalidData)?;
    let v4 = address.as_sockaddr_in().map(|from| IpAddr::V4(from.ip()));
    let from = v4.or_else(|| address.as_sockaddr_in6().map(|from| IpAddr::V6(from.ip())));
    let hops = got.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::Ipv4Ttl(hops) | ControlMessageOwned::Ipv6HopLimit(hops) => u8::try_from(hops).ok(),
        _ => None,
    });
    let length = got.bytes;
    Ok((from.ok_or(io::ErrorKind::InvalidData)?, hops, bytes[..length.min(LONGEST)].to_vec()))
}

/// A socket that sends to a router, from a port of those that are for it.
pub(super) fn sender(target: &Target, chance: u64) -> io::Result<UdpSocket> {
    let any = if target.address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let from = target.source.unwrap_or(any);
    let ports = u64::from(u16::MAX - FIRST_SOURCE) + 1;
    let port = |n: u64| FIRST_SOURCE + u16::try_from((chance % ports + n) % ports).unwrap_or(0);
    let mut tries = (0..TRIES).map(|n| UdpSocket::bind((from, port(n))));
    let socket = tries.find(|made| !matches!(made, Err(error) if error.kind() == io::ErrorKind::AddrInUse));
    let socket = socket.unwrap_or_else(|| Err(io::ErrorKind::AddrInUse.into()))?;
    socket.set_nonblocking(true)?;
    match target.address {
        IpAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4Ttl, &i32::from(HOPS))?,
        IpAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6Ttl, &i32::from(HOPS))?,
    }
    socket.connect((target.address, if target.is_neighbour { NEIGHBOUR } else { DISTANT }))?;
    Ok(socket)
}
