//! Requests to the kernel's routing tables and links (rtnetlink), one at a time, each acknowledged.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, setsockopt, socket, sockopt,
};
use nix::sys::time::{TimeVal, TimeValLike as _};

/// `struct nlmsghdr`.
const HEADER: usize = 16;
/// The kernel answers at once; this only ends a test that is wrong.
const TIMEOUT_SECONDS: i64 = 10;

/// A request under construction.
pub(crate) struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// A message of a type (`RTM_*`) with flags besides `NLM_F_REQUEST | NLM_F_ACK`, and its fixed part.
    pub(crate) fn new(kind: u16, flags: i32, fixed: &[u8]) -> Request {
        let flags = flags as u16 | (libc::NLM_F_REQUEST | libc::NLM_F_ACK) as u16;
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&flags.to_ne_bytes());
        bytes.extend_from_slice(&1u32.to_ne_bytes());
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        bytes.extend_from_slice(fixed);
        Request { bytes }
    }

    /// One more attribute.
    pub(crate) fn attribute(mut self, kind: u16, value: &[u8]) -> Request {
        let len = (value.len() + 4) as u16;
        self.bytes.extend_from_slice(&len.to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(value);
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self
    }

    /// One more attribute: text, with a zero behind.
    pub(crate) fn text(self, kind: u16, value: &str) -> Request {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attribute(kind, &bytes)
    }

    /// One more attribute: a number.
    pub(crate) fn number(self, kind: u16, value: u32) -> Request {
        self.attribute(kind, &value.to_ne_bytes())
    }

    /// One more attribute: an address.
    pub(crate) fn address(self, kind: u16, value: IpAddr) -> Request {
        match value {
            IpAddr::V4(v4) => self.attribute(kind, &v4.octets()),
            IpAddr::V6(v6) => self.attribute(kind, &v6.octets()),
        }
    }

    /// One more attribute that holds others.
    pub(crate) fn nested(mut self, kind: u16, inner: impl FnOnce(Request) -> Request) -> Request {
        let at = self.bytes.len();
        self = inner(self.attribute(kind, &[]));
        let len = (self.bytes.len() - at) as u16;
        self.bytes[at..at + 2].copy_from_slice(&len.to_ne_bytes());
        self
    }

    /// Bytes as they are, for the fixed part of something nested.
    pub(crate) fn raw(mut self, bytes: &[u8]) -> Request {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Sends the request in the calling thread's network namespace and returns the bodies of the messages that
    /// came before the acknowledgement.
    pub(crate) fn send(mut self) -> Result<Vec<Vec<u8>>> {
        let len = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&len.to_ne_bytes());
        let socket = open()?;
        let kernel = NetlinkAddr::new(0, 0);
        sendto(socket.as_raw_fd(), &self.bytes, &kernel, MsgFlags::empty()).context("sending to the kernel")?;
        collect(&socket)
    }
}

fn open() -> Result<OwnedFd> {
    let kind = SockType::Raw;
    let socket = socket(AddressFamily::Netlink, kind, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
        .context("opening a netlink socket")?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::seconds(TIMEOUT_SECONDS))?;
    Ok(socket)
}

fn collect(socket: &OwnedFd) -> Result<Vec<Vec<u8>>> {
    let mut buffer = vec![0; 64 * 1024];
    let mut bodies = Vec::new();
    loop {
        let received = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).context("no answer from the kernel")?;
        let mut rest = &buffer[..received];
        while rest.len() >= HEADER {
            let len = number(rest, 0)? as usize;
            ensure!((HEADER..=rest.len()).contains(&len), "a message of {len} bytes in {}", rest.len());
            let (kind, body) = (i32::from(u16::from_ne_bytes([rest[4], rest[5]])), &rest[HEADER..len]);
            match kind {
                libc::NLMSG_DONE => return Ok(bodies),
                libc::NLMSG_ERROR => {
                    let errno = -(number(body, 0)? as i32);
                    if errno == 0 {
                        return Ok(bodies);
                    }
                    bail!(io::Error::from_raw_os_error(errno));
                }
                _ => bodies.push(body.to_vec()),
            }
            rest = &rest[len.next_multiple_of(4).min(rest.len())..];
        }
    }
}

/// The number at an offset.
pub(crate) fn number(bytes: &[u8], at: usize) -> Result<u32> {
    let four = bytes.get(at..at + 4).and_then(|b| <[u8; 4]>::try_from(b).ok()).context("a message cut short")?;
    Ok(u32::from_ne_bytes(four))
}

/// The value of an attribute of a type, if it is there.
pub(crate) fn find_attribute(mut rest: &[u8], wanted: u16) -> Option<&[u8]> {
    while rest.len() >= 4 {
        let len = usize::from(u16::from_ne_bytes([rest[0], rest[1]]));
        let kind = u16::from_ne_bytes([rest[2], rest[3]]);
        let value = rest.get(4..len)?;
        if kind == wanted {
            return Some(value);
        }
        rest = &rest[len.next_multiple_of(4).min(rest.len())..];
    }
    None
}
