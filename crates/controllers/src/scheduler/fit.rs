//! Whether a Pod may and can run on a node, with Kubernetes' words for why not.

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration};

use super::books::{Load, host_ports};
use crate::objects::node::Resources;
use crate::objects::pod::Scheduling;
use crate::objects::{Meta, Node, Pod};

/// The taint of a node that is cordoned.
pub const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";
/// The taint of a node that says it is not ready.
pub const NOT_READY: &str = "node.kubernetes.io/not-ready";
/// The taint of a node that says nothing.
pub const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

/// Why a Pod does not fit; empty when it does. Of the reasons only those of the first kind that applies are told.
pub fn misfits(pod: &Pod, scheduling: &Scheduling, node: &Node, load: Option<&Load>) -> Vec<String> {
    let one = |reason: &str| vec![reason.to_owned()];
    let tolerates = |key: &str| pod.spec.tolerations.iter().any(|t| tolerates(t, &taint(key, "NoSchedule")));
    if node.spec.unschedulable == Some(true) && !tolerates(UNSCHEDULABLE) {
        return one("node(s) were unschedulable");
    }
    let untolerated = |taint: &&Taint| {
        matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
            && !pod.spec.tolerations.iter().any(|toleration| self::tolerates(toleration, taint))
    };
    // A node that is not ready is tainted for that; until it is, it counts as if it were.
    let silent = readiness_taint(node).is_some_and(|key| !tolerates(key));
    if silent || node.taints().iter().any(|taint| untolerated(&taint)) {
        return one("node(s) had untolerated taint(s)");
    }
    if !selects(scheduling, node) {
        return one("node(s) didn't match Pod's node affinity/selector");
    }
    if host_ports(pod).any(|port| load.is_some_and(|load| load.ports.contains_key(&port))) {
        return one("node(s) didn't have free ports for the requested pod ports");
    }
    insufficient(&pod.spec.requests, &node.status.allocatable, load)
}

/// The taint that the state of a node calls for.
pub fn readiness_taint(node: &Node) -> Option<&'static str> {
    match node.ready().map(|ready| ready.status.as_str()) {
        Some("True") => None,
        Some("Unknown") => Some(UNREACHABLE),
        _ => Some(NOT_READY),
    }
}

fn taint(key: &str, effect: &str) -> Taint {
    Taint { key: key.to_owned(), effect: effect.to_owned(), ..Taint::default() }
}

/// Whether a toleration bears a taint (`k8s.io/api/core/v1` `ToleratesTaint`).
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let (effect, key) = (text(&toleration.effect), text(&toleration.key));
    if !effect.is_empty() && effect != taint.effect {
        return false;
    }
    if !key.is_empty() && key != taint.key {
        return false;
    }
    match toleration.operator.as_deref() {
        Some("Exists") => true,
        // An empty key selects all taints, but only with `Exists`.
        None | Some("" | "Equal") => !key.is_empty() && text(&toleration.value) == text(&taint.value),
        _ => false,
    }
}

/// Whether the node selector and the required affinity of a Pod select a node.
pub fn selects(scheduling: &Scheduling, node: &Node) -> bool {
    let pairs = scheduling.node_selector.iter().all(|(key, value)| node.label(key) == Some(value));
    let required = scheduling.node_affinity.as_ref();
    let required = required.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    pairs && required.is_none_or(|selector| selector.node_selector_terms.iter().any(|term| term_selects(term, node)))
}

/// Whether all requirements of a term hold; one without any selects nothing.
pub fn term_selects(term: &NodeSelectorTerm, node: &Node) -> bool {
    let labels = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let field = |key: &str| (key == "metadata.name").then(|| node.name());
    !(labels.is_empty() && fields.is_empty())
        && labels.iter().all(|requirement| holds(requirement, node.label(&requirement.key)))
        && fields.iter().all(|requirement| holds(requirement, field(&requirement.key)))
}

fn holds(requirement: &NodeSelectorRequirement, found: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let one_of = |found: &str| values.iter().any(|value| value == found);
    let compare = || {
        let bound = values.first()?.parse::<i64>().ok()?;
        Some(found?.parse::<i64>().ok()?.cmp(&bound))
    };
    match requirement.operator.as_str() {
        "In" => found.is_some_and(one_of),
        "NotIn" => !found.is_some_and(one_of),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => compare().is_some_and(std::cmp::Ordering::is_gt),
        "Lt" => compare().is_some_and(std::cmp::Ordering::is_lt),
        _ => false,
    }
}

fn insufficient(requests: &Resources, allocatable: &Resources, load: Option<&Load>) -> Vec<String> {
    let nothing = Resources::default();
    let used = load.map_or(&nothing, |load| &load.used);
    let lacks = |asked: i64, used: i64, all: i64| asked > 0 && asked.saturating_add(used) > all;
    let mut reasons = Vec::new();
    if lacks(1, used.pods, allocatable.pods) {
        reasons.push("Too many pods".to_owned());
    }
    if lacks(requests.milli_cpu, used.milli_cpu, allocatable.milli_cpu) {
        reasons.push("Insufficient cpu".to_owned());
    }
    if lacks(requests.memory, used.memory, allocatable.memory) {
        reasons.push("Insufficient memory".to_owned());
    }
    if lacks(requests.ephemeral_storage, used.ephemeral_storage, allocatable.ephemeral_storage) {
        reasons.push("Insufficient ephemeral-storage".to_owned());
    }
    let of = |resources: &Resources, name: &str| resources.others.get(name).copied().unwrap_or(0);
    for (name, asked) in &requests.others {
        if lacks(*asked, of(used, name), of(allocatable, name)) {
            reasons.push(format!("Insufficient {name}"));
        }
    }
    reasons
}
