//! Every object in memory, once; lists and watches read nothing else.
//!
//! One task ([`feed`](Cache::feed)) follows the store's batches in order and applies each under one lock, so that a
//! reader sees every batch whole and the revision that it reads is exactly that of what it sees. Every kind keeps its
//! newest events in a bounded run; a watch is a place in that run. A watch that falls behind the run's old end is told
//! `410 Expired`: it is never waited for, and costs nothing while nothing happens.
//!
//! In reading order: [`object`] (one version of one object), [`labelled`] (who has which label), [`table`] (the objects and events of a kind),
//! [`selection`] (which objects a reader wants), here (all tables, their revision and who feeds them).

mod labelled;
pub(crate) mod object;
pub(crate) mod selection;
pub(crate) mod table;

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kinds::{Kind, registry};
use parking_lot::RwLock;
use store::event::Previous;
use store::{Change, EventBatch, Store, WatchError};
use tokio::sync::watch;

use crate::keys::{self, Folders};
use crate::pki::Authority;
use crate::pki::sealing::SealError;
use object::Object;
use selection::Selection;
use table::{Event, Table};

/// How many revisions are read back at the start, so that watches go on where they were.
const RECALLED: u64 = 2048;

/// All kinds' objects at one revision.
pub(crate) struct Cache {
    state: RwLock<State>,
    folders: Folders,
    /// Who has the keys of Secrets.
    authority: Arc<Authority>,
    revision: watch::Sender<u64>,
    /// For each kind, how many events there have been: what watches wait for.
    events: Box<[watch::Sender<u64>]>,
}

struct State {
    revision: u64,
    tables: Box<[Table]>,
    /// Keys that are no objects: what the allocators have taken.
    claims: BTreeSet<Box<str>>,
}

/// Why the cache cannot be filled.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] store::ReadError),
    /// The store's log cannot be read.
    #[error(transparent)]
    Log(#[from] WatchError),
    /// A Secret cannot be opened.
    #[error("the record {key} cannot be read: {source}")]
    Sealed {
        /// Its key.
        key: String,
        /// Why.
        #[source]
        source: SealError,
    },
    /// A record is no object.
    #[error("the record {key} is no object")]
    NoObject {
        /// Its key.
        key: String,
        /// What the decoder says.
        #[source]
        source: serde_json::Error,
    },
}

/// Objects of one kind, and the revision at which they are so.
pub(crate) struct Listed {
    pub objects: Vec<Arc<Object>>,
    pub revision: u64,
    /// How many there are after the last of them, wanted or not, when the limit was reached.
    pub left: usize,
}

impl Listed {
    /// The objects that are wanted, at most `limit` of them if that is not 0.
    pub fn of<'o>(
        objects: impl Iterator<Item = &'o Arc<Object>>,
        revision: u64,
        limit: usize,
        selection: &Selection,
    ) -> Self {
        let mut objects = objects;
        let wanted = objects.by_ref().filter(|object| selection.matches(object)).cloned();
        let listed = if limit > 0 { wanted.take(limit).collect() } else { wanted.collect::<Vec<_>>() };
        let left = if limit > 0 && listed.len() == limit { objects.count() } else { 0 };
        Self { objects: listed, revision, left }
    }
}

/// What a watch reads next.
pub(crate) enum Next {
    /// These events, and the place after them. When there are none, everything up to `revision` has been told.
    Events { events: Vec<Arc<Event>>, place: u64, revision: u64 },
    /// They are gone.
    Expired,
}

impl Cache {
    /// Reads every record of the store, and of its log what still fits. Blocks on the disk.
    pub async fn load(store: &Store, authority: Arc<Authority>) -> Result<Self, CacheError> {
        let kinds = registry::all();
        let folders = Folders::of_registry();
        let mut tables: Box<[Table]> = kinds.iter().map(|_| Table::default()).collect();
        let mut claims = BTreeSet::new();
        let mut fault = None;
        let revision = store.load(|record| match folders.locate(&record.key) {
            None => {
                claims.insert(record.key.into());
            }
            Some((i, _, _)) => match decode(&authority, i, &record.key, &record.value, record.mod_revision) {
                Ok(object) => tables[i].fill(object),
                Err(error) => fault = Some(error),
            },
        })?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        let known_after = store.compacted()?.max(revision.saturating_sub(RECALLED));
        let state = RwLock::new(State { revision, tables, claims });
        let events = kinds.iter().map(|_| watch::Sender::new(0)).collect();
        let cache = Self { state, folders, authority, revision: watch::Sender::new(revision), events };
        cache.recall(store, known_after, revision).await?;
        Ok(cache)
    }

    /// Fills the kinds' events from the store's log, so that watches go on where they were after a restart.
    async fn recall(&self, store: &Store, known_after: u64, revision: u64) -> Result<(), CacheError> {
        for table in &mut self.state.write().tables {
            table.forget_before(known_after);
        }
        let mut log = store.watch(known_after);
        for _ in known_after..revision {
            let batch = log.next().await?;
            let mut before: HashMap<&str, &Previous> = HashMap::new();
            before.extend(batch.events.iter().filter_map(|e| Some((e.key.as_str(), e.previous.as_ref()?))));
            for (i, mut event) in self.read(&batch)? {
                if let Some(object) = event.current.as_ref().or(event.gone.as_ref()) {
                    let key = keys::object(registry::all()[i], &object.namespace, &object.name);
                    let previous = before.get(key.as_str()).map(|p| self.decode(i, &key, &p.value, p.mod_revision));
                    event.previous = previous.transpose()?;
                }
                self.state.write().tables[i].remember(event);
            }
        }
        let state = self.state.read();
        for (table, told) in state.tables.iter().zip(&self.events) {
            told.send_replace(table.end());
        }
        Ok(())
    }

    /// Follows the store from where [`Cache::load`] left it until the store is closed.
    pub async fn feed(&self, store: &Store) -> Result<(), CacheError> {
        let mut log = store.watch(self.revision());
        loop {
            match log.next().await {
                Ok(batch) => self.apply(&batch)?,
                Err(WatchError::Closed) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads the events of a batch, without what was there before them.
    fn read(&self, batch: &EventBatch) -> Result<Vec<(usize, Event)>, CacheError> {
        let mut events = Vec::with_capacity(batch.events.len());
        for event in &batch.events {
            let Some((i, _, _)) = self.folders.locate(&event.key) else { continue };
            let object = |value: &[u8]| self.decode(i, &event.key, value, batch.revision);
            let (current, gone) = match (&event.change, &event.previous) {
                (Change::Put { value, .. }, _) => (Some(object(value)?), None),
                // The last state of an object that is gone bears the revision at which it went.
                (Change::Delete, Some(previous)) => (None, Some(object(&previous.value)?)),
                (Change::Delete, None) => continue,
            };
            events.push((
                i,
                Event { revision: batch.revision, current, previous: None, gone, protobuf: OnceLock::new() },
            ));
        }
        Ok(events)
    }

    fn decode(&self, index: usize, key: &str, value: &[u8], revision: u64) -> Result<Arc<Object>, CacheError> {
        decode(&self.authority, index, key, value, revision).map(Arc::new)
    }

    fn apply(&self, batch: &EventBatch) -> Result<(), CacheError> {
        let events = self.read(batch)?;
        let mut state = self.state.write();
        for event in batch.events.iter().filter(|e| self.folders.locate(&e.key).is_none()) {
            match event.change {
                Change::Put { .. } => state.claims.insert(event.key.as_str().into()),
                Change::Delete => state.claims.remove(event.key.as_str()),
            };
        }
        let mut touched = Vec::with_capacity(events.len());
        for (i, event) in events {
            touched.push((i, state.tables[i].apply(event)));
        }
        state.revision = batch.revision;
        drop(state);
        for (i, place) in touched {
            self.events[i].send_replace(place);
        }
        self.revision.send_replace(batch.revision);
        Ok(())
    }

    /// The revision of what readers see.
    pub fn revision(&self) -> u64 {
        *self.revision.borrow()
    }

    /// Waits until readers see `revision`; `false` when that took longer than `patience`.
    pub async fn reach(&self, revision: u64, patience: Duration) -> bool {
        let mut seen = self.revision.subscribe();
        matches!(tokio::time::timeout(patience, seen.wait_for(|r| *r >= revision)).await, Ok(Ok(_)))
    }

    /// One object.
    pub fn get(&self, kind: &'static Kind, namespace: &str, name: &str) -> Option<Arc<Object>> {
        self.state.read().tables[index(kind)].get(&keys::inside(namespace, name))
    }

    /// The objects of a kind, those of one namespace or all (`""`), in the order of their keys.
    pub fn list(&self, kind: &'static Kind, namespace: &str) -> Listed {
        let state = self.state.read();
        Listed { objects: state.tables[index(kind)].list(namespace), revision: state.revision, left: 0 }
    }

    /// The objects that a selection wants, of those whose keys are greater than `after`; at most `limit` if that is not 0.
    pub fn select(&self, kind: &'static Kind, selection: &Selection, after: &str, limit: usize) -> Listed {
        let state = self.state.read();
        let table = &state.tables[index(kind)];
        let all = || table.after(&selection.namespace, after);
        let Some((name, value)) = selection.label() else {
            return Listed::of(all(), state.revision, limit, selection);
        };
        let labelled = table.labelled(name, value).filter(|object| after.is_empty() || *object.key() > *after);
        let mut listed = Listed::of(labelled, state.revision, limit, selection);
        // What is left counts all that there is, wanted or not.
        if let Some(last) = listed.objects.last().filter(|_| limit > 0 && listed.objects.len() == limit) {
            listed.left = table.after(&selection.namespace, &last.key()).count();
        }
        listed
    }

    /// A list of one object, or none.
    pub fn list_one(&self, kind: &'static Kind, namespace: &str, name: &str) -> Listed {
        let state = self.state.read();
        let object = state.tables[index(kind)].get(&keys::inside(namespace, name));
        Listed { objects: object.into_iter().collect(), revision: state.revision, left: 0 }
    }

    /// The objects of a kind as they were at `revision`; `None` when that is not known any more.
    pub fn list_at(&self, kind: &'static Kind, namespace: &str, revision: u64) -> Option<Vec<Arc<Object>>> {
        self.state.read().tables[index(kind)].list_at(namespace, revision)
    }

    /// The objects that a selection wants, and the place after them from which a watch goes on.
    pub fn select_and_place(&self, kind: &'static Kind, selection: &Selection) -> (Listed, u64) {
        let state = self.state.read();
        let table = &state.tables[index(kind)];
        let listed = match selection.label() {
            Some((name, value)) => Listed::of(table.labelled(name, value), state.revision, 0, selection),
            None => Listed::of(table.after(&selection.namespace, ""), state.revision, 0, selection),
        };
        (listed, table.end())
    }

    /// The place of the first event after `revision`.
    ///
    /// # Errors
    /// When events after it are gone: the oldest revision for which that is not so.
    pub fn place_after(&self, kind: &'static Kind, revision: u64) -> Result<u64, u64> {
        self.state.read().tables[index(kind)].place_after(revision)
    }

    /// At most `limit` events from `place` on.
    pub fn next(&self, kind: &'static Kind, place: u64, limit: usize) -> Next {
        let state = self.state.read();
        match state.tables[index(kind)].from(place, limit) {
            Some(events) => {
                let place = place + events.len() as u64;
                Next::Events { events, place, revision: state.revision }
            }
            None => Next::Expired,
        }
    }

    /// Told each time something happens to an object of this kind: how many events there have been.
    pub fn subscribe(&self, kind: &'static Kind) -> watch::Receiver<u64> {
        self.events[index(kind)].subscribe()
    }

    /// How many events of this kind readers were told of: the place after the newest.
    pub fn events_told(&self, kind: &'static Kind) -> u64 {
        *self.events[index(kind)].borrow()
    }

    /// How many objects of a kind there are.
    pub fn count(&self, kind: &'static Kind) -> usize {
        self.state.read().tables[index(kind)].count()
    }

    /// How many keys that are no objects' begin so.
    pub fn claims(&self, prefix: &str) -> usize {
        let state = self.state.read();
        state
            .claims
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|k| k.starts_with(prefix))
            .count()
    }

    /// The keys that are no objects' and begin so.
    pub fn claimed(&self, prefix: &str) -> Vec<String> {
        let state = self.state.read();
        let keys = state.claims.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        keys.take_while(|key| key.starts_with(prefix)).map(ToString::to_string).collect()
    }

    /// Whether this key, which is no object's, has a record.
    pub fn is_claimed(&self, key: &str) -> bool {
        self.state.read().claims.contains(key)
    }
}

/// The place of a kind in the registry.
fn index(kind: &'static Kind) -> usize {
    // Every `&'static Kind` comes from the registry; there are too few to make a map of.
    registry::all().iter().position(|k| std::ptr::eq(*k, kind)).unwrap_or_default()
}

fn decode(authority: &Authority, index: usize, key: &str, value: &[u8], revision: u64) -> Result<Object, CacheError> {
    let opened = authority.secret_keys().open(key, value);
    let opened = opened.map_err(|source| CacheError::Sealed { key: key.to_owned(), source })?;
    Object::from_stored(registry::all()[index], &opened, revision)
        .map_err(|source| CacheError::NoObject { key: key.to_owned(), source })
}
