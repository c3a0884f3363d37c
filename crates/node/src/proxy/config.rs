//! What is chosen about kube-proxy's job.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use dataplane::model::PodInterface;
use ipnet::IpNet;

use super::conntrack::Conntrack;

/// The port of `/healthz` and `/livez`, as load balancers know it.
pub const HEALTH_PORT: u16 = 10256;
/// The port of `/metrics`, as kube-proxy has it.
pub const METRICS_PORT: u16 = 10249;

/// What is chosen about kube-proxy's job.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name of the node's object; endpoints of this node name are local.
    pub node_name: String,
    /// Where `/healthz` and `/livez` are answered; `None`: nowhere.
    pub health_address: Option<SocketAddr>,
    /// Where `/metrics` is answered; `None`: nowhere.
    pub metrics_address: Option<SocketAddr>,
    /// Whether a port of these two that is taken is a reason to end; otherwise it is tried again.
    pub bind_hard_fail: bool,
    /// On which of the machine's addresses node ports answer.
    pub node_ports: NodePorts,
    /// Whose traffic is the Pods'.
    pub pods: Pods,
    /// Masquerade all traffic to cluster IPs, whatever its source.
    pub masquerade_all: bool,
    /// The bits of the packet mark that say "masquerade" for the length of a packet's way.
    pub masquerade_mark: u32,
    /// The API server's range of node ports: ports that masquerade never takes as a source port.
    pub node_port_range: RangeInclusive<u16>,
    /// Whether the kernel's elements say whose they are.
    pub comments: bool,
    /// Whether connections are counted, by Service.
    pub counters: bool,
    /// The node's address of one family, where it is to be another than its object says.
    pub address: Option<IpAddr>,
    /// How willingly the kernel kills this process when memory is short; `None`: as it is.
    pub oom_score_adj: Option<i32>,
    /// What conntrack is told; `None`: nothing.
    pub conntrack: Option<Conntrack>,
    /// How DNS is answered at the cluster's DNS address; `None`: it is left to who does.
    pub dns: Option<crate::node_local_dns::Told>,
    /// Whether the node announces load balancers' addresses.
    pub load_balancer: bool,
}

impl Config {
    /// The defaults, for a node.
    pub fn new(node_name: String) -> Self {
        let rules = dataplane::Config::default();
        Self {
            node_name,
            health_address: Some(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), HEALTH_PORT)),
            metrics_address: Some(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), METRICS_PORT)),
            bind_hard_fail: false,
            node_ports: NodePorts::primary(),
            pods: Pods::default(),
            masquerade_all: false,
            masquerade_mark: rules.masquerade_mark,
            node_port_range: rules.node_port_range,
            comments: rules.comments,
            counters: rules.counters,
            address: None,
            oom_score_adj: None,
            conntrack: None,
            dns: None,
            load_balancer: false,
        }
    }
}

/// On which of the machine's addresses node ports answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodePorts {
    /// On those of the node's object.
    pub primary: bool,
    /// On those in these ranges. A family of which there is neither a range nor `primary` has all, but for loopback.
    pub ranges: Vec<IpNet>,
}

impl NodePorts {
    /// The node's own addresses, as kube-proxy has it in nftables mode.
    pub fn primary() -> Self {
        Self { primary: true, ranges: Vec::new() }
    }
}

/// Whose traffic is the Pods', which is not masqueraded on its way to a cluster IP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pods {
    /// From the ranges that the node's object says.
    #[default]
    OfNode,
    /// From these ranges. With none nothing is known of Pods, and nothing is masqueraded for coming from elsewhere.
    Ranges(Vec<IpNet>),
    /// By these interfaces.
    Interface(PodInterface),
}
