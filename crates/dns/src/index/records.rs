//! What the index is told, in as few words as DNS needs.

use std::net::IpAddr;

use crate::name::NameError;

/// A transport protocol, as Services and EndpointSlices name it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// `TCP`, also where nothing is said.
    #[default]
    Tcp,
    /// `UDP`.
    Udp,
    /// `SCTP`.
    Sctp,
}

impl Protocol {
    /// The label that stands for it in SRV names, without its underscore.
    #[must_use]
    pub fn label(self) -> &'static [u8] {
        match self {
            Self::Tcp => b"tcp",
            Self::Udp => b"udp",
            Self::Sctp => b"sctp",
        }
    }
}

/// A port of a Service or of an EndpointSlice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PortRecord {
    /// Its name; empty when it has none.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number; `None` in a slice whose port is not restricted.
    pub number: Option<u16>,
}

/// What a Service's own name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// `spec.clusterIPs`.
    ClusterIp(Vec<IpAddr>),
    /// `clusterIP: None`: the name stands for the ready endpoints.
    Headless,
    /// `type: ExternalName`: the name is an alias of `spec.externalName`.
    ExternalName(String),
}

/// A Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceRecord {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// What its name stands for.
    pub shape: Shape,
    /// `spec.ports`.
    pub ports: Vec<PortRecord>,
}

/// An endpoint of a slice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointRecord {
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// `hostname`.
    pub hostname: Option<String>,
    /// `conditions.ready`; an absent condition counts as ready. Whether `publishNotReadyAddresses` makes an endpoint
    /// ready was decided by who wrote the slice.
    pub ready: bool,
    /// The name of the Pod in `targetRef`, which stands for a missing hostname where
    /// [`IndexOptions::endpoint_pod_names`](super::IndexOptions::endpoint_pod_names) says so.
    pub pod: Option<String>,
}

/// An EndpointSlice. Slices of address type `FQDN` have no addresses and need not be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceRecord {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// The label `kubernetes.io/service-name`.
    pub service: String,
    /// Its endpoints, those that are not ready included or not.
    pub endpoints: Vec<EndpointRecord>,
    /// Its ports.
    pub ports: Vec<PortRecord>,
}

/// A Pod that runs, for names of Pods that are verified and for the search paths of who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodRecord {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `status.podIPs`. A Pod that is being deleted or has ended has none.
    pub addresses: Vec<IpAddr>,
    /// Whether its resolver has the cluster's search path and no domain of the Pod's own beside it (`dnsPolicy`,
    /// `dnsConfig`).
    pub searches: bool,
}

/// The index cannot be made or changed as asked.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// There is no cluster domain.
    #[error("the cluster's domain is missing")]
    NoZone,
    /// A zone's name is not one.
    #[error("zone {zone:?} is no domain name: {source}")]
    Zone {
        /// The zone as given.
        zone: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// A reverse zone lies outside `in-addr.arpa` and `ip6.arpa`, or is the root.
    #[error("{zone:?} is no reverse zone: it must end in in-addr.arpa or ip6.arpa")]
    ReverseZone {
        /// The zone as given.
        zone: String,
    },
    /// The cluster's zone is so long that a Service could not be named in it.
    #[error("zone {zone:?} is too long: names of endpoints need 196 octets before it")]
    LongZone {
        /// The zone as given.
        zone: String,
    },
    /// A namespace's, Service's or port's name is no single label.
    #[error("{what} {value:?} cannot be a label of a domain name")]
    Label {
        /// What it names.
        what: &'static str,
        /// The name as given.
        value: String,
    },
    /// An external name cannot be put into wire form.
    #[error("external name of {namespace}/{name}: {source}")]
    ExternalName {
        /// The Service's namespace.
        namespace: String,
        /// The Service's name.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
}
