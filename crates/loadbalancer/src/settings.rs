//! What is chosen about load balancers: pools, and who announces them how. Read from YAML, of a ConfigMap or a file.
//!
//! ```yaml
//! default: true                 # Services without a loadBalancerClass are ours too
//! pools:
//!   - name: public
//!     addresses: [198.51.100.0/24, 203.0.113.10-203.0.113.20, "2001:db8::/120"]
//!     autoAssign: true          # false: only for who names the pool or an address of it
//!     avoidBuggyIPs: true       # none that ends in .0 or .255
//!     namespaces: [shop]        # only for these; with namespaceSelector: for either
//!     namespaceSelector: {matchLabels: {team: web}}
//!     serviceSelector: {matchLabels: {expose: "yes"}}
//! announce:
//!   nodeSelector: {matchLabels: {role: edge}}
//!   interfaces: [eth0]          # default: the one of the node's own address
//!   leaseMilliseconds: 700      # a node that was silent for so long is followed; longer where the API server is slow
//! bgp:
//!   as: 64512                   # ours
//!   aggregationLength: 32       # of IPv4; aggregationLengthV6: 128
//!   peers:
//!     - address: 192.0.2.1
//!       as: 64500
//!       port: 179
//!       holdTime: 90            # seconds
//!       hops: 1                 # more: not on the same network
//!       passive: false          # true: the router begins
//!       password: secret        # TCP MD5; or passwordSecret: {name: a-secret, key: password}, of kube-system
//!       gracefulRestart: 120    # seconds; left out: none
//!       localPreference: 100    # within the own AS
//!       communities: ["64512:100"]
//!       bfd: {transmitMilliseconds: 100, receiveMilliseconds: 100, multiplier: 3}   # left out: none
//!       nodeSelector: {matchLabels: {rack: a}}
//! providers:                    # load balancers of others, which are told over HTTP
//!   - class: example.com/haproxy
//!     url: https://192.0.2.9:8443
//!     tokenSecret: {name: a-secret, key: token}   # of kube-system
//!     ca: |                     # in PEM; left out: the machine's
//!       -----BEGIN CERTIFICATE-----
//!     timeoutSeconds: 10
//! ```
//!
//! Every mistake is told, not only the first; with one mistake nothing of it is used.

mod providers;
mod routers;

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;

pub use providers::Outside;
pub use routers::{Bgp, Router};

use crate::pool::Pool;
use crate::selector::{Labels, Selector};

/// The class that a Service asks for us by (`spec.loadBalancerClass`).
pub const CLASS: &str = "portolan.dev/lb";
/// The name of the pool that a flag describes.
pub const FLAG_POOL: &str = "default";
/// How long a renewal of a node's lease lasts, if nothing is said. What a node that dies without a word held is taken over
/// so much later, and a little.
pub const LEASE: Duration = Duration::from_millis(700);
/// The shortest and longest that can be chosen: five renewals must find their way, and somebody must wait for the end.
const LEASES: std::ops::RangeInclusive<u64> = 300..=60_000;
/// The longest name of an interface (`IFNAMSIZ` without its zero).
const LONGEST_INTERFACE: usize = 15;

/// All that is chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether Services without a class are ours.
    pub default: bool,
    /// The pools, in the order in which they are tried.
    pub pools: Vec<NamedPool>,
    /// Who announces.
    pub announce: Announce,
    /// Which routers are told.
    pub bgp: Option<Bgp>,
    /// Load balancers of others.
    pub providers: Vec<Outside>,
}

/// A pool, and who may have addresses of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPool {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Pool,
    /// Whether a Service that names neither the pool nor an address may get one of it.
    pub auto_assign: bool,
    /// Whether addresses that end in .0 and .255 are left out.
    pub avoid_buggy: bool,
    /// Namespaces that may use it, beside those that are selected.
    pub namespaces: BTreeSet<String>,
    /// Namespaces that may use it, by their labels. Neither this nor names: all.
    pub namespace_selector: Option<Selector>,
    /// Services that may use it, by their labels.
    pub service_selector: Option<Selector>,
}

/// Who announces, on what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announce {
    /// The nodes that may, by their labels.
    pub node_selector: Option<Selector>,
    /// The interfaces, of each node those that it has; none: that of its own address.
    pub interfaces: Vec<String>,
    /// How long a renewal of a node's lease lasts.
    pub lease: Duration,
}

impl Default for Announce {
    fn default() -> Self {
        Self { node_selector: None, interfaces: Vec::new(), lease: LEASE }
    }
}

/// Why settings are not used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SettingsError {
    /// It is no YAML of this shape.
    #[error("it cannot be read: {0}")]
    Shape(String),
    /// What it says cannot be meant.
    #[error("{}", .0.join("; "))]
    Mistakes(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Wire {
    default: bool,
    pools: Vec<WirePool>,
    announce: WireAnnounce,
    bgp: Option<routers::Wire>,
    providers: Vec<providers::Wire>,
}

impl Default for Wire {
    fn default() -> Self {
        let (pools, providers) = (Vec::new(), Vec::new());
        Self { default: true, pools, announce: WireAnnounce::default(), bgp: None, providers }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WirePool {
    name: String,
    addresses: Vec<String>,
    #[serde(default = "yes")]
    auto_assign: bool,
    #[serde(default, rename = "avoidBuggyIPs")]
    avoid_buggy: bool,
    #[serde(default)]
    namespaces: BTreeSet<String>,
    namespace_selector: Option<Selector>,
    service_selector: Option<Selector>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct WireAnnounce {
    node_selector: Option<Selector>,
    interfaces: Vec<String>,
    lease_milliseconds: Option<u64>,
}

fn yes() -> bool {
    true
}

impl Settings {
    /// One pool for everybody, as a flag describes it.
    pub fn of_pool(addresses: Pool) -> Self {
        let pool = NamedPool {
            name: FLAG_POOL.to_owned(),
            addresses,
            auto_assign: true,
            avoid_buggy: false,
            namespaces: BTreeSet::new(),
            namespace_selector: None,
            service_selector: None,
        };
        let announce = Announce::default();
        Self { default: true, pools: vec![pool], announce, bgp: None, providers: Vec::new() }
    }

    /// Reads them from YAML.
    ///
    /// # Errors
    /// When it has another shape, or with every mistake that is in it.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let wire: Wire = serde_saphyr::from_str(text).map_err(|error| SettingsError::Shape(error.to_string()))?;
        let mut mistakes = Vec::new();
        let pools: Vec<NamedPool> = wire.pools.into_iter().filter_map(|pool| pool.check(&mut mistakes)).collect();
        for (i, pool) in pools.iter().enumerate() {
            for other in &pools[..i] {
                if other.name == pool.name {
                    mistakes.push(format!("two pools are called {}", pool.name));
                } else if let Some(address) = other.addresses.overlap(&pool.addresses) {
                    mistakes.push(format!("the pools {} and {} both have {address}", other.name, pool.name));
                }
            }
        }
        let announce = wire.announce.check(&mut mistakes);
        let bgp = wire.bgp.map(|bgp| bgp.check(&mut mistakes));
        let providers: Vec<Outside> = wire.providers.into_iter().map(|one| one.check(&mut mistakes)).collect();
        for (i, one) in providers.iter().enumerate() {
            if providers[..i].iter().any(|other| other.class == one.class) {
                mistakes.push(format!("two providers are for {}", one.class));
            }
        }
        if mistakes.is_empty() {
            Ok(Self { default: wire.default, pools, announce, bgp, providers })
        } else {
            Err(SettingsError::Mistakes(mistakes))
        }
    }

    /// The provider for a class.
    pub fn provider(&self, class: &str) -> Option<&Outside> {
        self.providers.iter().find(|provider| provider.class == class)
    }

    /// Whether a Service of this class is ours.
    pub fn is_ours(&self, class: Option<&str>) -> bool {
        class.map_or(self.default, |class| class == CLASS)
    }
}

impl WirePool {
    fn check(self, mistakes: &mut Vec<String>) -> Option<NamedPool> {
        let name = &self.name;
        let before = mistakes.len();
        if name.is_empty() || name.len() > 63 || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            mistakes.push(format!("{name:?} is no name of a pool: give letters, digits and dashes, at most 63"));
        }
        let addresses = self.addresses.join(",").parse::<Pool>();
        if let Err(error) = &addresses {
            mistakes.push(format!("pool {name}: {error}"));
        }
        for (what, selector) in
            [("namespaceSelector", &self.namespace_selector), ("serviceSelector", &self.service_selector)]
        {
            let found = selector.iter().flat_map(Selector::mistakes);
            mistakes.extend(found.map(|mistake| format!("pool {name}: {what}: {mistake}")));
        }
        let addresses = addresses.ok().filter(|_| mistakes.len() == before)?;
        Some(NamedPool {
            addresses,
            name: self.name,
            auto_assign: self.auto_assign,
            avoid_buggy: self.avoid_buggy,
            namespaces: self.namespaces,
            namespace_selector: self.namespace_selector,
            service_selector: self.service_selector,
        })
    }
}

impl WireAnnounce {
    fn check(self, mistakes: &mut Vec<String>) -> Announce {
        let found = self.node_selector.iter().flat_map(Selector::mistakes);
        mistakes.extend(found.map(|mistake| format!("announce: nodeSelector: {mistake}")));
        for name in &self.interfaces {
            if name.is_empty() || name.len() > LONGEST_INTERFACE || name.contains(['/', ' ']) {
                mistakes.push(format!("announce: {name:?} is no name of an interface"));
            }
        }
        if self.lease_milliseconds.is_some_and(|lease| !LEASES.contains(&lease)) {
            let (from, to) = (LEASES.start(), LEASES.end());
            mistakes.push(format!("announce: leaseMilliseconds is at least {from} and at most {to}"));
        }
        let lease = self.lease_milliseconds.map_or(LEASE, Duration::from_millis);
        Announce { node_selector: self.node_selector, interfaces: self.interfaces, lease }
    }
}

impl NamedPool {
    /// Whether a Service may have an address of it.
    pub fn admits(&self, namespace: &str, namespace_labels: &Labels, labels: &Labels) -> bool {
        let everywhere = self.namespaces.is_empty() && self.namespace_selector.is_none();
        let selected = self.namespace_selector.as_ref().is_some_and(|selector| selector.matches(namespace_labels));
        (everywhere || selected || self.namespaces.contains(namespace))
            && self.service_selector.as_ref().is_none_or(|selector| selector.matches(labels))
    }
}

#[cfg(test)]
mod tests;
