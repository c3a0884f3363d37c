//! `portolan agent`: kube-proxy's flags, as far as they mean something here.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use dataplane::model::InterfaceName;
use ipnet::IpNet;
use node::proxy::config::{HEALTH_PORT, METRICS_PORT, NodePorts};
use node::proxy::options::{self, Bind, ConntrackOptions, LocalMode, Options};

/// `portolan agent`
#[derive(Debug, Clone, Default, Args)]
#[command(
    after_help = "Services become rules of this machine's kernel (nftables). Pods, load balancers and, without --dns, DNS stay whose they are. When the\n\
                  agent ends, the rules stay: connections go on.\n\
                  \n\
                  What is said in three places: a flag wins over the file of --config, and the file over the defaults.\n\
                  \n\
                  Changing over, on each node:\n  \
                    portolan agent --kubeconfig FILE --config FILE   beside or instead of kube-proxy\n  \
                    portolan agent --cleanup-kube-proxy              when kube-proxy has ended for good: its rules go, connections stay\n\
                  And back: start kube-proxy, end the agent, then\n  \
                    portolan agent --cleanup"
)]
pub struct Agent {
    /// How to reach the API server, and as whom. Default: what the file of --config says, else $KUBECONFIG, else the
    /// service account of the Pod that it runs in.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The name of this node's object. Default: the machine's host name.
    #[arg(long, value_name = "NAME", env = "NODE_NAME", visible_alias = "hostname-override")]
    pub node_name: Option<String>,
    /// A configuration file of kube-proxy's (KubeProxyConfiguration, kubeproxy.config.k8s.io/v1alpha1).
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Remove the rules that kube-proxy has left on this machine, of all its modes but ipvs', and end. Connections go on
    /// while an agent's rules are there: start it first. End kube-proxy before: it would write its rules again.
    #[arg(long, help_heading = "Instead of running", conflicts_with_all = ["cleanup", "config", "kubeconfig"])]
    pub cleanup_kube_proxy: bool,
    /// Remove our own rules from this machine and end. Connections go on while another's rules are there, such as
    /// kube-proxy's: with the last rule that translates addresses the kernel stops translating.
    #[arg(long, help_heading = "Instead of running", conflicts_with_all = ["config", "kubeconfig"])]
    pub cleanup: bool,

    /// Where /healthz and /livez are answered; empty: nowhere. Default: 0.0.0.0:10256
    #[arg(long, value_name = "IP:PORT", value_parser = parse_health, help_heading = "Being asked")]
    pub healthz_bind_address: Option<Bind>,
    /// Where /metrics, /metrics/services and /proxyMode are answered; empty: nowhere. Default: 127.0.0.1:10249
    #[arg(long, value_name = "IP:PORT", value_parser = parse_metrics, help_heading = "Being asked")]
    pub metrics_bind_address: Option<Bind>,
    /// End when one of these two ports is taken. Otherwise it is told, and tried again.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Being asked")]
    pub bind_address_hard_fail: Option<bool>,

    /// At which of the machine's addresses node ports answer: ranges with commas between them, or the words primary
    /// (the addresses of the node's object) and all. Default: primary; all where the file of --config says the mode
    /// iptables or ipvs
    #[arg(long, value_name = "RANGES", value_parser = parse_node_ports, help_heading = "Traffic")]
    pub nodeport_addresses: Option<NodePorts>,
    /// How traffic of Pods is told from others', which is masqueraded when it goes to a cluster IP: NodeCIDR (by the
    /// ranges of the node's object), ClusterCIDR, BridgeInterface or InterfaceNamePrefix (by the interface by which it
    /// comes). Default: ClusterCIDR where --config or --cluster-cidr is given, else NodeCIDR
    #[arg(long, value_name = "MODE", value_parser = options::parse_local_mode, help_heading = "Traffic")]
    pub detect_local_mode: Option<LocalMode>,
    /// The range of the cluster's Pods, or one of each family with a comma between.
    #[arg(long, value_name = "CIDR", value_parser = parse_cluster_cidr, help_heading = "Traffic")]
    pub cluster_cidr: Option<ClusterCidr>,
    /// The bridge by which traffic of this node's Pods comes, for --detect-local-mode BridgeInterface.
    #[arg(long, value_name = "NAME", value_parser = options::parse_interface, help_heading = "Traffic")]
    pub pod_bridge_interface: Option<InterfaceName>,
    /// How the names of the interfaces of this node's Pods begin, for --detect-local-mode InterfaceNamePrefix.
    #[arg(long, value_name = "PREFIX", value_parser = options::parse_interface, help_heading = "Traffic")]
    pub pod_interface_name_prefix: Option<InterfaceName>,
    /// Masquerade all traffic to cluster IPs, that of Pods too.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Traffic")]
    pub masquerade_all: Option<bool>,
    /// The bit of the packet mark that says "masquerade" while a packet is on its way: 0 to 31. Default: 14
    #[arg(long, value_name = "BIT", value_parser = parse_mark_bit, visible_alias = "iptables-masquerade-bit", help_heading = "Traffic")]
    pub masquerade_bit: Option<u8>,
    /// The API server's --service-node-port-range: ports that masquerade leaves alone. Default: 30000-32767
    #[arg(long, value_name = "FIRST-LAST", value_parser = super::parse_port_range, help_heading = "Traffic")]
    pub service_node_port_range: Option<(u16, u16)>,
    /// The node's own address of one family, where it is to be another than its object says. Nothing is bound to it.
    #[arg(long, value_name = "IP", value_parser = parse_ip, help_heading = "Traffic")]
    pub bind_address: Option<IpAddr>,

    /// Announce the addresses of Services of type LoadBalancer on the node's network, by ARP and neighbour discovery, as
    /// one of the nodes that do. Addresses are given by `portolan controller`.
    #[arg(long, help_heading = "Traffic")]
    pub load_balancer: bool,

    /// Write into the kernel whose each element is: `nft list table ip portolan` shows NAMESPACE/NAME:PORT. Costs the
    /// kernel the length of the text.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Seeing it")]
    pub rule_comments: Option<bool>,
    /// Count connections, and refused ones, by Service: /metrics/services shows them. Default: true
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "Seeing it")]
    pub service_counters: Option<bool>,

    /// Connections that conntrack remembers, for each core; 0 leaves the machine's limit as it is. Default: 32768
    #[arg(long, value_name = "COUNT", help_heading = "The machine")]
    pub conntrack_max_per_core: Option<u32>,
    /// Connections that conntrack remembers at least. Default: 131072
    #[arg(long, value_name = "COUNT", help_heading = "The machine")]
    pub conntrack_min: Option<u32>,
    /// How long an established TCP connection is remembered; 0s leaves it as it is. Default: 24h
    #[arg(long, value_name = "DURATION", value_parser = options::parse_duration, help_heading = "The machine")]
    pub conntrack_tcp_timeout_established: Option<Duration>,
    /// How long a TCP connection is remembered that one side has closed; 0s leaves it as it is. Default: 1h
    #[arg(long, value_name = "DURATION", value_parser = options::parse_duration, help_heading = "The machine")]
    pub conntrack_tcp_timeout_close_wait: Option<Duration>,
    /// Whether TCP packets out of their connection's window are taken for its own: otherwise they may reset it. Default:
    /// true
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = "The machine")]
    pub conntrack_tcp_be_liberal: Option<bool>,
    /// How long a UDP flow without answers is remembered. Default: as it is
    #[arg(long, value_name = "DURATION", value_parser = options::parse_duration, help_heading = "The machine")]
    pub conntrack_udp_timeout: Option<Duration>,
    /// How long a UDP flow with answers is remembered. Default: as it is
    #[arg(long, value_name = "DURATION", value_parser = options::parse_duration, help_heading = "The machine")]
    pub conntrack_udp_timeout_stream: Option<Duration>,
    /// How willingly the kernel kills the agent when memory is short: -1000 to 1000. Default: -999
    #[arg(long, value_name = "SCORE", value_parser = parse_oom_score_adj, allow_negative_numbers = true, help_heading = "The machine")]
    pub oom_score_adj: Option<i32>,
    /// Answer DNS too: at the cluster's DNS address (that of the Service kube-system/kube-dns), on this node and without
    /// conntrack, for Pods and for the node itself. While it cannot, that Service's endpoints are asked.
    #[arg(long, help_heading = "DNS")]
    pub dns: bool,
    /// The cluster's domain.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local", requires = "dns", help_heading = "DNS")]
    pub cluster_domain: String,
    /// Where other names are asked for. May be repeated. Default: the name servers of /etc/resolv.conf
    #[arg(long, value_name = "IP[:PORT]", value_parser = super::parse_upstream, requires = "dns", help_heading = "DNS")]
    pub upstream_dns: Vec<SocketAddr>,
    /// A configuration file of CoreDNS': what it says is not said by flags. Where it listens, and its health, readiness and
    /// metrics mean nothing here: it answers at the cluster's DNS address, and counts at /metrics/dns of the agent.
    #[arg(long, value_name = "FILE", requires = "dns", conflicts_with_all = ["cluster_domain", "upstream_dns", "complete_searches"], help_heading = "DNS")]
    pub corefile: Option<PathBuf>,
    /// Go through the search path for a Pod that asks (`ndots:5`): its first question leads to the name that it means.
    #[arg(long, requires = "dns", help_heading = "DNS")]
    pub complete_searches: bool,
    /// Whose questions are answered, beside private, link-local and loopback addresses. May be repeated.
    #[arg(long, value_name = "CIDR", value_parser = super::dns::parse_network, requires = "dns", help_heading = "DNS")]
    pub dns_client: Vec<IpNet>,

    /// kube-proxy's mode. It is nftables here, whatever is said.
    #[arg(long, value_name = "MODE", hide = true)]
    pub proxy_mode: Option<String>,
}

/// A type of its own: clap takes a list for a flag that may be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterCidr(pub Vec<IpNet>);

impl Agent {
    /// What the command line says.
    pub fn options(&self) -> Options {
        Options {
            kubeconfig: self.kubeconfig.clone(),
            // A variable of the environment that is empty says nothing.
            node_name: self.node_name.as_ref().map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()),
            bind_address: self.bind_address,
            health: self.healthz_bind_address,
            metrics: self.metrics_bind_address,
            bind_hard_fail: self.bind_address_hard_fail,
            local_mode: self.detect_local_mode,
            cluster_cidrs: self.cluster_cidr.clone().map(|ranges| ranges.0),
            bridge_interface: self.pod_bridge_interface,
            interface_name_prefix: self.pod_interface_name_prefix,
            node_ports: self.nodeport_addresses.clone(),
            masquerade_all: self.masquerade_all,
            masquerade_bit: self.masquerade_bit,
            oom_score_adj: self.oom_score_adj,
            node_port_range: self.service_node_port_range,
            comments: self.rule_comments,
            counters: self.service_counters,
            conntrack: ConntrackOptions {
                max_per_core: self.conntrack_max_per_core,
                min: self.conntrack_min,
                tcp_established: self.conntrack_tcp_timeout_established,
                tcp_close_wait: self.conntrack_tcp_timeout_close_wait,
                tcp_be_liberal: self.conntrack_tcp_be_liberal,
                udp: self.conntrack_udp_timeout,
                udp_stream: self.conntrack_udp_timeout_stream,
            },
        }
    }
}

fn bind(text: &str, port: u16) -> Result<Bind, String> {
    match text {
        "" => Ok(Bind::Off),
        text => options::parse_bind(text, port).map(|address: SocketAddr| Bind::At(address)),
    }
}

fn parse_health(text: &str) -> Result<Bind, String> {
    bind(text, HEALTH_PORT)
}

fn parse_metrics(text: &str) -> Result<Bind, String> {
    bind(text, METRICS_PORT)
}

fn parse_node_ports(text: &str) -> Result<NodePorts, String> {
    options::parse_node_ports(text.split(','))
}

fn parse_cluster_cidr(text: &str) -> Result<ClusterCidr, String> {
    options::parse_cluster_cidrs(text).map(ClusterCidr)
}

fn parse_ip(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| "give an address, such as 192.0.2.7".to_owned())
}

fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| "give a whole number".to_owned())
}

fn parse_mark_bit(text: &str) -> Result<u8, String> {
    options::parse_mark_bit(number(text)?)
}

fn parse_oom_score_adj(text: &str) -> Result<i32, String> {
    options::parse_oom_score_adj(number(text)?)
}
