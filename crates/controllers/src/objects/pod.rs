//! A Pod: what Services select, ReplicaSets make and the scheduler places.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;

use super::node::Resources;
use super::{Meta, View};

/// What is kept of a Pod.
pub type Pod = View<v1::Pod, PodSpec, PodStatus>;

/// `spec` of a Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "WireSpec")]
pub struct PodSpec {
    /// The node that it is bound to.
    pub node_name: Option<Box<str>>,
    /// The name that its first process sees.
    pub hostname: Option<Box<str>>,
    /// The headless Service that governs its name.
    pub subdomain: Option<Box<str>>,
    /// Ports of containers and of sidecars (init containers that are always restarted), in this order.
    pub ports: Vec<Port>,
    /// What it asks for in all; `pods` is 1.
    pub requests: Resources,
    /// Taints that it bears.
    pub tolerations: Vec<v1::Toleration>,
    /// How long it may take to end, in seconds.
    pub grace_period: Option<i64>,
    /// What the scheduler must know; only of a Pod that is not bound.
    pub scheduling: Option<Box<Scheduling>>,
}

/// A port that a container names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name, empty when it has none.
    pub name: Box<str>,
    /// Its number.
    pub number: i32,
    /// `TCP`, `UDP`, `SCTP`
    pub protocol: Protocol,
    /// The same port of the node, if it takes that too.
    pub host_port: Option<i32>,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// `TCP`
    #[default]
    Tcp,
    /// `UDP`
    Udp,
    /// `SCTP`
    Sctp,
}

impl Protocol {
    /// Reads Kubernetes' name; an absent one is TCP.
    pub fn of(name: Option<&str>) -> Self {
        match name {
            Some("UDP") => Self::Udp,
            Some("SCTP") => Self::Sctp,
            _ => Self::Tcp,
        }
    }

    /// Kubernetes' name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }
}

/// Where an unbound Pod may go.
#[derive(Clone, Debug, Default)]
pub struct Scheduling {
    /// `spec.schedulerName`
    pub scheduler: Option<Box<str>>,
    /// `spec.nodeSelector`
    pub node_selector: BTreeMap<String, String>,
    /// `spec.affinity.nodeAffinity`
    pub node_affinity: Option<v1::NodeAffinity>,
    /// Whether `spec.schedulingGates` holds it back.
    pub gated: bool,
    /// `spec.priority`
    pub priority: i32,
}

/// `status` of a Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(from = "WireStatus")]
pub struct PodStatus {
    /// Where in its life it is.
    pub phase: Phase,
    /// Its addresses, the first of each family.
    pub ips: Vec<IpAddr>,
    /// Its `Ready` condition.
    pub ready: Option<Condition>,
    /// Its `PodScheduled` condition.
    pub scheduled: Option<Box<Condition>>,
    /// The most restarts of a container.
    pub restarts: i32,
    /// When it was first seen by its node.
    pub start_time: Option<Time>,
}

/// `status.phase` of a Pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Not all containers run yet.
    #[default]
    Pending,
    /// Bound, and at least one container runs.
    Running,
    /// All containers ended well.
    Succeeded,
    /// All containers ended, one badly.
    Failed,
    /// Its node does not say.
    Unknown,
}

/// A condition of a Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Whether the status is `True`.
    pub is_true: bool,
    /// Since when the status is what it is.
    pub since: Option<Time>,
    /// A word for the cause, and a sentence.
    pub cause: Option<Box<(String, String)>>,
}

impl Pod {
    /// Whether it is ready to serve.
    pub fn ready(&self) -> bool {
        self.status.ready.as_ref().is_some_and(|condition| condition.is_true)
    }

    /// Whether all its containers ended for good.
    pub fn terminal(&self) -> bool {
        matches!(self.status.phase, Phase::Succeeded | Phase::Failed)
    }

    /// Whether it counts as a Pod of its ReplicaSet: neither ended nor on the way to its end.
    pub fn active(&self) -> bool {
        !self.terminal() && !self.deleting()
    }

    /// The node that it is bound to, if it is bound.
    pub fn node_name(&self) -> Option<&str> {
        self.spec.node_name.as_deref()
    }

    /// Since when it is ready, if it is.
    pub fn ready_since(&self) -> Option<&Time> {
        self.status.ready.as_ref().filter(|condition| condition.is_true)?.since.as_ref()
    }

    /// Whether it has been ready for that many seconds at `now`.
    pub fn available(&self, min_ready_seconds: i32, now: jiff::Timestamp) -> bool {
        if !self.ready() {
            return false;
        }
        min_ready_seconds <= 0
            || self.ready_since().is_some_and(|t| now.duration_since(t.0).as_secs() >= i64::from(min_ready_seconds))
    }
}

/// Takes away what no controller reads: of the annotations only those of controllers stay.
pub(crate) fn slim(pod: &mut Pod) {
    super::slim(&mut pod.metadata);
    pod.metadata.generate_name = None;
    if let Some(annotations) = &mut pod.metadata.annotations {
        annotations.retain(|key, _| key.starts_with("controller.kubernetes.io/"));
        if annotations.is_empty() {
            pod.metadata.annotations = None;
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireSpec {
    node_name: Option<Box<str>>,
    hostname: Option<Box<str>>,
    subdomain: Option<Box<str>>,
    scheduler_name: Option<Box<str>>,
    node_selector: Option<BTreeMap<String, String>>,
    affinity: Option<WireAffinity>,
    tolerations: Option<Vec<v1::Toleration>>,
    containers: Option<Vec<WireContainer>>,
    init_containers: Option<Vec<WireContainer>>,
    resources: Option<WireResources>,
    overhead: Option<BTreeMap<String, Quantity>>,
    scheduling_gates: Option<Vec<v1::PodSchedulingGate>>,
    priority: Option<i32>,
    termination_grace_period_seconds: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireAffinity {
    node_affinity: Option<v1::NodeAffinity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireContainer {
    ports: Option<Vec<v1::ContainerPort>>,
    resources: Option<WireResources>,
    restart_policy: Option<Box<str>>,
}

#[derive(Deserialize)]
struct WireResources {
    requests: Option<BTreeMap<String, Quantity>>,
    limits: Option<BTreeMap<String, Quantity>>,
}

impl WireResources {
    /// What is asked for: where there is a limit but no request, the limit.
    fn asked(&self) -> Resources {
        let mut asked = self.limits.clone().unwrap_or_default();
        asked.extend(self.requests.clone().unwrap_or_default());
        Resources::of(&asked)
    }
}

impl WireContainer {
    fn asked(&self) -> Resources {
        self.resources.as_ref().map(WireResources::asked).unwrap_or_default()
    }

    fn is_sidecar(&self) -> bool {
        self.restart_policy.as_deref() == Some("Always")
    }

    fn ports(&self) -> impl Iterator<Item = Port> + '_ {
        self.ports.iter().flatten().map(|port| Port {
            name: port.name.as_deref().unwrap_or_default().into(),
            number: port.container_port,
            protocol: Protocol::of(port.protocol.as_deref()),
            host_port: port.host_port.filter(|port| *port > 0),
        })
    }
}

/// What a Pod asks for: its containers and sidecars together, or an init container with the sidecars before it where
/// that is more (KEP-753), or what the Pod says as a whole (KEP-2837); and the overhead of its sandbox.
fn requests(spec: &WireSpec) -> Resources {
    let containers = spec.containers.as_deref().unwrap_or_default();
    let init = spec.init_containers.as_deref().unwrap_or_default();
    let mut sidecars = Resources::default();
    let mut starting = Resources::default();
    for container in init {
        let asked = container.asked();
        if container.is_sidecar() {
            sidecars = sidecars.plus(&asked);
            starting = starting.max(&sidecars);
        } else {
            starting = starting.max(&asked.plus(&sidecars));
        }
    }
    let running = containers.iter().fold(sidecars, |sum, container| sum.plus(&container.asked()));
    let mut total = running.max(&starting);
    if let Some(whole) = &spec.resources {
        let whole = whole.asked();
        total.milli_cpu = if whole.milli_cpu > 0 { whole.milli_cpu } else { total.milli_cpu };
        total.memory = if whole.memory > 0 { whole.memory } else { total.memory };
    }
    let overhead = spec.overhead.as_ref().map(Resources::of).unwrap_or_default();
    Resources { pods: 1, ..total.plus(&overhead) }
}

impl From<WireSpec> for PodSpec {
    fn from(wire: WireSpec) -> Self {
        let requests = requests(&wire);
        let containers = wire.containers.unwrap_or_default();
        let init = wire.init_containers.unwrap_or_default();
        let sidecars = init.iter().filter(|container| container.is_sidecar());
        let ports: Vec<Port> = containers.iter().chain(sidecars).flat_map(WireContainer::ports).collect();
        let node_name = wire.node_name.filter(|name| !name.is_empty());
        let scheduling = node_name.is_none().then(|| {
            Box::new(Scheduling {
                scheduler: wire.scheduler_name,
                node_selector: wire.node_selector.unwrap_or_default(),
                node_affinity: wire.affinity.and_then(|affinity| affinity.node_affinity),
                gated: wire.scheduling_gates.is_some_and(|gates| !gates.is_empty()),
                priority: wire.priority.unwrap_or_default(),
            })
        });
        Self {
            node_name,
            hostname: wire.hostname.filter(|name| !name.is_empty()),
            subdomain: wire.subdomain.filter(|name| !name.is_empty()),
            ports,
            requests,
            tolerations: wire.tolerations.unwrap_or_default(),
            grace_period: wire.termination_grace_period_seconds,
            scheduling,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStatus {
    phase: Option<Box<str>>,
    #[serde(rename = "podIP")]
    pod_ip: Option<Box<str>>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<WireIp>>,
    conditions: Option<Vec<v1::PodCondition>>,
    container_statuses: Option<Vec<WireContainerStatus>>,
    start_time: Option<Time>,
}

#[derive(Deserialize)]
struct WireIp {
    ip: Option<Box<str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireContainerStatus {
    restart_count: Option<i32>,
}

impl From<WireStatus> for PodStatus {
    fn from(wire: WireStatus) -> Self {
        let texts = wire.pod_ips.into_iter().flatten().filter_map(|ip| ip.ip).chain(wire.pod_ip);
        let mut ips: Vec<IpAddr> = Vec::new();
        for ip in texts.filter_map(|text| text.parse::<IpAddr>().ok()) {
            if !ips.iter().any(|known| known.is_ipv4() == ip.is_ipv4()) {
                ips.push(ip);
            }
        }
        let conditions = wire.conditions.unwrap_or_default();
        let condition = |kind: &str| {
            let found = conditions.iter().find(|condition| condition.type_ == kind)?;
            let reason = found.reason.clone().unwrap_or_default();
            let message = found.message.clone().unwrap_or_default();
            let cause = (!reason.is_empty() || !message.is_empty()).then(|| Box::new((reason, message)));
            Some(Condition { is_true: found.status == "True", since: found.last_transition_time.clone(), cause })
        };
        Self {
            phase: match wire.phase.as_deref() {
                Some("Running") => Phase::Running,
                Some("Succeeded") => Phase::Succeeded,
                Some("Failed") => Phase::Failed,
                Some("Unknown") => Phase::Unknown,
                _ => Phase::Pending,
            },
            ips,
            ready: condition("Ready").map(|ready| Condition { cause: None, ..ready }),
            scheduled: condition("PodScheduled").map(Box::new),
            restarts: wire.container_statuses.iter().flatten().filter_map(|s| s.restart_count).max().unwrap_or(0),
            start_time: wire.start_time,
        }
    }
}
