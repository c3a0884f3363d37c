//! Upstreams' answers, bounded by the octets that they take.
//!
//! Sharded, so that askers of different names do not meet. In a shard that is full, a hand goes round and lets go of
//! what is over or was not asked for since it last came by (the "clock" algorithm): a hit costs one store, not a list.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::RwLock;

use super::stored::Stored;
use super::wanted::WantedRef;

const SHARDS: usize = 16;

struct Slot {
    hash: u64,
    stored: Arc<Stored>,
    used: AtomicBool,
}

#[derive(Default)]
struct Shard {
    places: HashTable<u32>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    hand: usize,
    weight: usize,
}

/// How full the cache is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Answers, those that are over included until the hand comes by.
    pub entries: usize,
    /// The octets that they take, about.
    pub weight: usize,
}

/// A bounded cache of answers.
pub struct Cache {
    hasher: DefaultHashBuilder,
    shards: Box<[RwLock<Shard>]>,
    shard_weight: usize,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Cache {
    /// A cache that takes at most about `weight` octets. With 0 it keeps nothing.
    #[must_use]
    pub fn new(weight: usize) -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            shard_weight: weight / SHARDS,
        }
    }

    /// Looks at the answer to an equal question, with its age in seconds, if there is one that may still be used.
    pub fn read<R>(&self, wanted: WantedRef<'_>, now: Instant, look: impl FnOnce(&Arc<Stored>, u32) -> R) -> Option<R> {
        let hash = self.hasher.hash_one(wanted);
        let shard = self.shard(hash).read();
        let place = shard.find(hash, wanted)?;
        let slot = shard.slots.get(place as usize)?.as_ref()?;
        let age = slot.stored.age(now)?;
        if !slot.used.load(Ordering::Relaxed) {
            slot.used.store(true, Ordering::Relaxed);
        }
        Some(look(&slot.stored, age))
    }

    /// Keeps an answer in place of an older one, if it may be kept and is not too large.
    pub fn put(&self, stored: Arc<Stored>, now: Instant) {
        let weight = stored.weight();
        if !stored.is_keepable() || weight > self.shard_weight {
            return;
        }
        let hash = self.hasher.hash_one(stored.wanted());
        let mut shard = self.shard(hash).write();
        if let Some(place) = shard.find(hash, stored.wanted()) {
            shard.remove(place);
        }
        while shard.weight + weight > self.shard_weight {
            shard.evict_one(now);
        }
        shard.insert(Slot { hash, stored, used: AtomicBool::new(false) });
    }

    /// How full it is.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        self.shards.iter().fold(CacheStats::default(), |sum, shard| {
            let shard = shard.read();
            CacheStats { entries: sum.entries + shard.places.len(), weight: sum.weight + shard.weight }
        })
    }

    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
}

impl Shard {
    fn find(&self, hash: u64, wanted: WantedRef<'_>) -> Option<u32> {
        let holds = |place: &u32| {
            self.slots[*place as usize].as_ref().is_some_and(|slot| slot.hash == hash && slot.stored.wanted() == wanted)
        };
        self.places.find(hash, holds).copied()
    }

    fn insert(&mut self, slot: Slot) {
        self.weight += slot.stored.weight();
        let hash = slot.hash;
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.slots[place as usize] = Some(slot);
        let slots = &self.slots;
        let rehash = |place: &u32| slots[*place as usize].as_ref().map_or(0, |slot| slot.hash);
        self.places.insert_unique(hash, place, rehash);
    }

    fn remove(&mut self, place: u32) {
        if let Some(slot) = self.slots[place as usize].take() {
            self.weight -= slot.stored.weight();
            self.free.push(place);
            if let Ok(entry) = self.places.find_entry(slot.hash, |have| *have == place) {
                entry.remove();
            }
        }
    }

    /// Lets go of one answer. There must be one.
    fn evict_one(&mut self, now: Instant) {
        loop {
            self.hand = (self.hand + 1) % self.slots.len().max(1);
            let Some(slot) = self.slots.get(self.hand).and_then(Option::as_ref) else {
                if self.places.is_empty() {
                    return;
                }
                continue;
            };
            // Having been used saves it once: the second time round the mark is gone.
            if slot.stored.age(now).is_some() && slot.used.swap(false, Ordering::Relaxed) {
                continue;
            }
            return self.remove(self.hand as u32);
        }
    }
}
