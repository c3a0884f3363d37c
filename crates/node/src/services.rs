//! Services and slices on their way into the kernel: one loop follows them, and tells whoever else listens (DNS, the
//! load balancer, Pods), so that all change together.
//!
//! Nothing is programmed before everything was listed once: after a restart, rules of Services that have not been told
//! yet must stay. After that each change is programmed at once; changes that wait already are taken together.

mod asked;
mod balanced;
mod known;
mod listener;
mod names;
mod problems;
mod to_dataplane;
mod to_dns;

pub use asked::{Asked, Asker, questions};
pub use balanced::Balanced;
pub use known::{ForPods, Known};
pub use listener::Listener;
pub use names::Names;
#[cfg(test)]
pub(crate) use to_dataplane::{service as traffic_of_service, slice as traffic_of_slice};

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use dataplane::backend::Watch;
use dataplane::model::{Model, NamespacedName};
use dataplane::{Backend, Dataplane, SyncError, SyncReport};
use futures::{FutureExt, Stream, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::connections::Connections;
use crate::follow::{Change, ObjectKey, follow};
use crate::views::{EndpointSlice, Service};

/// Objects that are asked for at once when everything is listed. kube's own 500 make 20 questions of 10,000 Services, one
/// after the other, which take a kube-apiserver up to twice as long as these; a page is some 2 MB.
const PAGE: u32 = 2000;
/// The most changes that are taken together before the kernel is told.
const LARGEST_BATCH: usize = 1000;
/// How long to wait after the kernel refused a change.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// One change of one of the kinds that are followed.
#[expect(
    clippy::large_enum_variant,
    reason = "one at a time, on its way through a loop: a box would cost more than it saves"
)]
enum Told {
    Service(Change<Service>),
    Slice(Change<EndpointSlice>),
    Namespace(Change<PartialObjectMeta<Namespace>>),
}

/// Which kinds have been listed once.
struct Listed {
    services: bool,
    slices: bool,
    namespaces: bool,
}

impl Listed {
    fn all(&self) -> bool {
        self.services && self.slices && self.namespaces
    }
}

/// What the loop has to do with others in the node.
#[derive(Debug)]
pub struct Outside {
    /// Told that the kernel holds all that was listed.
    pub programmed: watch::Sender<bool>,
    /// Questions.
    pub asked: Asked,
}

impl Outside {
    /// Nobody asks.
    pub fn unasked(programmed: watch::Sender<bool>) -> Self {
        Self { programmed, asked: questions().1 }
    }
}

/// Keeps the kernel true to the API until told to stop, and those who listen. Tells when all was programmed once.
pub async fn keep<B: Backend + Send>(
    client: Client,
    mut dataplane: Dataplane<B>,
    mut listeners: Vec<Box<dyn Listener>>,
    mut connections: Connections,
    mut node: watch::Receiver<dataplane::model::Node>,
    mut outside: Outside,
    stop: CancellationToken,
) {
    let namespaces = listeners.iter().any(|listener| listener.wants_namespaces());
    let mut changes = std::pin::pin!(changes(&client, namespaces));
    let mut listed = Listed { services: false, slices: false, namespaces: !namespaces };
    let watch = watch(&dataplane);
    let (tell_problems, standing) = watch::channel(BTreeSet::new());
    let name = node.borrow().name.to_string();
    tokio::spawn(problems::tell(client.clone(), name, standing, stop.clone()));
    let mut retry = false;
    let first = connections.complete(node.borrow_and_update().clone());
    dataplane.model_mut().set_node(first);
    loop {
        // After a failure nothing is tried before its time, whatever waits.
        let wake = if retry { Some(Instant::now() + RETRY_AFTER) } else { dataplane.due().map(Instant::from_std) };
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed_by_others(watch.as_ref()) => if !dataplane.listen() { continue },
            change = changes.next() => {
                let Some(change) = change else { return };
                let mut told = Everybody { model: dataplane.model_mut(), listeners: &mut listeners };
                told.take(change, &mut listed);
                for _ in 1..LARGEST_BATCH {
                    let Some(change) = changes.next().now_or_never().flatten() else { break };
                    told.take(change, &mut listed);
                }
            }
            Ok(()) = node.changed() => {
                let node = node.borrow_and_update().clone();
                dataplane.model_mut().set_node(connections.complete(node));
            }
            due = connections.due(), if listed.all() => {
                tokio::task::block_in_place(|| connections.act(due, &mut dataplane));
                continue;
            }
            question = outside.asked.next(), if listed.all() => {
                tokio::task::block_in_place(|| question.answer(&mut dataplane));
                continue;
            }
            () = until(wake), if listed.all() => {}
        }
        if !listed.all() {
            continue;
        }
        listeners.iter_mut().for_each(|listener| listener.listed());
        // The kernel's answer is waited for: it is had within milliseconds, and nothing else is to be done meanwhile.
        let done = tokio::task::block_in_place(|| dataplane.sync());
        retry = !is_done(&done);
        tell_problems.send_if_modified(|held| {
            let changed = held != dataplane.problems();
            if changed {
                held.clone_from(dataplane.problems());
            }
            changed
        });
        done.iter().for_each(|report| connections.synced(report, &mut dataplane));
        listeners.iter_mut().for_each(|listener| listener.synced(&done, dataplane.model()));
        if !retry {
            outside.programmed.send_replace(true);
        }
    }
}

/// A file that says when others may have changed the rules.
fn watch<B: Backend>(dataplane: &Dataplane<B>) -> Option<AsyncFd<Watch>> {
    let register = |file: Watch| {
        // SAFETY: a `Watch` owns its file and gives the same one as long as it lives.
        unsafe { AsyncFd::register_with_interest(file, Interest::READABLE) }.map_err(io::Error::from)
    };
    let opened = dataplane.backend().changes().map_err(io::Error::other);
    let watch = opened.and_then(|file| file.map(register).transpose());
    watch.unwrap_or_else(|error| {
        tracing::error!(error = in_full(&error), "rules that others change are mended only with the next change");
        None
    })
}

/// Waits until others may have changed the rules; for ever if that cannot be known.
async fn changed_by_others(watch: Option<&AsyncFd<Watch>>) {
    match watch {
        Some(watch) => match watch.readable().await {
            // What is there is heard before this is asked again.
            Ok(mut ready) => ready.clear_ready(),
            Err(error) => {
                tracing::error!(%error, "rules that others change are mended only with the next change");
                std::future::pending().await
            }
        },
        None => std::future::pending().await,
    }
}

/// Waits for a time; `None`: for ever.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn changes(client: &Client, namespaces: bool) -> impl Stream<Item = Told> + Send + use<> {
    let everything = || watcher::Config::default().page_size(PAGE);
    let mut kinds = vec![
        follow(Api::<Service>::all(client.clone()), everything()).map(Told::Service).boxed(),
        follow(Api::<EndpointSlice>::all(client.clone()), everything()).map(Told::Slice).boxed(),
    ];
    if namespaces {
        let all = Api::<PartialObjectMeta<Namespace>>::all(client.clone());
        kinds.push(follow(all, everything()).map(Told::Namespace).boxed());
    }
    futures::stream::select_all(kinds)
}

/// Whether everything was done; logs what was not.
fn is_done(done: &Result<SyncReport, SyncError>) -> bool {
    match done {
        Ok(report) => {
            if report.changes > 0 {
                tracing::debug!(changes = report.changes, duration = ?report.duration, "programmed");
            }
            if let Some(error) = &report.flows_error {
                tracing::warn!(error = in_full(error), "stale UDP flows could not be ended; it is tried again");
            }
            report.flows_error.is_none()
        }
        Err(error) => {
            tracing::error!(error = in_full(error), "the kernel refused a change; it is tried again");
            false
        }
    }
}

/// An error with its sources: which object the kernel refused is told by the last of them.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn name(key: &ObjectKey) -> NamespacedName {
    NamespacedName::new(&key.0, &key.1)
}

/// The kernel's model, and all who listen.
struct Everybody<'a> {
    model: &'a mut Model,
    listeners: &'a mut [Box<dyn Listener>],
}

impl Everybody<'_> {
    fn take(&mut self, told: Told, listed: &mut Listed) {
        match told {
            Told::Service(Change::Set(service)) => self.set_service(&service),
            Told::Service(Change::Gone(key)) => {
                self.model.remove_service(&name(&key));
                self.listeners.iter_mut().for_each(|listener| listener.remove_service(&key));
            }
            Told::Service(Change::Synced) => listed.services = true,
            Told::Slice(Change::Set(slice)) => self.set_slice(&slice),
            Told::Slice(Change::Gone(key)) => {
                self.listeners.iter_mut().for_each(|listener| listener.remove_slice(&key));
                self.forget_slice(&key);
            }
            Told::Slice(Change::Synced) => listed.slices = true,
            Told::Namespace(Change::Set(namespace)) => {
                let name = namespace.metadata.name.unwrap_or_default();
                self.listeners.iter_mut().for_each(|listener| listener.set_namespace(&name));
            }
            Told::Namespace(Change::Gone((_, name))) => {
                self.listeners.iter_mut().for_each(|listener| listener.remove_namespace(&name));
            }
            Told::Namespace(Change::Synced) => listed.namespaces = true,
        }
    }

    fn set_service(&mut self, service: &Service) {
        let key = crate::follow::key(service);
        let traffic = to_dataplane::service(service);
        self.listeners.iter_mut().for_each(|listener| listener.set_service(&key, service, traffic.as_ref()));
        match traffic {
            Some(traffic) => self.model.set_service(name(&key), traffic),
            // An ExternalName has no traffic of its own.
            None => self.model.remove_service(&name(&key)),
        }
    }

    fn set_slice(&mut self, slice: &EndpointSlice) {
        let key = crate::follow::key(slice);
        let traffic = to_dataplane::slice(slice);
        self.listeners.iter_mut().for_each(|listener| listener.set_slice(&key, slice, traffic.as_ref()));
        let Some(traffic) = traffic else { return self.forget_slice(&key) };
        // It may have gone over from another Service.
        if let Some(owner) =
            self.model.service_of_slice(&name(&key)).filter(|owner| **owner != traffic.service).cloned()
        {
            self.listeners.iter_mut().for_each(|listener| listener.touched(&owner));
        }
        self.listeners.iter_mut().for_each(|listener| listener.touched(&traffic.service));
        self.model.set_slice(name(&key), traffic);
    }

    fn forget_slice(&mut self, key: &ObjectKey) {
        let name = name(key);
        if let Some(owner) = self.model.service_of_slice(&name).cloned() {
            self.listeners.iter_mut().for_each(|listener| listener.touched(&owner));
        }
        self.model.remove_slice(&name);
    }
}
