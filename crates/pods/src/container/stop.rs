//! The end of a container: asked for, then made.

use std::io;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::descriptor::watch;
use crate::process::ProcessId;

/// Waits until a process has ended.
///
/// # Errors
/// The kernel gives no descriptor of it.
pub async fn ended(process: &ProcessId) -> io::Result<()> {
    let Some(fd) = process.open()? else { return Ok(()) };
    let fd = watch(fd)?;
    let _readable = fd.readable().await?;
    Ok(())
}

/// Lets the kernel forget a process that has ended, if it is this one's child.
pub fn reap(process: &ProcessId) {
    use nix::sys::wait::{WaitPidFlag, waitpid};
    // ECHILD: another node's process was there when it lost its parent.
    let _not_ours = waitpid(nix::unistd::Pid::from_raw(process.pid), Some(WaitPidFlag::WNOHANG));
}

/// Sends `signal`, waits until the deadline, which may be drawn in meanwhile, and then kills.
///
/// # Errors
/// The machine refused.
pub async fn stop(process: &ProcessId, signal: i32, mut deadline: watch::Receiver<Instant>) -> io::Result<()> {
    process.signal(signal)?;
    loop {
        let until = *deadline.borrow_and_update();
        tokio::select! {
            gone = ended(process) => return gone,
            () = tokio::time::sleep_until(until) => break,
            changed = deadline.changed() => {
                if changed.is_err() {
                    // Nobody draws it in any more.
                    tokio::select! {
                        gone = ended(process) => return gone,
                        () = tokio::time::sleep_until(until) => break,
                    }
                }
            }
        }
    }
    process.signal(libc::SIGKILL)?;
    // A process that the kernel itself holds up ends when that does: waiting on is for the one who asked.
    match tokio::time::timeout(Duration::from_secs(30), ended(process)).await {
        Ok(gone) => gone,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// A signal by its name (`SIGTERM`, `TERM`, `SIGRTMIN+3`) or number.
#[must_use]
pub fn signal_number(name: &str) -> Option<i32> {
    use std::str::FromStr;
    if let Ok(number) = name.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
    if let Some(offset) = full.strip_prefix("SIGRTMIN") {
        let offset = if offset.is_empty() { 0 } else { offset.strip_prefix('+')?.parse::<i32>().ok()? };
        return (0..=30).contains(&offset).then_some(34 + offset);
    }
    nix::sys::signal::Signal::from_str(&full).ok().map(|signal| signal as i32)
}

#[cfg(test)]
mod tests;
