//! The master side of a program's terminal.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::unix::AsyncFd;

use crate::descriptor::watch;

/// A terminal's master side, to read and write without blocking.
#[derive(Debug)]
pub struct Terminal(AsyncFd<OwnedFd>);

impl Terminal {
    /// Of a descriptor that came over a channel.
    ///
    /// # Errors
    /// It is no terminal that can be waited for.
    pub fn new(master: OwnedFd) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(&master, FcntlArg::F_GETFL)?) | OFlag::O_NONBLOCK;
        fcntl(&master, FcntlArg::F_SETFL(flags))?;
        Ok(Self(watch(master)?))
    }

    /// Reads what the program writes; 0 when it has closed its side.
    ///
    /// # Errors
    /// Reading.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            match ready.try_io(|fd| nix::unistd::read(fd, buffer).map_err(io::Error::from)) {
                // The other side is closed (pty(7)).
                Ok(Err(e)) if e.raw_os_error() == Some(libc::EIO) => return Ok(0),
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }

    /// Writes what somebody types, all of it.
    ///
    /// # Errors
    /// Writing.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.0.writable().await?;
            match ready.try_io(|fd| nix::unistd::write(fd, bytes).map_err(io::Error::from)) {
                Ok(written) => bytes = bytes.get(written?..).unwrap_or_default(),
                Err(_would_block) => {}
            }
        }
        Ok(())
    }

    /// Tells the program how large the window is, in characters.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn resize(&self, width: u16, height: u16) -> io::Result<()> {
        let size = libc::winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: TIOCSWINSZ reads a winsize, which lives through the call.
        let done = unsafe { libc::ioctl(self.0.get_ref().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
