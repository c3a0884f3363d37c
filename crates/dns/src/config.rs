//! What a whole DNS service is told, by flags or by a Corefile.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::forward;
use crate::index::IndexOptions;
use crate::server;

/// The cluster's names: what CoreDNS' plugin `kubernetes` is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Zones, TTLs, names of Pods. Its serial number and name servers are set by who runs the service.
    pub index: IndexOptions,
    /// The namespaces whose names exist; empty for all.
    pub namespaces: Vec<String>,
    /// A selector of the Services that exist, as the API takes it; empty for all.
    pub labels: String,
    /// Whether slices are not followed: names of endpoints do not exist then.
    pub no_endpoints: bool,
    /// How to reach the API, and as whom, where whoever runs the service does not say it.
    pub kubeconfig: Option<Kubeconfig>,
}

/// A kubeconfig and one of its contexts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kubeconfig {
    /// Where it is.
    pub path: PathBuf,
    /// The context; `None` for its current one.
    pub context: Option<String>,
}

/// A whole DNS service.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses, threads and bounds. Its clients are not used: see [`Config::clients`].
    pub server: server::Config,
    /// The cluster's names; `None` where all names are forwarded.
    pub cluster: Option<Cluster>,
    /// All other names; `None` where they are refused.
    pub forward: Option<forward::Settings>,
    /// Whose questions are answered; `None` for everybody.
    pub clients: Option<Vec<IpNet>>,
    /// Who may have whole zones.
    pub transfer: Vec<IpNet>,
    /// Where `/health` is answered.
    pub health: Option<SocketAddr>,
    /// How long the service goes on, unhealthy, after it was told to end, so that nobody is sent to it any more.
    pub lameduck: Duration,
    /// Where `/ready` is answered.
    pub ready: Option<SocketAddr>,
    /// Where `/metrics` is answered.
    pub metrics: Option<SocketAddr>,
}

/// The ranges that no packet of the Internet comes from: private, shared, link-local, unique local and loopback (RFC
/// 1918, 6598, 3927, 4193, 4291).
pub const PRIVATE: [(IpAddr, u8); 9] = {
    const fn v4(a: u8, b: u8) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::new(a, b, 0, 0))
    }
    const fn v6(first: u16, last: u16) -> IpAddr {
        IpAddr::V6(std::net::Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, last))
    }
    [
        (v4(10, 0), 8),
        (v4(172, 16), 12),
        (v4(192, 168), 16),
        (v4(100, 64), 10),
        (v4(169, 254), 16),
        (v4(127, 0), 8),
        (v6(0xfc00, 0), 7),
        (v6(0xfe80, 0), 10),
        (v6(0, 1), 128),
    ]
};

/// [`PRIVATE`], as networks: who is answered where nothing else is said. An address of the Internet may be forged, and
/// who answers it sends packets to whoever has it.
#[must_use]
pub fn private_clients() -> Vec<IpNet> {
    PRIVATE.iter().filter_map(|(address, length)| IpNet::new(*address, *length).ok()).collect()
}

impl Default for Config {
    /// CoreDNS' own addresses: port 53, health at 8080, readiness at 8181, metrics at 9153.
    fn default() -> Self {
        let any = |port| SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), port);
        Self {
            server: server::Config::default(),
            cluster: Some(Cluster::default()),
            forward: None,
            clients: Some(private_clients()),
            transfer: Vec::new(),
            health: Some(any(8080)),
            lameduck: Duration::ZERO,
            ready: Some(any(8181)),
            metrics: Some(any(9153)),
        }
    }
}
