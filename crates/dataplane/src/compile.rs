//! Routes become rules.
//!
//! The program is small and the same for every cluster; Services are elements of its maps. A packet's way through it:
//!
//! ```text
//! prerouting, output (nat, dstnat)
//!   jump services
//! output, behind that
//!   ip daddr 127.0.0.0/8 ... th dport map @node-ports ... redirect to :meta l4proto map @loopback-relay
//! services
//!   meta priority set ip daddr . meta l4proto . th dport map @services meta priority vmap @classes
//!   ip daddr @cluster-ips reject                        # another port of a Service
//!   ip daddr @service-cidrs drop                        # nobody's address
//!   ... th dport map @node-ports ... vmap @classes      # behind "fib daddr type local"
//! masq-outside-n3                                       # a class: made for the first Service that is of it
//!   ip saddr != @pod-cidrs iifname != @pod-interfaces meta mark set meta mark | 0x00004000
//!   goto n3
//! n3                                                    # a pick: one of three endpoints
//!   add @connections { ip daddr . meta l4proto . th dport counter }
//!   dnat to ip daddr . meta l4proto . th dport . numgen random mod 3 map @endpoints
//! postrouting (nat, srcnat)
//!   meta mark & 0x00004000 == 0x00004000 meta mark set meta mark & 0xffffbfff goto masquerade
//!   ip saddr . ip daddr @hairpins ct status dnat goto masquerade
//! masquerade                                            # from ports that are no node port
//!   th sport < 1024 masquerade fully-random
//!   numgen random mod 2 0 masquerade to :1024-29999 fully-random
//!   masquerade to :32768-65535 fully-random
//! ```
//!
//! Where nodes choose alike, there is a chain before all that (`consistent`). It needs Linux 5.13, as kube-proxy's does. Seven things are not obvious:
//!
//! - **A Service's element holds a number, not a verdict** ([`Class`]). The kernel validates the whole table whenever a
//!   verdict is added: at 10,000 Services that makes a change cost 1.0 ms, at 30,000 3.1 ms; with numbers it is 0.01 ms
//!   at any size.
//! - **The number travels in `meta priority`**, for the length of one rule, and is zero again when the packet leaves
//!   the program. A register would do, but nft 1.0.6 aborts when it lists a look-up whose key is another look-up's
//!   result. The mark is no place for it: its other bits belong to others and could not be put back. What is lost is the
//!   traffic-control priority of a connection's first packet; forwarded packets get theirs after prerouting anyway.
//! - **Everything is decided in nat chains**, rejections too (the kernel can since 5.9). They see the first packet of a
//!   connection only: packets of established connections, of whomever, pass no rule of ours.
//! - **Affinity** is one dynamic map from client and Service port to a *number* of an endpoint. Whichever address of the
//!   port a packet has, the slots behind it hold numbers, and their upper bits are the port's own
//!   ([`Numbers`](crate::route::Numbers)): so any slot says for which port the client is looked up, and one
//!   `meta priority` holds port and endpoint. Another map says which endpoint has a number now: when it is gone, its
//!   clients' entries lead nowhere and a new choice is made.
//! - **Masquerade keeps off node ports.** The kernel's own choice is any port from 1024 on, node ports too: then answers
//!   that come late, when the connection is forgotten, are new connections to somebody's Service (kubernetes#139276).
//!   Ports below 1024 stay below, as the kernel keeps them: some servers trust them more.
//! - **Who may use a load balancer** is looked up once for each length that its ranges have ([`Lengths`]).
//! - **Counters are filled by packets**, into sets of their own. On the elements of `services` they would begin at zero
//!   whenever a Service gets another class, as with each endpoint that comes or goes. As it is, a change costs nothing
//!   more, a Service without connections takes no memory, and counting that fails (the set is full) fails alone.

use std::ops::RangeInclusive;
use std::sync::Arc;

use nft::{Family as TableFamily, Set, TableId};

use crate::model::Family;

mod class;
mod comment;
mod consistent;
mod elements;
mod fields;
mod intervals;
mod key;
mod lengths;
mod map;
mod program;

pub use class::{Action, Class, Pick, Stay};
pub(crate) use elements::{endpoint_hash, number_key, slot_key};
pub(crate) use fields::{destination_of, endpoint_of};
pub use key::Key;
pub use lengths::Lengths;
pub use map::Map;

/// What can be chosen about the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The table's name, in each family.
    pub table: String,
    /// The families that are served, each by a table of its own.
    pub families: Vec<Family>,
    /// The bits of the packet mark that say "masquerade" between the choice of an endpoint and postrouting, where they
    /// are cleared again. Other bits are never touched. kube-proxy's is 0x4000.
    pub masquerade_mark: u32,
    /// How many clients with affinity are remembered, of all Services together; and how many connections that are passed
    /// on to other nodes. One takes about 150 bytes of the
    /// kernel's memory. When there are more, the newest are not remembered.
    pub affinity_size: u32,
    /// The API server's `--service-node-port-range`: ports that masquerade never takes as a source port.
    pub node_port_range: RangeInclusive<u16>,
    /// Whether the elements that belong to one Service say so: `nft list` shows `comment "namespace/name:port"`. Costs
    /// the kernel the length of the text for each. An element keeps its comment until it is made anew.
    pub comments: bool,
    /// Whether connections are counted, by Service. What it costs stands with [`Config::counters_size`].
    pub counters: bool,
    /// How many addresses with their ports are counted at most, of all Services together. One that had a connection
    /// takes about 150 bytes of the kernel's memory; the others take nothing.
    pub counters_size: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            table: "portolan".to_owned(),
            families: vec![Family::V4],
            masquerade_mark: 0x4000,
            affinity_size: 262_144,
            node_port_range: 30_000..=32_767,
            comments: false,
            counters: true,
            counters_size: 131_072,
        }
    }
}

/// Why a configuration cannot be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The kernel takes names of 1 to 255 bytes.
    #[error("a table's name has 1 to 255 bytes")]
    TableName,
    /// With no bit everything would be masqueraded.
    #[error("the masquerade mark has no bit")]
    NoMark,
    /// Each family once, and at least one.
    #[error("the families must be IPv4, IPv6 or both, each once")]
    Families,
    /// A set that packets fill has a size.
    #[error("no client with affinity could be remembered")]
    AffinitySize,
    /// So does what counts.
    #[error("no Service could be counted")]
    CountersSize,
    /// Masquerade needs some ports from 1024 on.
    #[error("node ports {0} to {1} leave no port for masquerade")]
    NodePortRange(u16, u16),
}

impl Config {
    /// Whether it can be carried out.
    pub fn check(&self) -> Result<(), ConfigError> {
        match self {
            Config { table, .. } if table.is_empty() || table.len() > 255 => Err(ConfigError::TableName),
            Config { masquerade_mark: 0, .. } => Err(ConfigError::NoMark),
            Config { affinity_size: 0, .. } => Err(ConfigError::AffinitySize),
            Config { counters: true, counters_size: 0, .. } => Err(ConfigError::CountersSize),
            Config { node_port_range: range, .. } if masquerade_ranges(range).is_empty() => {
                Err(ConfigError::NodePortRange(*range.start(), *range.end()))
            }
            Config { families, .. } => match families[..] {
                [_] => Ok(()),
                [one, other] if one != other => Ok(()),
                _ => Err(ConfigError::Families),
            },
        }
    }
}

/// Makes rules for one family. Holds no state: the same routes give the same rules.
#[derive(Debug, Clone)]
pub struct Compiler {
    family: Family,
    table: TableId,
    mark: u32,
    /// From which ports is masqueraded.
    masquerade_ports: Vec<RangeInclusive<u16>>,
    comments: bool,
    /// `None`: nothing is counted.
    counted: Option<usize>,
    /// One a map, also of those that are not made.
    sets: Vec<Arc<Set>>,
}

/// The first port that an unprivileged process may have.
const FIRST_UNPRIVILEGED: u16 = 1024;

/// The ports from 1024 on that are no node ports: below them, and above.
fn masquerade_ranges(node_ports: &RangeInclusive<u16>) -> Vec<RangeInclusive<u16>> {
    if node_ports.is_empty() {
        return vec![FIRST_UNPRIVILEGED..=u16::MAX];
    }
    let below = FIRST_UNPRIVILEGED..=node_ports.start().saturating_sub(1);
    let above = node_ports.end().checked_add(1).map(|first| first.max(FIRST_UNPRIVILEGED)..=u16::MAX);
    std::iter::once(below).chain(above).filter(|range| !range.is_empty()).collect()
}

impl Compiler {
    /// For one family.
    pub fn new(config: &Config, family: Family) -> Compiler {
        let table_family = match family {
            Family::V4 => TableFamily::Ip,
            Family::V6 => TableFamily::Ip6,
        };
        let table = TableId::new(table_family, &config.table);
        let sets = Map::ALL.iter().map(|map| Arc::new(map.definition(&table, family, config))).collect();
        let masquerade_ports = masquerade_ranges(&config.node_port_range);
        let counted = config.counters.then_some(config.counters_size as usize);
        let (mark, comments) = (config.masquerade_mark, config.comments);
        Compiler { family, table, mark, masquerade_ports, comments, counted, sets }
    }

    /// The table that the rules are in.
    pub fn table(&self) -> &TableId {
        &self.table
    }

    /// The family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// All sets and maps, in order.
    pub fn sets(&self) -> &[Arc<Set>] {
        let made = if self.counted.is_some() { Map::ALL.len() } else { Map::COUNTERS[0] as usize };
        &self.sets[..made]
    }

    /// Whether elements bear the names of their Services.
    pub(crate) fn comments(&self) -> bool {
        self.comments
    }

    /// How many destinations can be counted; `None`: nothing is counted.
    pub(crate) fn counted(&self) -> Option<usize> {
        self.counted
    }

    /// One of them.
    pub fn set(&self, map: Map) -> &Arc<Set> {
        &self.sets[map as usize]
    }
}

#[cfg(test)]
mod tests;
