//! Pods with names of their own, one after another (`statefulset-controller`).
//!
//! Claims of volumes are not served, so a StatefulSet that asks for them has no Pods, and is told why.

pub mod identity;
pub mod plan;

use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;

use crate::cache::{Delta, Index, Key};
use crate::caches::orphans;
use crate::change::{Act, Change, Note, PODS, Reference, STATEFUL_SETS};
use crate::claim::{self, Claims};
use crate::context::Context;
use crate::objects::workload::StatefulSet;
use crate::objects::{Meta, Pod};
use crate::queue::{Outcome, Queue, work};
use crate::revisions;
use crate::selector;
use crate::write::WriteError;
use identity::Version;
use plan::Snapshot;

const COMPONENT: &str = "statefulset-controller";
const WORKERS: usize = 4;
/// The label of a revision that says what its name ends with.
const HASH: &str = "controller.kubernetes.io/hash";

/// Registers what the controller has to be told of; the future is its work.
pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let queue: Arc<Queue<Key>> = Arc::default();
    let add = queue.clone();
    context.caches.stateful_sets.on_change(move |delta| add.add(Key::of(&**delta.latest)));
    let (add, known) = (queue.clone(), context.clone());
    context.caches.pods.on_change(move |delta| concerned(&known, delta, &add));
    let stop = context.stop.clone();
    Box::pin(work("statefulset", queue, WORKERS, stop, move |key| sync(context.clone(), key)))
}

/// Adds the StatefulSets that a change of a Pod concerns: the one that controls it, or those that may adopt it.
fn concerned(context: &Context, delta: &Delta<'_, Pod>, queue: &Queue<Key>) {
    for pod in delta.both() {
        match pod.controller() {
            Some(owner) if owner.kind == STATEFUL_SETS.kind => queue.add(Key::new(pod.namespace(), &owner.name)),
            Some(_) => {}
            None => {
                let adopts = |set: &StatefulSet| {
                    identity::ordinal(set, pod.name()).is_some()
                        && selector::matches(&set.spec.selector, pod.metadata.labels.as_ref())
                };
                for set in context.caches.stateful_sets.in_namespace(pod.namespace(), adopts) {
                    queue.add(Key::of(&*set));
                }
            }
        }
    }
}

async fn sync(context: Arc<Context>, key: Key) -> Result<Outcome, WriteError> {
    let Some(set) = context.caches.stateful_sets.get(&key.namespace, &key.name) else {
        // The garbage collector deletes the Pods.
        return Ok(Outcome::Done);
    };
    if selector::selects_all(&set.spec.selector) {
        return Ok(Outcome::Done);
    }
    settle_claims(&context, &set).await?;
    let known = |context: &Context| revisions::sorted(context.caches.revisions.by(Index::Controller, set.uid()));
    let before = known(&context);
    let present = revisions::present((STATEFUL_SETS, &*set), &set.spec.template, HASH, &before);
    if let Some(change) = present.change.as_ref().filter(|_| !set.deleting()) {
        context.apply(change).await?;
    }
    let versions = versions(&set, &present.name, &before);
    let pods = claims(&context, &set).owned;
    let now = Timestamp::now();
    let snapshot = |pods| Snapshot { set: &set, pods, current: &versions.0, update: &versions.1, now };
    let planned = plan::plan(&snapshot(&pods));
    let managed = manage(&context, &set, &planned).await;
    let pods = claims(&context, &set).owned;
    let status = plan::status(&snapshot(&pods));
    if status != set.status {
        match context.apply(&plan::write(&set, &status)).await {
            Ok(_) | Err(WriteError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    managed?;
    let used = |name: &str| plan::is_used(name, &status, &pods);
    context.apply_all(&revisions::forget(&known(&context), used, set.spec.revision_history_limit)).await?;
    Ok(plan::next_available(&set, &pods, now).map_or(Outcome::Done, Outcome::After))
}

/// The version that was complete last, and that of the present template.
fn versions(set: &StatefulSet, present: &str, known: &[Arc<ControllerRevision>]) -> (Version, Version) {
    let update = Version { name: present.to_owned(), template: set.spec.template.value() };
    let current = known.iter().find(|revision| revision.name() == set.status.current_revision);
    let current = current.and_then(|revision| {
        let template = revisions::template(revision)?.value();
        Some(Version { name: revision.name().to_owned(), template })
    });
    (current.unwrap_or_else(|| update.clone()), update)
}

/// The Pods that it controls, and those that it might.
fn claims(context: &Context, set: &StatefulSet) -> Claims<Pod> {
    let mut candidates = context.caches.pods.by(Index::Controller, set.uid());
    let orphans = context.caches.pods.by(Index::Controller, &orphans(set.namespace()));
    candidates.extend(orphans.into_iter().filter(|pod| pod.active()));
    candidates.retain(|pod| identity::ordinal(set, pod.name()).is_some());
    claim::claim(set, &set.spec.selector, candidates)
}

/// Adopts and releases, so that what is counted afterwards is right.
async fn settle_claims(context: &Context, set: &StatefulSet) -> Result<(), WriteError> {
    let claims = claims(context, set);
    let mut changes: Vec<Change> = claims.release.iter().map(|pod| claim::release(set, (PODS, &**pod))).collect();
    if !claims.adopt.is_empty() && context.writer.still_wanted(STATEFUL_SETS, set).await? {
        changes.extend(claims.adopt.iter().map(|pod| claim::adopt((STATEFUL_SETS, set), (PODS, &**pod))));
    }
    match context.apply_all(&changes).await {
        Err(WriteError::NotFound(_)) | Ok(()) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Does what the plan says, and tells of it.
async fn manage(context: &Context, set: &StatefulSet, changes: &[Change]) -> Result<(), WriteError> {
    let about = Reference::to(STATEFUL_SETS, set);
    for change in changes {
        let pod = &change.name;
        let (verb, done, failed) = match change.act {
            Act::Create(_) => ("create", "SuccessfulCreate", "FailedCreate"),
            Act::Delete(_) => ("delete", "SuccessfulDelete", "FailedDelete"),
            _ => ("update", "SuccessfulUpdate", "FailedUpdate"),
        };
        if let (Act::Create(_), Some(claim)) = (&change.act, plan::claim_templates(set).next()) {
            let why = "the server could not find the requested resource";
            let name = set.name();
            let told = format!("create Claim {claim}-{pod} for Pod {pod} in StatefulSet {name} failed error: {why}");
            context.tell(COMPONENT, [Note::warning(about, failed, told)]);
            return Ok(());
        }
        match context.apply(change).await {
            Ok(_) => {
                let told = format!("{verb} Pod {pod} in StatefulSet {} successful", set.name());
                context.tell(COMPONENT, [Note::normal(about.clone(), done, told)]);
            }
            // Nothing can be made any more; the namespace's end deletes the StatefulSet too.
            Err(WriteError::NamespaceTerminating(_)) => return Ok(()),
            Err(error) => {
                let told = format!("{verb} Pod {pod} in StatefulSet {} failed error: {error}", set.name());
                context.tell(COMPONENT, [Note::warning(about, failed, told)]);
                return Err(error);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
