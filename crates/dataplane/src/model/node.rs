//! The node whose kernel is programmed.

use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use ipnet::IpNet;

/// What the data plane must know of its own node and of the cluster's ranges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Its name: endpoints with this node name are local.
    pub name: Arc<str>,
    /// Its zone (label `topology.kubernetes.io/zone`), for topology hints.
    pub zone: Option<Arc<str>>,
    /// Its own addresses. A load balancer's source ranges that hold one of them let the balanced address itself in.
    pub addresses: Vec<IpAddr>,
    /// On which of the machine's addresses node ports answer; none of a family: on all of that family but loopback ones.
    pub node_port_addresses: Vec<IpNet>,
    /// The port of 127.0.0.1 and ::1 at which a relay listens, over TCP and UDP, for what processes of this machine send
    /// to node ports of loopback addresses. `None`: node ports do not answer there.
    pub loopback_relay: Option<NonZeroU16>,
    /// The ranges of all Pods of the cluster. What comes from elsewhere to a cluster IP is masqueraded. Empty: nothing
    /// is known about where Pods are, and nothing of that is done.
    pub pod_cidrs: Vec<IpNet>,
    /// The ranges of cluster IPs. Packets to addresses in them that no Service has are dropped.
    pub service_cidrs: Vec<IpNet>,
    /// Masquerade all traffic to cluster IPs, whatever its source.
    pub masquerade_all: bool,
}
