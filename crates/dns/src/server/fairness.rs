//! Bounds on what one address can take, in memory that does not grow with the number of addresses.
//!
//! Addresses share places by a hash that nobody outside can know. Who shares one with a flood is bounded with it; there
//! are enough places for that to be rare.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

const PLACES: usize = 1024;
/// The most answers a second to messages that nobody sends by mistake so often. More only help who forges the address
/// (as response rate limiting has it).
const ERRORS_A_SECOND: u32 = 100;

/// What addresses take of the server.
#[derive(Debug)]
pub(super) struct Fairness {
    hasher: RandomState,
    start: Instant,
    waiting: Box<[AtomicU32]>,
    most: u32,
    /// Seconds since the start in the upper half, answers in that second in the lower.
    errors: Box<[AtomicU64]>,
}

/// A question that waits, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    fairness: Arc<Fairness>,
    place: usize,
}

impl Fairness {
    /// Of all questions that may wait at once, one address gets at most `most`.
    pub(super) fn new(most: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            start: Instant::now(),
            waiting: (0..PLACES).map(|_| AtomicU32::new(0)).collect(),
            most: u32::try_from(most).unwrap_or(u32::MAX).max(1),
            errors: (0..PLACES).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    fn place(&self, client: IpAddr) -> usize {
        self.hasher.hash_one(client.to_canonical()) as usize % PLACES
    }

    /// Lets one more question of a client wait; `None` when as many do as may.
    pub(super) fn wait(self: &Arc<Self>, client: IpAddr) -> Option<Share> {
        let place = self.place(client);
        let more = |waiting: u32| (waiting < self.most).then_some(waiting + 1);
        self.waiting[place].fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Share { fairness: Arc::clone(self), place })
    }

    /// Whether one more message of a client's that cannot be read, or is no question, gets an answer.
    pub(super) fn may_err(&self, client: IpAddr) -> bool {
        self.may_err_at(client, self.start.elapsed().as_secs())
    }

    fn may_err_at(&self, client: IpAddr, second: u64) -> bool {
        let count = |held: u64| {
            let count = if held >> 32 == second & 0xffff_ffff { held as u32 } else { 0 };
            (count < ERRORS_A_SECOND).then_some(second << 32 | u64::from(count + 1))
        };
        self.errors[self.place(client)].fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).is_ok()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.fairness.waiting[self.place].fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
