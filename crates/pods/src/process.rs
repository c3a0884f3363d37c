//! Processes that are not this one's children, named so that a number which the kernel gave away again is never
//! mistaken for them: pid, start time (proc(5), field 22) and boot.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use serde::{Deserialize, Serialize};

/// A process for ever: no other one has the same three values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The number in the pid namespace of the node.
    pub pid: i32,
    /// Clock ticks between the machine's boot and the process' start.
    pub start: u64,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot: String,
}

impl ProcessId {
    /// Names the process that has this number now.
    ///
    /// # Errors
    /// No such process, or `/proc` is not readable.
    pub fn of(pid: i32) -> io::Result<Self> {
        let stat = fs::read(format!("/proc/{pid}/stat"))?;
        let (start, _) = parse_stat(&stat).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        Ok(Self { pid, start, boot: boot_id()? })
    }

    /// Whether it runs. One that has ended and waits for its parent does not.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let Ok(stat) = fs::read(format!("/proc/{}/stat", self.pid)) else { return false };
        let Some((start, state)) = parse_stat(&stat) else { return false };
        start == self.start && !matches!(state, b'Z' | b'X') && boot_id().is_ok_and(|b| b == self.boot)
    }

    /// A pidfd of it (pidfd_open(2)), or `None` when it has ended.
    ///
    /// # Errors
    /// What `pidfd_open` reports, except that the process does not exist.
    pub fn open(&self) -> io::Result<Option<OwnedFd>> {
        // SAFETY: the call takes two integers and touches no memory of ours.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, self.pid, 0) };
        if fd < 0 {
            let error = io::Error::last_os_error();
            return if error.raw_os_error() == Some(libc::ESRCH) { Ok(None) } else { Err(error) };
        }
        let fd = i32::try_from(fd).map_err(io::Error::other)?;
        // SAFETY: the kernel has just given us this descriptor, and nobody else owns it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // Looked at after the descriptor holds the process: had the number been given away, the start time says so.
        Ok(self.is_alive().then_some(fd))
    }

    /// Sends `signal` (a number of signal(7)); a process that has ended is none to send it to.
    ///
    /// # Errors
    /// What `pidfd_send_signal` reports, except that the process does not exist.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        let Some(fd) = self.open()? else { return Ok(()) };
        let no_info = std::ptr::null::<libc::siginfo_t>();
        // SAFETY: a null siginfo is what pidfd_send_signal(2) asks for when the kernel is to fill it in.
        let done = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, no_info, 0) };
        if done == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() == Some(libc::ESRCH) { Ok(()) } else { Err(error) }
    }
}

/// This boot of the machine.
///
/// # Errors
/// Reading `/proc`.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Start time and state of `/proc/PID/stat`. The second field is the program's name in brackets and may hold anything,
/// brackets and blanks too: the last closing bracket ends it.
fn parse_stat(stat: &[u8]) -> Option<(u64, u8)> {
    let after = stat.iter().rposition(|b| *b == b')')? + 1;
    let mut fields = std::str::from_utf8(stat.get(after..)?).ok()?.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    Some((fields.nth(18)?.parse().ok()?, state))
}

#[cfg(test)]
mod tests;
