//! Services that the kernel refuses.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::model::ServiceId;

/// How long a Service that is refused waits until it is tried again, though nothing of it changed; each wait is twice
/// the one before.
const FIRST_WAIT: Duration = Duration::from_secs(30);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Services that keep what they had, until something of them changes or their time has come.
#[derive(Debug, Default)]
pub(super) struct Quarantine {
    services: BTreeMap<ServiceId, Wait>,
    /// Those that are being tried again, with the wait that they had.
    tried: BTreeMap<ServiceId, Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    until: Instant,
    length: Duration,
}

impl Quarantine {
    /// Whether it holds a Service.
    pub(super) fn holds(&self, id: ServiceId) -> bool {
        self.services.contains_key(&id)
    }

    /// All that it holds.
    pub(super) fn all(&self) -> impl Iterator<Item = ServiceId> {
        self.services.keys().copied()
    }

    /// When the first is tried again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.services.values().map(|wait| wait.until).min()
    }

    /// Those whose time has come.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<ServiceId> {
        let due: Vec<(ServiceId, Wait)> = self.services.extract_if(.., |_, wait| wait.until <= now).collect();
        self.tried = due.iter().map(|(id, wait)| (*id, wait.length)).collect();
        due.into_iter().map(|(id, _)| id).collect()
    }

    /// Something of a Service changed: whether it was held.
    pub(super) fn release(&mut self, id: ServiceId) -> bool {
        self.services.remove(&id).is_some()
    }

    /// A Service is refused: how long it waits, and whether that is news.
    pub(super) fn put(&mut self, id: ServiceId, now: Instant) -> (Duration, bool) {
        let before = self.tried.remove(&id);
        let length = before.map_or(FIRST_WAIT, |length| (length * 2).min(LONGEST_WAIT));
        self.services.insert(id, Wait { until: now + length, length });
        (length, before.is_none())
    }
}
