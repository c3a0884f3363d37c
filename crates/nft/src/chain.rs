//! Chains: lists of rules. A base chain is called by a hook of the network stack, a regular one by jumps.

use std::fmt;
use std::sync::Arc;

use crate::table::TableId;

/// What a base chain is for (`NFTA_CHAIN_TYPE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChainType {
    /// Looks at every packet.
    Filter,
    /// Looks at the first packet of a connection; its nat statements decide for all that follow.
    Nat,
    /// As filter in the output hook; the packet is routed again when its mark or addresses changed.
    Route,
}

impl ChainType {
    /// The kernel's name of the type.
    pub const fn name(self) -> &'static str {
        match self {
            ChainType::Filter => "filter",
            ChainType::Nat => "nat",
            ChainType::Route => "route",
        }
    }

    /// The type with the kernel's name.
    pub fn from_name(name: &str) -> Option<ChainType> {
        [ChainType::Filter, ChainType::Nat, ChainType::Route].into_iter().find(|t| t.name() == name)
    }
}

/// Where in the stack a base chain is called (`NF_INET_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hook {
    /// Before the routing decision of a packet that came in.
    Prerouting,
    /// Routed to this machine.
    Input,
    /// Routed through this machine.
    Forward,
    /// Made by this machine.
    Output,
    /// About to leave.
    Postrouting,
    /// On an interface, before everything (inet tables only). Found in dumps; made here never, as it needs a device.
    Ingress,
}

impl Hook {
    const ALL: [Hook; 6] =
        [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting, Hook::Ingress];

    /// The kernel's number of the hook in the families of [`crate::Family`].
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The hook with the kernel's number.
    pub fn from_number(number: u32) -> Option<Hook> {
        Hook::ALL.into_iter().find(|hook| hook.number() == number)
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hook::Prerouting => "prerouting",
            Hook::Input => "input",
            Hook::Forward => "forward",
            Hook::Output => "output",
            Hook::Postrouting => "postrouting",
            Hook::Ingress => "ingress",
        })
    }
}

/// What becomes of a packet that reaches the end of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Policy {
    /// It goes on to the next base chain of the hook.
    #[default]
    Accept,
    /// It is dropped.
    Drop,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Policy::Accept => "accept",
            Policy::Drop => "drop",
        })
    }
}

/// How the stack calls a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BaseChain {
    /// What it is for.
    pub kind: ChainType,
    /// Where it is called.
    pub hook: Hook,
    /// Chains of one hook are called in ascending order: -300 raw, -200 conntrack, -150 mangle, -100 dstnat, 0 filter,
    /// 100 srcnat. A nat chain must come after conntrack.
    pub priority: i32,
    /// What becomes of packets that no rule decided.
    pub policy: Policy,
}

/// A chain of a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chain {
    /// The table it is in.
    pub table: TableId,
    /// Its name, unique in its table, at most 255 bytes.
    pub name: Arc<str>,
    /// Where the stack calls it; `None` for a regular chain, which only jumps reach.
    pub base: Option<BaseChain>,
    /// Shown by `nft list table`; at most 128 bytes.
    pub comment: Option<String>,
}

impl Chain {
    /// A chain that only jumps and gotos reach.
    pub fn regular(table: &TableId, name: &str) -> Chain {
        Chain { table: table.clone(), name: name.into(), base: None, comment: None }
    }

    /// A chain that the stack calls, policy accept.
    pub fn base(table: &TableId, name: &str, kind: ChainType, hook: Hook, priority: i32) -> Chain {
        let base = Some(BaseChain { kind, hook, priority, policy: Policy::Accept });
        Chain { table: table.clone(), name: name.into(), base, comment: None }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chain {} {}", self.table, self.name)?;
        if let Some(base) = &self.base {
            let BaseChain { kind, hook, priority, policy } = base;
            write!(f, " {{ type {} hook {hook} priority {priority}; policy {policy}; }}", kind.name())?;
        }
        match &self.comment {
            Some(comment) => write!(f, " comment {comment:?}"),
            None => Ok(()),
        }
    }
}
