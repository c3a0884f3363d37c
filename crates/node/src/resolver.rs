//! This node answers DNS: the Service `kube-system/kube-dns` has every node that is ready as an endpoint, with a hint for
//! itself, so that its Pods' questions stay on the node (KEP-3015).

use std::net::SocketAddr;
use std::sync::Arc;

use dns::{Forwarder, Index, IndexOptions, Server, forward};

use crate::config::Config;

/// The port of DNS.
pub const DNS_PORT: u16 = 53;

/// Starts to answer DNS at the node's address: cluster names from the index, all others from upstream servers.
///
/// # Errors
/// When the port is in use, or an upstream server would be this node itself.
pub fn start(config: &Config, index: Arc<Index>) -> Result<Server, ResolverError> {
    let listen = SocketAddr::new(config.address.into(), DNS_PORT);
    let forwarder = if config.upstream_dns.is_empty() {
        None
    } else {
        Some(Arc::new(Forwarder::new(forward::Settings::to(config.upstream_dns.iter().copied()))?))
    };
    let server = dns::Config { listen: vec![listen], ..dns::Config::default() };
    Ok(Server::start(&server, Some(index), forwarder)?)
}

/// An index of the cluster's names that knows nothing yet.
///
/// # Errors
/// When the cluster's domain is none.
pub fn index(config: &Config) -> Result<Arc<Index>, ResolverError> {
    let options = IndexOptions {
        zones: vec![config.cluster_domain.clone()],
        // Seconds since 1970, so that the serial number grows over restarts.
        serial: u32::try_from(jiff::Timestamp::now().as_second()).unwrap_or(1),
        ..IndexOptions::default()
    };
    Ok(Arc::new(Index::new(&options)?))
}

/// Why a node cannot answer DNS.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// The cluster's domain is none.
    #[error(transparent)]
    Index(#[from] dns::IndexError),
    /// The upstream servers cannot be asked.
    #[error(transparent)]
    Forwarder(#[from] dns::forward::ForwarderConfigError),
    /// The port cannot be had.
    #[error(transparent)]
    Server(#[from] dns::ServerError),
}
