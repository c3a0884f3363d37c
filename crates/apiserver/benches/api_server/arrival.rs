//! When something came for a socket: the kernel writes it down (SO_TIMESTAMPNS, socket(7)), nobody has to look.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, SystemTime};

use nix::cmsg_space;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;

/// A connection whose bytes nobody deciphers.
pub struct Socket {
    stream: std::net::TcpStream,
    bytes: Vec<u8>,
}

impl Socket {
    /// Asks the kernel to write down when something comes.
    pub fn new(stream: tokio::net::TcpStream) -> io::Result<Self> {
        // From now on no event loop is told of it, so that what comes wakes nobody.
        let stream = stream.into_std()?;
        setsockopt(&stream, sockopt::ReceiveTimestampns, &true)?;
        Ok(Self { stream, bytes: vec![0; 16 << 10] })
    }

    /// Reads what is there, waiting for it if there is nothing: when the last of it came.
    pub fn arrival(&mut self, patience: Duration) -> io::Result<SystemTime> {
        let timeout = PollTimeout::try_from(patience).map_err(io::Error::other)?;
        if poll(&mut [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN)], timeout)? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut space = cmsg_space!(TimeSpec);
        let mut into = [IoSliceMut::new(&mut self.bytes)];
        let read = recvmsg::<()>(self.stream.as_raw_fd(), &mut into, Some(&mut space), MsgFlags::MSG_DONTWAIT)?;
        if read.bytes == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let stamp = read.cmsgs()?.find_map(|message| match message {
            ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
            _ => None,
        });
        stamp
            .map(|since| SystemTime::UNIX_EPOCH + since)
            .ok_or_else(|| io::Error::other("the kernel wrote nothing down"))
    }
}
