//! How a server is started.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;
use store::Store;

use crate::identity::User;
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
}

/// A bearer token that is given at start, and whose it is. Only its hash is kept.
#[derive(Clone)]
pub struct StaticToken {
    /// SHA-256 of the token.
    pub(crate) hash: [u8; 32],
    /// Who presents it.
    pub(crate) user: User,
}

impl StaticToken {
    /// A token and its user.
    pub fn new(token: &str, user: User) -> Self {
        Self { hash: crate::authn::hash(token), user }
    }
}

impl std::fmt::Debug for StaticToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StaticToken").field("user", &self.user.name).finish_non_exhaustive()
    }
}
