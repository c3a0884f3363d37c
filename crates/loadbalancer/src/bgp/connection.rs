//! A TCP connection to a router: from which address, over how many hops, signed or not (RFC 2385).

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

/// How long a connection may take to be made.
const PATIENCE: Duration = Duration::from_secs(5);
/// `TCP_MD5SIG` and the longest key, as in the kernel's `linux/tcp.h`.
const TCP_MD5SIG: libc::c_int = 14;
const LONGEST_KEY: usize = 80;

/// `struct tcp_md5sig`
#[repr(C)]
struct Md5Signature {
    address: libc::sockaddr_storage,
    flags: u8,
    prefix: u8,
    key_length: u16,
    interface: libc::c_int,
    key: [u8; LONGEST_KEY],
}

/// Connects.
///
/// # Errors
/// When the connection cannot be made in time, or the kernel cannot sign.
pub(super) async fn connect(
    to: SocketAddr,
    from: Option<IpAddr>,
    hops: u8,
    password: Option<&str>,
) -> io::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = from {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    set_hops(&socket, to, hops)?;
    if let Some(password) = password {
        sign(&socket, to, password)?;
    }
    let connected = tokio::time::timeout(PATIENCE, socket.connect(to)).await;
    let stream = connected.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// How many hops what is sent goes.
pub(super) fn set_hops(socket: &impl AsRawFd, to: SocketAddr, hops: u8) -> io::Result<()> {
    let hops = libc::c_int::from(hops);
    match to {
        SocketAddr::V4(_) => option(socket, libc::IPPROTO_IP, libc::IP_TTL, &hops),
        SocketAddr::V6(_) => option(socket, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, &hops),
    }
}

/// Signs what goes to an address, and wants what comes from there signed; an empty password takes that back.
pub(super) fn sign(socket: &impl AsRawFd, to: SocketAddr, password: &str) -> io::Result<()> {
    option(socket, libc::IPPROTO_TCP, TCP_MD5SIG, &signature(to, password)?)
}

fn signature(to: SocketAddr, password: &str) -> io::Result<Md5Signature> {
    let too_long = || io::Error::new(io::ErrorKind::InvalidInput, "a password of more than 80 bytes");
    // SAFETY: all zeros is a valid value of it: numbers and bytes.
    let mut signature: Md5Signature = unsafe { mem::zeroed() };
    signature.key_length = u16::try_from(password.len()).map_err(|_| too_long())?;
    signature.key.get_mut(..password.len()).ok_or_else(too_long)?.copy_from_slice(password.as_bytes());
    let storage = &raw mut signature.address;
    match to {
        SocketAddr::V4(to) => {
            // SAFETY: a sockaddr_storage is large and aligned enough for every address.
            let address = unsafe { &mut *storage.cast::<libc::sockaddr_in>() };
            address.sin_family = libc::AF_INET as libc::sa_family_t;
            address.sin_port = to.port().to_be();
            address.sin_addr.s_addr = u32::from(*to.ip()).to_be();
        }
        SocketAddr::V6(to) => {
            // SAFETY: as above.
            let address = unsafe { &mut *storage.cast::<libc::sockaddr_in6>() };
            address.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            address.sin6_port = to.port().to_be();
            address.sin6_addr.s6_addr = to.ip().octets();
        }
    }
    Ok(signature)
}

fn option<T>(socket: &impl AsRawFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let len = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer is to a live value of the length given, and the kernel only reads it.
    let failed = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const *value).cast(), len) } != 0;
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}
