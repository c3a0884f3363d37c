//! One Pod of each DaemonSet on every node that it fits (`daemonset-controller`).

pub mod plan;

use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::cache::{Delta, Index, Key};
use crate::caches::orphans;
use crate::change::{Change, DAEMON_SETS, Note, PODS, Reference};
use crate::claim::{self, Claims};
use crate::context::Context;
use crate::objects::workload::DaemonSet;
use crate::objects::{Meta, Pod};
use crate::queue::{Outcome, Queue, work};
use crate::revisions;
use crate::selector;
use crate::write::WriteError;
use plan::Snapshot;

const COMPONENT: &str = "daemonset-controller";
const WORKERS: usize = 4;

/// Registers what the controller has to be told of; the future is its work.
pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let queue: Arc<Queue<Key>> = Arc::default();
    let add = queue.clone();
    context.caches.daemon_sets.on_change(move |delta| add.add(Key::of(&**delta.latest)));
    let (add, known) = (queue.clone(), context.clone());
    context.caches.pods.on_change(move |delta| concerned(&known, delta, &add));
    let (add, known) = (queue.clone(), context.clone());
    context.caches.nodes.on_change(move |delta| {
        let placing = |node: &crate::objects::Node| (node.metadata.labels.clone(), node.taints().to_vec());
        let (old, new) = (delta.old.map(|node| placing(node)), delta.new.map(|node| placing(node)));
        if old != new {
            known.caches.daemon_sets.all().iter().for_each(|set| add.add(Key::of(&**set)));
        }
    });
    let stop = context.stop.clone();
    Box::pin(work("daemonset", queue, WORKERS, stop, move |key| sync(context.clone(), key)))
}

/// Adds the DaemonSets that a change of a Pod concerns: the one that controls it, or those that may adopt it.
fn concerned(context: &Context, delta: &Delta<'_, Pod>, queue: &Queue<Key>) {
    for pod in delta.both() {
        match pod.controller() {
            Some(owner) if owner.kind == "DaemonSet" => queue.add(Key::new(pod.namespace(), &owner.name)),
            Some(_) => {}
            None => {
                let adopts = |set: &DaemonSet| selector::matches(&set.spec.selector, pod.metadata.labels.as_ref());
                for set in context.caches.daemon_sets.in_namespace(pod.namespace(), adopts) {
                    queue.add(Key::of(&*set));
                }
            }
        }
    }
}

async fn sync(context: Arc<Context>, key: Key) -> Result<Outcome, WriteError> {
    let Some(set) = context.caches.daemon_sets.get(&key.namespace, &key.name) else {
        // The garbage collector deletes the Pods.
        return Ok(Outcome::Done);
    };
    if selector::selects_all(&set.spec.selector) {
        return Ok(Outcome::Done);
    }
    settle_claims(&context, &set).await?;
    let known = revisions::sorted(context.caches.revisions.by(Index::Controller, set.uid()));
    let present = revisions::present((DAEMON_SETS, &*set), &set.spec.template, plan::REVISION, &known);
    if let Some(change) = present.change.as_ref().filter(|_| !set.deleting()) {
        context.apply(change).await?;
    }
    let (nodes, pods) = (context.caches.nodes.all(), claims(&context, &set).owned);
    let plan = plan::plan(&Snapshot { set: &set, nodes: &nodes, pods: &pods, now: Timestamp::now() });
    let managed = manage(&context, &set, &plan).await;
    let Some(set) = context.caches.daemon_sets.get(&key.namespace, &key.name) else { return Ok(Outcome::Done) };
    let (nodes, pods, now) = (context.caches.nodes.all(), claims(&context, &set).owned, Timestamp::now());
    let status = plan::status(&Snapshot { set: &set, nodes: &nodes, pods: &pods, now });
    if status != set.status {
        match context.apply(&plan::write(&set, &status)).await {
            Ok(_) | Err(WriteError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    managed?;
    let used = |name: &str| name == present.name || plan::is_of_a_pod(name, &set, &pods);
    context.apply_all(&revisions::forget(&known, used, set.spec.revision_history_limit)).await?;
    Ok(plan::next_available(&set, &pods, now).map_or(Outcome::Done, Outcome::After))
}

/// The Pods that it controls, and those that it might.
fn claims(context: &Context, set: &DaemonSet) -> Claims<Pod> {
    let mut candidates = context.caches.pods.by(Index::Controller, set.uid());
    let orphans = context.caches.pods.by(Index::Controller, &orphans(set.namespace()));
    candidates.extend(orphans.into_iter().filter(|pod| pod.active()));
    claim::claim(set, &set.spec.selector, candidates)
}

/// Adopts and releases, so that what is counted afterwards is right.
async fn settle_claims(context: &Context, set: &DaemonSet) -> Result<(), WriteError> {
    let claims = claims(context, set);
    let mut changes: Vec<Change> = claims.release.iter().map(|pod| claim::release(set, (PODS, &**pod))).collect();
    if !claims.adopt.is_empty() && context.writer.still_wanted(DAEMON_SETS, set).await? {
        changes.extend(claims.adopt.iter().map(|pod| claim::adopt((DAEMON_SETS, set), (PODS, &**pod))));
    }
    match context.apply_all(&changes).await {
        Err(WriteError::NotFound(_)) | Ok(()) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes and deletes what the plan says, and tells of it.
async fn manage(context: &Context, set: &DaemonSet, plan: &plan::Plan) -> Result<(), WriteError> {
    let about = Reference::to(DAEMON_SETS, set);
    for node in &plan.create {
        let note = match context.apply(&plan::new_pod(set, node)).await {
            Ok(pod) => Note::normal(about.clone(), "SuccessfulCreate", format!("Created pod: {}", pod.name)),
            // Nothing can be made any more; the namespace's end deletes the DaemonSet too.
            Err(WriteError::NamespaceTerminating(_)) => return Ok(()),
            Err(error) => {
                context.tell(COMPONENT, [Note::warning(about, "FailedCreate", format!("Error creating: {error}"))]);
                return Err(error);
            }
        };
        context.tell(COMPONENT, [note]);
    }
    for change in &plan.delete {
        match context.apply(change).await {
            Ok(_) => {
                let told = format!("Deleted pod: {}", change.name);
                context.tell(COMPONENT, [Note::normal(about.clone(), "SuccessfulDelete", told)]);
            }
            Err(error) => {
                context.tell(COMPONENT, [Note::warning(about, "FailedDelete", format!("Error deleting: {error}"))]);
                return Err(error);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
