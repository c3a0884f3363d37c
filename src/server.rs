//! The control plane: store, API server, controllers. `portolan server` runs it alone; `up` runs it beside its nodes.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use apiserver::pki::{Authority, Subject};
use ipnet::Ipv4Net;
use kube::Client;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::layout::Layout;
use crate::refusal::Refusal;
use crate::{cli, kubeconfig, preflight, up};

/// The cluster's domain.
pub const CLUSTER_DOMAIN: &str = "cluster.local";
/// How long a node's lease may be silent: four renewals.
const NODE_GRACE: Duration = Duration::from_secs(4);
/// How long Pods of a node that is gone are waited for before others take their place. Kubernetes waits five minutes by
/// default; a cluster on one machine, whose network does not fail by itself, need not.
const EVICTION_AFTER: Duration = Duration::from_secs(2);

/// What a control plane is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where objects and keys are.
    pub data_dir: PathBuf,
    /// Where the API server answers.
    pub listen: Vec<SocketAddr>,
    /// The address at which nodes and Pods reach it.
    pub advertise: SocketAddr,
    /// Cluster IPs.
    pub service_cidr: Ipv4Net,
    /// Pods' addresses.
    pub pod_cidr: Ipv4Net,
    /// Node ports, first and last.
    pub node_port_range: (u16, u16),
    /// Load-balancer addresses.
    pub load_balancer_pool: String,
    /// Where to relay the nodes' questions for names outside the cluster, and to whom; no relay where there is none.
    pub dns_relay: Option<(SocketAddr, Vec<SocketAddr>)>,
}

impl Settings {
    /// The control plane of `up`: it answers to the host at the API address, and to the nodes at the bridge's.
    pub fn of_cluster(layout: &Layout, upstream_dns: &[SocketAddr]) -> Self {
        let mut listen = vec![layout.api_address];
        if !layout.api_address.ip().is_unspecified() && layout.api_address != layout.api_for_nodes() {
            listen.push(layout.api_for_nodes());
        }
        let upstream = if upstream_dns.is_empty() { machine_resolvers() } else { upstream_dns.to_vec() };
        Self {
            data_dir: layout.data_dir.clone(),
            listen,
            advertise: layout.api_for_nodes(),
            service_cidr: layout.service_cidr,
            pod_cidr: layout.pod_cidr,
            node_port_range: layout.node_port_range,
            load_balancer_pool: layout.load_balancer_pool.clone(),
            dns_relay: Some((SocketAddr::new(layout.gateway.into(), 53), upstream)),
        }
    }
}
