//! The ReplicaSets of every Deployment (`deployment-controller`).

mod bounds;
pub mod plan;
mod sets;
mod sharing;
mod status;

use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::cache::{Delta, Index, Key};
use crate::caches::orphans;
use crate::change::{Act, Change, DEPLOYMENTS, Note, REPLICA_SETS, Reference};
use crate::claim::{self, Claims};
use crate::context::Context;
use crate::objects::{Deployment, Meta, Pod, ReplicaSet};
use crate::queue::{Outcome, Queue, work};
use crate::selector;
use crate::write::WriteError;
use plan::{Plan, Snapshot};

const COMPONENT: &str = "deployment-controller";
const WORKERS: usize = 32;

/// Registers what the controller has to be told of; the future is its work.
pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let queue: Arc<Queue<Key>> = Arc::default();
    let caches = &context.caches;
    let add = queue.clone();
    caches.deployments.on_change(move |delta| add.add(Key::of(&**delta.latest)));
    let (add, known) = (queue.clone(), context.clone());
    caches.replica_sets.on_change(move |delta| concerned(&known, delta, &add));
    let (add, known) = (queue.clone(), context.clone());
    caches.pods.on_change(move |delta| {
        // Who recreates waits for the last old Pod to be gone.
        let ended = delta.new.is_none_or(|pod| pod.terminal());
        if let Some(deployment) = owner(&known, delta.latest).filter(|d| ended && !bounds::rolls(d)) {
            add.add(Key::of(&*deployment));
        }
    });
    let stop = context.stop.clone();
    Box::pin(work("deployment", queue, WORKERS, stop, move |key| sync(context.clone(), key)))
}

/// Adds the Deployments that a change of a ReplicaSet concerns: the one that controls it, or those that may adopt it.
fn concerned(context: &Context, delta: &Delta<'_, ReplicaSet>, queue: &Queue<Key>) {
    for set in delta.both() {
        if let Some(owner) = set.controller() {
            if owner.kind == "Deployment" {
                queue.add(Key::new(set.namespace(), &owner.name));
            }
            continue;
        }
        let same_side =
            |old: &Arc<ReplicaSet>| old.metadata.labels == set.metadata.labels && old.controller().is_none();
        let news = delta.new.is_some_and(|new| Arc::ptr_eq(new, set)) && !delta.old.is_some_and(same_side);
        if news {
            let adopts = |d: &Deployment| selector::matches(&d.spec.selector, set.metadata.labels.as_ref());
            for deployment in context.caches.deployments.in_namespace(set.namespace(), adopts) {
                queue.add(Key::of(&*deployment));
            }
        }
    }
}

/// The Deployment of a Pod's ReplicaSet.
fn owner(context: &Context, pod: &Pod) -> Option<Arc<Deployment>> {
    let set = pod.controller().filter(|owner| owner.kind == "ReplicaSet")?;
    let set = context.caches.replica_sets.get(pod.namespace(), &set.name)?;
    let deployment = set.controller().filter(|owner| owner.kind == "Deployment")?;
    context.caches.deployments.get(pod.namespace(), &deployment.name)
}

async fn sync(context: Arc<Context>, key: Key) -> Result<Outcome, WriteError> {
    let caches = &context.caches;
    let Some(deployment) = caches.deployments.get(&key.namespace, &key.name) else {
        // The garbage collector deletes the ReplicaSets.
        return Ok(Outcome::Done);
    };
    if selector::selects_all(&deployment.spec.selector) {
        let message = "This deployment is selecting all pods. A non-empty selector is required.";
        context.tell(COMPONENT, [Note::warning(Reference::to(DEPLOYMENTS, &*deployment), "SelectingAll", message)]);
        return Ok(Outcome::Done);
    }
    settle_claims(&context, &deployment).await?;
    let sets = claims(&context, &deployment).owned;
    let now = Timestamp::now();
    let plan = plan::plan(&Snapshot {
        deployment: &deployment,
        sets: &sets,
        has_pods: &|uid| caches.pods.by(Index::Controller, uid).iter().any(|pod| !pod.terminal()),
        taken: &|name| caches.replica_sets.get(&key.namespace, name).is_some(),
        now,
    });
    apply(&context, &deployment, plan, now).await
}

async fn apply(context: &Context, deployment: &Deployment, plan: Plan, now: Timestamp) -> Result<Outcome, WriteError> {
    for (change, note) in plan.sets {
        match context.apply(&change).await {
            Ok(_) => context.tell(COMPONENT, note),
            // Nothing can be made any more; the namespace's end deletes the Deployment too.
            Err(WriteError::NamespaceTerminating(_)) => return Ok(Outcome::Done),
            Err(error) => {
                if matches!(change.act, Act::Create(_)) && !matches!(error, WriteError::AlreadyExists(_)) {
                    let message = format!("Failed to create new replica set {:?}: {error}", change.name);
                    let about = Reference::to(DEPLOYMENTS, deployment);
                    context.tell(COMPONENT, [Note::warning(about, "ReplicaSetCreateError", message.clone())]);
                    if let Some(change) = status::creation_failed(deployment, &message, now) {
                        context.apply(&change).await?;
                    }
                }
                return Err(error);
            }
        }
    }
    for change in &plan.deployment {
        match context.apply(change).await {
            Ok(_) => {}
            // It was deleted meanwhile.
            Err(WriteError::NotFound(_)) => return Ok(Outcome::Done),
            Err(error) => return Err(error),
        }
    }
    Ok(plan.again.map_or(Outcome::Done, Outcome::After))
}

/// The ReplicaSets that it controls, and those that it might.
fn claims(context: &Context, deployment: &Deployment) -> Claims<ReplicaSet> {
    let mut candidates = context.caches.replica_sets.by(Index::Controller, deployment.uid());
    candidates.extend(context.caches.replica_sets.by(Index::Controller, &orphans(deployment.namespace())));
    claim::claim(deployment, &deployment.spec.selector, candidates)
}

/// Adopts and releases, so that what is counted afterwards is right.
async fn settle_claims(context: &Context, deployment: &Deployment) -> Result<(), WriteError> {
    let claims = claims(context, deployment);
    let release = |set: &Arc<ReplicaSet>| claim::release(deployment, (REPLICA_SETS, &**set));
    let mut changes: Vec<Change> = claims.release.iter().map(release).collect();
    // As ReplicaSets do before they adopt Pods.
    if !claims.adopt.is_empty() && context.writer.still_wanted(DEPLOYMENTS, deployment).await? {
        let adopt = |set: &Arc<ReplicaSet>| claim::adopt((DEPLOYMENTS, deployment), (REPLICA_SETS, &**set));
        changes.extend(claims.adopt.iter().map(adopt));
    }
    match context.apply_all(&changes).await {
        Err(WriteError::NotFound(_)) | Ok(()) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
