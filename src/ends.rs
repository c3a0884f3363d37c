//! What ends a command that stays: Ctrl-C, `portolan down`, a terminal that closes.
//!
//! Of a cluster, nothing that is being made is dropped half-way: a request that the kernel has yet to answer would be carried out
//! after everything was removed. So the signals are noted at once, and looked at between two things, and while waiting.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Whether this process was told to end.
#[derive(Clone, Debug)]
pub struct Ends(CancellationToken);

/// The process was told to end while something else was under way.
#[derive(Debug, thiserror::Error)]
#[error("told to end")]
pub struct ToldToEnd;

impl Ends {
    /// From here on these signals no longer kill the process.
    ///
    /// # Errors
    /// When they cannot be listened to.
    pub fn listen() -> Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        // A listener hears only what comes after it was made, and by then its signal is caught already: what comes in
        // between is noted here.
        let early = Arc::new(AtomicBool::new(false));
        for kind in kinds {
            signal_hook::flag::register(kind.as_raw_value(), early.clone())?;
        }
        let [interrupt, terminate, hang_up] = kinds.map(signal);
        let mut signals = [interrupt?, terminate?, hang_up?];
        let told = CancellationToken::new();
        if early.load(Ordering::SeqCst) {
            told.cancel();
        }
        let ends = Self(told.clone());
        tokio::spawn(async move {
            let [interrupt, terminate, hang_up] = &mut signals;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
            }
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
