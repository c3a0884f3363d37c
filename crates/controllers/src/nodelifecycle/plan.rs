//! What becomes of a node that is silent or not ready, and of its Pods.
//!
//! A node says that it lives by renewing its Lease. How long it has been silent is measured here, by one clock, from
//! when the last renewal was seen: what a node's clock says does not matter, and a server that was away gives every
//! node its whole grace again. A node that is silent for longer than the grace is `Unknown`: it is tainted, and its Pods
//! are marked not ready at once, which takes them out of every Service.
//!
//! Its Pods are deleted when they no longer tolerate the taint. Kubernetes gives every Pod 300 seconds; here
//! [`eviction_after`](crate::Config) is the most that any Pod gets, so that they come back on other nodes within
//! seconds. On a silent node nobody is left to end them, so they are deleted without grace: should the node live on
//! behind a broken network, a Pod may run twice for a while, which is the price of its coming back. Not while no node
//! at all is heard of: then it is more likely the server that is cut off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};

use crate::change::{Act, Change, Deletion, NODES, Note, PODS, Part, Reference};
use crate::objects::{Meta, Node, Pod};
use crate::scheduler::fit::{NOT_READY, UNREACHABLE, UNSCHEDULABLE, readiness_taint, tolerates};

/// What a plan is made from.
pub struct Snapshot<'a> {
    /// The node.
    pub node: &'a Node,
    /// The Pods that are bound to it.
    pub pods: &'a [Arc<Pod>],
    /// For how long nothing was heard of it.
    pub silent: Duration,
    /// For how long each `NoExecute` taint has been seen on it, by key.
    pub tainted: &'a BTreeMap<String, Duration>,
    /// Whether nothing is heard of any node.
    pub all_silent: bool,
    /// How long a node may be silent.
    pub grace: Duration,
    /// How long a Pod may stay on a node that is not ready, at most.
    pub eviction_after: Duration,
    /// The time.
    pub now: Timestamp,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// The writes, all at once.
    pub changes: Vec<Change>,
    /// What to say when they are done.
    pub notes: Vec<(&'static str, Note)>,
    /// When to look again.
    pub again: Option<Duration>,
}

const NODE_CONTROLLER: &str = "node-controller";
const TAINT_EVICTION: &str = "taint-eviction-controller";
/// What admission gives to every Pod that says nothing of its own (DefaultTolerationSeconds).
const DEFAULT_TOLERATION: Duration = Duration::from_secs(300);

/// Makes the plan.
pub fn plan(snapshot: &Snapshot<'_>) -> Plan {
    let mut plan = Plan::default();
    let is_silent = snapshot.silent >= snapshot.grace;
    if is_silent {
        silence(snapshot, &mut plan);
    } else {
        plan.again = Some(snapshot.grace - snapshot.silent);
    }
    // When the status is written the taints follow from the node's next version.
    if !plan.changes.iter().any(|change| change.resource == NODES) {
        taint(snapshot, is_silent, &mut plan);
    }
    if !(is_silent && snapshot.all_silent) {
        evict(snapshot, is_silent, &mut plan);
    } else {
        // As soon as any node is heard of again, it goes on.
        look_again(&mut plan, snapshot.grace);
    }
    plan
}

fn look_again(plan: &mut Plan, after: Duration) {
    plan.again = Some(plan.again.map_or(after, |again| again.min(after)));
}

/// Says of a silent node that nothing is known of it, and of its Pods that they are not ready.
fn silence(snapshot: &Snapshot<'_>, plan: &mut Plan) {
    let node = snapshot.node;
    let now = json!(Time(crate::replicaset::plan::whole_seconds(snapshot.now)));
    let mut conditions: Vec<Value> = Vec::new();
    for kind in ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"] {
        let known = node.status.conditions.iter().find(|condition| condition.kind == kind);
        if known.is_some_and(|known| known.status == "Unknown") {
            continue;
        }
        let (reason, message) = match known {
            Some(_) => ("NodeStatusUnknown", "Kubelet stopped posting node status."),
            None => ("NodeStatusNeverUpdated", "Kubelet never posted node status."),
        };
        conditions.push(json!({"type": kind, "status": "Unknown", "reason": reason, "message": message,
            "lastTransitionTime": now}));
    }
    if !conditions.is_empty() {
        let patch = json!({"metadata": {"uid": node.uid()}, "status": {"conditions": conditions}});
        plan.changes.push(Change::strategic(NODES, node, Part::Status, patch));
    }
    if node.ready().is_none_or(|ready| ready.status != "Unknown") {
        let message = format!("Node {} status is now: NodeNotReady", node.name());
        plan.notes.push((NODE_CONTROLLER, Note::normal(Reference::to(NODES, node), "NodeNotReady", message)));
    }
    for pod in snapshot.pods.iter().filter(|pod| pod.ready() && !pod.terminal()) {
        let condition =
            json!({"type": "Ready", "status": "False", "reason": "NodeNotReady", "lastTransitionTime": now});
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [condition]}});
        plan.changes.push(Change::strategic(PODS, &**pod, Part::Status, patch));
        let about = Reference::to(PODS, &**pod);
        plan.notes.push((NODE_CONTROLLER, Note::warning(about, "NodeNotReady", "Node is not ready")));
    }
}

/// Makes the taints follow the conditions.
fn taint(snapshot: &Snapshot<'_>, is_silent: bool, plan: &mut Plan) {
    let node = snapshot.node;
    let wanted = wanted_taints(node, is_silent);
    let ours = |taint: &Taint| {
        let execute = taint.effect == "NoExecute" && matches!(taint.key.as_str(), NOT_READY | UNREACHABLE);
        let schedule = taint.effect == "NoSchedule" && SCHEDULE_KEYS.contains(&taint.key.as_str());
        execute || schedule
    };
    let is_wanted = |taint: &Taint| wanted.iter().any(|(key, effect)| *key == taint.key && *effect == taint.effect);
    let found = node.taints();
    let mut taints: Vec<Taint> = found.iter().filter(|taint| !ours(taint) || is_wanted(taint)).cloned().collect();
    for (key, effect) in wanted {
        if !taints.iter().any(|taint| taint.key == key && taint.effect == effect) {
            taints.push(Taint {
                key: key.to_owned(),
                effect: effect.to_owned(),
                time_added: Some(Time(crate::replicaset::plan::whole_seconds(snapshot.now))),
                value: None,
            });
        }
    }
    if taints.len() != found.len() || taints.iter().zip(found).any(|(a, b)| a != b) {
        let taints = if taints.is_empty() { Value::Null } else { json!(taints) };
        // The list is replaced as a whole, so it must still be the one that was read.
        let patch = json!({"metadata": {"resourceVersion": node.resource_version()}, "spec": {"taints": taints}});
        plan.changes.push(Change::merge(NODES, node, Part::Main, patch));
    }
}

const SCHEDULE_KEYS: [&str; 7] = [
    NOT_READY,
    UNREACHABLE,
    UNSCHEDULABLE,
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/network-unavailable",
];

fn wanted_taints(node: &Node, is_silent: bool) -> Vec<(&'static str, &'static str)> {
    let readiness = if is_silent { Some(UNREACHABLE) } else { readiness_taint(node) };
    let mut wanted: Vec<(&str, &str)> = readiness.map(|key| (key, "NoSchedule")).into_iter().collect();
    if node.spec.unschedulable == Some(true) {
        wanted.push((UNSCHEDULABLE, "NoSchedule"));
    }
    for (kind, key) in [
        ("MemoryPressure", SCHEDULE_KEYS[3]),
        ("DiskPressure", SCHEDULE_KEYS[4]),
        ("PIDPressure", SCHEDULE_KEYS[5]),
        ("NetworkUnavailable", SCHEDULE_KEYS[6]),
    ] {
        // What is said of a silent node is `Unknown` from now on.
        let holds = node.status.conditions.iter().any(|c| c.kind == kind && c.status == "True");
        if holds && (!is_silent || kind == "NetworkUnavailable") {
            wanted.push((key, "NoSchedule"));
        }
    }
    wanted.extend(readiness.map(|key| (key, "NoExecute")));
    wanted
}

/// Deletes the Pods that no longer tolerate where they are.
fn evict(snapshot: &Snapshot<'_>, is_silent: bool, plan: &mut Plan) {
    for pod in snapshot.pods {
        let (about, name) = (Reference::to(PODS, &**pod), format!("{}/{}", pod.namespace(), pod.name()));
        // Who ended, or was told to end, on a silent node waits for nobody any more.
        let left = if is_silent && (pod.deleting() || pod.terminal()) {
            pod.deleting().then(|| (snapshot.grace + snapshot.eviction_after).saturating_sub(snapshot.silent))
        } else {
            time_left(snapshot, pod).filter(|_| pod.active())
        };
        match left {
            None => {}
            Some(Duration::ZERO) => {
                let grace = is_silent.then_some(0);
                let deletion = Deletion { uid: Some(pod.uid().to_owned()), grace, ..Deletion::default() };
                plan.changes.push(Change::on(PODS, &**pod, Act::Delete(deletion)));
                let message = format!("Marking for deletion Pod {name}");
                plan.notes.push((TAINT_EVICTION, Note::normal(about, "TaintManagerEviction", message)));
            }
            Some(left) => look_again(plan, left),
        }
    }
}

/// How long a Pod may still stay; `None`: for ever. A Pod stays as long as it tolerates all `NoExecute` taints.
fn time_left(snapshot: &Snapshot<'_>, pod: &Pod) -> Option<Duration> {
    let taints = snapshot.node.taints().iter().filter(|taint| taint.effect == "NoExecute");
    let left = taints.filter_map(|taint| {
        let tolerated = tolerated_for(pod, taint, snapshot.eviction_after)?;
        let since = match taint.key.as_str() {
            UNREACHABLE => snapshot.silent.saturating_sub(snapshot.grace),
            _ => snapshot.tainted.get(&taint.key).copied().unwrap_or(Duration::ZERO),
        };
        Some(tolerated.saturating_sub(since))
    });
    left.min()
}

/// How long a Pod tolerates a taint; `None`: for ever.
fn tolerated_for(pod: &Pod, taint: &Taint, cap: Duration) -> Option<Duration> {
    let readiness = matches!(taint.key.as_str(), NOT_READY | UNREACHABLE);
    let mut matching = pod.spec.tolerations.iter().filter(|toleration| tolerates(toleration, taint)).peekable();
    if matching.peek().is_none() {
        return Some(if readiness { DEFAULT_TOLERATION.min(cap) } else { Duration::ZERO });
    }
    let seconds = matching.filter_map(|toleration| toleration.toleration_seconds).min()?;
    let tolerated = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    Some(if readiness { tolerated.min(cap) } else { tolerated })
}
