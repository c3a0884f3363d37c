//! Upstreams' answers, bounded by the octets that they take.
//!
//! Sharded, so that askers of different names do not meet. In a shard that is full, a hand goes round and lets go of
//! what is over or was not asked for since it last came by (the "clock" algorithm): a hit costs one store, not a list.
//!
//! An answer that is over stays as long as it may be given stale. Who looks is told whether it should be asked for
//! anew, once for each time that it is due: the cache itself asks nobody.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::RwLock;

use super::keep::{Keep, Prefetch};
use super::stored::Stored;
use super::wanted::WantedRef;

const SHARDS: usize = 16;

struct Slot {
    hash: u64,
    stored: Arc<Stored>,
    used: AtomicBool,
    prefetch: Option<Prefetch>,
    /// Stale answers are given at once, before anything newer is known.
    at_once: bool,
    /// Questions in a row without a long gap.
    popularity: AtomicU32,
    /// When the newest of them came, in seconds since the cache was made.
    last: AtomicU32,
    /// Somebody was told to ask anew.
    refreshing: AtomicBool,
    /// Until then nobody is told to, in the same seconds.
    recheck: AtomicU32,
}

#[derive(Default)]
struct Shard {
    places: HashTable<u32>,
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    hand: usize,
    weight: usize,
    positive: usize,
    tally: Tally,
}

/// Beside the lock, whose cache line a look takes anyway.
#[derive(Default)]
struct Tally {
    hits_positive: AtomicU64,
    hits_negative: AtomicU64,
    misses: AtomicU64,
    stale: AtomicU64,
    prefetches: AtomicU64,
    evictions: AtomicU64,
}

/// How full the cache is, and what it was good for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Answers, those that are over included until the hand comes by.
    pub entries: usize,
    /// Those of them that have records.
    pub positive: usize,
    /// The octets that they take, about.
    pub weight: usize,
    /// Questions that were answered with records.
    pub hits_positive: u64,
    /// Questions that were answered with a denial or a failure.
    pub hits_negative: u64,
    /// Questions that it could not answer.
    pub misses: u64,
    /// Answers that were given though they were over.
    pub stale: u64,
    /// Answers that were asked for anew before they were over.
    pub prefetches: u64,
    /// Answers that made room for others.
    pub evictions: u64,
}

/// What a look at the cache found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<R> {
    /// An answer that may be given.
    Fresh(R),
    /// An answer that may be given; whoever looked should ask for it anew meanwhile.
    Due(R),
    /// Nothing that may be given at once.
    Nothing,
}

/// A bounded cache of answers.
pub struct Cache {
    hasher: DefaultHashBuilder,
    shards: Box<[RwLock<Shard>]>,
    shard_weight: usize,
    made: Instant,
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
            made: Instant::now(),
        }
    }

    /// Looks at the answer to an equal question, with its age in seconds, if there is one that may be given at once.
    pub fn read<R>(&self, wanted: WantedRef<'_>, now: Instant, look: impl FnOnce(&Arc<Stored>, u32) -> R) -> Found<R> {
        let hash = self.hasher.hash_one(wanted);
        let shard = self.shard(hash).read();
        let found = shard.find(hash, wanted).and_then(|place| shard.slots.get(place as usize)?.as_ref());
        let Some((slot, age)) = found.map(|slot| (slot, slot.stored.age(now))) else {
            return shard.miss();
        };
        let second = self.second(now);
        let due = if slot.stored.is_fresh(age) {
            slot.is_due(age, second, &shard.tally)
        } else if slot.stored.is_stale(age) {
            let waits = second < slot.recheck.load(Ordering::Relaxed);
            if !slot.at_once && !waits {
                return shard.miss();
            }
            shard.tally.stale.fetch_add(1, Ordering::Relaxed);
            !waits && !slot.refreshing.swap(true, Ordering::Relaxed)
        } else {
            return shard.miss();
        };
        if !slot.used.load(Ordering::Relaxed) {
            slot.used.store(true, Ordering::Relaxed);
        }
        let tally = &shard.tally;
        let hits = if slot.stored.is_positive() { &tally.hits_positive } else { &tally.hits_negative };
        hits.fetch_add(1, Ordering::Relaxed);
        let seen = look(&slot.stored, age);
        if due { Found::Due(seen) } else { Found::Fresh(seen) }
    }

    /// The answer to an equal question that may be given if nobody says anything newer.
    #[must_use]
    pub fn last_resort(&self, wanted: WantedRef<'_>, now: Instant) -> Option<Arc<Stored>> {
        let hash = self.hasher.hash_one(wanted);
        let shard = self.shard(hash).read();
        let slot = shard.slots.get(shard.find(hash, wanted)? as usize)?.as_ref()?;
        let age = slot.stored.age(now);
        (slot.stored.is_stale(age) || slot.stored.is_fresh(age)).then(|| Arc::clone(&slot.stored))
    }

    /// Counts an answer of last resort that was given.
    pub(super) fn count_stale(&self, wanted: WantedRef<'_>) {
        let shard = self.shard(self.hasher.hash_one(wanted)).read();
        shard.tally.stale.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps an answer in place of an older one, if it may be kept and is not too large. A failure does not take the
    /// place of an answer that may still be given (RFC 8767 section 4), which is then not asked for again for a while.
    pub fn put(&self, stored: Arc<Stored>, keep: &Keep, now: Instant) {
        let hash = self.hasher.hash_one(stored.wanted());
        let mut shard = self.shard(hash).write();
        let old = shard.find(hash, stored.wanted());
        let mut popularity = 0;
        if let Some(slot) = old.and_then(|place| shard.slots.get(place as usize)?.as_ref()) {
            let age = slot.stored.age(now);
            if stored.is_failure()
                && (slot.stored.is_stale(age) || slot.stored.is_fresh(age))
                && !slot.stored.is_failure()
            {
                let recheck = keep.stale.map_or(Duration::ZERO, |stale| stale.recheck);
                slot.recheck.store(self.second(now + recheck), Ordering::Relaxed);
                slot.refreshing.store(false, Ordering::Relaxed);
                return;
            }
            popularity = slot.popularity.load(Ordering::Relaxed);
        }
        let weight = stored.weight();
        if let Some(place) = old {
            shard.remove(place);
        }
        if !stored.is_keepable() || weight > self.shard_weight {
            return;
        }
        while shard.weight + weight > self.shard_weight {
            shard.evict_one(now);
        }
        shard.insert(Slot {
            hash,
            used: AtomicBool::new(false),
            prefetch: keep.prefetch.filter(|_| !stored.is_failure()),
            at_once: keep.stale.is_some_and(|stale| stale.patience.is_zero()),
            popularity: AtomicU32::new(popularity),
            last: AtomicU32::new(self.second(now)),
            refreshing: AtomicBool::new(false),
            recheck: AtomicU32::new(0),
            stored,
        });
    }

    /// Says that an answer was not asked for anew after all, so that somebody else is told to.
    pub(super) fn not_refreshed(&self, wanted: WantedRef<'_>) {
        let hash = self.hasher.hash_one(wanted);
        let shard = self.shard(hash).read();
        let place = shard.find(hash, wanted);
        if let Some(slot) = place.and_then(|place| shard.slots.get(place as usize)?.as_ref()) {
            slot.refreshing.store(false, Ordering::Relaxed);
        }
    }

    /// How full it is, and what it was good for.
    #[must_use]
    pub fn stats(&self) -> CacheStats {
        let mut sum = CacheStats::default();
        for shard in &self.shards {
            let shard = shard.read();
            let tally = &shard.tally;
            sum.entries += shard.places.len();
            sum.positive += shard.positive;
            sum.weight += shard.weight;
            sum.hits_positive += tally.hits_positive.load(Ordering::Relaxed);
            sum.hits_negative += tally.hits_negative.load(Ordering::Relaxed);
            sum.misses += tally.misses.load(Ordering::Relaxed);
            sum.stale += tally.stale.load(Ordering::Relaxed);
            sum.prefetches += tally.prefetches.load(Ordering::Relaxed);
            sum.evictions += tally.evictions.load(Ordering::Relaxed);
        }
        sum
    }

    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        &self.shards[(hash >> 32) as usize % SHARDS]
    }

    fn second(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.made).as_secs()).unwrap_or(u32::MAX)
    }
}

impl Slot {
    /// Whether it is popular and soon over, and nobody was told so yet.
    fn is_due(&self, age: u32, second: u32, tally: &Tally) -> bool {
        let Some(prefetch) = self.prefetch else {
            return false;
        };
        // Written once a second and so many times at most: popular answers are looked at by every thread.
        let last = self.last.load(Ordering::Relaxed);
        if u64::from(second.saturating_sub(last)) >= prefetch.gap.as_secs().max(1) {
            self.popularity.store(0, Ordering::Relaxed);
        }
        if second != last {
            self.last.store(second, Ordering::Relaxed);
        }
        let mut popularity = self.popularity.load(Ordering::Relaxed);
        if popularity < prefetch.amount {
            popularity = self.popularity.fetch_add(1, Ordering::Relaxed) + 1;
        }
        let lifetime = self.stored.lifetime();
        let threshold = (u64::from(lifetime) * u64::from(prefetch.percent) / 100).max(1);
        let left = u64::from(lifetime.saturating_sub(age));
        // What lives a second or two is never long before its end.
        let soon_over = left <= threshold && age > 0;
        let due = popularity >= prefetch.amount
            && soon_over
            && second >= self.recheck.load(Ordering::Relaxed)
            && !self.refreshing.swap(true, Ordering::Relaxed);
        if due {
            tally.prefetches.fetch_add(1, Ordering::Relaxed);
        }
        due
    }
}

impl Shard {
    fn miss<R>(&self) -> Found<R> {
        self.tally.misses.fetch_add(1, Ordering::Relaxed);
        Found::Nothing
    }

    fn find(&self, hash: u64, wanted: WantedRef<'_>) -> Option<u32> {
        let holds = |place: &u32| {
            self.slots[*place as usize].as_ref().is_some_and(|slot| slot.hash == hash && slot.stored.wanted() == wanted)
        };
        self.places.find(hash, holds).copied()
    }

    fn insert(&mut self, slot: Slot) {
        self.weight += slot.stored.weight();
        self.positive += usize::from(slot.stored.is_positive());
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
            self.positive -= usize::from(slot.stored.is_positive());
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
            if slot.stored.is_fresh(slot.stored.age(now)) && slot.used.swap(false, Ordering::Relaxed) {
                continue;
            }
            self.tally.evictions.fetch_add(1, Ordering::Relaxed);
            return self.remove(self.hand as u32);
        }
    }
}
