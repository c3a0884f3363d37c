//! Following a kind: list, watch, and list again when the watch was lost, told as plain changes.
//!
//! Losing the server changes nothing: the last state stays, and when the server is back the first list tells what
//! went meanwhile.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

/// The longest that a lost server is left alone before it is asked again: a node must catch up at once when it is back.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The first wait after a loss: a server that restarts is back in less.
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Waits between attempts: each twice the last, up to [`LONGEST_WAIT`].
#[derive(Debug, Default)]
pub(crate) struct Patience {
    losses: u32,
}

impl Patience {
    /// The next wait.
    pub(crate) fn wait(&mut self) -> Duration {
        let wait = FIRST_WAIT.saturating_mul(1 << self.losses.min(10));
        self.losses = self.losses.saturating_add(1);
        wait.min(LONGEST_WAIT)
    }
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.wait())
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {
        self.losses = 0;
    }
}

/// The name of an object: its namespace (empty for the cluster's own) and its name.
pub type ObjectKey = (String, String);

/// What happened to one kind.
#[derive(Debug)]
pub enum Change<K> {
    /// An object is there, with this content.
    Set(K),
    /// An object is gone.
    Gone(ObjectKey),
    /// All that is there has been told: at the start, and after each reconnection.
    Synced,
}

/// All changes of a kind, for ever. Errors are logged and retried.
pub fn follow<K>(api: Api<K>, config: watcher::Config) -> impl Stream<Item = Change<K>> + Send
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    follow_heard(api, config, |_| {})
}

/// As [`follow`]; `heard` is told, each time that the server says something (`true`) or the watch is lost or cannot be
/// begun (`false`).
pub fn follow_heard<K>(
    api: Api<K>,
    config: watcher::Config,
    heard: impl FnMut(bool) + Send,
) -> impl Stream<Item = Change<K>> + Send
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut known = Known::default();
    events_logged(api, config, heard).flat_map(move |event| futures::stream::iter(known.changes(event)))
}

/// All events of a kind, for ever. Errors are logged and retried; `heard` as in [`follow_heard`].
pub(crate) fn events_logged<K>(
    api: Api<K>,
    config: watcher::Config,
    mut heard: impl FnMut(bool) + Send,
) -> impl Stream<Item = Event<K>> + Send
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut said = String::new();
    events(api, config).filter_map(move |event| {
        let event = match event {
            Ok(event) => {
                // The begin of a list is no answer yet.
                if !matches!(event, Event::Init) {
                    heard(true);
                    said.clear();
                }
                Some(event)
            }
            Err(error) => {
                heard(false);
                // Once for each reason: a server that is away for an hour is one line.
                let error = error.to_string();
                if error != said {
                    tracing::warn!(kind = %K::kind(&()), error, "the watch was lost; it is tried again");
                    said = error;
                }
                None
            }
        };
        std::future::ready(event)
    })
}

/// All events of a kind, for ever. A watch that is to begin at a revision which the server has forgotten never would:
/// kube's own watcher asks for the same one again. It is begun anew, with a list.
pub(crate) fn events<K>(
    api: Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let begin = move || watch(api.clone(), config.clone()).backoff(Patience::default()).boxed();
    let first = begin();
    futures::stream::unfold((first, begin), |(mut watched, begin)| async move {
        let event = watched.next().await?;
        if event.as_ref().is_err_and(is_forgotten) {
            watched = begin();
        }
        Some((event, (watched, begin)))
    })
}

/// Whether a watch cannot begin because the server has forgotten the revision (410 Gone).
fn is_forgotten(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if status.code == 410)
}

/// The names that are there, so that a new list tells what is gone.
#[derive(Default)]
struct Known {
    names: BTreeSet<ObjectKey>,
    /// Names that were there before the list that is under way and have not been seen in it.
    unseen: BTreeSet<ObjectKey>,
}

impl Known {
    fn changes<K: Resource>(&mut self, event: Event<K>) -> Vec<Change<K>> {
        match event {
            Event::Init => {
                self.unseen = self.names.clone();
                Vec::new()
            }
            Event::InitApply(object) => {
                self.unseen.remove(&key(&object));
                self.set(object)
            }
            Event::InitDone => {
                let gone = std::mem::take(&mut self.unseen);
                for name in &gone {
                    self.names.remove(name);
                }
                gone.into_iter().map(Change::Gone).chain([Change::Synced]).collect()
            }
            Event::Apply(object) => self.set(object),
            Event::Delete(object) => {
                let name = key(&object);
                self.names.remove(&name);
                vec![Change::Gone(name)]
            }
        }
    }

    fn set<K: Resource>(&mut self, object: K) -> Vec<Change<K>> {
        self.names.insert(key(&object));
        vec![Change::Set(object)]
    }
}

/// Why a request failed, in one line: kube's own text of a refusal holds the whole `Status`.
pub fn reason(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => error.to_string(),
    }
}

/// The key of an object.
pub fn key<K: Resource>(object: &K) -> ObjectKey {
    let meta = object.meta();
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests;
