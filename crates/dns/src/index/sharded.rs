//! A table in many parts, each behind its own lock, so that a change holds up only the questions that meet it there.

use std::hash::{BuildHasher, Hash};

use hashbrown::{DefaultHashBuilder, HashTable};
use parking_lot::RwLock;

/// More than any machine has workers that would meet in one shard, few enough to cost nothing when empty.
const SHARDS: usize = 64;

/// An item that knows the key under which it is found.
pub(super) trait Keyed {
    type Key: Hash + Eq + ?Sized;
    fn key(&self) -> &Self::Key;
}

/// One lock to a cache line: readers of neighbouring shards must not wait for each other's counters.
#[repr(align(64))]
struct Shard<T>(RwLock<HashTable<T>>);

pub(super) struct Sharded<T> {
    hasher: DefaultHashBuilder,
    shards: Box<[Shard<T>]>,
}

impl<T: Keyed> Sharded<T> {
    pub(super) fn new() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            shards: (0..SHARDS).map(|_| Shard(RwLock::new(HashTable::new()))).collect(),
        }
    }

    fn place(&self, key: &T::Key) -> (u64, &RwLock<HashTable<T>>) {
        let hash = self.hasher.hash_one(key);
        // The table itself uses the lowest and the highest bits.
        (hash, &self.shards[(hash >> 32) as usize % SHARDS].0)
    }

    /// Reads the item under `key`. `look` must not touch this table again: a second read lock could wait for a writer
    /// that waits for the first.
    pub(super) fn read<R>(&self, key: &T::Key, look: impl FnOnce(&T) -> R) -> Option<R> {
        let (hash, shard) = self.place(key);
        shard.read().find(hash, |item| item.key() == key).map(look)
    }

    /// Puts `item` in place of what was under its key, and returns that.
    pub(super) fn put(&self, item: T) -> Option<T> {
        let (hash, shard) = self.place(item.key());
        let mut table = shard.write();
        if let Some(old) = table.find_mut(hash, |old| old.key() == item.key()) {
            return Some(std::mem::replace(old, item));
        }
        table.insert_unique(hash, item, |item| self.hasher.hash_one(item.key()));
        None
    }

    /// Takes out what is under `key`.
    pub(super) fn take(&self, key: &T::Key) -> Option<T> {
        let (hash, shard) = self.place(key);
        let mut table = shard.write();
        let taken = table.find_entry(hash, |item| item.key() == key).ok()?.remove().0;
        if table.capacity() > 32 && table.len() < table.capacity() / 8 {
            table.shrink_to_fit(|item| self.hasher.hash_one(item.key()));
        }
        Some(taken)
    }

    /// How many items there are.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.0.read().len()).sum()
    }

    /// The items for which `pick` has a value, shard by shard.
    pub(super) fn collect<R>(&self, mut pick: impl FnMut(&T) -> Option<R>) -> Vec<R> {
        self.shards.iter().flat_map(|shard| shard.0.read().iter().filter_map(&mut pick).collect::<Vec<_>>()).collect()
    }
}
