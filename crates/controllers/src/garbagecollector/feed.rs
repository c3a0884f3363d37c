//! Where the graph has its objects from: the caches, for kinds that other controllers read too, and for all others
//! watches of nothing but their metadata.

use std::collections::HashSet;
use std::sync::Arc;

use kinds::{Kind, registry};
use kube::api::{ApiResource, DynamicObject};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use kube::{Api, Client};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::graph::{Graph, Uid};
use crate::cache::{Cache, Cached};
use crate::caches::Caches;
use crate::objects::Meta;
use crate::queue::Queue;
use crate::reflect::{self, Sink};

/// The graph, and what is to be looked at in it.
#[derive(Default)]
pub struct Shared {
    /// The graph.
    pub graph: Mutex<Graph>,
    /// Uids of objects to look at.
    pub queue: Arc<Queue<Uid>>,
}

impl Shared {
    fn observe(&self, kind: u16, metadata: &kube::core::ObjectMeta) {
        let look_at = self.graph.lock().observe(kind, metadata);
        look_at.into_iter().for_each(|uid| self.queue.add(uid));
    }

    /// Notes that an object is gone.
    pub fn forget(&self, uid: Uid) {
        let look_at = self.graph.lock().forget(uid);
        look_at.into_iter().for_each(|uid| self.queue.add(uid));
    }
}

type Watch =
    Box<dyn FnOnce(&Client, &tokio_util::sync::CancellationToken) -> futures::future::BoxFuture<'static, ()> + Send>;

/// What the graph still has to be fed with, once the caches are watched.
pub struct Feeds {
    /// The watches to run.
    pub watches: Vec<Watch>,
    synced: Vec<watch::Receiver<bool>>,
}

impl Feeds {
    /// Waits until every watch has brought everything once.
    pub async fn synced(&mut self) {
        for receiver in &mut self.synced {
            // A watch that has ended was stopped.
            let _ = receiver.wait_for(|synced| *synced).await;
        }
    }
}

/// Feeds the graph with all kinds that are served, Events excepted: they own nothing, come in floods, and expire.
pub fn feed(shared: &Arc<Shared>, caches: &Caches) -> Feeds {
    let mut feeds = Feeds { watches: Vec::new(), synced: Vec::new() };
    for (number, kind) in registry::all().iter().enumerate() {
        let Ok(number) = u16::try_from(number) else { continue };
        match (kind.group, kind.plural) {
            (_, "events") => {}
            ("", "namespaces") => from_cache(&caches.namespaces, number, shared),
            ("", "nodes") => from_cache(&caches.nodes, number, shared),
            ("", "pods") => from_cache(&caches.pods, number, shared),
            ("", "services") => from_cache(&caches.services, number, shared),
            ("", "endpoints") => from_cache(&caches.endpoints, number, shared),
            ("", "serviceaccounts") => from_cache(&caches.service_accounts, number, shared),
            ("apps", "replicasets") => from_cache(&caches.replica_sets, number, shared),
            ("apps", "controllerrevisions") => from_cache(&caches.revisions, number, shared),
            ("apps", "daemonsets") => from_cache(&caches.daemon_sets, number, shared),
            ("apps", "statefulsets") => from_cache(&caches.stateful_sets, number, shared),
            ("", "replicationcontrollers") => from_cache(&caches.replication_controllers, number, shared),
            ("apps", "deployments") => from_cache(&caches.deployments, number, shared),
            ("coordination.k8s.io", "leases") => from_cache(&caches.leases, number, shared),
            ("discovery.k8s.io", "endpointslices") => from_cache(&caches.slices, number, shared),
            _ => from_watch(kind, number, shared, &mut feeds),
        }
    }
    feeds
}

fn from_cache<K: Cached>(cache: &Arc<Cache<K>>, kind: u16, shared: &Arc<Shared>) {
    let shared = shared.clone();
    cache.on_change(move |delta| match delta.new {
        Some(object) => shared.observe(kind, object.meta()),
        None => shared.forget(Uid::new(delta.latest.uid())),
    });
}

type Metadata = PartialObjectMeta<DynamicObject>;

/// Brings the metadata of one kind into the graph.
struct Bring {
    kind: u16,
    shared: Arc<Shared>,
    listed: Mutex<HashSet<Uid>>,
    synced: watch::Sender<bool>,
}

fn from_watch(kind: &'static Kind, number: u16, shared: &Arc<Shared>, feeds: &mut Feeds) {
    let (synced, receiver) = watch::channel(false);
    let sink = Arc::new(Bring { kind: number, shared: shared.clone(), listed: Mutex::default(), synced });
    feeds.synced.push(receiver);
    feeds.watches.push(Box::new(move |client, stop| {
        let resource = ApiResource {
            group: kind.group.to_owned(),
            version: kind.version.to_owned(),
            api_version: kind.api_version(),
            kind: kind.kind.to_owned(),
            plural: kind.plural.to_owned(),
        };
        let api: Api<Metadata> = Api::all_with(client.clone(), &resource);
        Box::pin(reflect::run(api, watcher::Config::default(), sink, stop.clone()))
    }));
}

impl Sink<Metadata> for Bring {
    fn init(&self) {
        self.listed.lock().clear();
    }

    fn init_apply(&self, object: Metadata) {
        self.listed.lock().insert(Uid::new(object.uid()));
        self.shared.observe(self.kind, &object.metadata);
    }

    fn init_done(&self) {
        let listed = std::mem::take(&mut *self.listed.lock());
        let known = self.shared.graph.lock().of_kind(self.kind);
        for uid in known.into_iter().filter(|uid| !listed.contains(uid)) {
            self.shared.forget(uid);
        }
        self.synced.send_replace(true);
    }

    fn apply(&self, object: Metadata) {
        self.shared.observe(self.kind, &object.metadata);
    }

    fn delete(&self, object: Metadata) {
        self.shared.forget(Uid::new(object.uid()));
    }
}
