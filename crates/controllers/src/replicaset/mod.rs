//! As many Pods as each ReplicaSet asks for (`replicaset-controller`), and each ReplicationController
//! (`replication-controller`), which asks for them in the same way.

pub mod plan;
pub mod replicated;

use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::cache::{Delta, Index, Key};
use crate::caches::orphans;
use crate::change::{Change, Note, PODS, Reference};
use crate::claim::{self, Claims};
use crate::context::Context;
use crate::objects::workload::Replicas;
use crate::objects::{Meta, Pod};
use crate::queue::{Outcome, Queue, work};
use crate::selector;
use crate::write::{WriteError, Written};
use plan::{Failure, Snapshot};
use replicated::Replicated;

const WORKERS: usize = 64;
/// How many Pods of one ReplicaSet are made or deleted at a time, at most.
const AT_ONCE: usize = 64;

/// Registers what the controller has to be told of; the future is its work.
pub fn start<K: Replicated>(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let queue: Arc<Queue<Key>> = Arc::default();
    let add = queue.clone();
    K::known(&context.caches).on_change(move |delta| add.add(Key::of(&**delta.latest)));
    let (add, known) = (queue.clone(), context.clone());
    context.caches.pods.on_change(move |delta| concerned::<K>(&known, delta, &add));
    let stop = context.stop.clone();
    Box::pin(work(K::QUEUE, queue, WORKERS, stop, move |key| sync::<K>(context.clone(), key)))
}

/// Adds the ReplicaSets that a change of a Pod concerns: the one that controls it, or those that may adopt it.
fn concerned<K: Replicated>(context: &Context, delta: &Delta<'_, Pod>, queue: &Queue<Key>) {
    for pod in delta.both() {
        if let Some(owner) = pod.controller() {
            if owner.kind == K::RESOURCE.kind {
                queue.add(Key::new(pod.namespace(), &owner.name));
            }
            continue;
        }
        let same_side = |old: &Arc<Pod>| old.metadata.labels == pod.metadata.labels && old.controller().is_none();
        let news = delta.new.is_some_and(|new| Arc::ptr_eq(new, pod)) && !delta.old.is_some_and(same_side);
        if news {
            let adopts = |set: &Replicas<K>| selector::matches(&set.spec.selector, pod.metadata.labels.as_ref());
            for set in K::known(&context.caches).in_namespace(pod.namespace(), adopts) {
                queue.add(Key::of(&*set));
            }
        }
    }
}

async fn sync<K: Replicated>(context: Arc<Context>, key: Key) -> Result<Outcome, WriteError> {
    let Some(set) = K::known(&context.caches).get(&key.namespace, &key.name) else {
        // The garbage collector deletes the Pods.
        return Ok(Outcome::Done);
    };
    if selector::selects_all(&set.spec.selector) {
        return Ok(Outcome::Done);
    }
    settle_claims(&context, &set).await?;
    let claims = claims(&context, &set);
    let (active, ended): (Vec<Arc<Pod>>, Vec<Arc<Pod>>) = claims.owned.into_iter().partition(|pod| pod.active());
    let terminating = ended.iter().filter(|pod| pod.deleting() && !pod.terminal()).count();
    let related = related(&context, &set);
    let now = Timestamp::now();
    let plan = plan::plan(&Snapshot { set: &set, active: &active, related: &related, now });
    let left = plan::survivors(&active, &plan);
    if !plan.delete.is_empty() {
        let announced = plan::announce(&set, &active, &left, terminating, now);
        if !written(context.apply(&announced).await)? {
            return Ok(Outcome::Done);
        }
    }
    let managed = manage(&context, &set, &plan).await;
    let failure = managed.as_ref().err().map(|error| Failure {
        reason: if plan.create > 0 { "FailedCreate" } else { "FailedDelete" },
        message: error.to_string(),
    });
    let Some(set) = K::known(&context.caches).get(&key.namespace, &key.name) else { return Ok(Outcome::Done) };
    let terminating = terminating + plan.delete.len();
    let status = plan::status(&set, &left, terminating, failure.as_ref(), now);
    if status != set.status && !written(context.apply(&plan::write(&set, &status)).await)? {
        return Ok(Outcome::Done);
    }
    managed?;
    Ok(plan::next_available(&set, &left, now).map_or(Outcome::Done, Outcome::After))
}

/// Whether a status was written: not if the ReplicaSet was deleted meanwhile.
fn written(result: Result<Written, WriteError>) -> Result<bool, WriteError> {
    match result {
        Ok(_) => Ok(true),
        Err(WriteError::NotFound(_)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The Pods that it controls, and those that it might.
fn claims<K: Replicated>(context: &Context, set: &Replicas<K>) -> Claims<Pod> {
    let mut candidates = context.caches.pods.by(Index::Controller, set.uid());
    let orphans = context.caches.pods.by(Index::Controller, &orphans(set.namespace()));
    candidates.extend(orphans.into_iter().filter(|pod| pod.active()));
    claim::claim(set, &set.spec.selector, candidates)
}

/// Adopts and releases, so that what is counted afterwards is right.
async fn settle_claims<K: Replicated>(context: &Context, set: &Replicas<K>) -> Result<(), WriteError> {
    let claims = claims(context, set);
    let mut changes: Vec<Change> = claims.release.iter().map(|pod| claim::release(set, (PODS, &**pod))).collect();
    // The cache may be behind a deletion that orphans: who adopts then has the Pods deleted with the dead owner.
    if !claims.adopt.is_empty() && context.writer.still_wanted(K::RESOURCE, set).await? {
        changes.extend(claims.adopt.iter().map(|pod| claim::adopt((K::RESOURCE, set), (PODS, &**pod))));
    }
    match context.apply_all(&changes).await {
        Err(WriteError::NotFound(_)) | Ok(()) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The active Pods of all ReplicaSets of its owner.
fn related<K: Replicated>(context: &Context, set: &Replicas<K>) -> Vec<Arc<Pod>> {
    let sets = match set.controller() {
        Some(owner) => K::known(&context.caches).by(Index::Controller, &owner.uid),
        None => Vec::new(),
    };
    let mut uids: Vec<&str> = sets.iter().map(|set| set.uid()).collect();
    if !uids.contains(&set.uid()) {
        uids.push(set.uid());
    }
    let pods = uids.into_iter().flat_map(|uid| context.caches.pods.by(Index::Controller, uid));
    pods.filter(|pod| pod.active()).collect()
}

/// Makes and deletes what the plan says. Pods are made in batches of 1, 2, 4, … as long as all succeed, so that what
/// cannot succeed is not tried hundreds of times.
async fn manage<K: Replicated>(context: &Context, set: &Replicas<K>, plan: &plan::Plan) -> Result<(), WriteError> {
    let about = Reference::to(K::RESOURCE, set);
    let note = |warning, reason, message| {
        let note = Note { about: about.clone(), warning, reason, message };
        context.recorder.note(K::COMPONENT, note);
    };
    let (mut left, mut batch) = (plan.create, 1);
    while left > 0 {
        let size = batch.min(left);
        let change = plan::new_pod(set);
        for result in run(context, std::iter::repeat_n(&change, size)).await {
            match result {
                Ok(pod) => note(false, "SuccessfulCreate", format!("Created pod: {}", pod.name)),
                // Nothing can be made any more; the namespace's end deletes the ReplicaSet too.
                Err(WriteError::NamespaceTerminating(_)) => return Ok(()),
                Err(error) => {
                    note(true, "FailedCreate", format!("Error creating: {error}"));
                    return Err(error);
                }
            }
        }
        left -= size;
        batch = batch.saturating_mul(2);
    }
    for (result, change) in run(context, plan.delete.iter()).await.into_iter().zip(&plan.delete) {
        match result {
            Ok(_) => note(false, "SuccessfulDelete", format!("Deleted pod: {}", change.name)),
            Err(error) => {
                note(true, "FailedDelete", format!("Error deleting: {error}"));
                return Err(error);
            }
        }
    }
    Ok(())
}

async fn run<'a>(context: &Context, changes: impl Iterator<Item = &'a Change>) -> Vec<Result<Written, WriteError>> {
    let writes: Vec<_> = changes.map(|change| context.apply(change)).collect();
    futures::stream::iter(writes).buffered(AT_ONCE).collect().await
}

#[cfg(test)]
pub(crate) mod tests;
