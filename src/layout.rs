//! Where everything of a cluster is: its names, addresses and folders, all derived from the command line and nothing else.
//!
//! Pure: what can be refused by looking at the flags alone is refused here, before anything is made.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;

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
    /// Load-balancer addresses.
    pub load_balancer_pool: String,
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
}

/// Where everything of a cluster is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Layout {
    /// The cluster's name.
    pub name: String,
    /// The bridge that joins the nodes and the namespace of `up`.
    pub bridge: String,
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
        check_ranges(wishes)?;
        let data_dir = wishes.data_dir.clone().unwrap_or_else(|| Path::new(DATA_ROOT).join(&wishes.name));
        let kubeconfig = wishes.kubeconfig.clone().unwrap_or_else(|| data_dir.join("kubeconfig"));
        let mut hosts = wishes.node_cidr.hosts();
        let gateway = hosts.next().ok_or_else(|| too_small(wishes))?;
        let prefix = link_prefix(&wishes.name);
        let zones = if wishes.zones.is_empty() { default_zones(wishes.nodes) } else { wishes.zones.clone() };
        let mut nodes = Vec::with_capacity(wishes.nodes);
        for number in 1..=wishes.nodes {
            let name = format!("node-{number}");
            nodes.push(NodePlace {
                zone: zones[(number - 1) % zones.len()].clone(),
                address: hosts.next().ok_or_else(|| too_small(wishes))?,
                netns: format!("{}-{name}", wishes.name),
                link: format!("{prefix}-{number}"),
                name,
            });
        }
        let layout = Self {
            bridge: format!("{prefix}-br"),
            gateway,
            node_cidr: wishes.node_cidr,
            pod_cidr: wishes.pod_cidr,
            service_cidr: wishes.service_cidr,
            node_port_range: wishes.node_port_range,
            load_balancer_pool: wishes.load_balancer_pool.clone(),
            nodes,
            api_address: wishes.api_address,
            run_dir: run_dir(&wishes.name),
            name: wishes.name.clone(),
            data_dir,
            kubeconfig,
        };
        layout.check_pool()?;
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

    fn check_pool(&self) -> Result<(), Refusal> {
        let pool = &self.load_balancer_pool;
        let ranges: loadbalancer::pool::Pool =
            pool.parse().map_err(|e| Refusal::new(format!("--load-balancer-pool {pool}: {e}")))?;
        let places = self.nodes.iter().map(|n| n.address).chain([self.gateway]);
        for address in places {
            if ranges.contains(IpAddr::V4(address)) {
                let owner = self.owner(address).unwrap_or("the cluster");
                return Err(Refusal::new(format!(
                    "--load-balancer-pool {pool}: holds {address}, which is the address of {owner}; choose addresses after the nodes'"
                )));
            }
        }
        Ok(())
    }
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

fn default_zones(nodes: usize) -> Vec<String> {
    (0..nodes.clamp(1, 3)).map(|i| char::from(b'a' + u8::try_from(i).unwrap_or(0)).to_string()).collect()
}

fn too_small(wishes: &Wishes) -> Refusal {
    Refusal::new(format!(
        "--node-cidr {}: too small for {} nodes and the bridge; give a larger range",
        wishes.node_cidr, wishes.nodes
    ))
}

fn check_ranges(wishes: &Wishes) -> Result<(), Refusal> {
    let ranges =
        [("--service-cidr", wishes.service_cidr), ("--pod-cidr", wishes.pod_cidr), ("--node-cidr", wishes.node_cidr)];
    for (i, (flag, range)) in ranges.iter().enumerate() {
        if range.network() != range.addr() {
            let right = range.trunc();
            return Err(Refusal::new(format!("{flag} {range}: has host bits set; say {right}")));
        }
        for (other_flag, other) in &ranges[i + 1..] {
            if range.contains(&other.network()) || other.contains(&range.network()) {
                return Err(Refusal::new(format!(
                    "{flag} {range} overlaps {other_flag} {other}; choose ranges that have no address in common"
                )));
            }
        }
    }
    if wishes.service_cidr.prefix_len() > 28 {
        return Err(Refusal::new(format!(
            "--service-cidr {}: too small; a /28 is the least, so that there is a tenth address for DNS",
            wishes.service_cidr
        )));
    }
    if usize::try_from(24u8.saturating_sub(wishes.pod_cidr.prefix_len()))
        .is_ok_and(|bits| 1usize << bits < wishes.nodes)
        || wishes.pod_cidr.prefix_len() > 24
    {
        return Err(Refusal::new(format!(
            "--pod-cidr {}: too small; each of the {} nodes needs a /24 of it",
            wishes.pod_cidr, wishes.nodes
        )));
    }
    let (first, last) = wishes.node_port_range;
    if first == 0 || first > last {
        return Err(Refusal::new(format!("--node-port-range {first}-{last}: give FIRST-LAST, from 1 to 65535")));
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
