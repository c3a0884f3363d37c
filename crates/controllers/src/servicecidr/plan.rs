//! What becomes of one range.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use serde_json::json;

use crate::change::{Change, Part, SERVICE_CIDRS};
use crate::objects::Meta;

/// Keeps a range until its addresses are nobody's.
pub const FINALIZER: &str = "networking.k8s.io/service-cidr-finalizer";
/// How long a range stays after its end was wished for: a server may give addresses of it until it has heard of that.
const GRACE: Duration = Duration::from_secs(10);

/// What a plan is made from.
pub struct Snapshot<'a> {
    /// The range.
    pub range: &'a ServiceCIDR,
    /// All ranges, it among them.
    pub all: &'a [Arc<ServiceCIDR>],
    /// The addresses that Services have; needed of a range that ends.
    pub addresses: &'a [IpAddr],
    /// The time.
    pub now: Timestamp,
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// When something changes.
    Nothing,
    /// When Services have given addresses back.
    AddressesGo,
    /// After this long.
    At(Duration),
}

/// A plan.
#[derive(Debug, PartialEq)]
pub struct Plan {
    /// The writes, in order.
    pub changes: Vec<Change>,
    /// When to look again.
    pub next: Next,
}

/// Makes the plan.
pub fn plan(snapshot: &Snapshot<'_>) -> Plan {
    let range = snapshot.range;
    let mut changes = Vec::new();
    let Some(ended) = &range.metadata.deletion_timestamp else {
        if !is_held(range) {
            let held = json!({"metadata": {"finalizers": [FINALIZER]}});
            changes.push(Change::strategic(SERVICE_CIDRS, range, Part::Main, held));
        }
        changes.extend(ready(range, "True", "", "Kubernetes Service CIDR is ready", snapshot.now));
        return Plan { changes, next: Next::Nothing };
    };
    if !is_inside_others(range, snapshot.all) && snapshot.addresses.iter().any(|ip| only_has(range, snapshot.all, *ip))
    {
        let why =
            "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR";
        changes.extend(ready(range, "False", "Terminating", why, snapshot.now));
        return Plan { changes, next: Next::AddressesGo };
    }
    let waited = snapshot.now.as_second().saturating_sub(ended.0.as_second());
    let left = GRACE.saturating_sub(Duration::from_secs(waited.try_into().unwrap_or(0)));
    if !left.is_zero() {
        return Plan { changes, next: Next::At(left) };
    }
    if is_held(range) {
        let free = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}});
        changes.push(Change::strategic(SERVICE_CIDRS, range, Part::Main, free));
    }
    Plan { changes, next: Next::Nothing }
}

fn is_held(range: &ServiceCIDR) -> bool {
    range.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER)
}

/// The condition `Ready`, if it says something else.
fn ready(range: &ServiceCIDR, status: &str, reason: &str, message: &str, now: Timestamp) -> Option<Change> {
    let conditions = range.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let said = conditions.iter().find(|condition| condition.type_ == "Ready");
    if said.is_some_and(|said| (&*said.status, &*said.reason, &*said.message) == (status, reason, message)) {
        return None;
    }
    let condition = json!({
        "type": "Ready", "status": status, "reason": reason, "message": message,
        "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    });
    let patch = json!({"status": {"conditions": [condition]}});
    Some(Change::strategic(SERVICE_CIDRS, range, Part::Status, patch))
}

fn networks(range: &ServiceCIDR) -> Vec<IpNet> {
    let cidrs = range.spec.as_ref().and_then(|spec| spec.cidrs.as_deref()).unwrap_or_default();
    cidrs.iter().filter_map(|cidr| cidr.parse().ok()).collect()
}

/// Whether each part of a range is within another range, so that every address stays in one.
pub fn is_inside_others(range: &ServiceCIDR, all: &[Arc<ServiceCIDR>]) -> bool {
    let others: Vec<IpNet> =
        all.iter().filter(|other| other.name() != range.name()).flat_map(|r| networks(r)).collect();
    networks(range).iter().all(|network| others.iter().any(|other| other.contains(network)))
}

/// Whether an address is in this range and in no other.
fn only_has(range: &ServiceCIDR, all: &[Arc<ServiceCIDR>], address: IpAddr) -> bool {
    let has = |range: &ServiceCIDR| networks(range).iter().any(|network| network.contains(&address));
    has(range) && !all.iter().any(|other| other.name() != range.name() && has(other))
}
