//! The cluster in which every row plays: three nodes, of which the rules are for `here`.
//!
//! | name | address | what it is |
//! |---|---|---|
//! | `a`, `b` | 10.244.1.1, .2 | Pods of this node, in zone z1 |
//! | `c`, `d` | 10.244.2.1, .2 | Pods of node `there`, in zone z2 |
//! | `e` | 10.244.3.1 | a Pod of node `near`, in zone z1 |
//! | `h`, `r` | 172.30.0.1, .2 | Pods with host network: of this node, of `there` |
//! | `p`, `q` | 10.244.1.9, 10.244.2.9 | Pods that only ask: of this node, of `there` |
//! | `host` | 172.30.0.1 | a process of this node |
//! | `out`, `out2` | 192.0.2.10, .77 | machines outside the cluster |

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU16;

use dataplane::Node;
use dataplane::model::{Conditions, InterfaceName, PodInterface, SliceEndpoint};
use ipnet::IpNet;

/// This node's own addresses: on the nodes' network, towards outside, towards its Pods.
pub const LOCAL: [&str; 3] = ["172.30.0.1", "192.0.2.1", "10.244.1.254"];

/// Where Services and their addresses are.
pub const VIP: &str = "10.96.0.10";
/// In the Service range, but nobody's.
pub const NOBODY: &str = "10.96.0.99";
/// Of the Services of one row.
pub const VIPS: [&str; 3] = [VIP, "10.96.0.20", "10.96.0.30"];
/// Of the load balancer.
pub const BALANCED: &str = "198.51.100.1";
pub const BALANCED_2: &str = "198.51.100.2";
/// External.
pub const EXTERNAL: &str = "203.0.113.1";
pub const EXTERNAL_2: &str = "203.0.113.2";
pub const PORT: u16 = 80;
pub const NODE_PORT: u16 = 30080;
/// Where the node's relay for loopback listens.
pub const RELAY_PORT: u16 = 40080;
/// Where endpoints listen unless a row says otherwise.
pub const TARGET_PORT: u16 = 8080;

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is no address"))
}

pub fn net(text: &str) -> IpNet {
    text.parse().unwrap_or_else(|_| panic!("{text} is no range"))
}

/// The same place in the IPv6 world: `fd00::` and the IPv4 address.
pub fn v6(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) if address.is_loopback() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(address) => Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(address.to_bits())).into(),
        IpAddr::V6(_) => ip("192.0.2.0"),
    }
}

/// The same range in the IPv6 world; a range of IPv6 becomes one of IPv4, and everything of one everything of the
/// other.
pub fn net_v6(range: &IpNet) -> IpNet {
    match range.prefix_len() {
        0 if range.network().is_ipv6() => net("0.0.0.0/0"),
        0 => net("::/0"),
        8 if range.network().is_loopback() => net("::1/128"),
        len if range.network().is_ipv4() => IpNet::new(v6(range.addr()), len + 96).unwrap(),
        _ => net("192.0.2.0/24"),
    }
}

/// Who asks or answers.
pub struct Host {
    pub name: &'static str,
    pub address: &'static str,
    pub node: &'static str,
}

pub const HOSTS: [Host; 12] = [
    Host { name: "a", address: "10.244.1.1", node: "here" },
    Host { name: "b", address: "10.244.1.2", node: "here" },
    Host { name: "c", address: "10.244.2.1", node: "there" },
    Host { name: "d", address: "10.244.2.2", node: "there" },
    Host { name: "e", address: "10.244.3.1", node: "near" },
    Host { name: "h", address: "172.30.0.1", node: "here" },
    Host { name: "r", address: "172.30.0.2", node: "there" },
    Host { name: "p", address: "10.244.1.9", node: "here" },
    Host { name: "q", address: "10.244.2.9", node: "there" },
    Host { name: "host", address: "172.30.0.1", node: "here" },
    Host { name: "out", address: "192.0.2.10", node: "" },
    Host { name: "out2", address: "192.0.2.77", node: "" },
];

impl Host {
    /// The interface of the node by which its packets come: each Pod of this node has its own.
    pub fn interface(&self, made_here: bool) -> InterfaceName {
        let is_pod = self.address.starts_with("10.244.");
        let name = match self.node {
            _ if made_here => return InterfaceName::default(),
            "" => "wan".to_owned(),
            "here" if is_pod => format!("pod-{}", self.name),
            _ => "lan".to_owned(),
        };
        InterfaceName::new(&name).unwrap()
    }
}

/// `NAME`, or `PREFIX*`.
pub fn pods_interfaces(text: &str) -> PodInterface {
    let name = |text| InterfaceName::new(text).unwrap();
    text.strip_suffix('*')
        .map_or_else(|| PodInterface::Named(name(text)), |prefix| PodInterface::Prefixed(name(prefix)))
}

pub fn host(name: &str) -> &'static Host {
    HOSTS.iter().find(|host| host.name == name).unwrap_or_else(|| panic!("nobody is called {name}"))
}

/// The node that the rules are for.
pub fn node() -> Node {
    Node {
        name: "here".into(),
        zone: Some("z1".into()),
        addresses: vec![ip("172.30.0.1")],
        node_port_addresses: Vec::new(),
        pod_cidrs: vec![net("10.244.0.0/16")],
        pod_interfaces: Vec::new(),
        service_cidrs: vec![net("10.96.0.0/16")],
        loopback_relay: NonZeroU16::new(RELAY_PORT),
        takers: BTreeMap::new(),
        masquerade_all: false,
    }
}

/// `NAME[STATE][^NODE-HINT][@ZONE-HINT]`, where the state is nothing (ready), `!` (not ready), `~` (terminating, still
/// serving), `-` (terminating, not serving), and, as `publishNotReadyAddresses` says it, `$` (ready, not serving), `%`
/// (ready, terminating, still serving), `&` (ready, terminating, not serving); `?` behind the name: no node is known. Answers with its port too, if it has
/// one of its own (`:PORT`).
pub fn endpoint(text: &str) -> (SliceEndpoint, Option<u16>) {
    let mut parts = text.split_inclusive(|_| false).next().unwrap_or_default().to_owned();
    let mut cut = |mark: char| {
        let (front, back) = parts.clone().split_once(mark).map(|(f, b)| (f.to_owned(), b.to_owned()))?;
        parts = front;
        Some(back)
    };
    let port = cut(':').map(|port| port.parse().unwrap());
    let zones = cut('@').map(|zones| zones.split('+').map(Into::into).collect()).unwrap_or_default();
    let nodes = cut('^').map(|nodes| nodes.split('+').map(Into::into).collect()).unwrap_or_default();
    let states = [
        ('!', (false, false, false)),
        ('~', (false, true, true)),
        ('-', (false, false, true)),
        ('$', (true, false, false)),
        ('%', (true, true, true)),
        ('&', (true, false, true)),
    ];
    let mut conditions = (true, true, false);
    for (mark, meaning) in states {
        if cut(mark).is_some() {
            conditions = meaning;
        }
    }
    let without_node = cut('?').is_some();
    let host = host(&parts);
    let (ready, serving, terminating) = conditions;
    let endpoint = SliceEndpoint {
        conditions: Conditions { ready, serving, terminating },
        node: (!without_node).then(|| host.node.into()),
        zone_hints: zones,
        node_hints: nodes,
        ..SliceEndpoint::new(ip(host.address))
    };
    (endpoint, port)
}
