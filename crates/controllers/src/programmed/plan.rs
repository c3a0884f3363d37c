//! What a Service says of the nodes that serve it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde_json::json;

use crate::cache::Key;
use crate::change::{Change, Part, SERVICES};
use crate::objects::{Lease, Meta, Node};

/// The condition of a Service that says whether every node has put it into its kernel.
pub const CONDITION: &str = "portolan.dev/Programmed";
/// The annotation of a node's report: the newest version of a Service that its kernel holds.
pub const SERVICES_VERSION: &str = "portolan.dev/services";
/// The annotation of a node's report: the newest version of an EndpointSlice that its kernel holds.
pub const SLICES_VERSION: &str = "portolan.dev/endpointslices";
/// The annotation of a node's report: Services that its kernel refuses, `NAMESPACE/NAME`, with spaces between.
pub const REFUSED: &str = "portolan.dev/refused";

/// How long a new Service, or a change of endpoints, may be under way until the Service says so: nearly all are done
/// sooner, and need not be written down twice.
pub const UNDER_WAY: Duration = Duration::from_secs(1);
/// How long a new node has until it is missed: the agent there has to be started first.
pub const NEW_NODE: Duration = Duration::from_secs(60);
/// How many nodes are named.
const NAMED: usize = 3;

/// What a node has said of its kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// It holds all Services up to this version.
    pub services: u64,
    /// It holds all slices up to this version.
    pub slices: u64,
    /// It refuses these.
    pub refused: BTreeSet<Key>,
}

impl Report {
    /// A node's name and its report; `None`: the lease is somebody else's.
    pub fn of(lease: &Lease) -> Option<(&str, Self)> {
        // Versions are numbers that grow, and the same for all kinds (KEP-5504).
        let version = |annotation| lease.annotation(annotation)?.parse().ok();
        let refused = lease.annotation(REFUSED).unwrap_or_default().split_whitespace();
        let refused = refused.filter_map(|name| name.split_once('/')).map(|(ns, name)| Key::new(ns, name)).collect();
        let report = Self { services: version(SERVICES_VERSION)?, slices: version(SLICES_VERSION)?, refused };
        Some((lease.spec.holder_identity.as_deref()?, report))
    }

    fn has(&self, wanted: &Wanted) -> bool {
        self.services >= wanted.service && self.slices >= wanted.slices
    }
}

/// What the nodes are to have of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The version at which the Service itself became what it is, for the kernel.
    pub service: u64,
    /// The version of the newest of its slices. (That a slice went is not waited for.)
    pub slices: u64,
}

/// Whether a change of a Service can be seen by its clients.
pub fn matters(old: &Service, new: &Service) -> bool {
    let balanced = |service: &Service| service.status.as_ref().and_then(|status| status.load_balancer.clone());
    old.spec != new.spec
        || old.metadata.labels != new.metadata.labels
        || old.metadata.annotations != new.metadata.annotations
        || balanced(old) != balanced(new)
}

/// What is to be done for a Service.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// What it is to say.
    pub change: Option<Change>,
    /// Whether some node lags or refuses: it is looked at again when a node reports.
    pub waits: bool,
    /// When to look again in any case.
    pub again: Option<Duration>,
}

/// What a Service is to say, when what is wanted has been so for `waited`.
pub fn plan(
    service: &Service,
    wanted: &Wanted,
    nodes: &[impl AsRef<Node>],
    reports: &BTreeMap<String, Report>,
    waited: Duration,
    now: Timestamp,
) -> Plan {
    let serving: Vec<&Node> = nodes.iter().map(AsRef::as_ref).filter(|node| is_awaited(node, reports, now)).collect();
    let key = Key::of(service);
    let report = |node: &&Node| reports.get(node.name());
    let lagging: Vec<&Node> =
        serving.iter().copied().filter(|node| !report(node).is_some_and(|r| r.has(wanted))).collect();
    let refusing: Vec<&Node> =
        serving.iter().copied().filter(|node| report(node).is_some_and(|r| r.refused.contains(&key))).collect();
    let (status, reason, message) = if serving.is_empty() {
        ("False", "NoNodes", "no node that is ready has an agent".to_owned())
    } else if !refusing.is_empty() {
        ("False", "Refused", format!("the kernel refuses it on {}; the Service's events say why", named(&refusing)))
    } else if !lagging.is_empty() {
        let silent = lagging.iter().all(|node| report(node).is_none());
        let what = if silent { "no report was ever seen of" } else { "the newest version is not yet on" };
        ("False", "NodesLag", format!("{what} {}", named(&lagging)))
    } else {
        ("True", "Programmed", "the kernel of every node has the newest version".to_owned())
    };
    let waits = status == "False";
    // What a client that waits for the condition may still read as true must be unsaid at once.
    let old_is_true = condition(service).is_some_and(|held| held.status == "True")
        && !serving.iter().all(|node| report(node).is_some_and(|r| r.services >= wanted.service));
    if reason == "NodesLag" && !old_is_true && waited < UNDER_WAY {
        return Plan { change: None, waits, again: UNDER_WAY.checked_sub(waited) };
    }
    Plan { change: say(service, status, reason, &message, now), waits, again: None }
}

/// Whether a node's word is needed: it is there, it is not known to be down, and it had the time to begin.
fn is_awaited(node: &Node, reports: &BTreeMap<String, Report>, now: Timestamp) -> bool {
    let down = node.ready().is_some_and(|ready| ready.status != "True");
    let created = node.metadata.creation_timestamp.as_ref().map(|time| time.0);
    let age = created.map_or(NEW_NODE, |created| now.duration_since(created).unsigned_abs());
    !node.deleting() && !down && (reports.contains_key(node.name()) || age >= NEW_NODE)
}

/// What a Service says now.
fn condition(service: &Service) -> Option<&Condition> {
    let mut conditions = service.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.find(|condition| condition.type_ == CONDITION)
}

/// The condition as a change; `None`: the Service says so already.
fn say(service: &Service, status: &str, reason: &str, message: &str, now: Timestamp) -> Option<Change> {
    let held = condition(service);
    let generation = service.metadata.generation;
    let same = held.is_some_and(|c| {
        (&*c.status, &*c.reason, &*c.message, c.observed_generation) == (status, reason, message, generation)
    });
    if same {
        return None;
    }
    let since = held.filter(|c| c.status == status).map_or(now, |c| c.last_transition_time.0);
    let mut condition = json!({
        "type": CONDITION, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    });
    if let Some(generation) = generation {
        condition["observedGeneration"] = json!(generation);
    }
    let patch = json!({"status": {"conditions": [condition]}});
    Some(Change::strategic(SERVICES, service, Part::Status, patch))
}

/// The first few by name, and how many more.
fn named(nodes: &[&Node]) -> String {
    let mut names: Vec<&str> = nodes.iter().map(|node| node.name()).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    match more {
        0 => names.join(", "),
        more => format!("{} and {more} more", names.join(", ")),
    }
}
