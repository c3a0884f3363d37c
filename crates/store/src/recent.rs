//! The newest batches, held in memory so that a watcher that keeps up never reads the disk.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::event::EventBatch;

/// A bounded run of batches without gaps, the newest last.
pub(crate) struct Recent {
    limit: usize,
    held: Mutex<Held>,
}

struct Held {
    /// The revision of the first batch, or of the next one that will come.
    first: u64,
    batches: VecDeque<Arc<EventBatch>>,
    weight: usize,
}

/// Where the batch of a revision is.
pub(crate) enum Lookup {
    Here(Arc<EventBatch>),
    OnDisk,
    NotYet,
}

impl Recent {
    /// Holds about `limit` bytes of batches after `revision`.
    pub fn new(revision: u64, limit: usize) -> Self {
        Self { limit, held: Mutex::new(Held { first: revision + 1, batches: VecDeque::new(), weight: 0 }) }
    }

    /// Adds the next batch, and forgets the oldest while there is too much. The newest is always kept.
    pub fn push(&self, batch: Arc<EventBatch>) {
        let mut held = self.held.lock();
        held.weight += batch.weight();
        held.batches.push_back(batch);
        while held.weight > self.limit && held.batches.len() > 1 {
            if let Some(old) = held.batches.pop_front() {
                held.weight -= old.weight();
                held.first += 1;
            }
        }
    }

    /// The batch of `revision`.
    pub fn get(&self, revision: u64) -> Lookup {
        let held = self.held.lock();
        match revision.checked_sub(held.first) {
            None => Lookup::OnDisk,
            Some(i) => match usize::try_from(i).ok().and_then(|i| held.batches.get(i)) {
                Some(batch) => Lookup::Here(batch.clone()),
                None => Lookup::NotYet,
            },
        }
    }
}
