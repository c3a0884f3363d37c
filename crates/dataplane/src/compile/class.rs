//! Classes: the ways in which destinations are served. Destinations that are served alike share one.

use std::fmt;

use crate::compile::key::Key;
use crate::route::{Decision, List, Masquerade, PortRoutes, Route};

/// How a destination is served: a number in the kernel, and a chain for it. Its text is the chain's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Class {
    /// Whether only some sources are let in.
    pub firewalled: bool,
    /// What becomes of those that are.
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
    /// Seconds for which a client stays with its endpoint.
    pub(super) affinity: Option<u32>,
}

impl Pick {
    /// Whether it chooses from this list.
    pub(crate) fn is_of(&self, list: List) -> bool {
        self.list == list
    }
}

impl Class {
    /// How a route is served.
    pub(crate) fn of(route: &Route, port: &PortRoutes, affinity: Option<u32>) -> Class {
        let key = Key::of(&route.destination);
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
        Class { firewalled: route.firewalled, action }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.firewalled {
            f.write_str("firewall-")?;
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
        if self.list == List::Local {
            f.write_str("local-")?;
        }
        write!(f, "n{}", self.count)?;
        match self.affinity {
            Some(seconds) => write!(f, "-affinity-{seconds}"),
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
