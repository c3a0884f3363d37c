//! How many of the Pods of each PodDisruptionBudget may be evicted (`disruption-controller`).

pub mod plan;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crate::cache::Key;
use crate::context::Context;
use crate::objects::{Meta, Pod};
use crate::queue::{Outcome, Queue, work};
use crate::selector;
use crate::write::WriteError;
use plan::Snapshot;

const WORKERS: usize = 4;

/// Registers what the controller has to be told of; the future is its work.
pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let queue: Arc<Queue<Key>> = Arc::default();
    let add = queue.clone();
    context.caches.budgets.on_change(move |delta| add.add(Key::of(&**delta.latest)));
    let (add, known) = (queue.clone(), context.clone());
    context.caches.pods.on_change(move |delta| {
        for pod in delta.both() {
            add_all(&known, pod.namespace(), &add, &|budget| selects(budget, pod));
        }
    });
    let (add, known) = (queue.clone(), context.clone());
    context.caches.replica_sets.on_change(move |delta| {
        if delta.new.map(|new| new.replicas()) != delta.old.map(|old| old.replicas()) {
            add_all(&known, delta.latest.namespace(), &add, &|_| true);
        }
    });
    let (add, known) = (queue.clone(), context.clone());
    context.caches.deployments.on_change(move |delta| {
        if delta.new.map(|new| new.replicas()) != delta.old.map(|old| old.replicas()) {
            add_all(&known, delta.latest.namespace(), &add, &|_| true);
        }
    });
    let (add, known) = (queue.clone(), context.clone());
    context.caches.stateful_sets.on_change(move |delta| {
        if delta.new.map(|new| new.replicas()) != delta.old.map(|old| old.replicas()) {
            add_all(&known, delta.latest.namespace(), &add, &|_| true);
        }
    });
    let (add, known) = (queue.clone(), context.clone());
    context.caches.replication_controllers.on_change(move |delta| {
        if delta.new.map(|new| new.replicas()) != delta.old.map(|old| old.replicas()) {
            add_all(&known, delta.latest.namespace(), &add, &|_| true);
        }
    });
    let stop = context.stop.clone();
    Box::pin(work("disruption", queue, WORKERS, stop, move |key| sync(context.clone(), key)))
}

fn add_all(context: &Context, namespace: &str, queue: &Queue<Key>, wanted: &dyn Fn(&PodDisruptionBudget) -> bool) {
    for budget in context.caches.budgets.in_namespace(namespace, wanted) {
        queue.add(Key::of(&*budget));
    }
}

/// Whether a budget is for a Pod. Without a selector it is for none.
fn selects(budget: &PodDisruptionBudget, pod: &Pod) -> bool {
    let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| selector::matches(selector, pod.metadata.labels.as_ref()))
}

async fn sync(context: Arc<Context>, key: Key) -> Result<Outcome, WriteError> {
    let Some(budget) = context.caches.budgets.get(&key.namespace, &key.name) else { return Ok(Outcome::Done) };
    if budget.deleting() {
        return Ok(Outcome::Done);
    }
    let pods = context.caches.pods.in_namespace(&key.namespace, |pod: &Pod| selects(&budget, pod));
    let now = Timestamp::now();
    let status = plan::status(&Snapshot { budget: &budget, pods: &pods, scale: scale(&context, &pods), now });
    if let Some(change) = plan::write(&budget, &status) {
        match context.apply(&change).await {
            Ok(_) | Err(WriteError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(plan::next_look(&status, now).map_or(Outcome::Done, Outcome::After))
}

/// How many Pods the controllers of these are to have in all. Pods of nobody count for nothing.
fn scale(context: &Context, pods: &[Arc<Pod>]) -> Result<i32, String> {
    let mut controllers = BTreeSet::new();
    let mut sum = 0i32;
    for pod in pods {
        let Some(owner) = pod.controller() else { continue };
        let Some((uid, replicas)) = scale_of(context, pod.namespace(), owner)? else { continue };
        if controllers.insert(uid) {
            sum = sum.saturating_add(replicas);
        }
    }
    Ok(sum)
}

/// The uid of a controller, or of what is above it, and how many Pods that is to have; `None` when it is gone.
fn scale_of(context: &Context, namespace: &str, owner: &OwnerReference) -> Result<Option<(String, i32)>, String> {
    let (caches, name) = (&context.caches, owner.name.as_str());
    match owner.kind.as_str() {
        "ReplicaSet" => {
            let Some(set) = caches.replica_sets.get(namespace, name) else { return Ok(None) };
            let above = set.controller().filter(|above| above.kind == "Deployment");
            let deployment = above.and_then(|above| caches.deployments.get(namespace, &above.name));
            Ok(Some(match &deployment {
                Some(deployment) => (deployment.uid().to_owned(), deployment.replicas()),
                None => (set.uid().to_owned(), set.replicas()),
            }))
        }
        "StatefulSet" => {
            let set = caches.stateful_sets.get(namespace, name);
            Ok(set.map(|set| (set.uid().to_owned(), set.replicas())))
        }
        "ReplicationController" => {
            let set = caches.replication_controllers.get(namespace, name);
            Ok(set.map(|set| (set.uid().to_owned(), set.replicas())))
        }
        kind => Err(format!("{kind} {name} does not say how many Pods it is to have")),
    }
}

#[cfg(test)]
mod tests;
