//! How sockets are made.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsRawFd;

use socket2::{Domain, Protocol, Socket, Type};

/// Room for some thousand questions that wait for their thread; the kernel takes memory only for those that do.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Makes the sockets of one address: a TCP listener, and `workers` UDP sockets among which the kernel spreads askers.
pub(super) struct Sockets {
    pub(super) address: SocketAddr,
    pub(super) tcp: TcpListener,
    pub(super) udp: Vec<UdpSocket>,
}

/// Which of the two could not be made, and why.
pub(super) type Failure = (&'static str, io::Error);

pub(super) fn listen(address: SocketAddr, workers: usize) -> Result<Sockets, Failure> {
    let tcp = listener(address).map_err(|error| ("TCP", error))?;
    // With port 0 the listener has drawn one, and UDP has to take the same.
    let address = tcp.local_addr().map_err(|error| ("TCP", error))?;
    let udp = || -> io::Result<Vec<UdpSocket>> {
        // Sockets that share an address would silently share it with another server's, too: one that does not share
        // finds out whether there is one.
        drop(datagram(address, false)?);
        (0..workers).map(|_| datagram(address, true)).collect()
    };
    Ok(Sockets { address, tcp, udp: udp().map_err(|error| ("UDP", error))? })
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(256)?;
    Ok(socket.into())
}

fn datagram(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_port(shared)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    if address.ip().is_unspecified() {
        // An answer must leave from the address that was asked, which only the datagram tells.
        let (level, option) = match address {
            SocketAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_PKTINFO),
            SocketAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO),
        };
        set_flag(&socket, level, option)?;
    }
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn set_flag(socket: &Socket, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open while `socket` lives, and the value is a c_int of the length that is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Wakes whoever waits for a datagram on `socket`, now and ever after.
///
/// For a datagram socket without a peer the kernel answers ENOTCONN, but shuts it all the same (`inet_shutdown`).
pub(super) fn wake(socket: &UdpSocket) {
    // SAFETY: the descriptor is open while `socket` lives.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RD) };
}
