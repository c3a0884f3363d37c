//! This node answers DNS: the Service `kube-system/kube-dns` has every node that is ready as an endpoint, with a hint for
//! itself, so that its Pods' questions stay on the node (KEP-3015).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use dns::index::SearchOptions;
use dns::{Forwarder, Index, IndexOptions, Server, Sources, forward};
use ipnet::IpNet;

use crate::config::Config;

/// The port of DNS.
pub const DNS_PORT: u16 = 53;

/// Starts to answer DNS at the node's address.
///
/// # Errors
/// When the port is in use, or an upstream server would be this node itself.
pub fn start(config: &Config, sources: Sources) -> Result<Server, ResolverError> {
    let listen = SocketAddr::new(config.address.into(), DNS_PORT);
    let server = dns::Config { listen: vec![listen], ..dns::Config::default() };
    Ok(Server::start_with(&server, sources)?)
}

/// What this node answers from: cluster names from the index, all others from upstream servers. Only private addresses,
/// the node's own and its Pods' are answered.
///
/// # Errors
/// Upstream servers that cannot be any.
pub fn sources(config: &Config, index: Arc<Index>) -> Result<Sources, ResolverError> {
    let forwarder = if config.upstream_dns.is_empty() {
        None
    } else {
        Some(Arc::new(Forwarder::new(forward::Settings::to(config.upstream_dns.iter().copied()))?))
    };
    let mut clients = dns::config::private_clients();
    clients.extend([IpNet::V4(config.pod_cidr), IpNet::from(IpAddr::V4(config.address))]);
    Ok(Sources { index: Some(index), forwarder, clients: Some(clients), ..Sources::default() })
}

/// An index of the cluster's names that knows nothing yet.
///
/// # Errors
/// When the cluster's domain is none.
pub fn index(config: &Config) -> Result<Arc<Index>, ResolverError> {
    let options = IndexOptions {
        zones: vec![config.cluster_domain.clone()],
        // Pods of ours have no domains of their node's.
        search: config.complete_searches.then(SearchOptions::default),
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
