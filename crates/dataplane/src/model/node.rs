//! The node whose kernel is programmed.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use ipnet::IpNet;

/// The name of a network interface: at most 15 bytes (`IFNAMSIZ`), with zeros behind. Empty where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct InterfaceName([u8; 16]);

/// Which interfaces are Pods'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodInterface {
    /// The one of this name: a bridge.
    Named(InterfaceName),
    /// All whose names begin so.
    Prefixed(InterfaceName),
}

impl InterfaceName {
    /// `None`: no interface can have this name (`dev_valid_name`).
    pub fn new(text: &str) -> Option<InterfaceName> {
        let possible = !matches!(text, "" | "." | "..") && text.len() < 16;
        let possible = possible && text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'/' | b':'));
        if !possible {
            return None;
        }
        let mut bytes = [0; 16];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        Some(InterfaceName(bytes))
    }

    /// As the kernel has it.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl PodInterface {
    /// The first and the last of the names, as numbers whose order is that of the names.
    pub(crate) fn range(&self) -> (u128, u128) {
        match self {
            PodInterface::Named(name) => (u128::from_be_bytes(name.0), u128::from_be_bytes(name.0)),
            PodInterface::Prefixed(prefix) => {
                let first = u128::from_be_bytes(prefix.0);
                // Zeros behind a name are the lowest bits.
                let free = first.trailing_zeros() / 8 * 8;
                (first, first | 1_u128.checked_shl(free).map_or(u128::MAX, |bit| bit - 1))
            }
        }
    }

    /// Whether an interface is meant.
    pub fn matches(&self, name: InterfaceName) -> bool {
        let (first, last) = self.range();
        (first..=last).contains(&u128::from_be_bytes(name.0))
    }
}

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
    /// By which interfaces packets of this node's Pods come: the same is done with what comes by others. Where something
    /// is said here and in `pod_cidrs`, either will do.
    pub pod_interfaces: Vec<PodInterface>,
    /// The ranges of cluster IPs. Packets to addresses in them that no Service has are dropped.
    pub service_cidrs: Vec<IpNet>,
    /// Other nodes that take packets for a load balancer's address as they are, and the addresses by which these reach
    /// them: on the same network, and with rules of ours.
    pub takers: BTreeMap<Arc<str>, Vec<IpAddr>>,
    /// Masquerade all traffic to cluster IPs, whatever its source.
    pub masquerade_all: bool,
}
