//! How names outside the cluster are looked up: a plain struct that flags, a Corefile or a test fill.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::name::Name;
use crate::protocol::rcode;

use super::keep::Keep;

/// The port of DNS.
pub const PORT: u16 = 53;
/// The port of DNS over TLS (RFC 7858).
pub const TLS_PORT: u16 = 853;

/// How names outside the cluster are looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Who is asked for which names. The route whose zone has the most labels in common with a name is taken; names
    /// that no route holds are refused.
    pub routes: Vec<Route>,
    /// How long all servers of a route together may take; less than the five seconds after which askers ask again.
    pub deadline: Duration,
    /// The most names that are looked up at once; above, questions fail at once.
    pub lookups: usize,
    /// Octets that the cache may take, about; 0 for none.
    pub cache_weight: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { routes: Vec::new(), deadline: Duration::from_millis(4500), lookups: 1000, cache_weight: 4 << 20 }
    }
}

impl Settings {
    /// Every name is asked of these servers, over UDP and TCP, in their order.
    pub fn to(upstreams: impl IntoIterator<Item = SocketAddr>) -> Self {
        Self { routes: vec![Route::to(root(), upstreams)], ..Self::default() }
    }
}

/// Who is asked for the names of one zone, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The zone; the root stands for every name.
    pub zone: Name,
    /// Zones within it that are not asked for here.
    pub except: Vec<Name>,
    /// The servers.
    pub upstreams: Vec<Upstream>,
    /// Which server is asked first.
    pub policy: Policy,
    /// Whether plain servers are asked over TCP alone.
    pub force_tcp: bool,
    /// How long one server may take to answer.
    pub patience: Duration,
    /// The most exchanges that one name is worth; 0 stands for as many as the deadline allows.
    pub attempts: usize,
    /// Probes in a row that must fail before a server counts as down; 0 for never, and no probes.
    pub max_fails: u32,
    /// How servers are probed that were of no help.
    pub probe: Probe,
    /// Response codes upon which the next server is asked.
    pub failover: Vec<u16>,
    /// Whether names fail at once while every server is down. Otherwise some server is asked all the same.
    pub fail_fast: bool,
    /// The most names of this route that are looked up at once; above, questions fail at once.
    pub max_concurrent: usize,
    /// How long a connection without a question stays open.
    pub idle: Duration,
    /// The most connections without a question that stay open, for each server.
    pub idle_most: usize,
    /// The address that questions leave from; `None` leaves it to the kernel.
    pub source: Option<IpAddr>,
    /// What is kept of the answers, and for how long.
    pub keep: Keep,
}

impl Route {
    /// Names of a zone are asked of these servers, over UDP and TCP, in their order.
    pub fn to(zone: Name, upstreams: impl IntoIterator<Item = SocketAddr>) -> Self {
        let upstreams = upstreams.into_iter().map(Upstream::plain).collect();
        Self {
            zone,
            except: Vec::new(),
            upstreams,
            policy: Policy::Sequential,
            force_tcp: false,
            patience: Duration::from_secs(2),
            attempts: 0,
            max_fails: 2,
            probe: Probe::default(),
            failover: vec![rcode::SERVFAIL, rcode::REFUSED],
            fail_fast: false,
            max_concurrent: usize::MAX,
            idle: Duration::from_secs(10),
            idle_most: 64,
            source: None,
            keep: Keep::default(),
        }
    }
}

/// An upstream server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its address.
    pub address: SocketAddr,
    /// How it is spoken to over TLS; `None` stands for UDP and TCP.
    pub tls: Option<Tls>,
}

impl Upstream {
    /// A server that is spoken to over UDP and TCP.
    #[must_use]
    pub fn plain(address: SocketAddr) -> Self {
        Self { address, tls: None }
    }
}

/// DNS over TLS (RFC 7858). The server's certificate is always verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The name that the certificate must have; `None` stands for the server's address.
    pub name: Option<String>,
    /// A file with the authorities that are trusted, as PEM; `None` stands for the system's.
    pub authorities: Option<PathBuf>,
    /// Files with our own certificate and its key, as PEM, for servers that ask for one.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// Which of several servers is asked first. Those that have just been of no help come last whatever the policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Policy {
    /// In the order as configured, as resolv.conf(5) has it.
    #[default]
    Sequential,
    /// Each in turn.
    RoundRobin,
    /// Any.
    Random,
}

/// How a server is probed that was of no help, until it answers. Any answer at all is a good one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The time between two probes.
    pub interval: Duration,
    /// The name whose NS records are asked for.
    pub name: Name,
    /// Whether the server may ask others for it.
    pub recursion: bool,
}

impl Default for Probe {
    fn default() -> Self {
        Self { interval: Duration::from_millis(500), name: root(), recursion: true }
    }
}

/// The root's name.
fn root() -> Name {
    Name::from_wire(&[0])
}

/// The name servers of a resolv.conf(5), in their order, at most `most` of them. Lines that cannot be read are passed
/// over, as resolvers do.
#[must_use]
pub fn resolv_conf(text: &str, most: usize) -> Vec<SocketAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
        // A link-local address may name its interface by number or name; std reads numbers alone.
        if let Some((address, scope)) = address.split_once('%') {
            let scope = scope.parse().ok()?;
            return Some(SocketAddr::V6(std::net::SocketAddrV6::new(address.parse().ok()?, PORT, 0, scope)));
        }
        Some(SocketAddr::new(address.parse().ok()?, PORT))
    };
    text.lines().filter_map(server).take(most).collect()
}

/// The search path of a resolv.conf(5): the domains of its last `search` or `domain`, without those that are no names.
#[must_use]
pub fn search_domains(text: &str) -> Vec<String> {
    let path = |line: &str| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| matches!(*word, "search" | "domain"))?;
        let is_name = |word: &&str| Name::parse(word).is_ok_and(|name| name.label_count() > 0);
        Some(words.filter(is_name).map(|word| word.trim_end_matches('.').to_owned()).collect())
    };
    text.lines().filter_map(path).next_back().unwrap_or_default()
}
