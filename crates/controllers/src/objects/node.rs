//! A Node: where Pods can run.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;

use super::{Meta, View, quantity};

/// What is kept of a Node.
pub type Node = View<v1::Node, NodeSpec, NodeStatus>;

/// `topology.kubernetes.io/zone`
pub const ZONE: &str = "topology.kubernetes.io/zone";

/// `spec` of a Node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSpec {
    /// Whether it takes no more Pods (`kubectl cordon`).
    pub unschedulable: Option<bool>,
    /// What keeps Pods away.
    pub taints: Option<Vec<v1::Taint>>,
    /// The range of its Pods' addresses.
    #[serde(rename = "podCIDR")]
    pub pod_cidr: Option<String>,
    /// All ranges of its Pods' addresses, one a family.
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Option<Vec<String>>,
}

/// `status` of a Node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "WireStatus")]
pub struct NodeStatus {
    /// What its Pods may ask for in all.
    pub allocatable: Resources,
    /// Its conditions.
    pub conditions: Vec<NodeCondition>,
    /// Its addresses of the type InternalIP.
    pub internal_addresses: Vec<String>,
}

/// A condition of a Node.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct NodeCondition {
    /// `Ready`, `MemoryPressure`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False`, `Unknown`
    pub status: String,
    /// A word for the cause.
    pub reason: Option<String>,
    /// When the node said it last.
    pub last_heartbeat_time: Option<Time>,
    /// When the status became what it is.
    pub last_transition_time: Option<Time>,
}

/// Amounts of what Pods use up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a processor.
    pub milli_cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes on disk.
    pub ephemeral_storage: i64,
    /// Pods.
    pub pods: i64,
    /// All else, in its own unit: `hugepages-2Mi`, `example.com/gpu`.
    pub others: BTreeMap<Box<str>, i64>,
}

impl Resources {
    /// Reads a list; an amount that is no quantity reads as 0.
    pub fn of<'a>(list: impl IntoIterator<Item = (&'a String, &'a Quantity)>) -> Self {
        let mut resources = Self::default();
        for (name, quantity) in list {
            match name.as_str() {
                "cpu" => resources.milli_cpu = quantity::milli(&quantity.0).unwrap_or_default(),
                "memory" => resources.memory = quantity::units(&quantity.0).unwrap_or_default(),
                "ephemeral-storage" => resources.ephemeral_storage = quantity::units(&quantity.0).unwrap_or_default(),
                "pods" => resources.pods = quantity::units(&quantity.0).unwrap_or_default(),
                name => {
                    resources.others.insert(name.into(), quantity::units(&quantity.0).unwrap_or_default());
                }
            }
        }
        resources
    }

    /// The sum.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        self.combined(other, i64::saturating_add)
    }

    /// The difference.
    #[must_use]
    pub fn minus(self, other: &Self) -> Self {
        self.combined(other, i64::saturating_sub)
    }

    /// The greater of each.
    #[must_use]
    pub fn max(self, other: &Self) -> Self {
        self.combined(other, i64::max)
    }

    fn combined(mut self, other: &Self, with: fn(i64, i64) -> i64) -> Self {
        self.milli_cpu = with(self.milli_cpu, other.milli_cpu);
        self.memory = with(self.memory, other.memory);
        self.ephemeral_storage = with(self.ephemeral_storage, other.ephemeral_storage);
        self.pods = with(self.pods, other.pods);
        for (name, amount) in &other.others {
            let own = self.others.entry(name.clone()).or_default();
            *own = with(*own, *amount);
        }
        self.others.retain(|_, amount| *amount != 0);
        self
    }
}

impl Node {
    /// The zone that it is in.
    pub fn zone(&self) -> Option<&str> {
        self.label(ZONE).filter(|zone| !zone.is_empty())
    }

    /// Its `Ready` condition.
    pub fn ready(&self) -> Option<&NodeCondition> {
        self.status.conditions.iter().find(|condition| condition.kind == "Ready")
    }

    /// Its taints.
    pub fn taints(&self) -> &[v1::Taint] {
        self.spec.taints.as_deref().unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct WireStatus {
    allocatable: Option<BTreeMap<String, Quantity>>,
    capacity: Option<BTreeMap<String, Quantity>>,
    conditions: Option<Vec<NodeCondition>>,
    addresses: Option<Vec<v1::NodeAddress>>,
}

impl From<WireStatus> for NodeStatus {
    fn from(wire: WireStatus) -> Self {
        // A node that says only its capacity may be used up wholly (pkg/apis/core/v1: allocatable defaults to capacity).
        let allocatable = wire.allocatable.or(wire.capacity).unwrap_or_default();
        let internal = wire.addresses.into_iter().flatten().filter(|address| address.type_ == "InternalIP");
        Self {
            allocatable: Resources::of(&allocatable),
            conditions: wire.conditions.unwrap_or_default(),
            internal_addresses: internal.map(|address| address.address).collect(),
        }
    }
}
