//! The fence: until when a node may speak for its addresses.
//!
//! Time is that since the machine's start, the time that it slept included (`CLOCK_BOOTTIME`): a node that was
//! suspended, or whose process was stopped, finds its fence passed when it goes on, whatever was said meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A moment on this machine: nanoseconds since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The moment so long after the start.
    pub fn after_start(time: Duration) -> Self {
        Self(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Now.
    pub fn now() -> Self {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the pointer is to a live timespec.
        let failed = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) } != 0;
        if failed {
            // Only a kernel older than 2.6.39 has no such clock. The end of time is past every fence.
            return Self(u64::MAX);
        }
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(time.tv_nsec).unwrap_or(0)))
    }

    /// So much later.
    #[must_use]
    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long after an earlier moment; zero when that is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Until when a node may speak. It may not before it is told so for the first time.
#[derive(Debug, Default)]
pub struct Fence {
    until: AtomicU64,
}

impl Fence {
    /// One that never passes, for who needs none.
    pub fn none() -> Self {
        Self { until: AtomicU64::new(u64::MAX) }
    }

    /// It may speak until then.
    pub fn set(&self, until: Moment) {
        self.until.store(until.0, Ordering::Release);
    }

    /// It may not speak any more.
    pub fn close(&self) {
        self.until.store(0, Ordering::Release);
    }

    /// Whether it may speak now. To be asked right before each word.
    pub fn is_open(&self) -> bool {
        Moment::now().0 < self.until.load(Ordering::Acquire)
    }
}
