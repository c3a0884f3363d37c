//! What is known of all objects of a kind: one copy for all controllers, kept current by one watch.
//!
//! Controllers read from here and never from the server. Two things make that safe. A handler is told of every change
//! with the object before and after it, so that it can put the right keys on its queue. And who has written something
//! waits until it is [seen](Cache::seen) here before it plans again for the same key, so that no plan is made from a
//! past in which its own last step is missing (Kubernetes: "expectations").

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use crate::objects::Meta;
use crate::reflect::Sink;

/// The name of an object within its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Its namespace; empty for an object of the cluster.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// A key from its parts.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The key of an object.
    pub fn of(object: &impl Meta) -> Self {
        Self::new(object.namespace(), object.name())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace.is_empty() { f.write_str(&self.name) } else { write!(f, "{}/{}", self.namespace, self.name) }
    }
}

/// By what objects can be found beside their key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Index {
    /// By the uid of the owner that controls them; Pods that nobody controls under their namespace: `NAMESPACE/`.
    Controller,
    /// Pods by the node that they are bound to, empty for those that are not bound.
    Node,
    /// Slices by their Service: `NAMESPACE/NAME`.
    Service,
    /// Services by one pair of their selector: `NAMESPACE/KEY=VALUE`.
    Selector,
}

/// A kind that is cached.
pub trait Cached:
    kube::Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned + Send + Sync + 'static
{
    /// Takes away what no controller reads.
    fn slim(&mut self) {
        crate::objects::slim(self.meta_mut());
    }

    /// Under what the object can be found.
    fn index(&self, add: &mut dyn FnMut(Index, String)) {
        let _ = add;
    }
}

/// A change of one object, always of one uid: an object that was replaced by another of its name is told of as deleted
/// and added.
pub struct Delta<'a, K> {
    /// As it was; `None`: it is new.
    pub old: Option<&'a Arc<K>>,
    /// As it is; `None`: it is gone.
    pub new: Option<&'a Arc<K>>,
    /// As it is, or as it was last.
    pub latest: &'a Arc<K>,
}

impl<'a, K> Delta<'a, K> {
    /// As it was and as it is, for what has to look at each.
    pub fn both(&self) -> impl Iterator<Item = &'a Arc<K>> + use<'a, K> {
        self.old.into_iter().chain(self.new)
    }
}

/// How far a cache has to come until a write is seen in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    revision: u64,
    lists_started: u64,
}

#[derive(Clone, Copy, Default)]
struct Progress {
    /// The greatest resource version that a change brought.
    revision: u64,
    /// Lists that were begun, and that are complete.
    lists_started: u64,
    lists_done: u64,
}

type Handler<K> = Box<dyn Fn(&Delta<'_, K>) + Send + Sync>;

/// All objects of a kind.
pub struct Cache<K> {
    objects: RwLock<Objects<K>>,
    progress: watch::Sender<Progress>,
    building: Mutex<BTreeMap<Key, Arc<K>>>,
    handlers: RwLock<Vec<Handler<K>>>,
}

struct Objects<K> {
    by_key: BTreeMap<Key, Arc<K>>,
    by_index: HashMap<(Index, String), Vec<Arc<K>>>,
}

/// After this long a write that is not seen is no longer waited for (client-go's ExpectationsTimeout).
const UNSEEN_AFTER: Duration = Duration::from_secs(300);

impl<K: Cached> Default for Cache<K> {
    fn default() -> Self {
        Self {
            objects: RwLock::new(Objects { by_key: BTreeMap::new(), by_index: HashMap::new() }),
            progress: watch::Sender::new(Progress::default()),
            building: Mutex::new(BTreeMap::new()),
            handlers: RwLock::new(Vec::new()),
        }
    }
}

impl<K: Cached> Cache<K> {
    /// Has a handler told of every change from now on. Handlers must be quick, for they run on the watch's task, and
    /// must not register others.
    pub fn on_change(&self, handler: impl Fn(&Delta<'_, K>) + Send + Sync + 'static) {
        self.handlers.write().push(Box::new(handler));
    }

    /// Forgets all handlers. They hold what holds the cache, so that nothing of them would ever be freed otherwise.
    pub fn close(&self) {
        self.handlers.write().clear();
    }

    /// The object of this name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.objects.read().by_key.get(&Key::new(namespace, name)).cloned()
    }

    /// All objects, by key.
    pub fn all(&self) -> Vec<Arc<K>> {
        self.objects.read().by_key.values().cloned().collect()
    }

    /// All objects of a namespace that pass, by name.
    pub fn in_namespace(&self, namespace: &str, mut pass: impl FnMut(&K) -> bool) -> Vec<Arc<K>> {
        let objects = self.objects.read();
        let from = Key::new(namespace, "");
        let range = objects.by_key.range(from..).take_while(|(key, _)| key.namespace == namespace);
        range.filter(|(_, object)| pass(object)).map(|(_, object)| object.clone()).collect()
    }

    /// All objects with this value of an index, by key.
    pub fn by(&self, index: Index, value: &str) -> Vec<Arc<K>> {
        let mut found = self.objects.read().by_index.get(&(index, value.to_owned())).cloned().unwrap_or_default();
        found.sort_by(|a, b| (a.namespace(), a.name()).cmp(&(b.namespace(), b.name())));
        found
    }

    /// How many objects have this value of an index.
    pub fn count(&self, index: Index, value: &str) -> usize {
        self.objects.read().by_index.get(&(index, value.to_owned())).map_or(0, Vec::len)
    }

    /// Waits until the first list is complete.
    pub async fn synced(&self) {
        // The sender lives in self, so the channel cannot be closed.
        let _ = self.progress.subscribe().wait_for(|progress| progress.lists_done > 0).await;
    }

    /// Whether the first list is complete.
    pub fn is_synced(&self) -> bool {
        self.progress.borrow().lists_done > 0
    }

    /// The mark of a write whose answer bore this resource version. Taken after the answer.
    pub fn mark(&self, resource_version: &str) -> Mark {
        // Resource versions can be compared since Kubernetes 1.35 (KEP-5504). One that is no number is seen at once:
        // then the optimistic concurrency of the server is all that is left.
        let revision = resource_version.parse().unwrap_or(0);
        Mark { revision, lists_started: self.progress.borrow().lists_started }
    }

    /// Waits until a write is seen here: its change came by, or a list that began after it is complete.
    pub async fn seen(&self, mark: Mark) {
        let mut progress = self.progress.subscribe();
        let seen = progress.wait_for(|p| p.revision >= mark.revision || p.lists_done > mark.lists_started);
        if tokio::time::timeout(UNSEEN_AFTER, seen).await.is_err() {
            tracing::warn!(kind = %K::kind(&()), revision = mark.revision, "a write was not seen by the watch");
        }
    }

    /// Waits until an object that was deleted is gone here, or at least waits for its end.
    pub async fn gone(&self, key: &Key, uid: &str) {
        let live = || self.objects.read().by_key.get(key).is_some_and(|found| found.uid() == uid && !found.deleting());
        let mut progress = self.progress.subscribe();
        if tokio::time::timeout(UNSEEN_AFTER, progress.wait_for(|_| !live())).await.is_err() {
            tracing::warn!(kind = %K::kind(&()), %key, "a deletion was not seen by the watch");
        }
    }

    fn tell(&self, old: Option<&Arc<K>>, new: Option<&Arc<K>>) {
        let Some(latest) = new.or(old) else { return };
        for handler in self.handlers.read().iter() {
            handler(&Delta { old, new, latest });
        }
    }

    fn tell_change(&self, old: Option<&Arc<K>>, new: Option<&Arc<K>>) {
        match (old, new) {
            (Some(before), Some(after)) if before.uid() != after.uid() => {
                self.tell(old, None);
                self.tell(None, new);
            }
            _ => self.tell(old, new),
        }
    }

    fn advance(&self, resource_version: &str) {
        if let Ok(revision) = resource_version.parse::<u64>() {
            self.progress.send_if_modified(|progress| {
                let newer = revision > progress.revision;
                progress.revision = progress.revision.max(revision);
                newer
            });
        }
    }
}

impl<K: Cached> Objects<K> {
    fn put(&mut self, object: Arc<K>) -> Option<Arc<K>> {
        let old = self.by_key.insert(Key::of(&*object), object.clone());
        if let Some(old) = &old {
            self.unindex(old);
        }
        object.index(&mut |index, value| self.by_index.entry((index, value)).or_default().push(object.clone()));
        old
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<K>> {
        let old = self.by_key.remove(key)?;
        self.unindex(&old);
        Some(old)
    }

    fn unindex(&mut self, old: &Arc<K>) {
        old.index(&mut |index, value| {
            if let std::collections::hash_map::Entry::Occupied(mut entry) = self.by_index.entry((index, value)) {
                entry.get_mut().retain(|object| !Arc::ptr_eq(object, old));
                if entry.get().is_empty() {
                    entry.remove();
                }
            }
        });
    }
}

impl<K: Cached> Sink<K> for Cache<K> {
    fn init(&self) {
        self.building.lock().clear();
        self.progress.send_modify(|progress| progress.lists_started += 1);
    }

    fn init_apply(&self, mut object: K) {
        object.slim();
        self.building.lock().insert(Key::of(&object), Arc::new(object));
    }

    fn init_done(&self) {
        let listed = std::mem::take(&mut *self.building.lock());
        let gone: Vec<Key> = {
            let objects = self.objects.read();
            objects.by_key.keys().filter(|key| !listed.contains_key(key)).cloned().collect()
        };
        for key in gone {
            let old = self.objects.write().remove(&key);
            self.tell_change(old.as_ref(), None);
        }
        let mut revision = 0;
        for object in listed.into_values() {
            revision = revision.max(object.resource_version().parse().unwrap_or(0));
            let old = self.objects.write().put(object.clone());
            if old.as_ref().is_none_or(|old| old.resource_version() != object.resource_version()) {
                self.tell_change(old.as_ref(), Some(&object));
            }
        }
        self.progress.send_modify(|progress| {
            progress.revision = progress.revision.max(revision);
            progress.lists_done = progress.lists_started;
        });
    }

    fn apply(&self, mut object: K) {
        object.slim();
        let object = Arc::new(object);
        let old = self.objects.write().put(object.clone());
        self.tell_change(old.as_ref(), Some(&object));
        self.advance(object.resource_version());
    }

    fn delete(&self, object: K) {
        let old = self.objects.write().remove(&Key::of(&object));
        if old.is_some() {
            self.tell_change(old.as_ref(), None);
        }
        self.advance(object.resource_version());
    }
}

#[cfg(test)]
pub(crate) mod tests;
