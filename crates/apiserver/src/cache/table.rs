//! The objects of one kind, and its newest events.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::labelled::Labelled;
use super::object::Object;

/// How many events a kind keeps at most.
const MOST_EVENTS: usize = 16_384;
/// How many bytes of objects its events hold on to at most, about.
const MOST_BYTES: usize = 4 << 20;
/// How many bytes it holds on to when nothing has happened for a while.
const CALM_BYTES: usize = 128 << 10;
/// After which time an event may go when there are more than [`CALM_BYTES`]: longer than a client needs to come back
/// (Kubernetes' watch cache has 75 s too).
const FRESH: Duration = Duration::from_secs(75);

/// Something that happened to one object.
#[derive(Debug)]
pub(crate) struct Event {
    pub revision: u64,
    /// The object now; `None` when it is gone.
    pub current: Option<Arc<Object>>,
    /// The object before; `None` when it is new.
    pub previous: Option<Arc<Object>>,
    /// When it is gone: its last state, with the revision at which it went.
    pub gone: Option<Arc<Object>>,
    /// The object that it tells of in protobuf, when a watch has sent it so.
    pub protobuf: OnceLock<Bytes>,
}

impl Event {
    fn key(&self) -> Option<Box<str>> {
        self.current.as_ref().or(self.gone.as_ref()).map(|o| o.key())
    }

    /// What only this event keeps in memory, about: the object that it replaced or removed.
    fn weight(&self) -> usize {
        let of = |o: &Option<Arc<Object>>| o.as_ref().map_or(0, |o| o.bytes().len());
        192 + of(&self.previous) + of(&self.gone)
    }
}

#[derive(Default)]
pub(crate) struct Table {
    /// By namespace and name.
    objects: BTreeMap<Box<str>, Arc<Object>>,
    labelled: Labelled,
    events: VecDeque<(Arc<Event>, Instant)>,
    /// The place of the first event.
    first: u64,
    weight: usize,
    /// The revision of the newest event that is not known any more.
    forgotten: u64,
}

impl Table {
    /// Puts an object there without an event.
    pub fn fill(&mut self, object: Object) {
        let object = Arc::new(object);
        self.labelled.insert(&object);
        self.objects.insert(object.key(), object);
    }

    /// Says that no event up to `revision` is known.
    pub fn forget_before(&mut self, revision: u64) {
        self.forgotten = revision;
    }

    /// Applies an event, whose `previous` is found here, and keeps it. Answers the place after it.
    pub fn apply(&mut self, mut event: Event) -> u64 {
        event.previous = match (&event.current, &event.gone) {
            (Some(object), _) => self.objects.insert(object.key(), object.clone()),
            (None, Some(object)) => self.objects.remove(&object.key()),
            (None, None) => None,
        };
        event.previous.iter().for_each(|previous| self.labelled.remove(previous));
        event.current.iter().for_each(|current| self.labelled.insert(current));
        self.remember(event);
        self.end()
    }

    /// Keeps an event, and forgets the oldest while there is too much.
    pub fn remember(&mut self, event: Event) {
        let now = Instant::now();
        self.weight += event.weight();
        self.events.push_back((Arc::new(event), now));
        while let Some((oldest, since)) = self.events.front() {
            let stale = self.weight > CALM_BYTES && now.duration_since(*since) > FRESH;
            let too_much = self.weight > MOST_BYTES || self.events.len() > MOST_EVENTS;
            if self.events.len() == 1 || !(stale || too_much) {
                break;
            }
            self.weight -= oldest.weight();
            self.forgotten = oldest.revision;
            self.first += 1;
            self.events.pop_front();
        }
    }

    /// The place after the newest event.
    pub fn end(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// How many objects there are.
    pub fn count(&self) -> usize {
        self.objects.len()
    }

    pub fn get(&self, key: &str) -> Option<Arc<Object>> {
        self.objects.get(key).cloned()
    }

    /// The objects of a namespace, or all for `""`.
    pub fn list(&self, namespace: &str) -> Vec<Arc<Object>> {
        self.after(namespace, "").cloned().collect()
    }

    /// The objects of a namespace, or of all for `""`, whose keys are greater than `key`.
    pub fn after(&self, namespace: &str, key: &str) -> impl Iterator<Item = &Arc<Object>> {
        // '0' follows '/'.
        let (from, to) = match namespace {
            "" => (String::new(), None),
            _ => (format!("{namespace}/"), Some(format!("{namespace}0"))),
        };
        let from = if key > from.as_str() { Bound::Excluded(key) } else { Bound::Included(from.as_str()) };
        let is_over = to.as_ref().is_some_and(|to| key >= to.as_str());
        let to = to.as_ref().map_or(Bound::Unbounded, |to| Bound::Excluded(to.as_str()));
        let range = (!is_over).then(|| self.objects.range::<str, _>((from, to)));
        range.into_iter().flatten().map(|(_, object)| object)
    }

    /// The objects that may have a label of this value, in the order of their keys.
    pub fn labelled(&self, name: &str, value: &str) -> impl Iterator<Item = &Arc<Object>> {
        self.labelled.of(name, value)
    }

    /// The objects as they were at `revision`: the events since are undone, newest first.
    pub fn list_at(&self, namespace: &str, revision: u64) -> Option<Vec<Arc<Object>>> {
        if revision < self.forgotten {
            return None;
        }
        let since: Vec<_> = self.events.iter().rev().take_while(|(e, _)| e.revision > revision).collect();
        if since.is_empty() {
            return Some(self.list(namespace));
        }
        let mut before: HashMap<Box<str>, Option<Arc<Object>>> = HashMap::new();
        for (event, _) in since {
            if let Some(key) = event.key() {
                before.insert(key, event.previous.clone());
            }
        }
        let mut then: BTreeMap<Box<str>, Arc<Object>> =
            self.list(namespace).into_iter().map(|object| (object.key(), object)).collect();
        for (key, object) in before {
            match object {
                Some(object) if namespace.is_empty() || *object.namespace == *namespace => then.insert(key, object),
                _ => then.remove(&key),
            };
        }
        Some(then.into_values().collect())
    }

    /// The place of the first event after `revision`.
    pub fn place_after(&self, revision: u64) -> Result<u64, u64> {
        if revision < self.forgotten {
            return Err(self.forgotten);
        }
        Ok(self.first + self.events.partition_point(|(e, _)| e.revision <= revision) as u64)
    }

    /// At most `limit` events from `place` on; `None` when the first of them is gone.
    pub fn from(&self, place: u64, limit: usize) -> Option<Vec<Arc<Event>>> {
        let skip = usize::try_from(place.checked_sub(self.first)?).ok()?;
        Some(self.events.iter().skip(skip).take(limit).map(|(e, _)| e.clone()).collect())
    }
}
