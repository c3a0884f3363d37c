//! The wait between restarts of a container: none before the first, then a time that doubles with each, and starts over
//! after the container ran well.

use jiff::{SignedDuration, Timestamp};

use crate::config::Timing;

/// How often a container was restarted lately, as far as the next wait depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackOff {
    last: Option<Restart>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Restart {
    at: Timestamp,
    /// What the next one waits, in milliseconds.
    wait: u64,
}

impl BackOff {
    /// When a container that ended at this time may start again.
    #[must_use]
    pub fn due(&self, ended: Timestamp, timing: &Timing) -> Timestamp {
        match self.last {
            Some(last) if !is_over(last, ended, timing) => later(ended, last.wait),
            _ => ended,
        }
    }

    /// How long that wait is.
    #[must_use]
    pub fn wait(&self, ended: Timestamp, timing: &Timing) -> SignedDuration {
        self.due(ended, timing).duration_since(ended)
    }

    /// Notes that a container which had ended at this time is started again now.
    #[must_use]
    pub fn restarted(&self, ended: Timestamp, now: Timestamp, timing: &Timing) -> Self {
        let millis = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let wait = match self.last {
            Some(last) if !is_over(last, ended, timing) => last.wait.saturating_mul(2).min(millis(timing.backoff_most)),
            _ => millis(timing.backoff_first),
        };
        Self { last: Some(Restart { at: now, wait }) }
    }
}

/// Whether it ran long enough to begin anew.
fn is_over(last: Restart, ended: Timestamp, timing: &Timing) -> bool {
    ended.duration_since(last.at) > SignedDuration::try_from(timing.backoff_reset).unwrap_or(SignedDuration::MAX)
}

/// A time so many milliseconds later; the last one that there is when that is beyond it.
#[must_use]
pub fn later(time: Timestamp, millis: u64) -> Timestamp {
    let span = SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
