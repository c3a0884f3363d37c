//! What the status of a Deployment says.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DeploymentCondition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use super::bounds::Bounds;
use super::sets::Set;
use crate::change::{Change, DEPLOYMENTS, Part};
use crate::objects::workload::DeploymentStatus;
use crate::objects::{Deployment, Meta};
use crate::replicaset::plan::{nonzero, whole_seconds};

const PROGRESSING: &str = "Progressing";
const AVAILABLE: &str = "Available";
const REPLICA_FAILURE: &str = "ReplicaFailure";
const COMPLETE: &str = "NewReplicaSetAvailable";
const TIMED_OUT: &str = "ProgressDeadlineExceeded";
const PAUSED: &str = "DeploymentPaused";

/// The conditions of a Deployment while a plan is made.
pub struct Conditions {
    list: Vec<DeploymentCondition>,
    now: Timestamp,
}

impl Conditions {
    /// As they are.
    pub fn of(deployment: &Deployment, now: Timestamp) -> Self {
        Self { list: deployment.status.conditions.clone(), now: whole_seconds(now) }
    }

    fn get(&self, kind: &str) -> Option<&DeploymentCondition> {
        self.list.iter().find(|condition| condition.type_ == kind)
    }

    /// Sets a condition; one that says the same for the same reason stays as it is.
    fn set(&mut self, kind: &str, status: &str, reason: &str, message: String) {
        let before = self.get(kind);
        if before.is_some_and(|b| b.status == status && b.reason.as_deref() == Some(reason)) {
            return;
        }
        self.renew(kind, status, reason, message);
    }

    /// Sets a condition, with a new time of update.
    fn renew(&mut self, kind: &str, status: &str, reason: &str, message: String) {
        let since = self.get(kind).filter(|before| before.status == status);
        let since = since.and_then(|before| before.last_transition_time.clone());
        self.list.retain(|condition| condition.type_ != kind);
        self.list.push(DeploymentCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_update_time: Some(Time(self.now)),
            last_transition_time: since.or(Some(Time(self.now))),
        });
    }

    /// While a Deployment is paused its deadline does not run.
    pub fn pause(&mut self, deployment: &Deployment) {
        let paused = deployment.spec.paused.unwrap_or(false);
        let reason = self.get(PROGRESSING).and_then(|condition| condition.reason.as_deref());
        if deadline(deployment).is_none() || reason == Some(TIMED_OUT) {
            return;
        }
        if paused && reason != Some(PAUSED) {
            self.set(PROGRESSING, "Unknown", PAUSED, "Deployment is paused".to_owned());
        } else if !paused && reason == Some(PAUSED) {
            self.set(PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed".to_owned());
        }
    }

    /// A ReplicaSet is made for the present template.
    pub fn created(&mut self, deployment: &Deployment, name: &str) {
        if deadline(deployment).is_some() {
            let message = format!("Created new replica set {name:?}");
            self.set(PROGRESSING, "True", "NewReplicaSetCreated", message);
        }
    }

    /// There is one for it already.
    pub fn found(&mut self, deployment: &Deployment, name: &str) {
        if deadline(deployment).is_some() && self.get(PROGRESSING).is_none() {
            self.set(PROGRESSING, "True", "FoundNewReplicaSet", format!("Found new replica set {name:?}"));
        }
    }

    fn available(&mut self, available: i32, bounds: Bounds) {
        if available >= bounds.least() {
            let message = "Deployment has minimum availability.".to_owned();
            self.set(AVAILABLE, "True", "MinimumReplicasAvailable", message);
        } else {
            let message = "Deployment does not have minimum availability.".to_owned();
            self.set(AVAILABLE, "False", "MinimumReplicasUnavailable", message);
        }
    }

    /// How the rollout goes on, by comparison with the status before.
    fn progress(&mut self, deployment: &Deployment, status: &DeploymentStatus, new: Option<&Set<'_>>) {
        let Some(deadline) = deadline(deployment) else {
            self.list.retain(|condition| condition.type_ != PROGRESSING);
            return;
        };
        let current = self.get(PROGRESSING).cloned();
        let reason = current.as_ref().and_then(|condition| condition.reason.as_deref());
        if status.replicas == status.updated_replicas && reason == Some(COMPLETE) {
            return;
        }
        let subject = match new {
            Some(set) => format!("ReplicaSet {:?}", set.name),
            None => format!("Deployment {:?}", deployment.name()),
        };
        let before = &deployment.status;
        let progressed = status.updated_replicas > before.updated_replicas
            || status.replicas - status.updated_replicas < before.replicas - before.updated_replicas
            || status.ready_replicas > before.ready_replicas
            || status.available_replicas > before.available_replicas;
        if is_complete(deployment, status) {
            self.set(PROGRESSING, "True", COMPLETE, format!("{subject} has successfully progressed."));
        } else if progressed {
            self.renew(PROGRESSING, "True", "ReplicaSetUpdated", format!("{subject} is progressing."));
        } else if let Some(current) = &current {
            let since = current.last_update_time.as_ref().map(|time| time.0);
            let late = since.is_some_and(|since| self.now.duration_since(since).as_secs() > deadline);
            if reason == Some(TIMED_OUT) || (late && reason != Some(COMPLETE)) {
                self.set(PROGRESSING, "False", TIMED_OUT, format!("{subject} has timed out progressing."));
            }
        }
    }

    /// Why Pods cannot be made, as the ReplicaSets say it, the newest first.
    fn failures<'a>(&mut self, new: Option<&'a Set<'_>>, old: &'a [Set<'_>]) {
        let sets = new.into_iter().chain(old);
        let mut failures = sets.flat_map(|set| &set.status().conditions).filter(|c| c.type_ == REPLICA_FAILURE);
        match failures.next() {
            Some(failure) => {
                let text = |field: &Option<String>| field.clone().unwrap_or_default();
                self.set(REPLICA_FAILURE, &failure.status, &text(&failure.reason), text(&failure.message));
            }
            None => self.list.retain(|condition| condition.type_ != REPLICA_FAILURE),
        }
    }
}

/// After how many seconds without progress a rollout has failed; `None`: never.
fn deadline(deployment: &Deployment) -> Option<i64> {
    deployment.spec.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX).map(i64::from)
}

/// Whether all wanted Pods are of the present template and available, and no others are there.
pub fn is_complete(deployment: &Deployment, status: &DeploymentStatus) -> bool {
    let wanted = deployment.replicas();
    status.updated_replicas == wanted
        && status.replicas == wanted
        && status.available_replicas == wanted
        && status.observed_generation >= deployment.metadata.generation.unwrap_or(0)
}

/// The counts of a status, without conditions.
pub fn counts(
    deployment: &Deployment,
    new: Option<&Set<'_>>,
    old: &[Set<'_>],
    collisions: Option<i32>,
) -> DeploymentStatus {
    let all = || new.into_iter().chain(old);
    let available: i32 = all().map(|set| set.status().available_replicas).sum();
    let wanted: i32 = all().map(|set| set.replicas).sum();
    // A ReplicaSet that nobody has looked at yet has no Pods; one whose controller does not say makes the sum unknown.
    let terminating = all()
        .filter(|set| set.status().observed_generation != 0 || set.status().terminating_replicas.is_some())
        .map(|set| set.status().terminating_replicas)
        .sum::<Option<i32>>();
    DeploymentStatus {
        observed_generation: deployment.metadata.generation.unwrap_or(0),
        replicas: all().map(|set| set.status().replicas).sum(),
        updated_replicas: new.map_or(0, |set| set.status().replicas),
        ready_replicas: all().map(|set| set.status().ready_replicas).sum(),
        available_replicas: available,
        unavailable_replicas: (wanted - available).max(0),
        terminating_replicas: terminating,
        conditions: Vec::new(),
        collision_count: collisions,
    }
}

/// The whole status. Whether the rollout goes on is judged only while one may go on.
pub fn status(
    deployment: &Deployment,
    counts: DeploymentStatus,
    sets: (Option<&Set<'_>>, &[Set<'_>]),
    mut conditions: Conditions,
    judge: bool,
) -> DeploymentStatus {
    let (new, old) = sets;
    conditions.available(counts.available_replicas, Bounds::of(deployment));
    if judge {
        conditions.progress(deployment, &counts, new);
        conditions.failures(new, old);
    }
    DeploymentStatus { conditions: conditions.list, ..counts }
}

/// The change of the status, if it is not what it should be.
pub fn change(deployment: &Deployment, status: &DeploymentStatus) -> Option<Change> {
    (*status != deployment.status).then(|| {
        let body: Value = json!({
            "observedGeneration": (status.observed_generation != 0).then_some(status.observed_generation),
            "replicas": nonzero(status.replicas),
            "updatedReplicas": nonzero(status.updated_replicas),
            "readyReplicas": nonzero(status.ready_replicas),
            "availableReplicas": nonzero(status.available_replicas),
            "unavailableReplicas": nonzero(status.unavailable_replicas),
            "terminatingReplicas": status.terminating_replicas,
            "conditions": (!status.conditions.is_empty()).then_some(&status.conditions),
            "collisionCount": status.collision_count,
        });
        let patch = json!({"metadata": {"uid": deployment.uid()}, "status": body});
        Change::merge(DEPLOYMENTS, deployment, Part::Status, patch)
    })
}

/// The change that says that a ReplicaSet could not be made.
pub fn creation_failed(deployment: &Deployment, message: &str, now: Timestamp) -> Option<Change> {
    deadline(deployment)?;
    let mut conditions = Conditions::of(deployment, now);
    conditions.set(PROGRESSING, "False", "ReplicaSetCreateError", message.to_owned());
    change(deployment, &DeploymentStatus { conditions: conditions.list, ..deployment.status.clone() })
}

/// When to look again whether the deadline has passed.
pub fn next_check(deployment: &Deployment, status: &DeploymentStatus, now: Timestamp) -> Option<Duration> {
    let deadline = deadline(deployment)?;
    let current = status.conditions.iter().find(|condition| condition.type_ == PROGRESSING)?;
    if is_complete(deployment, status) || current.reason.as_deref() == Some(TIMED_OUT) {
        return None;
    }
    let since = current.last_update_time.as_ref()?.0;
    let left = deadline - now.duration_since(since).as_secs();
    Some(Duration::from_secs(u64::try_from(left).unwrap_or(0) + 1))
}
