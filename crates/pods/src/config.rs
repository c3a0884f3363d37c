//! What a node tells its Pods' runtime at the start.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv4Net;

/// The node, its directories and its network.
#[derive(Clone, Debug)]
pub struct Config {
    /// The Node object's name.
    pub node_name: String,
    /// What lasts: addresses, volumes, logs, what containers wrote. A path without `:` or `,`, not on overlayfs.
    pub state_dir: PathBuf,
    /// What the machine's next boot makes worthless: namespaces, bundles. A tmpfs is a good place.
    pub run_dir: PathBuf,
    /// Where images are kept; several nodes of one machine may share it.
    pub image_dir: PathBuf,
    /// The program that has the subcommands `init` and `echo`: this one.
    pub program: PathBuf,
    /// Addresses of this node's Pods. The first one is the node's own end of every Pod's link.
    pub pod_cidr: Ipv4Net,
    /// The node's address, from which it reaches its Pods.
    pub node_ip: Ipv4Addr,
    /// Of every Pod's link, in bytes.
    pub mtu: u32,
    /// Name servers of Pods with `dnsPolicy: ClusterFirst`.
    pub cluster_dns: Vec<IpAddr>,
    /// Such as `cluster.local`.
    pub cluster_domain: String,
    /// The node's own resolver configuration, for `dnsPolicy: Default`.
    pub resolv_conf: PathBuf,
    /// The directory of this node's control groups beneath the root of each hierarchy, such as `portolan/NAME/node-1`.
    pub cgroup_parent: PathBuf,
    /// Delays and deadlines.
    pub timing: Timing,
    /// Bounds of growth.
    pub limits: Limits,
}

/// Delays and deadlines, kubelet's own unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Wait before the second restart of a container; doubles with each.
    pub backoff_first: Duration,
    /// The longest wait between restarts.
    pub backoff_most: Duration,
    /// A container that ran this long starts again as if for the first time.
    pub backoff_reset: Duration,
    /// Between two attempts at what may succeed later: an image, a ConfigMap, a sandbox.
    pub retry: Duration,
    /// Between two looks at ConfigMaps and Secrets that volumes show.
    pub volume_refresh: Duration,
    /// A container that does not run within this time is given up.
    pub start_deadline: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            backoff_first: Duration::from_secs(10),
            backoff_most: Duration::from_secs(300),
            backoff_reset: Duration::from_secs(600),
            retry: Duration::from_secs(2),
            volume_refresh: Duration::from_secs(60),
            start_deadline: Duration::from_secs(60),
        }
    }
}

/// Bounds of growth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A log file of this size, in bytes, is put aside.
    pub log_bytes: u64,
    /// Log files of one container, the one that is written among them.
    pub log_files: u32,
    /// Containers that are being started at one time, on the whole node.
    pub starting: usize,
    /// Programs that run by exec at one time, on the whole node.
    pub execs: usize,
    /// Log streams that are open at one time, on the whole node.
    pub log_streams: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { log_bytes: 10 << 20, log_files: 2, starting: 8, execs: 256, log_streams: 256 }
    }
}
