//! What a file and a command line may say of kube-proxy's job, in kube-proxy's words. What neither says is kube-proxy's
//! default in nftables mode, but for two things: without a file Pods are told by the node's own ranges
//! (`detectLocalMode: NodeCIDR`), and `conntrack.tcpBeLiberal` is true.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use dataplane::model::{InterfaceName, PodInterface};
use ipnet::IpNet;

use super::config::{Config, HEALTH_PORT, METRICS_PORT, NodePorts, Pods};
use super::conntrack::Conntrack;

/// Connections a core, if nothing is said.
const MAX_PER_CORE: u32 = 32_768;
/// Connections at least, if nothing is said.
const MIN: u32 = 131_072;
/// A day; the kernel's own is five.
const TCP_ESTABLISHED: Duration = Duration::from_secs(86_400);
/// An hour: a server that closes late still finds its connection (kubernetes#32551).
const TCP_CLOSE_WAIT: Duration = Duration::from_secs(3600);
/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    /// Nowhere.
    Off,
    /// There.
    At(SocketAddr),
}

/// How Pods' traffic is told from others'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalMode {
    /// By the ranges of all the cluster's Pods (`clusterCIDR`).
    ClusterCidr,
    /// By the ranges that the node's object says.
    NodeCidr,
    /// By the bridge by which it comes (`detectLocal.bridgeInterface`).
    BridgeInterface,
    /// By how the names of the interfaces begin by which it comes (`detectLocal.interfaceNamePrefix`).
    InterfaceNamePrefix,
}

/// What was said; `None`: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `clientConnection.kubeconfig`
    pub kubeconfig: Option<PathBuf>,
    /// `hostnameOverride`
    pub node_name: Option<String>,
    /// `bindAddress`: the node's primary address; nothing is bound to it.
    pub bind_address: Option<IpAddr>,
    /// `healthzBindAddress`
    pub health: Option<Bind>,
    /// `metricsBindAddress`
    pub metrics: Option<Bind>,
    /// `bindAddressHardFail`
    pub bind_hard_fail: Option<bool>,
    /// `detectLocalMode`
    pub local_mode: Option<LocalMode>,
    /// `clusterCIDR`
    pub cluster_cidrs: Option<Vec<IpNet>>,
    /// `detectLocal.bridgeInterface`
    pub bridge_interface: Option<InterfaceName>,
    /// `detectLocal.interfaceNamePrefix`
    pub interface_name_prefix: Option<InterfaceName>,
    /// `nodePortAddresses`
    pub node_ports: Option<NodePorts>,
    /// `nftables.masqueradeAll`
    pub masquerade_all: Option<bool>,
    /// `nftables.masqueradeBit`
    pub masquerade_bit: Option<u8>,
    /// `oomScoreAdj`
    pub oom_score_adj: Option<i32>,
    /// `conntrack`
    pub conntrack: ConntrackOptions,
    /// The API server's range of node ports, first and last; kube-proxy does not know it.
    pub node_port_range: Option<(u16, u16)>,
    /// Whether the kernel's elements say whose they are; not of kube-proxy.
    pub comments: Option<bool>,
    /// Whether connections are counted, by Service; not of kube-proxy.
    pub counters: Option<bool>,
}

/// What was said of `conntrack`; zero leaves the kernel's value as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConntrackOptions {
    /// `maxPerCore`
    pub max_per_core: Option<u32>,
    /// `min`
    pub min: Option<u32>,
    /// `tcpEstablishedTimeout`
    pub tcp_established: Option<Duration>,
    /// `tcpCloseWaitTimeout`
    pub tcp_close_wait: Option<Duration>,
    /// `tcpBeLiberal`
    pub tcp_be_liberal: Option<bool>,
    /// `udpTimeout`
    pub udp: Option<Duration>,
    /// `udpStreamTimeout`
    pub udp_stream: Option<Duration>,
}

impl Options {
    /// What is said here, and what `other` says where nothing is said here.
    #[must_use]
    pub fn or(self, other: Options) -> Options {
        let (mine, theirs) = (self.conntrack, other.conntrack);
        Options {
            kubeconfig: self.kubeconfig.or(other.kubeconfig),
            node_name: self.node_name.or(other.node_name),
            bind_address: self.bind_address.or(other.bind_address),
            health: self.health.or(other.health),
            metrics: self.metrics.or(other.metrics),
            bind_hard_fail: self.bind_hard_fail.or(other.bind_hard_fail),
            local_mode: self.local_mode.or(other.local_mode),
            cluster_cidrs: self.cluster_cidrs.or(other.cluster_cidrs),
            bridge_interface: self.bridge_interface.or(other.bridge_interface),
            interface_name_prefix: self.interface_name_prefix.or(other.interface_name_prefix),
            node_ports: self.node_ports.or(other.node_ports),
            masquerade_all: self.masquerade_all.or(other.masquerade_all),
            masquerade_bit: self.masquerade_bit.or(other.masquerade_bit),
            oom_score_adj: self.oom_score_adj.or(other.oom_score_adj),
            conntrack: ConntrackOptions {
                max_per_core: mine.max_per_core.or(theirs.max_per_core),
                min: mine.min.or(theirs.min),
                tcp_established: mine.tcp_established.or(theirs.tcp_established),
                tcp_close_wait: mine.tcp_close_wait.or(theirs.tcp_close_wait),
                tcp_be_liberal: mine.tcp_be_liberal.or(theirs.tcp_be_liberal),
                udp: mine.udp.or(theirs.udp),
                udp_stream: mine.udp_stream.or(theirs.udp_stream),
            },
            node_port_range: self.node_port_range.or(other.node_port_range),
            comments: self.comments.or(other.comments),
            counters: self.counters.or(other.counters),
        }
    }

    /// What is to be done for the node of this name.
    ///
    /// # Errors
    /// One line with the cure, where what was said does not suffice.
    pub fn settle(self, node_name: String) -> Result<Config, String> {
        let v6 = self.bind_address.is_some_and(|address| address.is_ipv6());
        let (everywhere, itself): (IpAddr, IpAddr) = if v6 {
            (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::LOCALHOST.into())
        } else {
            (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::LOCALHOST.into())
        };
        let address = |said: Option<Bind>, default: SocketAddr| match said {
            Some(Bind::Off) => None,
            Some(Bind::At(address)) => Some(address),
            None => Some(default),
        };
        let missing =
            |mode, field, flag| format!("detectLocalMode {mode} needs a name; give it as {field}, or as {flag}");
        let pods = match (self.local_mode, self.cluster_cidrs) {
            (None | Some(LocalMode::ClusterCidr), Some(ranges)) => Pods::Ranges(ranges),
            (Some(LocalMode::ClusterCidr), None) => Pods::Ranges(Vec::new()),
            (None | Some(LocalMode::NodeCidr), _) => Pods::OfNode,
            (Some(LocalMode::BridgeInterface), _) => {
                let name = self.bridge_interface.ok_or_else(|| {
                    missing("BridgeInterface", "detectLocal.bridgeInterface", "--pod-bridge-interface")
                })?;
                Pods::Interface(PodInterface::Named(name))
            }
            (Some(LocalMode::InterfaceNamePrefix), _) => {
                let prefix = self.interface_name_prefix.ok_or_else(|| {
                    missing("InterfaceNamePrefix", "detectLocal.interfaceNamePrefix", "--pod-interface-name-prefix")
                })?;
                Pods::Interface(PodInterface::Prefixed(prefix))
            }
        };
        let own = Config::new(node_name);
        Ok(Config {
            health_address: address(self.health, SocketAddr::new(everywhere, HEALTH_PORT)),
            metrics_address: address(self.metrics, SocketAddr::new(itself, METRICS_PORT)),
            bind_hard_fail: self.bind_hard_fail.unwrap_or(false),
            node_ports: self.node_ports.unwrap_or_else(NodePorts::primary),
            pods,
            masquerade_all: self.masquerade_all.unwrap_or(false),
            masquerade_mark: 1 << self.masquerade_bit.unwrap_or(14),
            address: self.bind_address.filter(|address| !address.is_unspecified()),
            oom_score_adj: Some(self.oom_score_adj.unwrap_or(-999)),
            load_balancer: own.load_balancer,
            conntrack: Some(self.conntrack.settle()),
            node_port_range: self.node_port_range.map_or(own.node_port_range, |(first, last)| first..=last),
            comments: self.comments.unwrap_or(own.comments),
            counters: self.counters.unwrap_or(own.counters),
            dns: None,
            node_name: own.node_name,
        })
    }
}

impl ConntrackOptions {
    /// What is to be done on this machine, with kube-proxy's defaults for what was not said.
    fn settle(&self) -> Conntrack {
        let cores = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
        self.settle_on(cores)
    }

    fn settle_on(&self, cores: u32) -> Conntrack {
        let per_core = self.max_per_core.unwrap_or(MAX_PER_CORE);
        let max = per_core.saturating_mul(cores).max(self.min.unwrap_or(MIN));
        let seconds = |said: Option<Duration>, default: Duration| {
            Some(said.unwrap_or(default).as_secs()).filter(|seconds| *seconds > 0)
        };
        Conntrack {
            max: (per_core > 0).then_some(max),
            tcp_established: seconds(self.tcp_established, TCP_ESTABLISHED),
            tcp_close_wait: seconds(self.tcp_close_wait, TCP_CLOSE_WAIT),
            tcp_be_liberal: self.tcp_be_liberal.unwrap_or(true),
            udp: seconds(self.udp, Duration::ZERO),
            udp_stream: seconds(self.udp_stream, Duration::ZERO),
        }
    }
}

/// Reads `IP:PORT` or `IP`.
///
/// # Errors
/// One line with the cure.
pub fn parse_bind(text: &str, default_port: u16) -> Result<SocketAddr, String> {
    let address = text.parse().ok().or_else(|| {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        Some(SocketAddr::new(bare.parse().ok()?, default_port))
    });
    let usable = address.filter(|address: &SocketAddr| address.port() != 0);
    usable.ok_or_else(|| format!("{text:?} is no address and port; give IP:PORT, such as 0.0.0.0:{default_port}"))
}

/// Reads the ranges of Pods: one, or one of each family with a comma between them.
///
/// # Errors
/// One line with the cure.
pub fn parse_cluster_cidrs(text: &str) -> Result<Vec<IpNet>, String> {
    let cure = "give a range, or one of each family with a comma between, such as 10.244.0.0/16,fd00:10:244::/56";
    let ranges: Result<Vec<IpNet>, String> = text
        .split(',')
        .map(|range| range.trim().parse().map_err(|_| format!("{range:?} is no range of addresses; {cure}")))
        .collect();
    match ranges?[..] {
        [one] => Ok(vec![one]),
        [one, other] if one.addr().is_ipv4() != other.addr().is_ipv4() => Ok(vec![one, other]),
        _ => Err(format!("{text:?} has more than one range of a family; {cure}")),
    }
}

/// Reads at which addresses node ports answer: ranges, or the words `primary` and `all`.
///
/// # Errors
/// One line with the cure.
pub fn parse_node_ports<'a>(items: impl IntoIterator<Item = &'a str>) -> Result<NodePorts, String> {
    let mut chosen = NodePorts { primary: false, ranges: Vec::new() };
    for item in items {
        match item.trim() {
            "primary" => chosen.primary = true,
            "all" => chosen.ranges.extend(everything()),
            // At loopback addresses node ports answer in any case.
            "localhost" => {}
            range => chosen.ranges.push(range.parse().map_err(|_| {
                format!(
                    "{range:?} is no range of addresses; give ranges such as 192.0.2.0/24, or the word primary or all"
                )
            })?),
        }
    }
    if !chosen.primary && chosen.ranges.is_empty() {
        return Err(
            "no address is left at which node ports could answer; give ranges, or the word primary or all".into()
        );
    }
    Ok(chosen)
}

/// All addresses of both families.
pub(super) fn everything() -> [IpNet; 2] {
    [IpNet::V4(ipnet::Ipv4Net::default()), IpNet::V6(ipnet::Ipv6Net::default())]
}

/// Reads which traffic is Pods', by one of kube-proxy's words.
///
/// # Errors
/// One line with the cure.
pub fn parse_local_mode(text: &str) -> Result<LocalMode, String> {
    match text {
        "ClusterCIDR" => Ok(LocalMode::ClusterCidr),
        "NodeCIDR" => Ok(LocalMode::NodeCidr),
        "BridgeInterface" => Ok(LocalMode::BridgeInterface),
        "InterfaceNamePrefix" => Ok(LocalMode::InterfaceNamePrefix),
        _ => Err(format!(
            "{text:?} is no way to tell Pods' traffic; choose NodeCIDR, ClusterCIDR, BridgeInterface or InterfaceNamePrefix"
        )),
    }
}

/// Reads the name of an interface, or how names begin.
///
/// # Errors
/// One line with the cure.
pub fn parse_interface(text: &str) -> Result<InterfaceName, String> {
    let name = InterfaceName::new(text);
    name.ok_or_else(|| format!("{text:?} is no interface's name; give one of at most 15 bytes, such as cni0 or veth"))
}

/// Reads a bit of the packet mark.
///
/// # Errors
/// One line with the cure.
pub fn parse_mark_bit(number: i64) -> Result<u8, String> {
    let bit = u8::try_from(number).ok().filter(|bit| *bit < 32);
    bit.ok_or_else(|| format!("a packet's mark has no bit {number}; give one from 0 to 31"))
}

/// Reads how willingly the kernel kills the process when memory is short.
///
/// # Errors
/// One line with the cure.
pub fn parse_oom_score_adj(number: i64) -> Result<i32, String> {
    let score = i32::try_from(number).ok().filter(|score| (-1000..=1000).contains(score));
    score.ok_or_else(|| format!("{number} is out of range; give a number from -1000 to 1000"))
}

/// Reads a duration as Go writes it, such as `1h30m`, `250ms` or `0s`; never negative.
///
/// # Errors
/// One line with the cure.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; give one such as 30s, 5m or 24h0m0s");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = 0.0;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, behind) = rest.split_at(digits);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let letters = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, next) = behind.split_at(letters);
        total += number
            * match unit {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return Err(wrong()),
            };
        rest = next;
    }
    Duration::try_from_secs_f64(total).map_err(|_| wrong())
}

#[cfg(test)]
mod tests;
