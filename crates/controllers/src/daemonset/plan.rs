//! On which nodes a DaemonSet has a Pod too few or too many, which old Pods give way to new ones, and what its status says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Taint, Toleration};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::{Value, json};

use crate::change::{Change, DAEMON_SETS, PODS, Part, controller_reference};
use crate::objects::pod::Scheduling;
use crate::objects::workload::{DaemonSet, DaemonSetStatus};
use crate::objects::{Meta, Node, Pod};
use crate::revisions;
use crate::scheduler::fit::{selects, tolerates};

/// The label of a Pod that says from which template it was made.
pub const REVISION: &str = "controller-revision-hash";
/// The annotation of a DaemonSet that says how many templates it has had, and the label of its Pods that says which they
/// were made from.
const GENERATION: (&str, &str) = ("deprecated.daemonset.template.generation", "pod-template-generation");
/// What every Pod of a DaemonSet bears: it belongs to its node, whatever the node's state.
const BORNE: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];

/// What a plan is made from.
pub struct Snapshot<'a> {
    /// The DaemonSet.
    pub set: &'a DaemonSet,
    /// All nodes.
    pub nodes: &'a [Arc<Node>],
    /// The Pods that it controls, those on their way to their end included.
    pub pods: &'a [Arc<Pod>],
    /// The time.
    pub now: Timestamp,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Pods are made for these nodes.
    pub create: Vec<String>,
    /// These Pods are deleted.
    pub delete: Vec<Change>,
}

/// A Pod as the template has it, as far as nodes are concerned.
struct Wanted {
    scheduling: Scheduling,
    tolerations: Vec<Toleration>,
}

impl Wanted {
    fn of(set: &DaemonSet) -> Self {
        let template = set.spec.template.value();
        let read = |value: &Value| serde_json::from_value(value.clone()).unwrap_or_default();
        let spec = &template["spec"];
        let scheduling = Scheduling {
            node_selector: serde_json::from_value(spec["nodeSelector"].clone()).unwrap_or_default(),
            node_affinity: serde_json::from_value(spec["affinity"]["nodeAffinity"].clone()).unwrap_or_default(),
            ..Scheduling::default()
        };
        let mut tolerations: Vec<Toleration> = read(&spec["tolerations"]);
        tolerations.extend(borne(spec).into_iter().map(|toleration| read_one(&toleration)));
        Self { scheduling, tolerations }
    }

    /// Whether a Pod is to be made for a node, and whether one that is there may stay.
    fn fits(&self, node: &Node) -> (bool, bool) {
        if !selects(&self.scheduling, node) {
            return (false, false);
        }
        let bears = |effects: &[&str]| {
            let repels = |taint: &&Taint| effects.contains(&taint.effect.as_str());
            node.taints().iter().filter(repels).all(|taint| self.tolerations.iter().any(|t| tolerates(t, taint)))
        };
        (bears(&["NoSchedule", "NoExecute"]), bears(&["NoExecute"]))
    }
}

fn read_one(toleration: &Value) -> Toleration {
    serde_json::from_value(toleration.clone()).unwrap_or_default()
}

fn borne(spec: &Value) -> Vec<Value> {
    let network = ("node.kubernetes.io/network-unavailable", "NoSchedule");
    let on_host = (spec["hostNetwork"] == true).then_some(network);
    let all = BORNE.into_iter().chain(on_host);
    all.map(|(key, effect)| json!({ "key": key, "operator": "Exists", "effect": effect })).collect()
}

/// The Pods of each node, in the order of their age; those that are bound to none under the node that they are for.
fn by_node(pods: &[Arc<Pod>]) -> BTreeMap<String, Vec<Arc<Pod>>> {
    let mut found: BTreeMap<String, Vec<Arc<Pod>>> = BTreeMap::new();
    for pod in pods {
        let node = pod.node_name().map(str::to_owned).or_else(|| meant_for(pod)).unwrap_or_default();
        found.entry(node).or_default().push(pod.clone());
    }
    let age = |pod: &Arc<Pod>| {
        let created = pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (pod.node_name().is_none(), created, pod.name().to_owned())
    };
    found.values_mut().for_each(|pods| pods.sort_by_key(age));
    found
}

/// The node that a Pod is for that is not bound yet.
fn meant_for(pod: &Pod) -> Option<String> {
    let affinity = pod.spec.scheduling.as_ref()?.node_affinity.as_ref()?;
    let terms = &affinity.required_during_scheduling_ignored_during_execution.as_ref()?.node_selector_terms;
    let mut fields = terms.iter().flat_map(|term| term.match_fields.iter().flatten());
    fields.find(|field| field.key == "metadata.name")?.values.as_ref()?.first().cloned()
}

/// Makes the plan.
pub fn plan(snapshot: &Snapshot<'_>) -> Plan {
    let mut plan = Plan::default();
    if snapshot.set.deleting() {
        return plan;
    }
    let (wanted, by_node) = (Wanted::of(snapshot.set), by_node(snapshot.pods));
    let none = Vec::new();
    for node in snapshot.nodes {
        let there = by_node.get(node.name()).unwrap_or(&none);
        let (ended, alive): (Vec<_>, Vec<_>) = there.iter().partition(|pod| pod.terminal());
        plan.delete.extend(ended.iter().filter(|pod| !pod.deleting()).map(|pod| Change::delete(PODS, &***pod)));
        let staying: Vec<_> = alive.iter().filter(|pod| !pod.deleting()).collect();
        match wanted.fits(node) {
            // What is on its way to its end is waited for.
            (true, _) if there.is_empty() => plan.create.push(node.name().to_owned()),
            (true, _) => plan.delete.extend(surplus(snapshot, &staying)),
            (false, true) => {}
            (false, false) => plan.delete.extend(staying.iter().map(|pod| Change::delete(PODS, &****pod))),
        }
    }
    let known = |name: &str| snapshot.nodes.iter().any(|node| node.name() == name);
    let lost = by_node.iter().filter(|(node, _)| !known(node)).flat_map(|(_, pods)| pods);
    plan.delete.extend(lost.filter(|pod| !pod.deleting()).map(|pod| Change::delete(PODS, &**pod)));
    if plan.create.is_empty() && plan.delete.is_empty() && rolls(snapshot.set) {
        match surge(snapshot) {
            0 => plan.delete = replaced(snapshot, &wanted, &by_node),
            most => plan.create = surged(snapshot, most, &wanted, &by_node),
        }
    }
    plan
}

/// Whether old Pods are replaced by themselves.
fn rolls(set: &DaemonSet) -> bool {
    set.spec.update_strategy.as_ref().and_then(|strategy| strategy.kind.as_deref()) != Some("OnDelete")
}

/// The Pods of a node that are too many. Where new ones may come before old ones go, those are one of each, until the new
/// one is available.
fn surplus(snapshot: &Snapshot<'_>, staying: &[&&Arc<Pod>]) -> Vec<Change> {
    let delete = |pod: &&&Arc<Pod>| Change::delete(PODS, &****pod);
    if surge(snapshot) == 0 {
        return staying.iter().skip(1).map(delete).collect();
    }
    let revision = revision(snapshot.set);
    let (new, old): (Vec<&&Arc<Pod>>, Vec<&&Arc<Pod>>) =
        staying.iter().partition(|pod| pod.label(REVISION) == Some(&revision));
    let min_ready = snapshot.set.spec.min_ready_seconds.unwrap_or(0);
    let is_relieved = new.first().is_some_and(|pod| pod.available(min_ready, snapshot.now));
    let more = new.iter().skip(1).chain(old.iter().skip(usize::from(!is_relieved)));
    more.map(delete).collect()
}

/// Nodes that have an old Pod and may have a new one beside it: those whose old one serves nobody, and as many others as
/// may have one Pod too many.
fn surged(
    snapshot: &Snapshot<'_>,
    most: usize,
    wanted: &Wanted,
    by_node: &BTreeMap<String, Vec<Arc<Pod>>>,
) -> Vec<String> {
    let (revision, min_ready) = (revision(snapshot.set), snapshot.set.spec.min_ready_seconds.unwrap_or(0));
    let (mut create, mut serving, mut surging) = (Vec::new(), Vec::new(), 0);
    for node in snapshot.nodes.iter().filter(|node| wanted.fits(node).0) {
        let pods = by_node.get(node.name()).into_iter().flatten().filter(|pod| pod.active());
        let (new, old): (Vec<_>, Vec<_>) = pods.partition(|pod| pod.label(REVISION) == Some(&revision));
        let name = node.name().to_owned();
        match (new.is_empty(), old.first()) {
            (_, None) => {}
            (false, Some(_)) => surging += 1,
            (true, Some(old)) if old.available(min_ready, snapshot.now) => serving.push(name),
            (true, Some(_)) => create.push(name),
        }
    }
    create.extend(serving.into_iter().take(most.saturating_sub(surging)));
    create
}

/// Old Pods that give way to new ones: those that serve nobody anyway, and as many others as may be missing.
fn replaced(snapshot: &Snapshot<'_>, wanted: &Wanted, by_node: &BTreeMap<String, Vec<Arc<Pod>>>) -> Vec<Change> {
    let (set, now) = (snapshot.set, snapshot.now);
    let revision = revision(set);
    let min_ready = set.spec.min_ready_seconds.unwrap_or(0);
    let nodes = snapshot.nodes.iter().filter(|node| wanted.fits(node).0);
    let (mut desired, mut missing) = (0usize, 0usize);
    let (mut idle, mut serving) = (Vec::new(), Vec::new());
    for node in nodes {
        desired += 1;
        let Some(pod) = by_node.get(node.name()).and_then(|pods| pods.iter().find(|pod| pod.active())) else {
            missing += 1;
            continue;
        };
        let available = pod.available(min_ready, now);
        missing += usize::from(!available);
        match (pod.label(REVISION) == Some(&revision), available) {
            (true, _) => {}
            (false, true) => serving.push(Change::delete(PODS, &**pod)),
            (false, false) => idle.push(Change::delete(PODS, &**pod)),
        }
    }
    let may_miss = may_miss(set, desired);
    idle.extend(serving.into_iter().take(may_miss.saturating_sub(missing)));
    idle
}

/// How many nodes may be without an available Pod: at least one, or nothing could ever be replaced.
fn may_miss(set: &DaemonSet, desired: usize) -> usize {
    let update = set.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    update.map_or(1, |update| part(update.max_unavailable.as_ref(), desired)).max(1)
}

/// How many nodes may have an old and a new Pod at a time; 0: old ones go first.
fn surge(snapshot: &Snapshot<'_>) -> usize {
    let update = snapshot.set.spec.update_strategy.as_ref().and_then(|strategy| strategy.rolling_update.as_ref());
    let bound = update.and_then(|update| update.max_surge.as_ref());
    let wanted = Wanted::of(snapshot.set);
    // Of a bound in percents; counted only where there is one.
    let desired = || snapshot.nodes.iter().filter(|node| wanted.fits(node).0).count();
    match bound {
        Some(IntOrString::String(_)) => part(bound, desired()),
        bound => part(bound, 0),
    }
}

/// A number of nodes, or of percents of them.
fn part(bound: Option<&IntOrString>, of: usize) -> usize {
    match bound {
        None => 0,
        Some(IntOrString::Int(number)) => usize::try_from(*number).unwrap_or(0),
        Some(IntOrString::String(text)) => {
            let percent: usize = text.trim_end_matches('%').parse().unwrap_or(0);
            (of * percent).div_ceil(100)
        }
    }
}

/// A word for the template: another one for another template.
pub fn revision(set: &DaemonSet) -> String {
    revisions::hash(&set.spec.template)
}

/// Whether a revision is that of one of the Pods.
pub fn is_of_a_pod(revision: &str, set: &DaemonSet, pods: &[Arc<Pod>]) -> bool {
    let hash = revision.strip_prefix(set.name()).and_then(|rest| rest.strip_prefix('-'));
    hash.is_some_and(|hash| pods.iter().any(|pod| pod.label(REVISION) == Some(hash)))
}

/// The change that makes a Pod for a node.
pub fn new_pod(set: &DaemonSet, node: &str) -> Change {
    let template = set.spec.template.value();
    let mut metadata = json!({
        "generateName": format!("{}-", set.name()),
        "namespace": set.namespace(),
        "ownerReferences": [controller_reference(DAEMON_SETS, set)],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if !template["metadata"][field].is_null() {
            metadata[field] = template["metadata"][field].clone();
        }
    }
    metadata["labels"][REVISION] = revision(set).into();
    let (counted, label) = GENERATION;
    if let Some(generation) = set.annotation(counted) {
        metadata["labels"][label] = generation.into();
    }
    let mut spec = template["spec"].clone();
    let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
    let more: Vec<Value> = borne(&spec).into_iter().filter(|toleration| !tolerations.contains(toleration)).collect();
    tolerations.extend(more);
    spec["tolerations"] = tolerations.into();
    // It was looked at whether the template wants the node: the Pod wants no other.
    let field = json!({ "key": "metadata.name", "operator": "In", "values": [node] });
    spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
        json!({ "nodeSelectorTerms": [{ "matchFields": [field] }] });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec });
    Change::create(PODS, &pod)
}

/// What the status should say.
pub fn status(snapshot: &Snapshot<'_>) -> DaemonSetStatus {
    let (set, now) = (snapshot.set, snapshot.now);
    let (wanted, by_node) = (Wanted::of(set), by_node(snapshot.pods));
    let (revision, min_ready) = (revision(set), set.spec.min_ready_seconds.unwrap_or(0));
    let mut status = DaemonSetStatus {
        observed_generation: set.metadata.generation.unwrap_or(0),
        collision_count: set.status.collision_count,
        ..DaemonSetStatus::default()
    };
    for node in snapshot.nodes {
        let pods = by_node.get(node.name());
        let oldest = pods.and_then(|pods| pods.iter().find(|pod| !pod.deleting()).or(pods.first()));
        if !wanted.fits(node).0 {
            status.number_misscheduled += i32::from(oldest.is_some());
            continue;
        }
        status.desired_number_scheduled += 1;
        let Some(pod) = oldest else { continue };
        status.current_number_scheduled += 1;
        if pod.ready() {
            status.number_ready += 1;
            status.number_available += i32::from(pod.available(min_ready, now));
        }
        status.updated_number_scheduled += i32::from(pod.label(REVISION) == Some(&revision));
    }
    status.number_unavailable = status.desired_number_scheduled - status.number_available;
    status
}

/// The change that makes the status so. Counts that Kubernetes leaves out when they are zero are removed.
pub fn write(set: &DaemonSet, status: &DaemonSetStatus) -> Change {
    let nonzero = |count: i32| (count != 0).then_some(count);
    let document = json!({
        "currentNumberScheduled": status.current_number_scheduled,
        "numberMisscheduled": status.number_misscheduled,
        "desiredNumberScheduled": status.desired_number_scheduled,
        "numberReady": status.number_ready,
        "observedGeneration": (status.observed_generation != 0).then_some(status.observed_generation),
        "updatedNumberScheduled": nonzero(status.updated_number_scheduled),
        "numberAvailable": nonzero(status.number_available),
        "numberUnavailable": nonzero(status.number_unavailable),
    });
    Change::merge(DAEMON_SETS, set, Part::Status, json!({ "metadata": { "uid": set.uid() }, "status": document }))
}

/// When the next Pod becomes available, if one is ready and not yet available.
pub fn next_available(set: &DaemonSet, pods: &[Arc<Pod>], now: Timestamp) -> Option<Duration> {
    let min_ready = i64::from(set.spec.min_ready_seconds.unwrap_or(0)) * 1000;
    let waiting = pods.iter().filter_map(|pod| pod.ready_since());
    let left = waiting.map(|since| min_ready - i64::try_from(now.duration_since(since.0).as_millis()).unwrap_or(0));
    left.filter(|left| *left > 0).min().map(|left| Duration::from_millis(left.unsigned_abs()))
}
