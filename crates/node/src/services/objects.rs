//! All objects of a kind and what becomes of them: a list, then a watch from its version on, and a list again when the
//! server has forgotten that version.
//!
//! Objects are asked for in protobuf, and a list in one piece, which is taken apart while it comes: the server writes
//! on, the network carries and this reads, all at the same time, and no more of a list is held than an object or two. A
//! server that speaks no protobuf is followed as any other kind is ([`crate::follow`]).
//!
//! Losing the server changes nothing: the last state stays, and when the server is back the first list tells what
//! went meanwhile.

mod answer;
mod known;
mod list;
mod watch;

use std::fmt::Debug;

use dataplane::model::NamespacedName;
use futures::{FutureExt, StreamExt};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use answer::Broken;
use known::Known;

use crate::follow::{self, Patience};
use crate::protobuf::Malformed;
use crate::views::protobuf::FromProtobuf;

/// Objects that a server which speaks no protobuf is asked for at once. kube's own 500 make 20 questions of 10,000
/// Services, one after the other; a page is some 2 MB.
const PAGE: u32 = 2000;
/// How many changes are told together.
const TOGETHER: usize = 64;

/// A kind that is followed.
pub(crate) trait Object:
    Resource<DynamicType = ()> + FromProtobuf + DeserializeOwned + Clone + Debug + Send + 'static
{
}

impl<K> Object for K where
    K: Resource<DynamicType = ()> + FromProtobuf + DeserializeOwned + Clone + Debug + Send + 'static
{
}

/// What happened to one kind.
#[derive(Debug)]
pub(crate) enum Change<V> {
    /// An object is there, with this content.
    Set(NamespacedName, V),
    /// An object is gone.
    Gone(NamespacedName),
    /// All that is there has been told: at the start, and after each reconnection.
    Synced,
}

impl<V> Change<V> {
    /// The same of what is made of the content.
    pub(crate) fn map<W>(self, make: impl FnOnce(V) -> W) -> Change<W> {
        match self {
            Change::Set(name, content) => Change::Set(name, make(content)),
            Change::Gone(name) => Change::Gone(name),
            Change::Synced => Change::Synced,
        }
    }
}

/// Hears, each time that the server says something (`true`), or that a watch is lost or cannot be begun (`false`).
pub(crate) type Heard = Box<dyn FnMut(bool) + Send>;

/// Which objects of a kind are followed.
pub(crate) struct Followed {
    /// How the server is reached.
    pub(crate) client: Client,
    /// Those that this label selector chooses; empty: all.
    pub(crate) labels: String,
    /// Who wants to know whether the server is there.
    pub(crate) heard: Heard,
}

impl Followed {
    /// All of them.
    pub(crate) fn all(client: Client) -> Followed {
        Followed { client, labels: String::new(), heard: Box::new(|_| {}) }
    }

    /// What is asked for, without a version.
    fn uri<K: Object>(&self, query: &str) -> String {
        let mut query = query.to_owned();
        if !self.labels.is_empty() {
            query.push_str(if query.is_empty() { "labelSelector=" } else { "&labelSelector=" });
            for octet in self.labels.bytes() {
                match octet {
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => query.push(octet.into()),
                    other => query.push_str(&format!("%{other:02X}")),
                }
            }
        }
        let path = K::url_path(&(), None);
        if query.is_empty() { path } else { format!("{path}?{query}") }
    }
}

/// Follows a kind for ever, or until nobody hears it. Errors are logged and retried.
pub(crate) async fn follow_kind<K: Object, T: From<Change<K>>>(followed: Followed, tell: mpsc::Sender<Vec<T>>) {
    let mut hearer = Hearer { known: Known::default(), batch: Vec::new(), tell, followed };
    if follow_protobuf(&mut hearer).await == Ended::NotSpoken {
        tracing::debug!(kind = %K::kind(&()), "the server speaks no protobuf");
        follow_json(&mut hearer).await;
    }
}

/// Why a kind is not followed any more.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// The server does not speak the language.
    NotSpoken,
    /// Nobody hears it.
    Unheard,
}

async fn follow_protobuf<K: Object, T: From<Change<K>>>(hearer: &mut Hearer<T>) -> Ended {
    let mut patience = Patience::default();
    let mut said = String::new();
    // Where the watch goes on; nothing before a list.
    let mut version: Option<String> = None;
    loop {
        let done = match &mut version {
            None => list::list::<K, T>(hearer).await.map(|new| {
                version = Some(new);
                true
            }),
            Some(version) => watch::watch::<K, T>(version, hearer).await,
        };
        match done {
            Ok(true) => {
                said.clear();
                patience = Patience::default();
                continue;
            }
            // A watch that ends before it told anything: the server may be about to go.
            Ok(false) => {}
            Err(Broken::Unheard) => return Ended::Unheard,
            Err(Broken::NotSpoken) => return Ended::NotSpoken,
            Err(error) => {
                if error.is_forgotten() {
                    version = None;
                } else {
                    (hearer.followed.heard)(false);
                }
                // Once for each reason: a server that is away for an hour is one line.
                let error = error.to_string();
                if error != said {
                    tracing::warn!(kind = %K::kind(&()), error, "the watch was lost; it is tried again");
                    said = error;
                }
            }
        }
        tokio::time::sleep(patience.wait()).await;
    }
}

async fn follow_json<K: Object, T: From<Change<K>>>(hearer: &mut Hearer<T>) {
    let mut pages = watcher::Config::default().page_size(PAGE);
    if !hearer.followed.labels.is_empty() {
        pages = pages.labels(&hearer.followed.labels);
    }
    let all = Api::<K>::all(hearer.followed.client.clone());
    let heard = std::mem::replace(&mut hearer.followed.heard, Box::new(|_| {}));
    let mut events = std::pin::pin!(follow::events_logged(all, pages, heard));
    while let Some(event) = events.next().await {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            match event {
                Event::Init => hearer.known.begin(),
                Event::InitApply(object) | Event::Apply(object) => hearer.set(object),
                Event::InitDone => hearer.listed::<K>(),
                Event::Delete(object) => hearer.gone(&object),
            }
            if hearer.batch.len() < TOGETHER {
                next = events.next().now_or_never().flatten();
            }
        }
        if hearer.flush().await.is_err() {
            return;
        }
    }
}

/// Who is told, and what was told already.
struct Hearer<T> {
    known: Known,
    batch: Vec<T>,
    tell: mpsc::Sender<Vec<T>>,
    followed: Followed,
}

impl<T> Hearer<T> {
    fn set<K: Object>(&mut self, object: K)
    where
        T: From<Change<K>>,
    {
        let name = name(&object);
        self.known.set(name.clone());
        self.batch.push(Change::Set(name, object).into());
    }

    fn gone<K: Object>(&mut self, object: &K)
    where
        T: From<Change<K>>,
    {
        let name = name(object);
        self.known.gone(&name);
        self.batch.push(Change::Gone(name).into());
    }

    /// A list is complete.
    fn listed<K: Object>(&mut self)
    where
        T: From<Change<K>>,
    {
        self.batch.extend(self.known.end().into_iter().map(|name| Change::Gone(name).into()));
        self.batch.push(Change::Synced.into());
    }

    /// Tells what there is once it is enough.
    async fn flush_if_full(&mut self) -> Result<(), Broken> {
        if self.batch.len() < TOGETHER { Ok(()) } else { self.flush().await }
    }

    /// Tells what there is.
    async fn flush(&mut self) -> Result<(), Broken> {
        if self.batch.is_empty() {
            return Ok(());
        }
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(TOGETHER));
        self.tell.send(batch).await.map_err(|_| Broken::Unheard)
    }
}

fn name<K: Resource>(object: &K) -> NamespacedName {
    let meta = object.meta();
    NamespacedName::new(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
}

fn read<K: Object>(bytes: &[u8]) -> Result<K, Malformed> {
    K::from_protobuf(crate::protobuf::Fields(bytes))
}

#[cfg(test)]
mod tests;
