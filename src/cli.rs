//! The command line. What each flag means is said here, once: `--help` shows it.

mod agent;
mod dns;
mod lb;
mod operation;

pub use agent::Agent;
pub use dns::Dns;
pub use lb::{Lb, LbAction};
pub use operation::{Operation, Reach};

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use ipnet::{Ipv4Net, Ipv6Net};

/// Kubernetes Services, whole, in one binary.
#[derive(Debug, Parser)]
#[command(
    name = "portolan",
    version,
    propagate_version = true,
    after_help = "Begin with:\n  portolan up            a cluster of three nodes on this machine\n  portolan down          takes it down again; its objects stay\n  portolan down --purge  forgets them too"
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What to log to standard error: error, warn, info, debug, trace, or a filter such as `dataplane=debug`.
    #[arg(long, global = true, env = "PORTOLAN_LOG", default_value = "warn", value_name = "FILTER")]
    pub log: String,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a cluster on this machine and stay until Ctrl-C.
    Up(Up),
    /// Take a cluster down: nothing of it stays in the kernel. Its objects stay on disk.
    Down(Down),
    /// Run the control plane alone: store, API server, controllers.
    Server(Server),
    /// Run a node alone: it joins a server.
    Node(Node),
    /// Take kube-proxy's place on a node of any Kubernetes cluster.
    Agent(Box<Agent>),
    /// Say of each Service of any Kubernetes cluster whether every node's agent has programmed it, and give addresses to
    /// load balancers.
    Controller(Controller),
    /// Answer the DNS of any Kubernetes cluster, in CoreDNS' place.
    Dns(Box<Dns>),
    /// Look at load balancers.
    Lb(Lb),
    /// Load, list and remove the images that Pods run.
    Image(Image),
    /// End a node of a running cluster without a word, as a power cut would.
    StopNode(NodeName),
    /// Start a stopped node again.
    StartNode(NodeName),
    /// Print a completion script for a shell.
    Completion {
        /// For which shell.
        shell: clap_complete::Shell,
    },
}

/// `portolan controller`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Once in a cluster whose nodes run `portolan agent`. Each Service then has a condition that can be waited for:\n  \
                  kubectl wait --for=condition=portolan.dev/Programmed service/NAME"
)]
pub struct Controller {
    /// How to reach the API server, and as whom. Default: $KUBECONFIG, else the service account of the Pod that it runs in.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Pools of addresses for Services of type LoadBalancer, where the ConfigMap kube-system/portolan-load-balancer is not
    /// there to say them: the same YAML.
    #[arg(long, value_name = "FILE")]
    pub load_balancer_config: Option<PathBuf>,
}

/// Ranges and addresses of a cluster.
#[derive(Debug, Clone, Args)]
pub struct Ranges {
    /// The range of cluster IPs. Its first address is the API's own, its tenth that of the DNS.
    #[arg(long, value_name = "CIDR", default_value = "10.96.0.0/16", value_parser = parse_range)]
    pub service_cidr: Ipv4Net,
    /// A second range of cluster IPs, of IPv6, for Services that ask for both families. Default: none; Services have
    /// one family then. Nodes of `up` and `node` serve IPv4 alone, those of `agent` both.
    #[arg(long, value_name = "CIDR", value_parser = parse_ipv6_range)]
    pub service_cidr_ipv6: Option<Ipv6Net>,
    /// The range of Pods' addresses. Each node gets a /24 of it.
    #[arg(long, value_name = "CIDR", default_value = "10.244.0.0/16", value_parser = parse_range)]
    pub pod_cidr: Ipv4Net,
    /// The ports that Services of type NodePort are given.
    #[arg(long, value_name = "FIRST-LAST", default_value = "30000-32767", value_parser = parse_port_range)]
    pub node_port_range: (u16, u16),
    /// The addresses that Services of type LoadBalancer are given: ranges FIRST-LAST or CIDRs, with commas between them.
    /// Default: 172.30.0.200-172.30.0.250, or the like of another --node-cidr.
    #[arg(long, value_name = "RANGES")]
    pub load_balancer_pool: Option<String>,
}

/// The audit log of an API server.
#[derive(Debug, Clone, Args)]
pub struct Audit {
    /// What of which requests is written down: a Policy of audit.k8s.io/v1, as kube-apiserver takes it.
    #[arg(long, value_name = "FILE", requires = "audit_log_path")]
    pub audit_policy_file: Option<PathBuf>,
    /// Where it is written, as JSON lines.
    #[arg(long, value_name = "FILE", requires = "audit_policy_file")]
    pub audit_log_path: Option<PathBuf>,
}

/// `portolan up`
#[derive(Debug, Clone, Args)]
pub struct Up {
    /// The cluster's name. Clusters of different names live side by side (give them different ranges and ports).
    #[arg(long, default_value = "portolan")]
    pub name: String,
    /// How many nodes.
    #[arg(long, default_value_t = 3)]
    pub nodes: usize,
    /// The zones, dealt out to the nodes in turn. Default: a, b, c.
    #[arg(long, value_delimiter = ',', value_name = "ZONE,…")]
    pub zones: Vec<String>,
    /// Where objects, keys and images are kept. Default: /var/lib/portolan/NAME
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where to write the administrator's kubeconfig. Default: kubeconfig in the data folder.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Where the API server answers.
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:6443", value_parser = parse_listen)]
    pub api_address: SocketAddr,
    /// Ranges and addresses.
    #[command(flatten)]
    pub ranges: Ranges,
    /// The range of the nodes' own addresses; the first is the bridge's.
    #[arg(long, value_name = "CIDR", default_value = "172.30.0.0/24", value_parser = parse_range)]
    pub node_cidr: Ipv4Net,
    /// Where names outside the cluster are asked for. Default: the name servers of /etc/resolv.conf.
    #[arg(long, value_name = "IP[:PORT]", value_parser = parse_upstream)]
    pub upstream_dns: Vec<SocketAddr>,
    /// The audit log.
    #[command(flatten)]
    pub audit: Audit,
    /// Return when the cluster is ready; it goes on in the background until `portolan down`.
    #[arg(long)]
    pub detach: bool,
    /// This is the process in the background that --detach started.
    #[arg(long, hide = true)]
    pub background: bool,
    /// Manifests to apply when the cluster is ready: YAML or JSON, a file, or - for standard input.
    #[arg(short = 'f', long = "filename", value_name = "MANIFEST")]
    pub manifests: Vec<PathBuf>,
}

/// `portolan down`
#[derive(Debug, Clone, Args)]
pub struct Down {
    /// The cluster's name.
    #[arg(long, default_value = "portolan")]
    pub name: String,
    /// Forget its objects, keys and images too.
    #[arg(long)]
    pub purge: bool,
}

/// `portolan server`
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Server {
    /// What to do with a server that runs.
    #[command(subcommand)]
    pub operation: Option<Operation>,
    /// Where objects and keys are kept.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/portolan/server")]
    pub data_dir: PathBuf,
    /// Where the API server answers.
    #[arg(long, value_name = "IP:PORT", default_value = "0.0.0.0:6443", value_parser = parse_listen)]
    pub api_address: SocketAddr,
    /// The address at which nodes and Pods reach it. Default: that of --api-address.
    #[arg(long, value_name = "IP", value_parser = parse_address)]
    pub advertise_address: Option<Ipv4Addr>,
    /// Where to write the administrator's kubeconfig. Default: kubeconfig in the data folder.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The audit log.
    #[command(flatten)]
    pub audit: Audit,
    /// Write a kubeconfig with which this node may join, to NAME.kubeconfig in the data folder. May be repeated.
    #[arg(long = "admit", value_name = "NAME=IP", value_parser = parse_admission)]
    pub admitted: Vec<(String, Ipv4Addr)>,
    /// Ranges and addresses.
    #[command(flatten)]
    pub ranges: Ranges,
}

/// `portolan node`
#[derive(Debug, Clone, Args)]
pub struct Node {
    /// The node's name. Default: the machine's host name.
    #[arg(long)]
    pub name: Option<String>,
    /// How to reach the server, and as whom: the file that `portolan server --admit NAME=IP` writes.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: PathBuf,
    /// The node's own address: that of one of this machine's interfaces, by which the server and other nodes reach it.
    #[arg(long, value_name = "IP", value_parser = parse_address)]
    pub address: Ipv4Addr,
    /// The node's zone.
    #[arg(long)]
    pub zone: Option<String>,
    /// Where the node keeps its Pods' state.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/portolan/node")]
    pub data_dir: PathBuf,
    /// Where images are kept. Default: images in the data folder.
    #[arg(long, value_name = "DIR")]
    pub image_dir: Option<PathBuf>,
    /// The range of cluster IPs, as the server has it.
    #[arg(long, value_name = "CIDR", default_value = "10.96.0.0/16", value_parser = parse_range)]
    pub service_cidr: Ipv4Net,
    /// The range of Pods' addresses, as the server has it.
    #[arg(long, value_name = "CIDR", default_value = "10.244.0.0/16", value_parser = parse_range)]
    pub pod_cidr: Ipv4Net,
    /// Where names outside the cluster are asked for. Default: the name servers of /etc/resolv.conf.
    #[arg(long, value_name = "IP[:PORT]", value_parser = parse_upstream)]
    pub upstream_dns: Vec<SocketAddr>,
    /// Go through the search path for a Pod that asks: its first question leads to the name that it means.
    #[arg(long)]
    pub complete_searches: bool,
    /// Ask nobody for names outside the cluster: they are refused.
    #[arg(long, hide = true, conflicts_with = "upstream_dns")]
    pub no_upstream_dns: bool,
    /// Where what a reboot makes worthless is kept.
    #[arg(long, value_name = "DIR", default_value = "/run/portolan-node")]
    pub run_dir: PathBuf,
    /// The control group of the node's Pods, under each hierarchy's root.
    #[arg(long, value_name = "PATH", default_value = "portolan-node")]
    pub cgroup_parent: PathBuf,
    /// Run inside this network namespace (a path); used by `up`.
    #[arg(long, value_name = "PATH", hide = true)]
    pub netns: Option<PathBuf>,
}

/// `portolan image`
#[derive(Debug, Clone, Args)]
pub struct Image {
    /// The cluster's name.
    #[arg(long, default_value = "portolan", global = true)]
    pub name: String,
    /// Where the cluster's objects are kept, if `up` was told so.
    #[arg(long, value_name = "DIR", global = true)]
    pub data_dir: Option<PathBuf>,
    /// What to do with images.
    #[command(subcommand)]
    pub action: ImageAction,
}

/// What can be done with images.
#[derive(Debug, Clone, Subcommand)]
pub enum ImageAction {
    /// Load every image of an archive (OCI layout or `docker save`).
    Load {
        /// The archive.
        file: PathBuf,
    },
    /// List the images.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove an image.
    Rm {
        /// Its name, as `list` shows it.
        image: String,
    },
}

/// A node of a running cluster.
#[derive(Debug, Clone, Args)]
pub struct NodeName {
    /// The node: node-1, node-2, …
    pub node: String,
    /// The cluster's name.
    #[arg(long, default_value = "portolan")]
    pub name: String,
}

fn parse_range(text: &str) -> Result<Ipv4Net, String> {
    text.parse().map_err(|_| "give a range, such as 10.96.0.0/16".to_owned())
}

fn parse_ipv6_range(text: &str) -> Result<Ipv6Net, String> {
    text.parse().map_err(|_| "give a range of IPv6, such as fd00:96::/112".to_owned())
}

fn parse_address(text: &str) -> Result<Ipv4Addr, String> {
    text.parse().map_err(|_| "give an IPv4 address, such as 192.168.1.11".to_owned())
}

fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    let cure = "give IP:PORT, such as 127.0.0.1:6443";
    text.parse().ok().filter(|address: &SocketAddr| address.port() != 0).ok_or_else(|| cure.to_owned())
}

fn parse_port_range(text: &str) -> Result<(u16, u16), String> {
    let parse =
        |t: &str| t.trim().parse::<u16>().map_err(|_| format!("{t:?} is no port; give FIRST-LAST, from 1 to 65535"));
    let (first, last) = text.split_once('-').ok_or("give FIRST-LAST, such as 30000-32767")?;
    Ok((parse(first)?, parse(last)?))
}

fn parse_upstream(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(SocketAddr::new(address, 53));
    }
    text.parse()
        .map_err(|_| format!("{text:?} is no address; give IP or IP:PORT, such as 192.168.1.1 or 192.168.1.1:5353"))
}

fn parse_admission(text: &str) -> Result<(String, Ipv4Addr), String> {
    let (name, address) = text.split_once('=').ok_or("give NAME=IP, such as node-1=192.168.1.11")?;
    let address = address.parse().map_err(|_| format!("{address:?} is no IPv4 address; give NAME=IP"))?;
    if !is_node_name(name) {
        return Err(format!("{name:?} names no node; give lower-case letters, digits, '-' and '.'"));
    }
    Ok((name.to_owned(), address))
}

/// Whether a text can name a Node object, and a file beside it: a DNS subdomain (RFC 1123).
fn is_node_name(name: &str) -> bool {
    let label = |label: &str| {
        let letters = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        !label.is_empty() && label.bytes().all(letters) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}
