//! Whether the API is reached. Names are answered either way, from what was heard last; monitoring is told.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::programming::Programming;

/// How well the API is heard.
#[derive(Debug, Default)]
pub struct Contact {
    /// Since when each kind's watch is lost; those that are not are left out.
    lost: Mutex<BTreeMap<&'static str, Instant>>,
    losses: AtomicU64,
    /// How long its changes have taken to become names.
    pub programming: Programming,
}

impl Contact {
    /// A watch was lost, or could not be begun.
    pub fn lose(&self, kind: &'static str) {
        self.lost.lock().entry(kind).or_insert_with(|| {
            self.losses.fetch_add(1, Ordering::Relaxed);
            Instant::now()
        });
    }

    /// The API has told something of a kind.
    pub fn regain(&self, kind: &'static str) {
        self.lost.lock().remove(kind);
    }

    /// Whether a kind's watch is lost.
    #[must_use]
    pub fn is_lost(&self, kind: &'static str) -> bool {
        self.lost.lock().contains_key(kind)
    }

    /// The kinds whose watches are lost, and for how long.
    #[must_use]
    pub fn lost(&self) -> Vec<(&'static str, Duration)> {
        self.lost.lock().iter().map(|(kind, since)| (*kind, since.elapsed())).collect()
    }

    /// How often a watch was lost so far.
    #[must_use]
    pub fn losses(&self) -> u64 {
        self.losses.load(Ordering::Relaxed)
    }
}
