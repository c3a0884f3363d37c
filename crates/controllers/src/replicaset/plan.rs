//! How many Pods a ReplicaSet, or a ReplicationController, has too few or too many, which of them go first, and what its status says.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSetCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::replicated::Replicated;
use crate::change::{Change, PODS, Part, controller_reference};
use crate::objects::pod::Phase;
use crate::objects::workload::{ReplicaSetStatus, Replicas};
use crate::objects::{Meta, Pod};

/// At most so many Pods are made or deleted in one go.
pub const BURST: usize = 500;

/// What a plan is made from.
pub struct Snapshot<'a, K> {
    /// The ReplicaSet.
    pub set: &'a Replicas<K>,
    /// Its Pods that neither have ended nor are ending.
    pub active: &'a [Arc<Pod>],
    /// The active Pods of all ReplicaSets of its owner, its own included: among equals, those go first that share
    /// their node with many of them.
    pub related: &'a [Arc<Pod>],
    /// The time.
    pub now: Timestamp,
}

/// What is to be done about the Pods.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// So many are made.
    pub create: usize,
    /// These are deleted.
    pub delete: Vec<Change>,
}

/// Makes the plan.
pub fn plan<K: Replicated>(snapshot: &Snapshot<'_, K>) -> Plan {
    if snapshot.set.deleting() {
        return Plan::default();
    }
    let wanted = usize::try_from(snapshot.set.replicas()).unwrap_or(0);
    let found = snapshot.active.len();
    if found <= wanted {
        return Plan { create: (wanted - found).min(BURST), delete: Vec::new() };
    }
    let mut ranked = snapshot.active.to_vec();
    let mut on_node: HashMap<Option<&str>, usize> = HashMap::new();
    for pod in snapshot.related {
        *on_node.entry(pod.node_name()).or_default() += 1;
    }
    let neighbours = |pod: &Pod| on_node.get(&pod.node_name()).copied().unwrap_or(0);
    ranked.sort_by(|a, b| goes_first(a, b, &neighbours, snapshot.now));
    let delete = ranked.iter().take((found - wanted).min(BURST)).map(|pod| Change::delete(PODS, &**pod)).collect();
    Plan { create: 0, delete }
}

/// The order in which Pods are deleted: not bound before bound, pending before unknown before running, not ready before
/// ready, the cheap before the dear, those with many neighbours before the lonely, those that were ready for a short
/// time before those that were for long, those that restarted often before those that did not, and new ones before old
/// ones. Times count by their logarithm, so that among Pods of about one age chance decides: their uid.
fn goes_first(a: &Pod, b: &Pod, neighbours: &dyn Fn(&Pod) -> usize, now: Timestamp) -> Ordering {
    let phase = |pod: &Pod| match pod.status.phase {
        Phase::Pending => 0,
        Phase::Unknown => 1,
        _ => 2,
    };
    let age = |time: Option<Timestamp>| time.map_or(-1, |time| logarithm(now.duration_since(time).as_nanos()));
    let created = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
    (a.node_name().is_some().cmp(&b.node_name().is_some()))
        .then_with(|| phase(a).cmp(&phase(b)))
        .then_with(|| a.ready().cmp(&b.ready()))
        .then_with(|| deletion_cost(a).cmp(&deletion_cost(b)))
        .then_with(|| neighbours(b).cmp(&neighbours(a)))
        .then_with(|| age(a.ready_since().map(|t| t.0)).cmp(&age(b.ready_since().map(|t| t.0))))
        .then_with(|| b.status.restarts.cmp(&a.status.restarts))
        .then_with(|| age(created(a)).cmp(&age(created(b))))
        .then_with(|| a.uid().cmp(b.uid()))
}

/// The annotation that says what it costs to lose a Pod; 0 where there is none or it is no number.
fn deletion_cost(pod: &Pod) -> i32 {
    pod.annotation("controller.kubernetes.io/pod-deletion-cost").and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

/// The logarithm to base 2; -1 of what is not positive.
fn logarithm(nanoseconds: i128) -> i64 {
    if nanoseconds <= 0 { -1 } else { i64::from(nanoseconds.ilog2()) }
}

/// The Pods that are left when a plan is carried out.
pub fn survivors(active: &[Arc<Pod>], plan: &Plan) -> Vec<Arc<Pod>> {
    let goes = |pod: &Arc<Pod>| plan.delete.iter().any(|change| change.name == pod.name());
    active.iter().filter(|pod| !goes(pod)).cloned().collect()
}

/// The change that makes one more Pod.
pub fn new_pod<K: Replicated>(set: &Replicas<K>) -> Change {
    let template = set.spec.template.value();
    let mut metadata = json!({
        "generateName": format!("{}-", set.name()),
        "namespace": set.namespace(),
        "ownerReferences": [controller_reference(K::RESOURCE, set)],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if !template["metadata"][field].is_null() {
            metadata[field] = template["metadata"][field].clone();
        }
    }
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]});
    Change::create(PODS, &pod)
}

/// What went wrong while Pods were made or deleted.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// `FailedCreate` or `FailedDelete`.
    pub reason: &'static str,
    /// The server's message.
    pub message: String,
}

/// What the status should say. `active` are the active Pods that the ReplicaSet has, `terminating` how many are ending.
pub fn status<K: Replicated>(
    set: &Replicas<K>,
    active: &[Arc<Pod>],
    terminating: usize,
    failure: Option<&Failure>,
    now: Timestamp,
) -> ReplicaSetStatus {
    let labels = set.spec.template.labels();
    let has_all = |pod: &Pod| labels.iter().all(|(key, value)| pod.label(key) == Some(value));
    let min_ready = set.spec.min_ready_seconds.unwrap_or(0);
    let count = |pass: &dyn Fn(&Pod) -> bool| number(active.iter().filter(|pod| pass(pod)).count());
    ReplicaSetStatus {
        replicas: number(active.len()),
        fully_labeled_replicas: count(&has_all),
        ready_replicas: count(&Pod::ready),
        available_replicas: count(&|pod| pod.available(min_ready, now)),
        terminating_replicas: K::COUNTS_ENDING.then(|| number(terminating)),
        observed_generation: set.metadata.generation.unwrap_or(0),
        conditions: conditions(&set.status, failure, now),
    }
}

/// The change that makes the status so.
pub fn write<K: Replicated>(set: &Replicas<K>, status: &ReplicaSetStatus) -> Change {
    let patch: Value = json!({"metadata": {"uid": set.uid()}, "status": document(status)});
    Change::merge(K::RESOURCE, set, Part::Status, patch)
}

/// The change that says, before Pods are deleted, that those cannot be counted on any more: only if nobody has changed
/// the ReplicaSet meanwhile. A Deployment counts on what the status says to be available, and scales only the version
/// that it has read. So either it knows of the deletion, or the deletion is given up and planned again from the new
/// size. That the Pods are gone is said when they are.
pub fn announce<K: Replicated>(
    set: &Replicas<K>,
    active: &[Arc<Pod>],
    left: &[Arc<Pod>],
    terminating: usize,
    now: Timestamp,
) -> Change {
    let (before, after) = (status(set, active, terminating, None, now), status(set, left, terminating, None, now));
    let announced = ReplicaSetStatus {
        ready_replicas: after.ready_replicas,
        available_replicas: after.available_replicas,
        ..before
    };
    let patch = json!({"metadata": {"resourceVersion": set.resource_version()}, "status": document(&announced)});
    Change::merge(K::RESOURCE, set, Part::Status, patch)
}

/// A status as a patch. Counts of zero are not written, as Kubernetes does not write them; nor are empty lists.
fn document(status: &ReplicaSetStatus) -> Value {
    json!({
        "replicas": status.replicas,
        "fullyLabeledReplicas": nonzero(status.fully_labeled_replicas),
        "readyReplicas": nonzero(status.ready_replicas),
        "availableReplicas": nonzero(status.available_replicas),
        "terminatingReplicas": status.terminating_replicas,
        "observedGeneration": (status.observed_generation != 0).then_some(status.observed_generation),
        "conditions": (!status.conditions.is_empty()).then_some(&status.conditions),
    })
}

/// The conditions: `ReplicaFailure` as long as something goes wrong, since it first did.
fn conditions(status: &ReplicaSetStatus, failure: Option<&Failure>, now: Timestamp) -> Vec<ReplicaSetCondition> {
    const FAILURE: &str = "ReplicaFailure";
    let mut conditions = status.conditions.clone();
    match failure {
        None => conditions.retain(|condition| condition.type_ != FAILURE),
        Some(_) if conditions.iter().any(|condition| condition.type_ == FAILURE) => {}
        Some(failure) => conditions.push(ReplicaSetCondition {
            type_: FAILURE.to_owned(),
            status: "True".to_owned(),
            reason: Some(failure.reason.to_owned()),
            message: Some(failure.message.clone()),
            last_transition_time: Some(Time(whole_seconds(now))),
        }),
    }
    conditions
}

/// A time as the API keeps it: without fractions of a second.
pub(crate) fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// When the next Pod becomes available, if one is ready and not yet available.
pub fn next_available<K>(set: &Replicas<K>, active: &[Arc<Pod>], now: Timestamp) -> Option<Duration> {
    let min_ready = i64::from(set.spec.min_ready_seconds.unwrap_or(0));
    let waiting = active.iter().filter_map(|pod| pod.ready_since());
    let left =
        waiting.map(|since| min_ready * 1000 - i64::try_from(now.duration_since(since.0).as_millis()).unwrap_or(0));
    // A ready Pod without a time never becomes available; asking again helps nobody.
    left.filter(|left| *left > 0).min().map(|left| Duration::from_millis(left.unsigned_abs()))
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// A count, unless it is zero.
pub(crate) fn nonzero(count: i32) -> Option<i32> {
    (count != 0).then_some(count)
}
