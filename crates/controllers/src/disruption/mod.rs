//! How many of the Pods of each PodDisruptionBudget may be evicted (`disruption-controller`).

pub mod plan;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;

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
        if owner.kind != "ReplicaSet" {
            return Err(format!("{} {} does not say how many Pods it is to have", owner.kind, owner.name));
        }
        let Some(set) = context.caches.replica_sets.get(pod.namespace(), &owner.name) else { continue };
        let above = set.controller().filter(|above| above.kind == "Deployment");
        let deployment = above.and_then(|above| context.caches.deployments.get(pod.namespace(), &above.name));
        let (uid, replicas) = match &deployment {
            Some(deployment) => (deployment.uid().to_owned(), deployment.replicas()),
            None => (set.uid().to_owned(), set.replicas()),
        };
        if controllers.insert(uid) {
            sum = sum.saturating_add(replicas);
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests;
