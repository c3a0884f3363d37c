//! Which Pod of a StatefulSet is made or deleted next, and what its status says.
//!
//! In order, unless it asks for all at once: a Pod is made when those before it are available, and deleted when those
//! after it are gone. Old Pods are replaced from the last to the first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;

use super::identity::{self, REVISION, Version, mend, new_pod};
use crate::change::{Change, PODS, Part, STATEFUL_SETS};
use crate::objects::pod::Phase;
use crate::objects::workload::{RollingUpdate, StatefulSet, StatefulSetStatus};
use crate::objects::{Meta, Pod};

/// What a plan is made from.
pub struct Snapshot<'a> {
    /// The StatefulSet.
    pub set: &'a StatefulSet,
    /// The Pods that it controls, those on their way to their end included.
    pub pods: &'a [Arc<Pod>],
    /// The version that was complete last.
    pub current: &'a Version,
    /// The version of the present template.
    pub update: &'a Version,
    /// The time.
    pub now: Timestamp,
}

impl Snapshot<'_> {
    fn is_ordered(&self) -> bool {
        self.set.spec.pod_management_policy.as_deref() != Some("Parallel")
    }

    /// The numbers that its Pods should have.
    fn ordinals(&self) -> std::ops::Range<i64> {
        let first = i64::from(self.set.spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0));
        first..first + i64::from(self.set.replicas().max(0))
    }

    fn by_ordinal(&self) -> BTreeMap<i64, &Arc<Pod>> {
        self.pods.iter().filter_map(|pod| Some((identity::ordinal(self.set, pod.name())?, pod))).collect()
    }

    fn is_available(&self, pod: &Pod) -> bool {
        is_ready(pod) && pod.available(self.set.spec.min_ready_seconds.unwrap_or(0), self.now)
    }

    /// Whether a Pod serves and goes on to.
    fn is_healthy(&self, pod: &Pod) -> bool {
        self.is_available(pod) && !pod.deleting()
    }

    fn rolling_update(&self) -> Option<&RollingUpdate> {
        self.set.spec.update_strategy.as_ref()?.rolling_update.as_ref()
    }

    fn rolls(&self) -> bool {
        let strategy = self.set.spec.update_strategy.as_ref();
        strategy.and_then(|strategy| strategy.kind.as_deref()) != Some("OnDelete")
    }

    /// The first number that an update reaches.
    fn partition(&self) -> i64 {
        let partition = self.rolling_update().and_then(|update| update.partition).unwrap_or(0);
        self.ordinals().start + i64::from(partition)
    }

    /// The version of a Pod that is made now.
    fn version(&self, ordinal: i64) -> &Version {
        let old_below = match self.rolling_update() {
            Some(_) => self.partition(),
            None => self.ordinals().start + i64::from(self.set.status.current_replicas),
        };
        if self.rolls() && ordinal < old_below { self.current } else { self.update }
    }
}

fn is_ready(pod: &Pod) -> bool {
    pod.status.phase == Phase::Running && pod.ready()
}

/// Makes the plan: what can be done now, in this order.
pub fn plan(snapshot: &Snapshot<'_>) -> Vec<Change> {
    let mut changes = Vec::new();
    if snapshot.set.deleting() {
        return changes;
    }
    let (wanted, by_ordinal) = (snapshot.ordinals(), snapshot.by_ordinal());
    if !fill(snapshot, &by_ordinal, &mut changes) {
        return changes;
    }
    let condemned: Vec<&Arc<Pod>> =
        by_ordinal.iter().rev().filter(|(ordinal, _)| !wanted.contains(ordinal)).map(|(_, pod)| *pod).collect();
    // Who waits for all others to be well waits for none that is to go first.
    let first_ill = condemned.iter().rev().find(|pod| !snapshot.is_healthy(pod)).map(|pod| pod.name());
    for pod in condemned {
        let waits = !snapshot.is_healthy(pod) && first_ill != Some(pod.name());
        if snapshot.is_ordered() && (pod.deleting() || waits) {
            return changes;
        }
        if !pod.deleting() {
            changes.push(Change::delete(PODS, &**pod));
            if snapshot.is_ordered() {
                return changes;
            }
        }
    }
    if snapshot.rolls() {
        roll(snapshot, &by_ordinal, &mut changes);
    }
    changes
}

/// Makes the Pods that are missing. Answers whether it may go on with others.
fn fill(snapshot: &Snapshot<'_>, by_ordinal: &BTreeMap<i64, &Arc<Pod>>, changes: &mut Vec<Change>) -> bool {
    for ordinal in snapshot.ordinals() {
        let Some(pod) = by_ordinal.get(&ordinal) else {
            changes.push(new_pod(snapshot.set, ordinal, snapshot.version(ordinal)));
            if snapshot.is_ordered() {
                return false;
            }
            continue;
        };
        if pod.terminal() && !pod.deleting() {
            // Its name is free again when it is gone.
            changes.push(Change::delete(PODS, &***pod));
            if snapshot.is_ordered() {
                return false;
            }
            continue;
        }
        changes.extend(mend(ordinal, pod).filter(|_| !pod.deleting()));
        if snapshot.is_ordered() && !snapshot.is_healthy(pod) {
            return false;
        }
    }
    true
}

/// Old Pods that give way to new ones, from the last on: those that serve nobody anyway, and as many as may be missing.
fn roll(snapshot: &Snapshot<'_>, by_ordinal: &BTreeMap<i64, &Arc<Pod>>, changes: &mut Vec<Change>) {
    let wanted = snapshot.ordinals();
    let there = |ordinal: i64| by_ordinal.get(&ordinal);
    let ill = wanted.clone().filter(|ordinal| !there(*ordinal).is_some_and(|pod| snapshot.is_healthy(pod))).count();
    let mut may_go = may_miss(snapshot).saturating_sub(ill);
    for ordinal in (snapshot.partition()..wanted.end).rev() {
        let Some(pod) = there(ordinal).filter(|pod| !pod.deleting() && !pod.terminal()) else { continue };
        if pod.label(REVISION) == Some(&snapshot.update.name) {
            continue;
        }
        if snapshot.is_healthy(pod) {
            if may_go == 0 {
                return;
            }
            may_go -= 1;
        }
        changes.push(Change::delete(PODS, &***pod));
        if snapshot.is_ordered() && may_go == 0 {
            return;
        }
    }
}

/// How many Pods may be missing during an update.
fn may_miss(snapshot: &Snapshot<'_>) -> usize {
    let bound = snapshot.rolling_update().and_then(|update| update.max_unavailable.as_ref());
    let replicas = usize::try_from(snapshot.set.replicas()).unwrap_or(0);
    let bound = match bound {
        None => 1,
        Some(IntOrString::Int(number)) => usize::try_from(*number).unwrap_or(0),
        Some(IntOrString::String(text)) => {
            let percent: usize = text.trim_end_matches('%').parse().unwrap_or(0);
            replicas * percent / 100
        }
    };
    bound.max(1)
}

/// What the status should say.
pub fn status(snapshot: &Snapshot<'_>) -> StatefulSetStatus {
    let set = snapshot.set;
    let count = |pass: &dyn Fn(&Pod) -> bool| {
        i32::try_from(snapshot.pods.iter().filter(|pod| pass(pod)).count()).unwrap_or(i32::MAX)
    };
    let of = |version: &Version| count(&|pod| !pod.deleting() && pod.label(REVISION) == Some(&version.name));
    let mut status = StatefulSetStatus {
        observed_generation: set.metadata.generation.unwrap_or(0),
        replicas: count(&|_| true),
        ready_replicas: count(&is_ready),
        available_replicas: count(&|pod| snapshot.is_available(pod)),
        current_replicas: of(snapshot.current),
        updated_replicas: of(snapshot.update),
        current_revision: snapshot.current.name.clone(),
        update_revision: snapshot.update.name.clone(),
        collision_count: Some(set.status.collision_count.unwrap_or(0)),
    };
    let all = set.replicas();
    let is_complete = status.updated_replicas == all && status.ready_replicas == all && status.replicas == all;
    if snapshot.rolls() && is_complete {
        status.current_replicas = status.updated_replicas;
        status.current_revision.clone_from(&status.update_revision);
    }
    status
}

/// Whether a revision is that of the status or of a Pod.
pub fn is_used(revision: &str, status: &StatefulSetStatus, pods: &[Arc<Pod>]) -> bool {
    let of_a_pod = || pods.iter().any(|pod| pod.label(REVISION) == Some(revision));
    status.current_revision == revision || status.update_revision == revision || of_a_pod()
}

/// The names of the claims that its Pods ask for.
pub fn claim_templates(set: &StatefulSet) -> impl Iterator<Item = &str> {
    set.spec.volume_claim_templates.iter().flatten().map(|template| template.metadata.name.as_str())
}

/// The change that makes the status so. Counts that Kubernetes leaves out when they are zero are removed.
pub fn write(set: &StatefulSet, status: &StatefulSetStatus) -> Change {
    let nonzero = |count: i32| (count != 0).then_some(count);
    let document = json!({
        "observedGeneration": (status.observed_generation != 0).then_some(status.observed_generation),
        "replicas": status.replicas,
        "readyReplicas": nonzero(status.ready_replicas),
        "availableReplicas": status.available_replicas,
        "currentReplicas": nonzero(status.current_replicas),
        "updatedReplicas": nonzero(status.updated_replicas),
        "currentRevision": status.current_revision,
        "updateRevision": status.update_revision,
        "collisionCount": status.collision_count,
    });
    Change::merge(STATEFUL_SETS, set, Part::Status, json!({ "metadata": { "uid": set.uid() }, "status": document }))
}

/// When the next Pod becomes available, if one is ready and not yet available.
pub fn next_available(set: &StatefulSet, pods: &[Arc<Pod>], now: Timestamp) -> Option<Duration> {
    let min_ready = i64::from(set.spec.min_ready_seconds.unwrap_or(0)) * 1000;
    let waiting = pods.iter().filter_map(|pod| pod.ready_since());
    let left = waiting.map(|since| min_ready - i64::try_from(now.duration_since(since.0).as_millis()).unwrap_or(0));
    left.filter(|left| *left > 0).min().map(|left| Duration::from_millis(left.unsigned_abs()))
}
