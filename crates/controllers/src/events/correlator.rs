//! Which notes become events of their own, which raise a count, and which are one too many.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;

use jiff::{SignedDuration, Timestamp};

use super::Name;
use crate::change::{Note, Reference};

/// How many events, groups and objects are remembered, each.
const REMEMBERED: usize = 4096;
/// How many different messages of one reason are told one by one, within [`SIMILAR_WITHIN`].
const SIMILAR: usize = 10;
const SIMILAR_WITHIN: SignedDuration = SignedDuration::from_mins(10);
/// How many events of an object are told at once, and after how long another may follow.
const BURST: i64 = 25;
const REFILL_SECONDS: i64 = 300;

/// A note that becomes an event, or raises its count.
#[derive(Debug, PartialEq)]
pub struct Said {
    /// The note, with the message as it is told.
    pub note: Note,
    /// The event's name.
    pub name: Name,
    /// How often it has been said, this time included.
    pub count: u32,
    /// When it was said first.
    pub first: Timestamp,
}

/// Remembers what was said.
#[derive(Default)]
pub struct Correlator {
    events: Remembered<(Subject, String), Event>,
    groups: Remembered<Subject, Group>,
    buckets: Remembered<(&'static str, Reference), Bucket>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Subject {
    component: &'static str,
    about: Reference,
    warning: bool,
    reason: &'static str,
}

struct Event {
    name: Name,
    count: u32,
    first: Timestamp,
}

struct Group {
    messages: HashSet<String>,
    last: Timestamp,
}

struct Bucket {
    tokens: i64,
    refilled: Timestamp,
}

impl Correlator {
    /// What to tell; `None` when it is one too many.
    pub fn correlate(&mut self, component: &'static str, mut note: Note, now: Timestamp) -> Option<Said> {
        // The version of the object is no part of what is said about it.
        let about = Reference { resource_version: String::new(), ..note.about.clone() };
        if !self.may_speak(component, &about, now) {
            return None;
        }
        let subject = Subject { component, about, warning: note.warning, reason: note.reason };
        let similar = self.is_one_of_many(&subject, &note.message, now);
        // All of a group that is combined share one event, whatever their messages.
        let key = if similar { (subject, String::new()) } else { (subject, note.message.clone()) };
        if similar {
            note.message = format!("(combined from similar events): {}", note.message);
        }
        let event = self.events.entry(key, || Event {
            name: format!("{}.{:x}", note.about.name, now.as_nanosecond()).into(),
            count: 0,
            first: now,
        });
        event.count = event.count.saturating_add(1);
        Some(Said { name: event.name.clone(), count: event.count, first: event.first, note })
    }

    fn may_speak(&mut self, component: &'static str, about: &Reference, now: Timestamp) -> bool {
        let bucket = self.buckets.entry((component, about.clone()), || Bucket { tokens: BURST, refilled: now });
        let refill = now.duration_since(bucket.refilled).as_secs() / REFILL_SECONDS;
        if refill > 0 {
            bucket.tokens = (bucket.tokens + refill).min(BURST);
            bucket.refilled = now;
        }
        let may = bucket.tokens > 0;
        bucket.tokens -= i64::from(may);
        may
    }

    fn is_one_of_many(&mut self, subject: &Subject, message: &str, now: Timestamp) -> bool {
        let group = self.groups.entry(subject.clone(), || Group { messages: HashSet::new(), last: now });
        if now.duration_since(group.last) > SIMILAR_WITHIN {
            group.messages.clear();
        }
        group.last = now;
        if group.messages.len() >= SIMILAR && !group.messages.contains(message) {
            return true;
        }
        group.messages.insert(message.to_owned());
        false
    }
}

/// A map that forgets what came first when it is full.
struct Remembered<K, V> {
    map: HashMap<K, V>,
    order: VecDeque<K>,
}

impl<K, V> Default for Remembered<K, V> {
    fn default() -> Self {
        Self { map: HashMap::new(), order: VecDeque::new() }
    }
}

impl<K: Clone + Eq + Hash, V> Remembered<K, V> {
    fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        if !self.map.contains_key(&key) {
            if self.map.len() >= REMEMBERED
                && let Some(oldest) = self.order.pop_front()
            {
                self.map.remove(&oldest);
            }
            self.order.push_back(key.clone());
        }
        self.map.entry(key).or_insert_with(new)
    }
}
