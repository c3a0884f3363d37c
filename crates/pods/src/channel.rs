//! The line between a parent and a child that has yet to execute its program: packets of a socket pair that is closed
//! on exec, so that its end says that the program runs.

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recv, recvmsg, sendmsg,
    socketpair,
};

/// One packet's bound; a longer message is cut.
const PACKET: usize = 16 * 1024;

/// One end.
#[derive(Debug)]
pub struct Channel(OwnedFd);

impl From<Channel> for OwnedFd {
    fn from(channel: Channel) -> Self {
        channel.0
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What came.
pub struct Packet {
    /// The bytes; none is the other end's farewell.
    pub bytes: Vec<u8>,
    /// A descriptor that came along.
    pub fd: Option<OwnedFd>,
}

impl Channel {
    /// Both ends, closed on exec.
    pub fn pair() -> Result<(Self, Self), Errno> {
        let (a, b) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self(a), Self(b)))
    }

    /// Answers at once, with `EAGAIN` where there is nothing yet.
    pub fn set_nonblocking(&self) -> Result<(), Errno> {
        let flags = OFlag::from_bits_retain(fcntl(&self.0, FcntlArg::F_GETFL)?) | OFlag::O_NONBLOCK;
        fcntl(&self.0, FcntlArg::F_SETFL(flags)).map(drop)
    }

    /// The end that was handed to this process as descriptor `fd`.
    pub fn inherited(fd: OwnedFd) -> Self {
        Self(fd)
    }

    /// Sends a packet, with a descriptor if given.
    pub fn send(&self, bytes: &[u8], fd: Option<RawFd>) -> Result<(), Errno> {
        let bytes = &bytes[..bytes.len().min(PACKET)];
        let fds: Vec<RawFd> = fd.into_iter().collect();
        let rights = [ControlMessage::ScmRights(&fds)];
        let rights = if fds.is_empty() { &[][..] } else { &rights[..] };
        let flags = MsgFlags::MSG_NOSIGNAL;
        sendmsg::<()>(self.0.as_raw_fd(), &[IoSlice::new(bytes)], rights, flags, None).map(|_| ())
    }

    /// Whether the other end is still held.
    pub fn is_open(&self) -> bool {
        let mut byte = [0];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
        recv(self.0.as_raw_fd(), &mut byte, flags) != Ok(0)
    }

    /// Waits for a packet.
    pub fn receive(&self) -> Result<Packet, Errno> {
        receive(&self.0)
    }
}

/// Takes a packet from a channel's descriptor.
pub fn receive(fd: &OwnedFd) -> Result<Packet, Errno> {
    let mut bytes = vec![0; PACKET];
    let mut space = cmsg_space!([RawFd; 1]);
    let (length, fd) = {
        let mut io = [IoSliceMut::new(&mut bytes)];
        retry(|| {
            let message = recvmsg::<()>(fd.as_raw_fd(), &mut io, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)?;
            let right = message.cmsgs().ok().and_then(|mut all| all.find_map(first_right));
            Ok((message.bytes, right))
        })?
    };
    bytes.truncate(length);
    Ok(Packet { bytes, fd })
}

fn first_right(message: ControlMessageOwned) -> Option<OwnedFd> {
    let ControlMessageOwned::ScmRights(fds) = message else { return None };
    // SAFETY: the kernel made this descriptor for us when the packet was received, and nobody else owns it.
    fds.first().map(|fd| unsafe { OwnedFd::from_raw_fd(*fd) })
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            other => return other,
        }
    }
}
