//! Where everything of a cluster is: its names, addresses and folders, all derived from the command line, and the mark by
//! which a run knows again what it made.
//!
//! Pure: what can be refused by looking at the flags alone is refused here, before anything is made.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::{Ipv4Net, Ipv4Subnets, Ipv6Net};

use crate::refusal::Refusal;

#[cfg(test)]
mod tests;

/// Where the state of running clusters lies: it is gone after a reboot, as the clusters are.
const RUN_ROOT: &str = "/run/portolan";
/// Where the objects of clusters lie.
const DATA_ROOT: &str = "/var/lib/portolan";
/// The most nodes that `up` makes: each has an address of the node range and a link name of 15 bytes at most.
const MAX_NODES: usize = 100;

/// The flags from which a layout is made.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// The cluster's name.
    pub name: String,
    /// The mark of this run, a number that no other run has: it is in the Ethernet addresses of its links and in the name
    /// of its control group, so that what bears the same name and was made by somebody else is told apart.
    pub mark: u32,
    /// How many nodes.
    pub nodes: usize,
    /// The zones, dealt out to the nodes in turn.
    pub zones: Vec<String>,
    /// Where the objects lie; by default under [`DATA_ROOT`].
    pub data_dir: Option<PathBuf>,
    /// Where the kubeconfig goes; by default in the data folder.
    pub kubeconfig: Option<PathBuf>,
    /// Where the API server answers in the namespace of `up`.
    pub api_address: SocketAddr,
    /// Cluster IPs.
    pub service_cidr: Ipv4Net,
    /// Pods' addresses; each node gets a /24 of it.
    pub pod_cidr: Ipv4Net,
    /// The nodes' addresses, and the bridge's.
    pub node_cidr: Ipv4Net,
    /// Node ports, first and last.
    pub node_port_range: (u16, u16),
    /// Load-balancer addresses; by default the 200th to the 250th of the node range.
    pub load_balancer_pool: Option<String>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct NodePlace {
    /// `node-1`
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// Its address in the node range.
    pub address: Ipv4Addr,
    /// The name of its network namespace under `/run/netns`.
    pub netns: String,
    /// The end of its cable that is plugged into the bridge.
    pub link: String,
    /// The Ethernet address of that end.
    pub link_mac: Mac,
}

/// An Ethernet address.
pub type Mac = [u8; 6];

/// Where everything of a cluster is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Layout {
    /// The cluster's name.
    pub name: String,
    /// The mark of the run.
    pub mark: u32,
    /// The bridge that joins the nodes and the namespace of `up`.
    pub bridge: String,
    /// The bridge's Ethernet address.
    pub bridge_mac: Mac,
    /// The bridge's address: the nodes' way out, and where they reach the API server.
    pub gateway: Ipv4Addr,
    /// The node range.
    pub node_cidr: Ipv4Net,
    /// The Pod range.
    pub pod_cidr: Ipv4Net,
    /// The Service range.
    pub service_cidr: Ipv4Net,
    /// Node ports, first and last.
    pub node_port_range: (u16, u16),
    /// The load-balancer addresses, as the flag says them.
    pub load_balancer_pool: String,
    /// The nodes, in the order of their numbers.
    pub nodes: Vec<NodePlace>,
    /// Where the API server answers in the namespace of `up`.
    pub api_address: SocketAddr,
    /// Objects, keys, images.
    pub data_dir: PathBuf,
    /// State of the running cluster.
    pub run_dir: PathBuf,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
}

impl Layout {
    /// Lays a cluster out.
    ///
    /// # Errors
    /// When the flags contradict each other or themselves.
    pub fn plan(wishes: &Wishes) -> Result<Self, Refusal> {
        check_name(&wishes.name)?;
        if wishes.nodes == 0 || wishes.nodes > MAX_NODES {
            return Err(Refusal::new(format!("--nodes {}: give a number from 1 to {MAX_NODES}", wishes.nodes)));
        }
        check_zones(&wishes.zones)?;
        let ranges = [
            ("--service-cidr", wishes.service_cidr),
            ("--pod-cidr", wishes.pod_cidr),
            ("--node-cidr", wishes.node_cidr),
        ];
        check_ranges(&ranges)?;
        check_service_cidr(wishes.service_cidr)?;
        check_pod_cidr(wishes.pod_cidr, wishes.nodes)?;
        check_node_ports(wishes.node_port_range)?;
        let data_dir = wishes.data_dir.clone().unwrap_or_else(|| default_data_dir(&wishes.name));
        check_data_dir(&data_dir)?;
        let layout = Self {
            mark: wishes.mark,
            bridge: format!("{}-br", link_prefix(&wishes.name)),
            bridge_mac: mac(wishes.mark, 0),
            gateway: wishes.node_cidr.hosts().next().ok_or_else(|| too_small(wishes))?,
            node_cidr: wishes.node_cidr,
            pod_cidr: wishes.pod_cidr,
            service_cidr: wishes.service_cidr,
            node_port_range: wishes.node_port_range,
            load_balancer_pool: wishes.load_balancer_pool.clone().unwrap_or_else(|| default_pool(wishes.node_cidr)),
            nodes: place_nodes(wishes)?,
            api_address: wishes.api_address,
            run_dir: run_dir(&wishes.name),
            kubeconfig: wishes.kubeconfig.clone().unwrap_or_else(|| data_dir.join("kubeconfig")),
            name: wishes.name.clone(),
            data_dir,
        };
        layout.check_pool(&ranges)?;
        Ok(layout)
    }

    /// The address of the cluster's DNS: the tenth of the Service range, as everywhere in Kubernetes.
    pub fn cluster_dns(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.service_cidr.network()) + 10)
    }

    /// Where nodes reach the API server.
    pub fn api_for_nodes(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.gateway), self.api_address.port())
    }

    /// Where a client on this machine reaches the API server: an address that stands for all others is none to go to.
    pub fn api_for_clients(&self) -> SocketAddr {
        let ip = match self.api_address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        SocketAddr::new(ip, self.api_address.port())
    }

    /// The control group of a node's Pods, under each hierarchy's root.
    pub fn cgroup(&self, node: &str) -> PathBuf {
        Path::new("portolan").join(format!("{}.{:08x}", self.name, self.mark)).join(node)
    }

    /// The load-balancer addresses that are not of the node range: they are neighbours on the bridge all the same.
    ///
    /// # Errors
    /// When the pool is none.
    pub fn pool_beside_nodes(&self) -> Result<Vec<Ipv4Net>, Refusal> {
        let spans = self.pool()?.spans().to_vec();
        let ranges = spans.iter().filter_map(|span| match (span.first(), span.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => Some(Ipv4Subnets::new(first, last, 0)),
            _ => None,
        });
        Ok(ranges.flatten().filter(|range| !self.node_cidr.contains(range)).collect())
    }

    fn pool(&self) -> Result<loadbalancer::pool::Pool, Refusal> {
        parse_pool(&self.load_balancer_pool)
    }

    /// The folder of a node's own state.
    pub fn node_dir(&self, node: &str) -> PathBuf {
        self.data_dir.join("nodes").join(node)
    }

    /// The unit that owns an address of the node range, if any: it may not be in the pool.
    fn owner(&self, address: Ipv4Addr) -> Option<&str> {
        if address == self.gateway {
            return Some("the bridge");
        }
        self.nodes.iter().find(|n| n.address == address).map(|n| n.name.as_str())
    }

    fn check_pool(&self, ranges: &[(&str, Ipv4Net)]) -> Result<(), Refusal> {
        let text = &self.load_balancer_pool;
        let pool = self.pool()?;
        let places = self.nodes.iter().map(|n| n.address).chain([self.gateway]);
        for address in places {
            if pool.contains(IpAddr::V4(address)) {
                let owner = self.owner(address).unwrap_or("the cluster");
                return Err(Refusal::new(format!(
                    "--load-balancer-pool {text}: holds {address}, which is the address of {owner}; choose addresses after the nodes'"
                )));
            }
        }
        for part in self.pool_beside_nodes()? {
            if let Some((flag, range)) = ranges.iter().find(|(_, range)| overlap(range, &part)) {
                return Err(Refusal::new(format!(
                    "--load-balancer-pool {text} overlaps {flag} {range}; choose addresses that no range has, or some of --node-cidr after the nodes'"
                )));
            }
        }
        Ok(())
    }
}

/// Reads `--load-balancer-pool`.
///
/// # Errors
/// When it is none.
pub fn parse_pool(text: &str) -> Result<loadbalancer::pool::Pool, Refusal> {
    text.parse().map_err(|e| Refusal::new(format!("--load-balancer-pool {text}: {e}")))
}

/// Whether two ranges have an address in common.
pub fn overlap(one: &Ipv4Net, other: &Ipv4Net) -> bool {
    one.contains(&other.network()) || other.contains(&one.network())
}

/// The folder of a running cluster's state.
pub fn run_dir(name: &str) -> PathBuf {
    Path::new(RUN_ROOT).join(name)
}

/// The folder of a cluster's objects, unless `--data-dir` said otherwise.
pub fn default_data_dir(name: &str) -> PathBuf {
    Path::new(DATA_ROOT).join(name)
}

/// Refuses a name that could not be part of a namespace's or a folder's name.
///
/// # Errors
/// When it is no DNS label of at most 40 characters.
pub fn check_name(name: &str) -> Result<(), Refusal> {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 40 || !name.chars().all(letters) || name.starts_with('-') || name.ends_with('-')
    {
        return Err(Refusal::new(format!(
            "--name {name:?}: give at most 40 of a-z, 0-9 and '-', neither first nor last a '-'"
        )));
    }
    Ok(())
}

/// Refuses a zone that could not be the value of a node's label `topology.kubernetes.io/zone`.
fn check_zones(zones: &[String]) -> Result<(), Refusal> {
    let fits = |zone: &str| {
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        zone.len() <= 63 && zone.chars().all(letters) && edge(zone.chars().next()) && edge(zone.chars().last())
    };
    match zones.iter().find(|zone| !fits(zone)) {
        Some(zone) => Err(Refusal::new(format!("--zones: {zone:?} names no zone; give names such as a,b,c"))),
        None => Ok(()),
    }
}

fn default_zones(nodes: usize) -> Vec<String> {
    (0..nodes.clamp(1, 3)).map(|i| char::from(b'a' + u8::try_from(i).unwrap_or(0)).to_string()).collect()
}

fn place_nodes(wishes: &Wishes) -> Result<Vec<NodePlace>, Refusal> {
    let prefix = link_prefix(&wishes.name);
    let zones = if wishes.zones.is_empty() { default_zones(wishes.nodes) } else { wishes.zones.clone() };
    // The first is the bridge's.
    let mut hosts = wishes.node_cidr.hosts().skip(1);
    let mut nodes = Vec::with_capacity(wishes.nodes);
    for (zone, number) in zones.iter().cycle().zip(1..=wishes.nodes) {
        let name = format!("node-{number}");
        nodes.push(NodePlace {
            zone: zone.clone(),
            address: hosts.next().ok_or_else(|| too_small(wishes))?,
            netns: format!("{}-{name}", wishes.name),
            link: format!("{prefix}-{number}"),
            link_mac: mac(wishes.mark, number),
            name,
        });
    }
    Ok(nodes)
}

/// An Ethernet address of our own (the second bit says that nobody was sold it): the mark, and a number in the cluster.
fn mac(mark: u32, number: usize) -> Mac {
    let [a, b, c, d] = mark.to_be_bytes();
    [0x02, a, b, c, d, u8::try_from(number).unwrap_or(u8::MAX)]
}

/// The 200th to the 250th address of a node range, or the upper quarter of one that has less than 256.
fn default_pool(node_cidr: Ipv4Net) -> String {
    let (first, last) = (u32::from(node_cidr.network()), u32::from(node_cidr.broadcast()));
    let size = last - first;
    let (from, to) = if size >= 255 { (first + 200, first + 250) } else { (last - size / 4, last.saturating_sub(1)) };
    format!("{}-{}", Ipv4Addr::from(from), Ipv4Addr::from(to.max(from)))
}

fn too_small(wishes: &Wishes) -> Refusal {
    Refusal::new(format!(
        "--node-cidr {}: too small for {} nodes and the bridge; give a larger range",
        wishes.node_cidr, wishes.nodes
    ))
}

/// Refuses ranges that have host bits set, are not for hosts, or overlap each other.
///
/// # Errors
/// With the flag and its cure.
pub fn check_ranges(ranges: &[(&str, Ipv4Net)]) -> Result<(), Refusal> {
    for (i, (flag, range)) in ranges.iter().enumerate() {
        if range.network() != range.addr() {
            let right = range.trunc();
            return Err(Refusal::new(format!("{flag} {range}: has host bits set; say {right}")));
        }
        // This network (RFC 1122), loopback, and what is multicast or reserved.
        let (first, last) = (range.network().octets()[0], range.broadcast().octets()[0]);
        if first == 0 || (first <= 127 && last >= 127) || last >= 224 {
            return Err(Refusal::new(format!(
                "{flag} {range}: hosts cannot have these addresses; choose a range of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16"
            )));
        }
        for (other_flag, other) in &ranges[i + 1..] {
            if overlap(range, other) {
                return Err(Refusal::new(format!(
                    "{flag} {range} overlaps {other_flag} {other}; choose ranges that have no address in common"
                )));
            }
        }
    }
    Ok(())
}

/// Refuses a Service range that has no address for DNS.
///
/// # Errors
/// With the flag and its cure.
pub fn check_service_cidr(range: Ipv4Net) -> Result<(), Refusal> {
    if range.prefix_len() <= 28 {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "--service-cidr {range}: too small; a /28 is the least, so that there is a tenth address for DNS"
    )))
}

/// Refuses a second Service range that addresses cannot be given from: host bits, or a prefix that Kubernetes' allocator
/// does not take.
///
/// # Errors
/// With the flag and its cure.
pub fn check_service_cidr_ipv6(range: Option<Ipv6Net>) -> Result<(), Refusal> {
    let Some(range) = range else { return Ok(()) };
    if range.trunc() != range {
        return Err(Refusal::new(format!("--service-cidr-ipv6 {range}: has host bits set; say {}", range.trunc())));
    }
    if !(64..=120).contains(&range.prefix_len()) {
        return Err(Refusal::new(format!("--service-cidr-ipv6 {range}: give a prefix from /64 to /120")));
    }
    Ok(())
}

/// Refuses a Pod range that has no /24 for each of so many nodes.
///
/// # Errors
/// With the flag and its cure.
pub fn check_pod_cidr(range: Ipv4Net, nodes: usize) -> Result<(), Refusal> {
    let fits = range.prefix_len() <= 24 && 1usize << (24 - range.prefix_len()) >= nodes;
    if fits {
        return Ok(());
    }
    Err(Refusal::new(format!("--pod-cidr {range}: too small; each of the {nodes} nodes needs a /24 of it")))
}

/// Refuses node ports that are none.
///
/// # Errors
/// With the flag and its cure.
pub fn check_node_ports((first, last): (u16, u16)) -> Result<(), Refusal> {
    if first != 0 && first <= last {
        return Ok(());
    }
    Err(Refusal::new(format!("--node-port-range {first}-{last}: give FIRST-LAST, from 1 to 65535")))
}

/// overlayfs takes neither of these letters in the path of a layer.
fn check_data_dir(path: &Path) -> Result<(), Refusal> {
    if path.as_os_str().as_encoded_bytes().iter().any(|b| matches!(b, b':' | b',' | b'\\' | b'\n')) {
        return Err(Refusal::new(format!(
            "--data-dir {}: has a ':', ',', '\\' or line break in it, with which Pods cannot run; give another folder",
            path.display()
        )));
    }
    Ok(())
}

/// A link's name has 15 bytes at most (`IFNAMSIZ`), so a long cluster name is cut and told apart by a hash of the whole.
fn link_prefix(name: &str) -> String {
    if name.len() <= 10 {
        return name.to_owned();
    }
    // FNV-1a: stable over versions and machines, which the standard hasher does not promise.
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{}{:06x}", &name[..4], hash & 0x00ff_ffff)
}
