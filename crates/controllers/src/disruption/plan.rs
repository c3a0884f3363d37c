//! How many of the Pods of a PodDisruptionBudget may be evicted now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Map, Value, json};

use crate::change::{BUDGETS, Change, Part};
use crate::objects::{Meta, Pod};

/// How long a Pod that was evicted and has not begun to end is taken for one that will.
pub const EVICTED: SignedDuration = SignedDuration::from_secs(120);
const ALLOWED: &str = "DisruptionAllowed";

/// What a plan is made from.
pub struct Snapshot<'a> {
    /// The budget.
    pub budget: &'a PodDisruptionBudget,
    /// The Pods that it selects.
    pub pods: &'a [Arc<Pod>],
    /// How many Pods their controllers are to have in all; or why that is not known.
    pub scale: Result<i32, String>,
    /// The time.
    pub now: Timestamp,
}

/// The status that a budget should have.
pub fn status(snapshot: &Snapshot<'_>) -> PodDisruptionBudgetStatus {
    let budget = snapshot.budget;
    let before = budget.status.clone().unwrap_or_default();
    let observed_generation = budget.metadata.generation;
    let (expected, desired) = match bounds(snapshot) {
        Ok(bounds) => bounds,
        Err(why) => {
            let condition = condition(snapshot, "False", "SyncFailed", why);
            let conditions = replaced(before.conditions.as_deref(), condition);
            return PodDisruptionBudgetStatus {
                disruptions_allowed: Some(0),
                conditions,
                observed_generation,
                ..before
            };
        }
    };
    let evicted = still_evicted(snapshot);
    let healthy = snapshot.pods.iter().filter(|p| p.ready() && !p.deleting() && !evicted.contains_key(p.name()));
    let healthy = count(healthy.count());
    let allowed = if expected <= 0 { 0 } else { (healthy - desired).max(0) };
    let (state, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    let condition = condition(snapshot, state, reason, String::new());
    PodDisruptionBudgetStatus {
        current_healthy: Some(healthy),
        desired_healthy: Some(desired),
        disrupted_pods: (!evicted.is_empty()).then_some(evicted),
        disruptions_allowed: Some(allowed),
        expected_pods: Some(expected),
        conditions: replaced(before.conditions.as_deref(), condition),
        observed_generation,
    }
}

/// How many Pods there should be, and how many of them healthy.
fn bounds(snapshot: &Snapshot<'_>) -> Result<(i32, i32), String> {
    let spec = snapshot.budget.spec.as_ref();
    let bound = |field: Option<&IntOrString>| field.cloned();
    let (least, most) = (
        bound(spec.and_then(|spec| spec.min_available.as_ref())),
        bound(spec.and_then(|spec| spec.max_unavailable.as_ref())),
    );
    match (most, least) {
        (Some(most), _) => {
            let expected = snapshot.scale.clone()?;
            Ok((expected, (expected - scaled(&most, expected)?).max(0)))
        }
        (None, Some(IntOrString::Int(least))) => Ok((count(snapshot.pods.len()), least)),
        (None, Some(least)) => {
            let expected = snapshot.scale.clone()?;
            Ok((expected, scaled(&least, expected)?))
        }
        (None, None) => Ok((0, 0)),
    }
}

/// A number of Pods, or a share of them, rounded up.
fn scaled(bound: &IntOrString, of: i32) -> Result<i32, String> {
    match bound {
        IntOrString::Int(number) => Ok(*number),
        IntOrString::String(text) => {
            let percent = text.strip_suffix('%').and_then(|number| number.parse::<i64>().ok());
            let percent = percent.ok_or_else(|| format!("invalid value for IntOrString: {text}"))?;
            let part = (i64::from(of) * percent + 99).div_euclid(100);
            Ok(i32::try_from(part).unwrap_or(i32::MAX))
        }
    }
}

/// The Pods that were evicted, are still there, and have not begun to end.
fn still_evicted(snapshot: &Snapshot<'_>) -> BTreeMap<String, Time> {
    let status = snapshot.budget.status.as_ref();
    let all = status.and_then(|status| status.disrupted_pods.clone()).unwrap_or_default();
    let waits = |name: &str, since: &Time| {
        let there = snapshot.pods.iter().any(|pod| pod.name() == name && !pod.deleting());
        there && snapshot.now.duration_since(since.0) < EVICTED
    };
    all.into_iter().filter(|(name, since)| waits(name, since)).collect()
}

/// When the first of them is no longer waited for.
pub fn next_look(status: &PodDisruptionBudgetStatus, now: Timestamp) -> Option<Duration> {
    let since = status.disrupted_pods.as_ref()?.values().map(|since| since.0).min()?;
    let left = EVICTED - now.duration_since(since);
    Some(Duration::try_from(left).unwrap_or_default() + Duration::from_millis(10))
}

fn condition(snapshot: &Snapshot<'_>, status: &str, reason: &str, message: String) -> Condition {
    let before = snapshot.budget.status.as_ref().and_then(|status| status.conditions.as_ref());
    let before = before.and_then(|all| all.iter().find(|c| c.type_ == ALLOWED && c.status == status));
    Condition {
        type_: ALLOWED.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: snapshot.budget.metadata.generation,
        last_transition_time: before.map_or(Time(snapshot.now), |before| before.last_transition_time.clone()),
    }
}

fn replaced(all: Option<&[Condition]>, new: Condition) -> Option<Vec<Condition>> {
    let others = all.unwrap_or_default().iter().filter(|condition| condition.type_ != ALLOWED).cloned();
    Some(others.chain([new]).collect())
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The change that makes the status so, if it is not: only if nobody was evicted meanwhile.
pub fn write(budget: &PodDisruptionBudget, status: &PodDisruptionBudgetStatus) -> Option<Change> {
    if budget.status.as_ref() == Some(status) {
        return None;
    }
    let mut document = crate::change::document(status);
    // A merge patch removes what is said to be null.
    let before = budget.status.as_ref().and_then(|before| before.disrupted_pods.as_ref());
    let now = status.disrupted_pods.as_ref();
    let gone = before.into_iter().flatten().filter(|(name, _)| !now.is_some_and(|now| now.contains_key(*name)));
    let gone: Map<String, Value> = gone.map(|(name, _)| (name.clone(), Value::Null)).collect();
    if !gone.is_empty() {
        let mut all = document["disruptedPods"].as_object().cloned().unwrap_or_default();
        all.extend(gone);
        document["disruptedPods"] = all.into();
    }
    let patch = json!({ "metadata": { "resourceVersion": budget.resource_version() }, "status": document });
    Some(Change::merge(BUDGETS, budget, Part::Status, patch))
}
