//! What ends a command that stays: Ctrl-C, `portolan down`, a terminal that closes.
//!
//! Of a cluster, nothing that is being made is dropped half-way: a request that the kernel has yet to answer would be carried out
//! after everything was removed. So the signals are noted at once, and looked at between two things, and while waiting.

use std::fs;
use std::future::{Future, poll_fn};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Whether this process was told to end.
#[derive(Clone, Debug)]
pub struct Ends(CancellationToken);

/// The process was told to end while something else was under way.
#[derive(Debug, thiserror::Error)]
#[error("told to end")]
pub struct ToldToEnd;

impl Ends {
    /// From here on these signals no longer kill the process. Of a terminal that closes it is not told where whoever started
    /// it wants it to outlive that (`nohup`).
    ///
    /// # Errors
    /// When they cannot be listened to.
    pub fn listen() -> Result<Self> {
        let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
        if !is_ignored(SignalKind::hangup()) {
            kinds.push(SignalKind::hangup());
        }
        let (mut signals, early) = listeners(&kinds, || {})?;
        let told = CancellationToken::new();
        if early.load(Ordering::SeqCst) {
            told.cancel();
        }
        let ends = Self(told.clone());
        tokio::spawn(async move {
            poll_fn(|cx| {
                if signals.iter_mut().any(|s| s.poll_recv(cx).is_ready()) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            told.cancel();
            // Those that come while everything is taken down change nothing; the signals stay caught.
            std::future::pending::<()>().await;
            drop(signals);
        });
        Ok(ends)
    }

    /// Goes on, unless the process was told to end.
    ///
    /// # Errors
    /// [`ToldToEnd`].
    pub fn check(&self) -> Result<(), ToldToEnd> {
        if self.0.is_cancelled() { Err(ToldToEnd) } else { Ok(()) }
    }

    /// Waits until the process is told to end.
    pub async fn told(&self) {
        self.0.cancelled().await;
    }

    /// What is cancelled when the process is told to end.
    pub fn token(&self) -> CancellationToken {
        self.0.clone()
    }

    /// Waits for something that may be dropped half-way.
    ///
    /// # Errors
    /// [`ToldToEnd`], and those of what is waited for.
    pub async fn or<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            done = work => done,
            () = self.told() => Err(ToldToEnd.into()),
        }
    }
}

/// A listener for each kind, and whether any came before its listener was made. A listener hears only what comes after it,
/// and by then its signal is caught already: what comes `meanwhile` would be lost.
fn listeners(kinds: &[SignalKind], meanwhile: impl FnOnce()) -> io::Result<(Vec<Signal>, Arc<AtomicBool>)> {
    let early = Arc::new(AtomicBool::new(false));
    for kind in kinds {
        signal_hook::flag::register(kind.as_raw_value(), early.clone())?;
    }
    meanwhile();
    Ok((kinds.iter().copied().map(signal).collect::<io::Result<_>>()?, early))
}

/// Whether this process was started with a signal ignored (`SigIgn` of proc(5), a mask with bit 0 for signal 1).
fn is_ignored(kind: SignalKind) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or_default();
    mask & (1 << (kind.as_raw_value() - 1)) != 0
}

#[cfg(test)]
mod tests;
