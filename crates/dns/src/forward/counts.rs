//! What forwarding has done, counted where it is done.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::cache::CacheStats;

/// Response codes that are counted each, and one place for all others.
pub(super) const CODES: usize = 7;
/// Upper bounds of durations are `FIRST_BOUND * 2^n`, for so many `n`: 0.25 ms to 8 s, as CoreDNS has them.
pub const BOUNDS: usize = 16;
const FIRST_BOUND: f64 = 0.000_25;

/// How long things took.
#[derive(Debug, Default)]
pub(super) struct Durations {
    buckets: [AtomicU64; BOUNDS],
    count: AtomicU64,
    micros: AtomicU64,
}

impl Durations {
    pub(super) fn add(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        if let Some(bound) = (0..BOUNDS).find(|bound| seconds <= upper_bound(*bound)) {
            self.buckets[bound].fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn read(&self) -> DurationCounts {
        let mut below = 0;
        let buckets = self.buckets.each_ref().map(|bucket| {
            below += bucket.load(Ordering::Relaxed);
            below
        });
        DurationCounts {
            buckets,
            count: self.count.load(Ordering::Relaxed),
            seconds: Duration::from_micros(self.micros.load(Ordering::Relaxed)).as_secs_f64(),
        }
    }
}

/// The upper bound of a bucket, in seconds.
#[must_use]
pub fn upper_bound(bucket: usize) -> f64 {
    FIRST_BOUND * f64::from(1u32 << bucket.min(BOUNDS))
}

/// A histogram of durations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DurationCounts {
    /// How many took at most [`upper_bound`] of their place.
    pub buckets: [u64; BOUNDS],
    /// How many there are.
    pub count: u64,
    /// How long they took together.
    pub seconds: f64,
}

impl DurationCounts {
    /// Adds others.
    pub(super) fn add(&mut self, others: &Self) {
        for (have, more) in self.buckets.iter_mut().zip(others.buckets) {
            *have += more;
        }
        self.count += others.count;
        self.seconds += others.seconds;
    }
}

/// What an upstream server was asked.
#[derive(Debug, Default)]
pub(super) struct UpstreamTally {
    pub(super) asked: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) probes_failed: AtomicU64,
    pub(super) reused: AtomicU64,
    pub(super) connected: AtomicU64,
    answered: [Durations; CODES],
}

impl UpstreamTally {
    pub(super) fn answer(&self, code: u16, took: Duration) {
        self.answered[usize::from(code).min(CODES - 1)].add(took);
    }

    pub(super) fn read(&self, address: SocketAddr, protocol: &'static str, is_down: bool) -> UpstreamCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let answered = self.answered.iter().map(Durations::read).enumerate();
        UpstreamCounts {
            address,
            protocol,
            is_down,
            asked: load(&self.asked),
            failed: load(&self.failed),
            probes_failed: load(&self.probes_failed),
            reused: load(&self.reused),
            connected: load(&self.connected),
            answered: answered
                .filter(|(_, counts)| counts.count > 0)
                .map(|(code, counts)| (code as u16, counts))
                .collect(),
        }
    }
}

/// What an upstream server was asked, and what it said.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamCounts {
    /// The server.
    pub address: SocketAddr,
    /// `udp` (and TCP where answers do not fit), `tcp` or `tcp-tls`.
    pub protocol: &'static str,
    /// Whether it is down, as probes say.
    pub is_down: bool,
    /// Questions that it was sent.
    pub asked: u64,
    /// Questions that came to nothing.
    pub failed: u64,
    /// Probes that came to nothing.
    pub probes_failed: u64,
    /// Questions that found an open connection.
    pub reused: u64,
    /// Questions for which a connection was made.
    pub connected: u64,
    /// How long its answers took, by response code; 6 stands for all codes above REFUSED.
    pub answered: Vec<(u16, DurationCounts)>,
}

/// What a forwarder has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ForwardCounts {
    /// Questions sent to upstream servers, over every protocol; probes not counted.
    pub asked: u64,
    /// Exchanges that came to nothing.
    pub failed: u64,
    /// Questions that waited for an equal one that was under way.
    pub joined: u64,
    /// Questions that were turned away because too many were under way.
    pub refused: u64,
    /// Names that were looked up while every server for them was down.
    pub all_down: u64,
    /// How full the cache is, and what it was good for.
    pub cache: CacheStats,
}
