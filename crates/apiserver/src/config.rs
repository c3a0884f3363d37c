//! How a server is started.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;
use store::Store;

use crate::audit::Audit;
use crate::authn::tokens::StaticToken;
use crate::pki::Authority;

/// What a server needs to know.
#[derive(Clone)]
pub struct Config {
    /// Where objects are kept.
    pub store: Store,
    /// Who signs certificates and tokens.
    pub authority: Arc<Authority>,
    /// Where it answers. Port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// The address under which others reach it: in its certificate, and in the endpoints of the Service `kubernetes`.
    pub advertise: IpAddr,
    /// Further names and addresses in its certificate.
    pub names: Vec<String>,
    /// The range of cluster IPs.
    pub service_cidr: IpNet,
    /// The range of node ports.
    pub node_ports: RangeInclusive<u16>,
    /// Bearer tokens that are known from the start.
    pub tokens: Vec<StaticToken>,
    /// Where requests are written down, if they are.
    pub audit: Option<Arc<Audit>>,
}

impl Config {
    /// The API's own cluster IP: the first of the range. In IPv6 the range's own address comes before that, which is the
    /// subnet's routers' (RFC 4291, 2.6.1).
    pub(crate) fn own_cluster_ip(&self) -> Option<IpAddr> {
        let mut hosts = self.service_cidr.hosts();
        match self.service_cidr {
            IpNet::V4(_) => hosts.next(),
            IpNet::V6(_) => hosts.nth(1),
        }
    }
}
