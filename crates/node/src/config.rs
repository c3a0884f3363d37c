//! What a node is told at its start.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv4Net;

/// What a node is told at its start.
#[derive(Clone, Debug)]
pub struct Config {
    /// Its name.
    pub name: String,
    /// Its own address, by which the others reach it.
    pub address: Ipv4Addr,
    /// Its zone, if the cluster has zones.
    pub zone: Option<String>,
    /// The range of Pods' addresses: what comes from outside of it is masqueraded.
    pub pod_cidr: Ipv4Net,
    /// The range of cluster IPs.
    pub service_cidr: Ipv4Net,
    /// The address of the Service `kube-system/kube-dns`.
    pub cluster_dns: Ipv4Addr,
    /// The cluster's domain: `cluster.local`.
    pub cluster_domain: String,
    /// Where names outside the cluster are asked for; with none they are refused.
    pub upstream_dns: Vec<SocketAddr>,
    /// Whether search paths are gone through for Pods that ask.
    pub complete_searches: bool,
    /// Where the node keeps its Pods' state.
    pub data_dir: PathBuf,
    /// Where what a reboot makes worthless is kept: namespaces' pins, containers' parents.
    pub run_dir: PathBuf,
    /// The control group under which the node's Pods have theirs, relative to each hierarchy's root.
    pub cgroup_parent: PathBuf,
    /// Where images are kept; nodes of one machine share it.
    pub image_dir: PathBuf,
    /// The program whose `init` subcommand starts containers: this one.
    pub program: PathBuf,
    /// The server's authority, PEM: who may ask for logs and exec.
    pub authority_pem: String,
    /// The node's serving certificate, PEM, and its key.
    pub certificate_pem: String,
    /// The key of the certificate, PKCS #8 PEM.
    pub key_pem: String,
    /// How often the lease is renewed. The node lifecycle controller gives a node up after some of these.
    pub lease_renewal: Duration,
}

/// The port at which a node answers for logs and exec, as kubelet does.
pub const KUBELET_PORT: u16 = 10250;
