//! Classes: the ways in which destinations are served. Destinations that are served alike share one.

use std::fmt;

use ipnet::IpNet;

use crate::compile::key::Key;
use crate::compile::lengths::Lengths;
use crate::route::{Decision, List, Masquerade, PortRoutes, Route};

/// How a destination is served: a number in the kernel, and a chain for it. Its text is the chain's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    /// The lengths of the ranges whose sources are let in; none: everybody is.
    pub sources: Lengths,
    /// What becomes of those that are let in.
    pub action: Action,
}

/// What a class does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Tells the sender that nobody is there.
    Reject(Key),
    /// Says nothing.
    Drop(Key),
    /// To an endpoint.
    Forward {
        /// Whether the source is replaced.
        masquerade: Masquerade,
        /// Which endpoint.
        pick: Pick,
    },
    /// By where the packet comes from ([`Decision::BySource`]).
    BySource {
        /// For Pods and this node.
        cluster: Pick,
        /// For all others; `None`: they are dropped.
        local: Option<Pick>,
    },
}

/// A choice among endpoints: a chain. Its text is the chain's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pick {
    /// By what the destination is found.
    pub(super) key: Key,
    /// Of which list.
    pub(super) list: List,
    /// How many there are; at least one.
    pub(super) count: u32,
    /// Whether a client stays with its endpoint.
    pub(super) affinity: Option<Stay>,
}

/// That clients stay with their endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stay {
    /// For how long after the last connection.
    pub(super) seconds: u32,
    /// Whether the numbers by which they are remembered are of a wide block.
    pub(super) wide: bool,
}

impl Pick {
    /// Whether all nodes choose alike.
    pub(super) fn is_consistent(&self) -> bool {
        self.list == List::Consistent
    }

    /// Whether it chooses from this list.
    pub(crate) fn is_of(&self, list: List) -> bool {
        self.list == list
    }
}

impl Class {
    /// How a route is served, to which sources of these ranges are let in if it is firewalled.
    pub(crate) fn of(route: &Route, port: &PortRoutes, affinity: Option<u32>, sources: &[IpNet]) -> Class {
        let key = Key::of(&route.destination);
        let stay = |seconds| Some(Stay { seconds, wide: port.numbers.as_ref()?.block().is_wide() });
        let affinity = affinity.and_then(stay);
        let pick = |list| {
            let count = u32::try_from(port.list(list).len()).unwrap_or(u32::MAX);
            (count > 0).then_some(Pick { key, list, count, affinity })
        };
        let action = match route.decision {
            Decision::Reject => Action::Reject(key),
            Decision::Drop => Action::Drop(key),
            Decision::Forward { to, masquerade } => {
                pick(to).map_or(Action::Reject(key), |pick| Action::Forward { masquerade, pick })
            }
            Decision::BySource => pick(List::Cluster)
                .map_or(Action::Reject(key), |cluster| Action::BySource { cluster, local: pick(List::Local) }),
        };
        let sources = if route.firewalled { Lengths::of(sources) } else { Lengths::default() };
        Class { sources, action }
    }

    /// The class of a name; `None`: it is the name of none.
    pub fn from_name(name: &str) -> Option<Class> {
        let (sources, action) = match name.strip_prefix("firewall") {
            Some(rest) => Lengths::from_name(rest)?,
            None => (Lengths::default(), name),
        };
        let class = Class { sources, action: Action::from_name(action)? };
        // No name but its own: numbers can be written in many ways.
        (class.to_string() == name).then_some(class)
    }
}

impl Action {
    fn from_name(name: &str) -> Option<Action> {
        let key = |word: &str| match word {
            "port" => Some(Key::Address),
            "node-port" => Some(Key::NodePort),
            _ => None,
        };
        let forward = |name, masquerade| Some(Action::Forward { masquerade, pick: Pick::from_name(name)? });
        if let Some(word) = name.strip_prefix("reject-") {
            return key(word).map(Action::Reject);
        }
        if let Some(word) = name.strip_prefix("drop-") {
            return key(word).map(Action::Drop);
        }
        if let Some(picks) = name.strip_prefix("by-source-") {
            let (cluster, count) = picks.rsplit_once("-n")?;
            let (cluster, count) = (Pick::from_name(cluster)?, count.parse().ok()?);
            let local = (count > 0).then_some(Pick { list: List::Local, count, ..cluster });
            return Some(Action::BySource { cluster, local });
        }
        match (name.strip_prefix("masq-outside-"), name.strip_prefix("masq-")) {
            (Some(pick), _) => forward(pick, Masquerade::FromOutside),
            (None, Some(pick)) => forward(pick, Masquerade::Always),
            (None, None) => forward(name, Masquerade::Never),
        }
    }
}

impl Pick {
    fn from_name(name: &str) -> Option<Pick> {
        let (key, name) = name.strip_prefix("node-port-").map_or((Key::Address, name), |rest| (Key::NodePort, rest));
        let lists = [(List::Local, "local-"), (List::Consistent, "same-")];
        let found = lists.into_iter().find_map(|(list, word)| Some((list, name.strip_prefix(word)?)));
        let (list, name) = found.unwrap_or((List::Cluster, name));
        let (count, affinity) = match name.strip_prefix('n')?.split_once("-affinity-") {
            Some((count, stay)) => (count, Some(Stay::from_name(stay)?)),
            None => (name.strip_prefix('n')?, None),
        };
        let count = count.parse().ok().filter(|count| *count > 0)?;
        Some(Pick { key, list, count, affinity })
    }
}

impl Stay {
    fn from_name(name: &str) -> Option<Stay> {
        let (seconds, wide) = name.strip_suffix("-wide").map_or((name, false), |seconds| (seconds, true));
        Some(Stay { seconds: seconds.parse().ok()?, wide })
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.sources.is_empty() {
            write!(f, "firewall{}-", self.sources)?;
        }
        self.action.fmt(f)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Reject(key) => write!(f, "reject-{}port", prefix(*key)),
            Action::Drop(key) => write!(f, "drop-{}port", prefix(*key)),
            Action::Forward { masquerade: Masquerade::Never, pick } => pick.fmt(f),
            Action::Forward { masquerade: Masquerade::FromOutside, pick } => write!(f, "masq-outside-{pick}"),
            Action::Forward { masquerade: Masquerade::Always, pick } => write!(f, "masq-{pick}"),
            Action::BySource { cluster, local: Some(local) } => write!(f, "by-source-{cluster}-n{}", local.count),
            Action::BySource { cluster, local: None } => write!(f, "by-source-{cluster}-n0"),
        }
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key == Key::NodePort {
            f.write_str("node-port-")?;
        }
        match self.list {
            List::Cluster => {}
            List::Local => f.write_str("local-")?,
            List::Consistent => f.write_str("same-")?,
        }
        write!(f, "n{}", self.count)?;
        match self.affinity {
            Some(Stay { seconds, wide }) => write!(f, "-affinity-{seconds}{}", if wide { "-wide" } else { "" }),
            None => Ok(()),
        }
    }
}

fn prefix(key: Key) -> &'static str {
    match key {
        Key::Address => "",
        Key::NodePort => "node-",
    }
}
