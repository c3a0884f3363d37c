//! What a node that announces says of itself, and how the leases are called in which it and the seat's records stand.
//!
//! A node has three leases (`coordination.k8s.io`) in `kube-node-lease`: its life, its claims (both are
//! [`seat`](crate::seat)'s), and its report, which says what it does and sees.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Where the leases are.
pub const NAMESPACE: &str = "kube-node-lease";
/// The label of the leases; its value says which one it is.
pub const LABEL: &str = "portolan.dev/load-balancer";
/// The value of the label of a life.
pub const LIFE: &str = "life";
/// The value of the label of claims.
pub const CLAIMS: &str = "claims";
/// The value of the label of a report.
pub const REPORT: &str = "report";
/// The annotation of a life and of claims: the epoch; empty: it was ended.
pub const EPOCH: &str = "portolan.dev/lb-epoch";
/// The annotation that holds a report, as JSON.
pub const ANNOTATION: &str = "portolan.dev/lb-report";

/// The name of one of a node's leases.
pub fn name(which: &str, node: &str) -> String {
    format!("portolan-lb-{which}.{node}")
}

/// A report.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The epoch in which it was written; it means nothing in another.
    pub epoch: String,
    /// The interfaces, each with its Ethernet address.
    pub interfaces: BTreeMap<String, String>,
    /// The addresses that it answers for, and since when (RFC 3339).
    pub held: BTreeMap<IpAddr, String>,
    /// Of others' addresses, the Ethernet address that answered.
    pub seen: BTreeMap<IpAddr, String>,
    /// The routers that it speaks to, each with how far the session is.
    #[serde(default)]
    pub routers: BTreeMap<String, String>,
    /// The addresses that it announces to a router that listens.
    #[serde(default)]
    pub routed: BTreeSet<IpAddr>,
}
