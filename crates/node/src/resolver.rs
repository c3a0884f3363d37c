//! This node as an endpoint of the Service `kube-system/kube-dns`.
//!
//! Every node answers DNS itself. Each writes a slice of its own with its address and a hint for itself, so that its
//! Pods' questions stay on the node (KEP-3015: an endpoint with a hint for this node is preferred), and those of a node
//! whose resolver is down go to the others'. The slice goes with the Node object that owns it.

use std::net::SocketAddr;
use std::sync::Arc;

use dns::{Forwarder, ForwarderConfig, Index, IndexOptions, Server};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::DynamicObject;
use kube::discovery::ApiResource;
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::config::Config;

/// The port of DNS.
pub const DNS_PORT: u16 = 53;
/// The namespace and name of the cluster's DNS Service.
pub const SERVICE: (&str, &str) = ("kube-system", "kube-dns");
/// Who writes these slices (label `endpointslice.kubernetes.io/managed-by`).
const MANAGED_BY: &str = "node.portolan.dev";

/// Starts to answer DNS at the node's address: cluster names from the index, all others from upstream servers.
///
/// # Errors
/// When the port is in use, or an upstream server would be this node itself.
pub fn start(config: &Config, index: Arc<Index>) -> Result<Server, ResolverError> {
    let listen = SocketAddr::new(config.address.into(), DNS_PORT);
    let forwarder = if config.upstream_dns.is_empty() {
        None
    } else {
        let upstreams = config.upstream_dns.clone();
        Some(Arc::new(Forwarder::new(ForwarderConfig { upstreams, ..ForwarderConfig::default() })?))
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
        zone: config.cluster_domain.clone(),
        name_servers: vec![config.cluster_dns.into()],
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

/// Says whether this node answers DNS.
///
/// # Errors
/// When the server cannot be reached or refuses.
pub async fn publish(client: &Client, config: &Config, node: &Node, ready: bool) -> Result<(), kube::Error> {
    let resource = ApiResource {
        group: "discovery.k8s.io".to_owned(),
        version: "v1".to_owned(),
        api_version: "discovery.k8s.io/v1".to_owned(),
        kind: "EndpointSlice".to_owned(),
        plural: "endpointslices".to_owned(),
    };
    let slices: Api<DynamicObject> = Api::namespaced_with(client.clone(), SERVICE.0, &resource);
    let wanted = slice(config, node, ready);
    let name = format!("{}-{}", SERVICE.1, config.name);
    match slices.patch(&name, &PatchParams::default(), &Patch::Merge(&wanted)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => {
            let new = serde_json::from_value(wanted).map_err(kube::Error::SerdeError)?;
            slices.create(&PostParams::default(), &new).await.map(drop)
        }
        Err(e) => Err(e),
    }
}

fn slice(config: &Config, node: &Node, ready: bool) -> Value {
    let owner = json!({
        "apiVersion": "v1", "kind": "Node", "name": config.name, "uid": node.metadata.uid,
    });
    let port = |name: &str, protocol: &str| json!({ "name": name, "protocol": protocol, "port": DNS_PORT });
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{}-{}", SERVICE.1, config.name),
            "namespace": SERVICE.0,
            "labels": {
                "kubernetes.io/service-name": SERVICE.1,
                "endpointslice.kubernetes.io/managed-by": MANAGED_BY,
            },
            "ownerReferences": [owner],
        },
        "addressType": "IPv4",
        "endpoints": [{
            "addresses": [config.address],
            "conditions": { "ready": ready, "serving": ready, "terminating": false },
            "nodeName": config.name,
            "zone": config.zone,
            "hints": { "forNodes": [{ "name": config.name }] },
        }],
        "ports": [port("dns", "UDP"), port("dns-tcp", "TCP")],
    })
}
