//! A Service says whether every node has put it into its kernel: the condition `portolan.dev/Programmed`.
//!
//! Each node reports, in a lease of its own, the newest versions that its kernel holds, at most once a second; so a
//! change costs one write a node, however many Services it is about. What is wanted of a Service is the version at
//! which it, or one of its slices, became what it is. That a change of the Service itself is under way is said at once;
//! that a new Service or a change of endpoints is, only when it takes longer than a second.
//!
//! Nothing is lost when two of these run: both write the same.

pub mod plan;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use parking_lot::Mutex;

use crate::cache::{Delta, Key};
use crate::caches::SERVICE_NAME;
use crate::context::Context;
use crate::objects::{Lease, Meta, Node};
use crate::queue::{Outcome, Queue, work};
use crate::write::WriteError;
use plan::{Report, Wanted};

const WORKERS: usize = 4;
/// Between two writes: when a cluster of 10,000 Services gets its first agent, each is written once.
const PACE: Duration = Duration::from_millis(5);

#[derive(Default)]
struct State {
    wanted: Mutex<HashMap<Key, (Wanted, Instant)>>,
    reports: Mutex<BTreeMap<String, Report>>,
    /// Services that some node does not have.
    waiting: Mutex<BTreeSet<Key>>,
    queue: Arc<Queue<Key>>,
    pace: tokio::sync::Mutex<()>,
}

/// Registers what the controller has to be told of; the future is its work.
pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let state: Arc<State> = Arc::default();
    let told = state.clone();
    context.caches.services.on_change(move |delta| told.service(delta));
    let told = state.clone();
    context.caches.slices.on_change(move |delta| told.slice(delta));
    let told = state.clone();
    context.caches.leases.on_change(move |delta| told.lease(delta));
    let told = state.clone();
    context.caches.nodes.on_change(move |delta| {
        if serving(delta.old) != serving(delta.new) {
            told.all();
        }
    });
    Box::pin(async move {
        let (queue, stop) = (state.queue.clone(), context.stop.clone());
        work("programmed", queue, WORKERS, stop, move |key| sync(context.clone(), state.clone(), key)).await;
    })
}

/// What of a node makes its word count.
fn serving(node: Option<&Arc<Node>>) -> Option<(bool, bool)> {
    node.map(|node| (node.deleting(), node.ready().is_some_and(|ready| ready.status != "True")))
}

impl State {
    fn service(&self, delta: &Delta<'_, Service>) {
        let key = Key::of(&**delta.latest);
        match (delta.old, delta.new) {
            (_, None) => {
                self.wanted.lock().remove(&key);
                self.waiting.lock().remove(&key);
            }
            (Some(old), Some(new)) if !plan::matters(old, new) => return,
            (_, Some(new)) => self.want(&key, |wanted| wanted.service = version(&**new)),
        }
        self.queue.add(key);
    }

    fn slice(&self, delta: &Delta<'_, EndpointSlice>) {
        let Some(new) = delta.new else { return };
        if let Some(service) = new.label(SERVICE_NAME) {
            let key = Key::new(new.namespace(), service);
            self.want(&key, |wanted| wanted.slices = wanted.slices.max(version(&**new)));
            self.queue.add(key);
        }
    }

    fn want(&self, key: &Key, change: impl FnOnce(&mut Wanted)) {
        let mut all = self.wanted.lock();
        let (wanted, since) = all.entry(key.clone()).or_insert_with(|| (Wanted::default(), Instant::now()));
        change(wanted);
        *since = Instant::now();
    }

    fn lease(&self, delta: &Delta<'_, Lease>) {
        let Some((node, report)) = Report::of(delta.latest) else { return };
        let mut reports = self.reports.lock();
        let old = match delta.new {
            Some(_) => reports.insert(node.to_owned(), report.clone()),
            None => reports.remove(node),
        };
        drop(reports);
        match (old, delta.new) {
            // What waits may be over; who is refused anew does not wait yet.
            (Some(old), Some(_)) => {
                let concerned: Vec<Key> = self.waiting.lock().iter().cloned().collect();
                concerned.into_iter().chain(&report.refused ^ &old.refused).for_each(|key| self.queue.add(key));
            }
            _ => self.all(),
        }
    }

    fn all(&self) {
        let keys: Vec<Key> = self.wanted.lock().keys().cloned().collect();
        keys.into_iter().for_each(|key| self.queue.add(key));
    }
}

/// An object's version as a number; 0 where it is none, so that nobody waits for what cannot be compared.
fn version(object: &impl Meta) -> u64 {
    object.resource_version().parse().unwrap_or(0)
}

async fn sync(context: Arc<Context>, state: Arc<State>, key: Key) -> Result<Outcome, WriteError> {
    let Some(service) = context.caches.services.get(&key.namespace, &key.name) else {
        // Slices may come before their Service, and stay after it.
        state.waiting.lock().remove(&key);
        return Ok(Outcome::Done);
    };
    let Some((wanted, since)) = state.wanted.lock().get(&key).copied() else { return Ok(Outcome::Done) };
    // Before the reports are read: one that comes meanwhile must find it waiting.
    state.waiting.lock().insert(key.clone());
    let nodes = context.caches.nodes.all();
    let now = jiff::Timestamp::now();
    let plan = plan::plan(&service, &wanted, &nodes, &state.reports.lock(), since.elapsed(), now);
    if !plan.waits {
        state.waiting.lock().remove(&key);
    }
    if let Some(change) = &plan.change {
        let pace = state.pace.lock().await;
        tokio::time::sleep(PACE).await;
        drop(pace);
        match context.apply(change).await {
            Ok(_) | Err(WriteError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(plan.again.map_or(Outcome::Done, Outcome::After))
}

#[cfg(test)]
mod tests;
