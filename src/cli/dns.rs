//! `portolan dns`: what its flags mean.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use dns::index::{Fallthrough, PodNames};
use ipnet::IpNet;
use node::proxy::options;

/// `portolan dns`
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "In CoreDNS' place: the same names, ports and metrics, from the API's watch. Before everything is known answers are SERVFAIL\n\
                  and /ready says 503; while the API is away, names are answered as they were known last.\n\
                  \n\
                  Questions from addresses of the Internet meet silence, as they may be forged: --client says otherwise."
)]
pub struct Dns {
    /// How to reach the API server, and as whom. Default: $KUBECONFIG, else the service account of the Pod that it runs in.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// A configuration file of CoreDNS'. What it says is not said by flags, but for --listen and --client, which win. A plugin
    /// or an option that is not known is refused, with its line; `reload` in it follows its changes.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["zone", "reverse_range", "reverse_fallthrough", "pods", "endpoint_pod_names", "namespace", "ttl", "negative_ttl", "allow_transfer", "complete_searches", "upstream", "no_upstream", "health_address", "ready_address", "metrics_address", "lameduck", "workers"])]
    pub corefile: Option<PathBuf>,
    /// Write a line of JSON for each question and its answer to the end of this file; - stands for standard output. With a
    /// Corefile, its `log` chooses zones and classes.
    #[arg(long, value_name = "FILE")]
    pub query_log: Option<PathBuf>,
    /// Write one of so many questions alone; lines that do not fit the queue are counted and left out.
    #[arg(long, value_name = "COUNT", default_value_t = 1, requires = "query_log", value_parser = clap::value_parser!(u32).range(1..))]
    pub query_log_one_in: u32,
    /// Where questions are answered, over UDP and TCP. May be repeated. Default: port 53 of every address
    #[arg(long, value_name = "IP:PORT", value_parser = super::parse_listen)]
    pub listen: Vec<SocketAddr>,
    /// UDP threads for each address. Default: one a core, at most eight
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    pub workers: usize,

    /// The cluster's domain. May be repeated: PTR records lead into the first.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local", help_heading = "The cluster's names")]
    pub zone: Vec<String>,
    /// A range whose addresses lead back to names. May be repeated. Default: every address
    #[arg(long, value_name = "CIDR", value_parser = parse_network, help_heading = "The cluster's names")]
    pub reverse_range: Vec<IpNet>,
    /// Which addresses that are nothing of the cluster's are asked of upstream servers for their names.
    #[arg(long, value_name = "WHICH", value_enum, default_value_t, help_heading = "The cluster's names")]
    pub reverse_fallthrough: Reverse,
    /// What 10-1-2-3.NAMESPACE.pod.DOMAIN stands for.
    #[arg(long, value_name = "MODE", value_enum, default_value_t, help_heading = "The cluster's names")]
    pub pods: Pods,
    /// Name endpoints without a hostname after their Pods.
    #[arg(long, help_heading = "The cluster's names")]
    pub endpoint_pod_names: bool,
    /// The namespace whose names exist. May be repeated. Default: all
    #[arg(long, value_name = "NAMESPACE", help_heading = "The cluster's names")]
    pub namespace: Vec<String>,
    /// Seconds for which answers may be kept.
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(..=3600), help_heading = "The cluster's names")]
    pub ttl: u32,
    /// Seconds for which it may be kept that a name does not exist.
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(..=3600), help_heading = "The cluster's names")]
    pub negative_ttl: u32,
    /// Who may have the whole zone (AXFR). May be repeated. Default: nobody
    #[arg(long, value_name = "CIDR", value_parser = parse_network, help_heading = "The cluster's names")]
    pub allow_transfer: Vec<IpNet>,

    /// Go through the search path for a Pod that asks (`ndots:5`): its first question leads to the name that it means. The
    /// question's own namespace, the asker's address and a Pod there that has the cluster's search path have to agree.
    #[arg(long, help_heading = "Other names")]
    pub complete_searches: bool,
    /// Where other names are asked for. May be repeated. Default: the name servers of /etc/resolv.conf
    #[arg(long, value_name = "IP[:PORT]", value_parser = super::parse_upstream, help_heading = "Other names")]
    pub upstream: Vec<SocketAddr>,
    /// Ask nobody for other names: they are refused.
    #[arg(long, conflicts_with = "upstream", help_heading = "Other names")]
    pub no_upstream: bool,

    /// Whose questions are answered: others meet silence. May be repeated; 0.0.0.0/0 and ::/0 stand for everybody.
    /// Default: private, link-local and loopback addresses
    #[arg(long, value_name = "CIDR", value_parser = parse_network, help_heading = "Being asked")]
    pub client: Vec<IpNet>,
    /// Where /health is answered; empty: nowhere. Default: port 8080 of every address
    #[arg(long, value_name = "IP:PORT", value_parser = parse_health, help_heading = "Being asked")]
    pub health_address: Option<options::Bind>,
    /// Where /ready is answered; empty: nowhere. Default: port 8181 of every address
    #[arg(long, value_name = "IP:PORT", value_parser = parse_ready, help_heading = "Being asked")]
    pub ready_address: Option<options::Bind>,
    /// Where /metrics is answered; empty: nowhere. Default: port 9153 of every address
    #[arg(long, value_name = "IP:PORT", value_parser = parse_metrics, help_heading = "Being asked")]
    pub metrics_address: Option<options::Bind>,
    /// How long to go on answering, unhealthy, when told to end.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = options::parse_duration, help_heading = "Being asked")]
    pub lameduck: Duration,
}

/// What names of Pods by their addresses stand for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Pods {
    /// Nothing: they do not exist
    Disabled,
    /// The address that they spell, whether such a Pod exists or not
    #[default]
    Insecure,
    /// The address that they spell, where a Pod of that namespace has it
    Verified,
}

impl From<Pods> for PodNames {
    fn from(pods: Pods) -> Self {
        match pods {
            Pods::Disabled => Self::Disabled,
            Pods::Insecure => Self::Insecure,
            Pods::Verified => Self::Verified,
        }
    }
}

/// Which reverse names that nothing is known of are asked of upstream servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Reverse {
    /// None
    None,
    /// Those that mean something outside: not those of private addresses
    #[default]
    Public,
    /// All
    All,
}

impl From<Reverse> for Fallthrough {
    fn from(reverse: Reverse) -> Self {
        match reverse {
            Reverse::None => Self::None,
            Reverse::Public => Self::Public,
            Reverse::All => Self::All,
        }
    }
}

pub(super) fn parse_network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse().ok().map(|address: std::net::IpAddr| IpNet::from(address));
    text.parse().ok().or_else(address).ok_or_else(|| "give a range, such as 10.0.0.0/8".to_owned())
}

fn bind(text: &str, port: u16) -> Result<options::Bind, String> {
    if text.is_empty() { Ok(options::Bind::Off) } else { options::parse_bind(text, port).map(options::Bind::At) }
}

fn parse_health(text: &str) -> Result<options::Bind, String> {
    bind(text, 8080)
}

fn parse_ready(text: &str) -> Result<options::Bind, String> {
    bind(text, 8181)
}

fn parse_metrics(text: &str) -> Result<options::Bind, String> {
    bind(text, 9153)
}
