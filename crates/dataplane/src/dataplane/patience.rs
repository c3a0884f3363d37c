//! When rules that somebody else changed are mended: at once, the first times. Where another process goes on changing
//! them (two agents with different minds about one table), each mending provokes the next change; so the waits grow.

use std::time::{Duration, Instant};

/// So many times in a row are mended at once.
const AT_ONCE: u32 = 4;
/// The first wait after that; each is twice the one before.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// After so long without a change by others, all is forgotten.
const QUIET: Duration = Duration::from_secs(60);

/// How often it happened.
#[derive(Debug, Default)]
pub(super) struct Patience {
    times: u32,
    mended: Option<Instant>,
    due: Option<Instant>,
}

impl Patience {
    /// Somebody changed the rules. Whether that made it a conflict.
    pub(super) fn disturbed(&mut self, now: Instant) -> bool {
        if self.due.is_some() {
            return false;
        }
        if self.mended.is_some_and(|mended| now.saturating_duration_since(mended) >= QUIET) {
            self.times = 0;
        }
        self.times = self.times.saturating_add(1);
        self.due = Some(now + self.wait());
        self.times == AT_ONCE + 1
    }

    fn wait(&self) -> Duration {
        match self.times.checked_sub(AT_ONCE + 1) {
            None => Duration::ZERO,
            Some(doublings) => FIRST_WAIT.saturating_mul(1 << doublings.min(16)).min(LONGEST_WAIT),
        }
    }

    /// When to mend; `None`: there is nothing to mend.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Everything was compared.
    pub(super) fn mended(&mut self, now: Instant) {
        if self.due.take().is_some() {
            self.mended = Some(now);
        }
    }

    /// Whether others go on and on.
    pub(super) fn is_conflict(&self) -> bool {
        self.times > AT_ONCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_times_are_mended_at_once_and_then_waits_grow() {
        let mut now = Instant::now();
        let mut patience = Patience::default();
        let mut waits = Vec::new();
        let mut conflicts = 0;
        for _ in 0..12 {
            conflicts += u32::from(patience.disturbed(now));
            let due = patience.due().unwrap();
            // What comes before it is mended changes nothing.
            assert!(!patience.disturbed(now + Duration::from_millis(1)));
            assert_eq!(patience.due(), Some(due));
            waits.push((due - now).as_secs());
            now = due;
            patience.mended(now);
            assert_eq!(patience.due(), None);
        }
        assert_eq!(waits, [0, 0, 0, 0, 1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(conflicts, 1, "it is told once");
        assert!(patience.is_conflict());
        now += QUIET;
        patience.disturbed(now);
        assert_eq!(patience.due(), Some(now));
        assert!(!patience.is_conflict());
    }
}
