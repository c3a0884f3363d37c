//! Which node a Pod is bound to.
//!
//! Of the nodes where it fits: the one that its preferred affinities want most and whose taints repel it least; then the
//! one with the fewest Pods of its owner, in the zone with the fewest of them; then the one with the fewest Pods at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::books::{Books, Load};
use super::fit::{misfits, term_selects, tolerates};
use crate::objects::pod::Scheduling;
use crate::objects::{Meta, Node, Pod};

/// What becomes of a Pod.
#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    /// It goes to this node.
    Bind(String),
    /// It fits nowhere.
    Unschedulable(String),
}

/// Decides. `nodes` are all nodes, by name.
pub fn decide(pod: &Pod, scheduling: &Scheduling, nodes: &[Arc<Node>], books: &Books) -> Decision {
    if nodes.is_empty() {
        return Decision::Unschedulable("no nodes available to schedule pods".to_owned());
    }
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut fitting = Vec::new();
    for node in nodes {
        let load = books.load(node.name());
        let why_not = misfits(pod, scheduling, node, load);
        if why_not.is_empty() {
            fitting.push((&**node, load));
        }
        for reason in why_not {
            *reasons.entry(reason).or_default() += 1;
        }
    }
    match best(pod, scheduling, &fitting, nodes, books) {
        Some(node) => Decision::Bind(node.to_owned()),
        None => {
            let mut told: Vec<String> =
                reasons.into_iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            told.sort();
            Decision::Unschedulable(format!("0/{} nodes are available: {}.", nodes.len(), told.join(", ")))
        }
    }
}

fn best<'a>(
    pod: &Pod,
    scheduling: &Scheduling,
    fitting: &[(&'a Node, Option<&Load>)],
    nodes: &[Arc<Node>],
    books: &Books,
) -> Option<&'a str> {
    let owner = pod.controller().map(|owner| owner.uid.as_str());
    let siblings = |load: Option<&Load>| owner.and_then(|owner| load?.owners.get(owner).copied()).unwrap_or(0);
    let mut in_zone: BTreeMap<Option<&str>, usize> = BTreeMap::new();
    for node in nodes {
        *in_zone.entry(node.zone()).or_default() += siblings(books.load(node.name()));
    }
    let rank = |(node, load): &(&'a Node, Option<&Load>)| {
        (
            -attraction(scheduling, node),
            repulsion(pod, node),
            siblings(*load),
            in_zone.get(&node.zone()).copied().unwrap_or(0),
            load.map_or(0, |load| load.used.pods),
        )
    };
    fitting.iter().min_by_key(|candidate| (rank(candidate), candidate.0.name())).map(|(node, _)| node.name())
}

/// How much the preferred affinities of a Pod want a node.
fn attraction(scheduling: &Scheduling, node: &Node) -> i64 {
    let preferred = scheduling.node_affinity.as_ref();
    let terms = preferred.and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_deref());
    let wanting = terms.unwrap_or_default().iter().filter(|term| term_selects(&term.preference, node));
    wanting.map(|term| i64::from(term.weight)).sum()
}

/// How many taints of a node would rather not have a Pod.
fn repulsion(pod: &Pod, node: &Node) -> usize {
    let repels = |taint: &&k8s_openapi::api::core::v1::Taint| {
        taint.effect == "PreferNoSchedule" && !pod.spec.tolerations.iter().any(|t| tolerates(t, taint))
    };
    node.taints().iter().filter(repels).count()
}
