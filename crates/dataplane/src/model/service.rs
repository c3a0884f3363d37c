//! Services, as far as traffic is concerned.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;

use ipnet::IpNet;

use crate::model::fault::Fault;

/// A transport protocol that Services may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// IANA's number, as it stands in packets.
    pub const fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }

    /// From IANA's number.
    pub const fn from_number(number: u8) -> Option<Protocol> {
        match number {
            6 => Some(Protocol::Tcp),
            17 => Some(Protocol::Udp),
            132 => Some(Protocol::Sctp),
            _ => None,
        }
    }

    /// From the API's word: `TCP`, `UDP`, `SCTP`.
    pub fn from_api(word: &str) -> Option<Protocol> {
        match word {
            "TCP" => Some(Protocol::Tcp),
            "UDP" => Some(Protocol::Udp),
            "SCTP" => Some(Protocol::Sctp),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        })
    }
}

/// `internalTrafficPolicy`, `externalTrafficPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TrafficPolicy {
    /// Any endpoint.
    #[default]
    Cluster,
    /// Endpoints of the node that the packet has reached, and no others.
    Local,
}

impl TrafficPolicy {
    /// From the API's word. Absent or unknown words mean `Cluster`, as Kubernetes reads them.
    pub fn from_api(word: Option<&str>) -> TrafficPolicy {
        match word {
            Some("Local") => TrafficPolicy::Local,
            _ => TrafficPolicy::Cluster,
        }
    }
}

/// `status.loadBalancer.ingress[]` with an `ip`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadBalancerAddress {
    /// The address.
    pub address: IpAddr,
    /// How traffic to it arrives.
    pub mode: IpMode,
}

/// `ipMode` (KEP-1860).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IpMode {
    /// Packets reach the node with this address as destination.
    #[default]
    Vip,
    /// The load balancer rewrites the destination: nodes must leave the address alone.
    Proxy,
}

/// `spec.ports[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name; empty where a Service has just one. Slices are matched by it.
    pub name: Box<str>,
    /// The protocol. Slices are matched by it too.
    pub protocol: Protocol,
    /// The port of the Service's addresses.
    pub port: NonZeroU16,
    /// The port of every node's addresses.
    pub node_port: Option<NonZeroU16>,
}

/// A Service that may need rules. Services of type ExternalName need none: they are not told to the model.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// `clusterIPs`; empty for a headless Service, which gets no rules at all.
    pub cluster_ips: Vec<IpAddr>,
    /// `externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// The load balancer's addresses, for type LoadBalancer.
    pub load_balancer: Vec<LoadBalancerAddress>,
    /// `loadBalancerSourceRanges`; empty: everybody.
    pub source_ranges: Vec<IpNet>,
    /// The ports.
    pub ports: Vec<ServicePort>,
    /// For traffic to the cluster IPs.
    pub internal_policy: TrafficPolicy,
    /// For traffic to all other addresses.
    pub external_policy: TrafficPolicy,
    /// `sessionAffinity: ClientIP` with its timeout in seconds (1 to 86,400).
    pub affinity: Option<u32>,
    /// `healthCheckNodePort`.
    pub health_check_port: Option<NonZeroU16>,
    /// Annotated `portolan.dev/reset-departed: "false"`: TCP connections to an endpoint that left without a word are left
    /// alone.
    pub keep_departed: bool,
    /// Annotated `portolan.dev/consistent: maglev`: whichever node a connection from outside comes to, it is led to the
    /// same endpoint.
    pub consistent: bool,
    /// Labelled `service.kubernetes.io/service-proxy-name`: somebody else's Service, which gets no rules here.
    pub other_proxy: bool,
    /// Labelled `service.kubernetes.io/headless`: treated as headless, whatever its cluster IPs.
    pub headless_label: bool,
    /// What of the object could not be read, and is left out here.
    pub faults: Vec<Fault>,
}

/// The label of Services and slices that another proxy looks after.
pub const LABEL_PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";
/// The annotation of a Service whose TCP connections are left alone when their endpoint leaves without a word, if its
/// value is `false`.
pub const ANNOTATION_RESET_DEPARTED: &str = "portolan.dev/reset-departed";
/// The annotation of a Service whose connections from outside keep their endpoint whichever node they come to, and its
/// value.
pub const ANNOTATION_CONSISTENT: (&str, &str) = ("portolan.dev/consistent", "maglev");
/// The label of Services and slices that are headless.
pub const LABEL_HEADLESS: &str = "service.kubernetes.io/headless";

impl Service {
    /// Whether this node has to do something for it.
    pub fn is_proxied(&self) -> bool {
        !self.other_proxy && !self.headless_label && !self.cluster_ips.is_empty()
    }

    pub(super) fn shrink(mut self) -> Service {
        self.cluster_ips.shrink_to_fit();
        self.external_ips.shrink_to_fit();
        self.load_balancer.shrink_to_fit();
        self.source_ranges.shrink_to_fit();
        self.ports.shrink_to_fit();
        self.faults.shrink_to_fit();
        self
    }
}
