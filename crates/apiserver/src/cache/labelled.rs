//! Which objects have a label with a value, so that a list of few objects does not look at all of them.
//!
//! Kept by the hash of both: what is found has the label, or, seldom, another of the same hash. Who asks looks again.

use std::cmp::Ordering;
use std::collections::hash_map::{Entry, RandomState};
use std::collections::{BTreeSet, HashMap};
use std::hash::BuildHasher;
use std::sync::Arc;

use super::object::Object;

/// The objects of a kind by their labels.
#[derive(Default)]
pub(crate) struct Labelled {
    random: RandomState,
    by_pair: HashMap<u64, Objects>,
}

/// Most labels that tell objects apart are one object's, which costs no set.
enum Objects {
    One(ByKey),
    Many(BTreeSet<ByKey>),
}

/// An object in the order of its key.
struct ByKey(Arc<Object>);

impl ByKey {
    fn bytes(&self) -> impl Iterator<Item = u8> {
        self.0.namespace.bytes().chain([b'/']).chain(self.0.name.bytes())
    }
}

impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.0.namespace == other.0.namespace {
            return self.0.name.cmp(&other.0.name);
        }
        // The slash counts: `a-b/x` comes before `a/x`.
        self.bytes().cmp(other.bytes())
    }
}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ByKey {}

impl Labelled {
    /// Adds an object under each of its labels.
    pub fn insert(&mut self, object: &Arc<Object>) {
        for (name, value) in object.labels() {
            let pair = self.random.hash_one((name, value));
            match self.by_pair.entry(pair) {
                Entry::Vacant(place) => _ = place.insert(Objects::One(ByKey(object.clone()))),
                Entry::Occupied(mut place) => place.get_mut().insert(ByKey(object.clone())),
            }
        }
    }

    /// Takes an object away from each of its labels.
    pub fn remove(&mut self, object: &Arc<Object>) {
        let key = ByKey(object.clone());
        for (name, value) in object.labels() {
            let pair = self.random.hash_one((name, value));
            if let Entry::Occupied(mut place) = self.by_pair.entry(pair) {
                let is_empty = match place.get_mut() {
                    Objects::One(one) => *one == key,
                    Objects::Many(many) => {
                        many.remove(&key);
                        many.is_empty()
                    }
                };
                if is_empty {
                    place.remove();
                }
            }
        }
    }

    /// The objects that may have this label, in the order of their keys.
    pub fn of(&self, name: &str, value: &str) -> impl Iterator<Item = &Arc<Object>> {
        let found = self.by_pair.get(&self.random.hash_one((name, value)));
        let (one, many) = match found {
            None => (None, None),
            Some(Objects::One(one)) => (Some(one), None),
            Some(Objects::Many(many)) => (None, Some(many)),
        };
        one.into_iter().chain(many.into_iter().flatten()).map(|ByKey(object)| object)
    }
}

impl Objects {
    fn insert(&mut self, object: ByKey) {
        match self {
            Self::One(one) if *one == object => *one = object,
            Self::One(_) => {
                let Self::One(one) = std::mem::replace(self, Self::Many(BTreeSet::new())) else { return };
                *self = Self::Many(BTreeSet::from([one, object]));
            }
            Self::Many(many) => _ = many.replace(object),
        }
    }
}

#[cfg(test)]
mod tests;
