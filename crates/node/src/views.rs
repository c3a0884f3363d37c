//! What a node reads of Services, EndpointSlices and Nodes: just these fields are decoded, and nothing of an object is
//! kept. At 10,000 Services that is the difference between 20 MB and 200.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::{ClusterResourceScope, NamespaceResourceScope};
use kube::Resource;
use serde::{Deserialize, Deserializer};

pub(crate) mod protobuf;

/// A Service, as far as a node needs it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Service {
    /// Name, namespace, labels.
    #[serde(deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// What is wanted.
    #[serde(default)]
    pub spec: ServiceSpec,
    /// The load balancer's addresses.
    #[serde(default)]
    pub status: ServiceStatus,
}

/// `spec` of a Service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// ClusterIP, NodePort, LoadBalancer, ExternalName.
    #[serde(rename = "type")]
    pub kind: String,
    /// One a family, or `None`.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<String>,
    /// Addresses that somebody else routes here.
    #[serde(rename = "externalIPs")]
    pub external_ips: Vec<String>,
    /// The alias of an ExternalName.
    pub external_name: Option<String>,
    /// The ports.
    pub ports: Vec<ServicePort>,
    /// ClientIP or None.
    pub session_affinity: Option<String>,
    /// Its timeout.
    pub session_affinity_config: Option<AffinityConfig>,
    /// Cluster or Local.
    pub internal_traffic_policy: Option<String>,
    /// Cluster or Local.
    pub external_traffic_policy: Option<String>,
    /// PreferSameZone, PreferSameNode, PreferClose.
    pub traffic_distribution: Option<String>,
    /// Who may use the load balancer's addresses.
    pub load_balancer_source_ranges: Vec<String>,
    /// Where health checks are answered.
    pub health_check_node_port: Option<i32>,
    /// Whether endpoints that are not ready count.
    pub publish_not_ready_addresses: bool,
}

/// A port of a Service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// Its name; empty where a Service has just one.
    pub name: Option<String>,
    /// TCP, UDP, SCTP.
    pub protocol: Option<String>,
    /// The port of the Service's addresses.
    pub port: i32,
    /// The port of every node's address.
    pub node_port: Option<i32>,
    /// The endpoints' port, or its name.
    pub target_port: Option<IntOrString>,
}

/// `sessionAffinityConfig`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AffinityConfig {
    /// `clientIP`
    #[serde(rename = "clientIP")]
    pub client_ip: Option<ClientIpConfig>,
}

/// `clientIP`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientIpConfig {
    /// Seconds after its last connection at which a client is forgotten.
    pub timeout_seconds: Option<i32>,
}

/// `status` of a Service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceStatus {
    /// The load balancer's part.
    pub load_balancer: LoadBalancerStatus,
}

/// `loadBalancer`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct LoadBalancerStatus {
    /// Its addresses.
    pub ingress: Vec<Ingress>,
}

/// One address of a load balancer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ingress {
    /// The address.
    pub ip: Option<String>,
    /// VIP or Proxy.
    pub ip_mode: Option<String>,
}

/// An EndpointSlice, as far as a node needs it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    /// Name, namespace, labels.
    #[serde(deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// IPv4, IPv6, FQDN.
    pub address_type: String,
    /// Who serves. `null` as well as absent means nobody.
    pub endpoints: Option<Vec<Endpoint>>,
    /// On which ports.
    pub ports: Option<Vec<EndpointPort>>,
}

/// One endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// Its addresses; only the first is used.
    pub addresses: Vec<String>,
    /// Whether it serves.
    pub conditions: Option<Conditions>,
    /// Its name under the Service's.
    pub hostname: Option<String>,
    /// Its node.
    pub node_name: Option<String>,
    /// Its zone.
    pub zone: Option<String>,
    /// Who should use it.
    pub hints: Option<Hints>,
    /// The Pod behind it.
    pub target_ref: Option<TargetRef>,
}

/// Whether an endpoint serves.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Conditions {
    /// Absent means ready.
    pub ready: Option<bool>,
    /// Absent means as ready.
    pub serving: Option<bool>,
    /// Absent means not.
    pub terminating: Option<bool>,
}

/// Who should use an endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hints {
    /// Zones.
    pub for_zones: Vec<Named>,
    /// Nodes.
    pub for_nodes: Vec<Named>,
}

/// Something with a name.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Named {
    /// The name.
    pub name: String,
}

/// The object behind an endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct TargetRef {
    /// `Pod`
    pub kind: Option<String>,
    /// Its name.
    pub name: Option<String>,
}

/// A port of a slice.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EndpointPort {
    /// The Service port's name.
    pub name: Option<String>,
    /// TCP, UDP, SCTP.
    pub protocol: Option<String>,
    /// The number; absent means all ports.
    pub port: Option<i32>,
}

/// A Pod, as far as its name in DNS and its questions need it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Name, namespace, whether it is being deleted.
    #[serde(deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// How it asks.
    pub spec: PodSpec,
    /// Its addresses and how far it has come.
    pub status: PodStatus,
}

/// `spec` of a Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// ClusterFirst, ClusterFirstWithHostNet, Default, None; absent means ClusterFirst.
    pub dns_policy: Option<String>,
    /// What is added to its policy.
    pub dns_config: PodDnsConfig,
    /// Whether it is in the node's network.
    pub host_network: bool,
}

/// `spec.dnsConfig` of a Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodDnsConfig {
    /// Further domains of its search path.
    pub searches: Vec<String>,
}

/// `status` of a Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Pending, Running, Succeeded, Failed, Unknown.
    pub phase: String,
    /// Its addresses, one a family.
    #[serde(rename = "podIPs")]
    pub pod_ips: Vec<PodIp>,
}

/// One address of a Pod.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PodIp {
    /// The address.
    pub ip: String,
}

/// A Node, as far as its neighbours need it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Name, labels.
    #[serde(deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    /// Its Pods' range.
    pub spec: NodeSpec,
    /// Its addresses and whether it is ready.
    pub status: NodeStatus,
}

/// `spec` of a Node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeSpec {
    /// Its Pods' range.
    #[serde(rename = "podCIDR")]
    pub pod_cidr: Option<String>,
    /// Its Pods' ranges, one a family.
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Vec<String>,
    /// What keeps Pods, or traffic, away from it.
    pub taints: Vec<Taint>,
}

/// One taint of a Node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Taint {
    /// What it is called.
    pub key: String,
}

/// `status` of a Node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeStatus {
    /// Its addresses.
    pub addresses: Vec<NodeAddress>,
    /// Its conditions.
    pub conditions: Vec<NodeCondition>,
}

/// One address of a Node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeAddress {
    /// InternalIP, Hostname, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The address.
    pub address: String,
}

/// One condition of a Node.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeCondition {
    /// Ready, …
    #[serde(rename = "type")]
    pub kind: String,
    /// True, False, Unknown.
    pub status: String,
}

/// What is read of an object's metadata. What others noted about who manages which field is the larger part of many an
/// object, and is passed over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let Metadata { name, namespace, uid, resource_version, deletion_timestamp, labels, annotations } =
        Metadata::deserialize(deserializer)?;
    Ok(ObjectMeta {
        name,
        namespace,
        uid,
        resource_version,
        deletion_timestamp,
        labels,
        annotations,
        ..ObjectMeta::default()
    })
}

impl Node {
    /// The address by which others reach it.
    pub fn internal_ip(&self) -> Option<std::net::Ipv4Addr> {
        self.status.addresses.iter().filter(|a| a.kind == "InternalIP").find_map(|a| a.address.parse().ok())
    }

    /// Whether its condition Ready is True.
    pub fn is_ready(&self) -> bool {
        self.status.conditions.iter().any(|c| c.kind == "Ready" && c.status == "True")
    }

    /// Its zone.
    pub fn zone(&self) -> Option<&str> {
        self.metadata.labels.as_ref()?.get("topology.kubernetes.io/zone").map(String::as_str)
    }
}

impl Resource for Service {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Service".into()
    }
    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }
    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }
    fn plural((): &()) -> Cow<'_, str> {
        "services".into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Resource for EndpointSlice {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "EndpointSlice".into()
    }
    fn group((): &()) -> Cow<'_, str> {
        "discovery.k8s.io".into()
    }
    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }
    fn plural((): &()) -> Cow<'_, str> {
        "endpointslices".into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Resource for Pod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Pod".into()
    }
    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }
    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }
    fn plural((): &()) -> Cow<'_, str> {
        "pods".into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Resource for Node {
    type DynamicType = ();
    type Scope = ClusterResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Node".into()
    }
    fn group((): &()) -> Cow<'_, str> {
        "".into()
    }
    fn version((): &()) -> Cow<'_, str> {
        "v1".into()
    }
    fn plural((): &()) -> Cow<'_, str> {
        "nodes".into()
    }
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }
    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
