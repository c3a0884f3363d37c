//! The API's Services, slices, namespaces and Pods on their way into the index.
//!
//! The index is in step when each kind was listed once. From then on it answers, also while the API is away: what was
//! heard last is the best that anybody knows.

use std::sync::Arc;
use std::time::Duration;

use dns::Index;
use dns::config::Cluster;
use dns::index::PodRecord;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, stream};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::contact::Contact;
use crate::follow::{Change, ObjectKey, follow_heard};
use crate::services::objects::{self, Followed, Object, follow_kind};
use crate::services::{Listener, Names};
use crate::views::{EndpointSlice, Pod, Service};

/// The label that says whose a slice is.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Batches of Services and of slices that may wait: what was read and is not in the index yet takes more than what is.
const WAITING: usize = 2;
/// Objects of one answer when namespaces and Pods are listed: a page is decoded as a whole.
const PAGE: u32 = 500;
/// How often the API is asked whether it is back, after a watch was lost and nothing has come since.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// How long it may take to answer that.
const PATIENCE: Duration = Duration::from_secs(5);

/// A change of one of the kinds.
enum Told {
    Service(Change<Service>),
    Slice(Change<EndpointSlice>),
    Namespace(Change<PartialObjectMeta<Namespace>>),
    Pod(Change<Pod>),
}

/// Keeps the index true to the API until told to stop.
pub async fn keep(client: Client, index: Arc<Index>, cluster: Cluster, contact: Arc<Contact>, stop: CancellationToken) {
    let mut kinds = kinds(&client, &cluster, &contact, &stop);
    let mut missing = kinds.len();
    let mut changes = futures::stream::select_all(kinds.drain(..));
    let begun = Timestamp::now();
    let mut told = Everything { names: Names(index.clone()), index, cluster, contact, begun };
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            change = changes.next() => change,
        };
        let Some(change) = change else { return };
        // Said again after each reconnection, of which only the first counts.
        if told.take(change) && !told.index.is_synced() {
            missing = missing.saturating_sub(1);
            if missing == 0 {
                tracing::info!(stats = ?told.index.stats(), "every name is known");
                told.index.set_synced(true);
            }
        }
    }
}

/// Keeps the Pods of a node, which ask there, in the index until told to stop: for search paths alone.
pub async fn keep_pods(client: Client, index: Arc<Index>, node_name: String, stop: CancellationToken) {
    let run = format!("spec.nodeName={node_name},status.phase!=Succeeded,status.phase!=Failed");
    let config = watcher::Config::default().page_size(PAGE).fields(&run);
    let contact = Arc::new(Contact::default());
    let mut changes = std::pin::pin!(followed("pods", Api::<Pod>::all(client), config, &contact, &stop));
    let (names, cluster) = (Names(index.clone()), Cluster::default());
    let mut told = Everything { names, index, cluster, contact, begun: Timestamp::now() };
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            change = changes.next() => change,
        };
        let Some(change) = change else { return };
        told.take(Told::Pod(change));
    }
}

/// The kinds that are followed.
fn kinds(
    client: &Client,
    cluster: &Cluster,
    contact: &Arc<Contact>,
    stop: &CancellationToken,
) -> Vec<BoxStream<'static, Told>> {
    let everything = || watcher::Config::default().page_size(PAGE);
    let services = followed_piecewise::<Service>("services", client, &cluster.labels, contact, stop);
    let namespaces = Api::<PartialObjectMeta<Namespace>>::all(client.clone());
    let mut kinds = vec![
        once_synced(services).map(Told::Service).boxed(),
        once_synced(followed("namespaces", namespaces, everything(), contact, stop)).map(Told::Namespace).boxed(),
    ];
    if !cluster.no_endpoints {
        let slices = followed_piecewise::<EndpointSlice>("endpointslices", client, "", contact, stop);
        kinds.push(once_synced(slices).map(Told::Slice).boxed());
    }
    if super::wants_pods(cluster) {
        let pods = Api::<Pod>::all(client.clone());
        let run = everything().fields("status.phase!=Succeeded,status.phase!=Failed");
        kinds.push(once_synced(followed("pods", pods, run, contact, stop)).map(Told::Pod).boxed());
    }
    kinds
}

/// Leaves out that a list was complete, but for the first.
fn once_synced<K: Send>(changes: impl Stream<Item = Change<K>> + Send) -> impl Stream<Item = Change<K>> + Send {
    let mut first = true;
    changes.filter(move |change| {
        let passes = !matches!(change, Change::Synced) || std::mem::take(&mut first);
        std::future::ready(passes)
    })
}

/// Follows a kind of which there is much: its list is read while it comes, and no more of it is held than some objects.
fn followed_piecewise<K: Object + Sync>(
    kind: &'static str,
    client: &Client,
    labels: &str,
    contact: &Arc<Contact>,
    stop: &CancellationToken,
) -> impl Stream<Item = Change<K>> + Send + 'static {
    let heard = Box::new(keep_informed(kind, Api::<K>::all(client.clone()), contact, stop));
    let followed = Followed { client: client.clone(), labels: labels.to_owned(), heard };
    let (tell, told) = mpsc::channel(WAITING);
    // Ends with the stream.
    let mut task = JoinSet::new();
    task.spawn(follow_kind::<K, objects::Change<K>>(followed, tell));
    let batches = stream::unfold((told, task), |(mut told, task)| async move {
        let batch: Vec<objects::Change<K>> = told.recv().await?;
        Some((stream::iter(batch), (told, task)))
    });
    batches.flatten().map(|change| match change {
        objects::Change::Set(_, object) => Change::Set(object),
        objects::Change::Gone(name) => Change::Gone((name.namespace().to_owned(), name.name().to_owned())),
        objects::Change::Synced => Change::Synced,
    })
}

/// Follows a kind, and keeps [`Contact`] informed.
fn followed<K>(
    kind: &'static str,
    api: Api<K>,
    config: watcher::Config,
    contact: &Arc<Contact>,
    stop: &CancellationToken,
) -> impl Stream<Item = Change<K>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let heard = keep_informed(kind, api.clone(), contact, stop);
    follow_heard(api, config, heard)
}

/// Keeps [`Contact`] informed of a kind. A watch that is begun again says nothing until something changes: so the API is
/// asked for one object of the kind, with the same rights, until it answers.
fn keep_informed<K>(
    kind: &'static str,
    api: Api<K>,
    contact: &Arc<Contact>,
    stop: &CancellationToken,
) -> impl FnMut(bool) + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let (contact, stop) = (contact.clone(), stop.clone());
    move |answered| {
        if answered {
            contact.regain(kind);
        } else if !contact.is_lost(kind) {
            contact.lose(kind);
            let asking = ask_until_it_answers(kind, api.clone(), contact.clone());
            let stop = stop.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = asking => {}
                }
            });
        }
    }
}

async fn ask_until_it_answers<K>(kind: &'static str, api: Api<K>, contact: Arc<Contact>)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    while contact.is_lost(kind) {
        tokio::time::sleep(ASK_AGAIN).await;
        let one = ListParams::default().limit(1);
        if matches!(tokio::time::timeout(PATIENCE, api.list_metadata(&one)).await, Ok(Ok(_))) {
            contact.regain(kind);
        }
    }
}

/// Who is told.
struct Everything {
    names: Names,
    index: Arc<Index>,
    cluster: Cluster,
    contact: Arc<Contact>,
    begun: Timestamp,
}

impl Everything {
    /// Whether names of a namespace exist.
    fn has(&self, namespace: &str) -> bool {
        self.cluster.namespaces.is_empty() || self.cluster.namespaces.iter().any(|exposed| exposed == namespace)
    }

    /// Takes a change; whether it was the end of a list.
    fn take(&mut self, told: Told) -> bool {
        match told {
            Told::Service(Change::Synced)
            | Told::Slice(Change::Synced)
            | Told::Namespace(Change::Synced)
            | Told::Pod(Change::Synced) => return true,
            Told::Service(Change::Set(service)) => {
                let key = crate::follow::key(&service);
                if self.has(&key.0) {
                    self.names.set_service(&key, &service, None);
                }
            }
            Told::Service(Change::Gone(key)) => self.names.remove_service(&key),
            Told::Slice(Change::Set(slice)) => {
                let key = crate::follow::key(&slice);
                if self.has(&key.0) {
                    self.names.set_slice(&key, &slice, None);
                    self.count(&key, &slice);
                }
            }
            Told::Slice(Change::Gone(key)) => self.names.remove_slice(&key),
            Told::Namespace(Change::Set(namespace)) => {
                let name = namespace.metadata.name.unwrap_or_default();
                if self.has(&name) {
                    self.names.set_namespace(&name);
                }
            }
            Told::Namespace(Change::Gone((_, name))) => self.names.remove_namespace(&name),
            Told::Pod(Change::Set(pod)) => self.set_pod(&pod),
            Told::Pod(Change::Gone((namespace, name))) => self.index.remove_pod(&namespace, &name),
        }
        false
    }

    /// Counts how long the change of a slice has taken to be here.
    fn count(&self, key: &ObjectKey, slice: &EndpointSlice) {
        let service = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME));
        if service.is_some_and(|service| self.index.is_headless(&key.0, service)) {
            self.contact.programming.count(slice, self.begun);
        }
    }

    fn set_pod(&self, pod: &Pod) {
        let key: ObjectKey = crate::follow::key(pod);
        if !self.has(&key.0) {
            return;
        }
        let record = PodRecord { addresses: addresses(pod), searches: searches(pod), namespace: key.0, name: key.1 };
        if let Err(error) = self.index.set_pod(&record) {
            tracing::warn!(namespace = record.namespace, pod = record.name, %error, "a Pod cannot be named in DNS");
        }
    }
}

/// Whether a Pod's resolver has the cluster's search path and nothing of its own beside it: as kubelet decides
/// (`pkg/kubelet/network/dns`), where a Pod in the node's network has the cluster's only by a policy of its own.
fn searches(pod: &Pod) -> bool {
    let by_policy = match pod.spec.dns_policy.as_deref() {
        None | Some("ClusterFirst") => !pod.spec.host_network,
        policy => policy == Some("ClusterFirstWithHostNet"),
    };
    by_policy && pod.spec.dns_config.searches.is_empty()
}

/// A Pod's addresses; none when it is being deleted or has ended, as its address may be another's soon.
fn addresses(pod: &Pod) -> Vec<std::net::IpAddr> {
    let is_over = matches!(pod.status.phase.as_str(), "Succeeded" | "Failed");
    if is_over || pod.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    pod.status.pod_ips.iter().filter_map(|given| given.ip.parse().ok()).collect()
}

#[cfg(test)]
mod tests;
