//! A netlink socket to netfilter: sends whole batches, receives with a deadline.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use crate::wire::Messages;

/// How long the kernel may take to answer. It answers before `send` returns, so this only ends what is broken.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Room for answers: one error for each message of a batch, at most. Not taken before it is used.
const RECEIVE_BUFFER: libc::c_int = 4 << 20;
/// The kernel fills answers of at most 32 KiB.
const DATAGRAM: usize = 64 << 10;

/// Why talking to the kernel failed.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// No socket: no netfilter in the kernel, or too many open files.
    #[error("opening a netlink socket")]
    Open(#[source] io::Error),
    /// Not sent.
    #[error("sending {len} bytes to the kernel")]
    Send {
        /// Bytes.
        len: usize,
        /// The reason; `EPERM`: the right `CAP_NET_ADMIN` is missing.
        source: io::Error,
    },
    /// Not received.
    #[error("receiving from the kernel")]
    Receive(#[source] io::Error),
    /// No answer in time. Whether the request was done is not known.
    #[error("no answer from the kernel within {0:?}")]
    Timeout(Duration),
    /// The kernel had more to say than fits (`ENOBUFS`). Whether the request was done is not known: dump and compare.
    #[error("the kernel's answers were lost: more than the socket holds")]
    Overrun,
    /// An answer longer than any that the kernel makes.
    #[error("an answer of {0} bytes was cut short")]
    Truncated(usize),
}

/// A socket of the protocol `NETLINK_NETFILTER`, in the network namespace in which it was opened.
#[derive(Debug)]
pub(crate) struct Netlink {
    file: OwnedFd,
    port: u32,
    sequence: u32,
    send_buffer: usize,
    buffer: Vec<u8>,
}

impl Netlink {
    /// In the calling thread's network namespace.
    pub(crate) fn open() -> Result<Netlink, SocketError> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no memory is involved.
        let file = unsafe { libc::socket(libc::AF_NETLINK, kind, libc::NETLINK_NETFILTER) };
        if file < 0 {
            return Err(SocketError::Open(io::Error::last_os_error()));
        }
        // SAFETY: the kernel just gave us this descriptor; nobody else has it.
        let file = unsafe { OwnedFd::from_raw_fd(file) };
        let port = bind(&file).map_err(SocketError::Open)?;
        let mut socket = Netlink { file, port, sequence: 0, send_buffer: 0, buffer: Vec::new() };
        // Old kernels without these give shorter errors, and longer acknowledgements.
        _ = socket.set_option(libc::SOL_NETLINK, libc::NETLINK_EXT_ACK, 1);
        _ = socket.set_option(libc::SOL_NETLINK, libc::NETLINK_CAP_ACK, 1);
        socket.grow(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, RECEIVE_BUFFER);
        Ok(socket)
    }

    /// The number by which the kernel knows the socket.
    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// As many sequence numbers as asked for; the first of them.
    pub(crate) fn take_sequence(&mut self, count: u32) -> u32 {
        let first = self.sequence.wrapping_add(1);
        self.sequence = self.sequence.wrapping_add(count.max(1));
        first
    }

    /// Receives what is sent to a multicast group, from now on.
    pub(crate) fn join(&mut self, group: u32) -> Result<(), SocketError> {
        self.set_option(libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, group as libc::c_int)
            .map_err(SocketError::Open)
    }

    /// Receives what is sent to a multicast group no longer.
    pub(crate) fn leave(&mut self, group: u32) -> Result<(), SocketError> {
        self.set_option(libc::SOL_NETLINK, libc::NETLINK_DROP_MEMBERSHIP, group as libc::c_int)
            .map_err(SocketError::Open)
    }

    /// Sets how much may wait to be received, beyond the system's limit if allowed to.
    pub(crate) fn set_receive_buffer(&mut self, bytes: u32) {
        let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
        self.grow(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF, bytes);
    }

    /// Sends everything as one datagram, as a transaction must be.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), SocketError> {
        let failed = |source| SocketError::Send { len: bytes.len(), source };
        if bytes.len() > self.send_buffer {
            let len = libc::c_int::try_from(bytes.len().max(DATAGRAM) + 4096)
                .map_err(|_| failed(io::Error::from_raw_os_error(libc::EMSGSIZE)))?;
            self.grow(libc::SO_SNDBUFFORCE, libc::SO_SNDBUF, len);
            self.send_buffer = bytes.len();
        }
        let kernel = address(0);
        loop {
            // SAFETY: both pointers are to live memory of the lengths given.
            let sent = unsafe {
                libc::sendto(
                    self.file.as_raw_fd(),
                    bytes.as_ptr().cast(),
                    bytes.len(),
                    0,
                    (&raw const kernel).cast(),
                    mem::size_of::<libc::sockaddr_nl>() as libc::socklen_t,
                )
            };
            if sent >= 0 {
                return Ok(());
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(failed(error));
            }
        }
    }

    /// The next datagram from the kernel.
    pub(crate) fn receive(&mut self) -> Result<Messages<'_>, SocketError> {
        match self.receive_within(TIMEOUT)? {
            Some(len) => Ok(Messages(&self.buffer[..len])),
            None => Err(SocketError::Timeout(TIMEOUT)),
        }
    }

    /// The next datagram from the kernel, if it comes in time.
    pub(crate) fn receive_until(&mut self, timeout: Duration) -> Result<Option<Messages<'_>>, SocketError> {
        let received = self.receive_within(timeout)?;
        Ok(received.map(|len| Messages(&self.buffer[..len])))
    }

    /// Throws away what came in answer to requests that nobody waits for any more.
    pub(crate) fn drain(&mut self) -> Result<(), SocketError> {
        loop {
            match self.receive_now() {
                Ok(Some(_)) | Err(SocketError::Overrun) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn receive_within(&mut self, timeout: Duration) -> Result<Option<usize>, SocketError> {
        let end = Instant::now().checked_add(timeout);
        loop {
            if let Some(len) = self.receive_now()? {
                return Ok(Some(len));
            }
            let left = end.map_or(timeout, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(None);
            }
            self.wait(left)?;
        }
    }

    /// A datagram from the kernel if there is one; those from other processes are thrown away.
    fn receive_now(&mut self) -> Result<Option<usize>, SocketError> {
        self.buffer.resize(DATAGRAM, 0);
        loop {
            let mut from = address(0);
            let mut from_len = mem::size_of::<libc::sockaddr_nl>() as libc::socklen_t;
            // SAFETY: all pointers are to live memory of the lengths given.
            let received = unsafe {
                libc::recvfrom(
                    self.file.as_raw_fd(),
                    self.buffer.as_mut_ptr().cast(),
                    self.buffer.len(),
                    libc::MSG_TRUNC | libc::MSG_DONTWAIT,
                    (&raw mut from).cast(),
                    &raw mut from_len,
                )
            };
            if let Ok(len) = usize::try_from(received) {
                match len {
                    _ if from.nl_pid != 0 => continue,
                    _ if len > self.buffer.len() => return Err(SocketError::Truncated(len)),
                    _ => return Ok(Some(len)),
                }
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN) => return Ok(None),
                Some(libc::ENOBUFS) => return Err(SocketError::Overrun),
                _ => return Err(SocketError::Receive(error)),
            }
        }
    }

    fn wait(&self, timeout: Duration) -> Result<(), SocketError> {
        let mut file = libc::pollfd { fd: self.file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let milliseconds = libc::c_int::try_from(timeout.as_millis().max(1)).unwrap_or(libc::c_int::MAX);
        // SAFETY: the pointer is to one live pollfd.
        if unsafe { libc::poll(&raw mut file, 1, milliseconds) } < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(SocketError::Receive(error));
            }
        }
        Ok(())
    }

    /// Sets a buffer's size, beyond the system's limit if allowed to.
    fn grow(&mut self, force: libc::c_int, plain: libc::c_int, bytes: libc::c_int) {
        if self.set_option(libc::SOL_SOCKET, force, bytes).is_err() {
            // Too small a buffer shows when something is too large for it.
            _ = self.set_option(libc::SOL_SOCKET, plain, bytes);
        }
    }

    fn set_option(&mut self, level: libc::c_int, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
        let len = mem::size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the pointer is to one live int.
        let done = unsafe { libc::setsockopt(self.file.as_raw_fd(), level, option, (&raw const value).cast(), len) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A netlink address; port 0 is the kernel, or in `bind` any free one.
fn address(port: u32) -> libc::sockaddr_nl {
    // SAFETY: all zeros is a valid sockaddr_nl.
    let mut address: libc::sockaddr_nl = unsafe { mem::zeroed() };
    address.nl_family = libc::AF_NETLINK as libc::sa_family_t;
    address.nl_pid = port;
    address
}

/// Takes a free port and returns it.
fn bind(file: &OwnedFd) -> io::Result<u32> {
    let mut own = address(0);
    let mut len = mem::size_of::<libc::sockaddr_nl>() as libc::socklen_t;
    // SAFETY: the pointer is to a live address of the length given.
    if unsafe { libc::bind(file.as_raw_fd(), (&raw const own).cast(), len) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both pointers are to live memory; the length says how much may be written.
    if unsafe { libc::getsockname(file.as_raw_fd(), (&raw mut own).cast(), &raw mut len) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(own.nl_pid)
}
