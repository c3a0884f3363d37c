//! Services and slices on their way into the kernel: one loop follows them, and tells whoever else listens (DNS, the
//! load balancer, Pods), so that all change together.
//!
//! Nothing is programmed before everything was listed once: after a restart, rules of Services that have not been told
//! yet must stay. After that each change is programmed at once; changes that wait already are taken together.

mod asked;
mod balanced;
mod changes;
mod known;
mod listener;
mod names;
pub(crate) mod objects;
mod problems;
mod to_dataplane;
mod to_dns;

pub use asked::{Asked, Asker, questions};
pub use balanced::Balanced;
pub use changes::Changes;
pub use known::{ForPods, Known};
pub use listener::{Listener, Start};
pub use names::Names;
#[cfg(test)]
pub(crate) use to_dataplane::{service as traffic_of_service, slice as traffic_of_slice};

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use dataplane::backend::Watch;
use dataplane::model::{self, Model, NamespacedName};
use dataplane::{Backend, Dataplane, SyncError, SyncReport};
use kube::Client;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use changes::{Listed, Told};

use crate::connections::Connections;
use crate::follow::{self, ObjectKey};
use crate::views::{EndpointSlice, Service};

/// The most batches of changes that are taken together before the kernel is told.
const MOST_BATCHES: usize = 16;
/// How long to wait after the kernel refused a change.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the loop has to do with others in the node.
#[derive(Debug)]
pub struct Outside {
    /// Told that the kernel holds all that was listed.
    pub programmed: watch::Sender<bool>,
    /// Questions.
    pub asked: Asked,
    /// What happens to Services and slices, if somebody follows them already: the server is asked early then.
    pub changes: Option<Changes>,
}

impl Outside {
    /// Nobody asks.
    pub fn unasked(programmed: watch::Sender<bool>) -> Self {
        Self { programmed, asked: questions().1, changes: None }
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
    let begun = outside.changes.take().filter(|changes| changes.has_namespaces() == namespaces);
    let mut changes = begun.unwrap_or_else(|| Changes::follow(&client, namespaces));
    let mut listed = Listed { namespaces: (!namespaces).then_some(Duration::ZERO), ..Listed::default() };
    let watch = watch(&dataplane);
    let (tell_problems, standing) = watch::channel(BTreeSet::new());
    let name = node.borrow().name.to_string();
    tokio::spawn(problems::tell(client.clone(), name, standing, stop.clone()));
    let (mut retry, mut started) = (false, false);
    let first = connections.complete(node.borrow_and_update().clone());
    dataplane.model_mut().set_node(first);
    loop {
        // After a failure nothing is tried before its time, whatever waits.
        let wake = if retry { Some(Instant::now() + RETRY_AFTER) } else { dataplane.due().map(Instant::from_std) };
        tokio::select! {
            () = stop.cancelled() => return,
            () = changed_by_others(watch.as_ref()) => if !dataplane.listen() { continue },
            change = changes.next() => {
                let Some(batch) = change else { return };
                let mut told = Everybody { model: dataplane.model_mut(), listeners: &mut listeners };
                told.take(batch, &mut listed, changes.begun);
                for _ in 1..MOST_BATCHES {
                    let Some(batch) = changes.now() else { break };
                    told.take(batch, &mut listed, changes.begun);
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
        let taken = changes.begun.elapsed();
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
        if let Some(report) = done.as_ref().ok().filter(|_| !std::mem::replace(&mut started, true)) {
            let start = listed.start(taken, changes.begun.elapsed(), report.phases);
            tracing::debug!(?start, "all that was listed is programmed");
            listeners.iter_mut().for_each(|listener| listener.started(&start));
        }
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

fn key(name: &NamespacedName) -> ObjectKey {
    (name.namespace().to_owned(), name.name().to_owned())
}

/// The kernel's model, and all who listen.
struct Everybody<'a> {
    model: &'a mut Model,
    listeners: &'a mut [Box<dyn Listener>],
}

impl Everybody<'_> {
    fn take(&mut self, batch: Vec<Told>, listed: &mut Listed, begun: std::time::Instant) {
        for told in batch {
            match told {
                Told::Service(objects::Change::Set(name, (service, traffic))) => {
                    self.set_service(name, &service, traffic)
                }
                Told::Service(objects::Change::Gone(name)) => {
                    self.model.remove_service(&name);
                    let key = key(&name);
                    self.listeners.iter_mut().for_each(|listener| listener.remove_service(&key));
                }
                Told::Service(objects::Change::Synced) => {
                    listed.services.get_or_insert_with(|| begun.elapsed());
                }
                Told::Slice(objects::Change::Set(name, (slice, traffic))) => self.set_slice(name, &slice, traffic),
                Told::Slice(objects::Change::Gone(name)) => {
                    let key = key(&name);
                    self.listeners.iter_mut().for_each(|listener| listener.remove_slice(&key));
                    self.forget_slice(&name);
                }
                Told::Slice(objects::Change::Synced) => {
                    listed.slices.get_or_insert_with(|| begun.elapsed());
                }
                Told::Namespace(follow::Change::Set(namespace)) => {
                    let name = namespace.metadata.name.unwrap_or_default();
                    self.listeners.iter_mut().for_each(|listener| listener.set_namespace(&name));
                }
                Told::Namespace(follow::Change::Gone((_, name))) => {
                    self.listeners.iter_mut().for_each(|listener| listener.remove_namespace(&name));
                }
                Told::Namespace(follow::Change::Synced) => {
                    listed.namespaces.get_or_insert_with(|| begun.elapsed());
                }
            }
        }
    }

    fn set_service(&mut self, name: NamespacedName, service: &Service, traffic: Option<model::Service>) {
        let key = key(&name);
        self.listeners.iter_mut().for_each(|listener| listener.set_service(&key, service, traffic.as_ref()));
        match traffic {
            Some(traffic) => self.model.set_service(name, traffic),
            // An ExternalName has no traffic of its own.
            None => self.model.remove_service(&name),
        }
    }

    fn set_slice(&mut self, name: NamespacedName, slice: &EndpointSlice, traffic: Option<model::EndpointSlice>) {
        let key = key(&name);
        self.listeners.iter_mut().for_each(|listener| listener.set_slice(&key, slice, traffic.as_ref()));
        let Some(traffic) = traffic else { return self.forget_slice(&name) };
        // It may have gone over from another Service.
        let owner = self.model.service_of_slice(&name).filter(|owner| **owner != traffic.service);
        if let Some(owner) = owner.cloned() {
            self.listeners.iter_mut().for_each(|listener| listener.touched(&owner));
        }
        self.listeners.iter_mut().for_each(|listener| listener.touched(&traffic.service));
        self.model.set_slice(name, traffic);
    }

    fn forget_slice(&mut self, name: &NamespacedName) {
        if let Some(owner) = self.model.service_of_slice(name).cloned() {
            self.listeners.iter_mut().for_each(|listener| listener.touched(&owner));
        }
        self.model.remove_slice(name);
    }
}
