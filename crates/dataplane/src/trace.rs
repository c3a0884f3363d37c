//! What becomes of a packet, by running the rules in this process: unit tests say where a packet goes rather than what
//! a rule looks like, and `explain` shows which rules it met. No kernel, no privileges.
//!
//! ```no_run
//! # fn example(ruleset: &dataplane::ruleset::Ruleset, packet: &dataplane::route::Packet) {
//! let mut tracer = dataplane::trace::Tracer::new(ruleset);
//! let trace = tracer.trace(packet, &mut |modulus| modulus - 1);
//! # }
//! ```

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use nft::{Family as TableFamily, Hook, Value};

use crate::model::Family;
use crate::route::{Endpoint, Packet};
use crate::ruleset::{Ruleset, TableContent};

mod header;
mod lookup;
mod machine;
mod registers;

use machine::{Machine, Stop};

/// How it ended for the first packet of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Its destination is rewritten.
    Forwarded {
        /// To this.
        to: Endpoint,
        /// And its source to the node's own address.
        masquerade: bool,
    },
    /// It goes to a process of this machine: to this port of loopback.
    Redirected {
        /// The port.
        to: NonZeroU16,
    },
    /// It goes as it is to another node of the cluster.
    PassedOn {
        /// The node's address.
        to: IpAddr,
    },
    /// The sender is told.
    Rejected,
    /// Nobody is told.
    Dropped,
    /// It is left as it is.
    Passed {
        /// Apart from its source, which becomes the node's own address.
        masquerade: bool,
    },
}

/// How it ended, and what happened on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// How it ended.
    pub outcome: Outcome,
    /// The packet's mark when it leaves.
    pub mark: u32,
    /// The packet's traffic-control priority when it leaves.
    pub priority: u32,
    /// The rules that it met and that did something: `chain: rule`.
    pub steps: Vec<String>,
}

/// Why a trace is not possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// The rules hold an instruction that is not interpreted.
    #[error("chain {chain}: not interpreted: {expr}")]
    Unknown {
        /// Where it stands.
        chain: String,
        /// The instruction.
        expr: String,
    },
    /// The rules name a chain or set that is not there.
    #[error("chain {chain}: there is no {name}")]
    Missing {
        /// Where it is named.
        chain: String,
        /// What is missing.
        name: String,
    },
    /// Jumps nest deeper than the kernel allows.
    #[error("chain {chain}: jumps nest too deep")]
    Depth {
        /// Where.
        chain: String,
    },
}

/// Runs packets through rules; remembers what they leave behind in dynamic sets.
#[derive(Debug)]
pub struct Tracer<'a> {
    ruleset: &'a Ruleset,
    remembered: HashMap<(Arc<str>, Value), Remembered>,
    local: Vec<IpAddr>,
    now: Duration,
    mark: u32,
    priority: u32,
}

/// An element that a packet made.
#[derive(Debug, Clone)]
struct Remembered {
    data: Option<Value>,
    until: Option<Duration>,
}

impl<'a> Tracer<'a> {
    /// On a machine without addresses.
    pub fn new(ruleset: &'a Ruleset) -> Tracer<'a> {
        Tracer { ruleset, remembered: HashMap::new(), local: Vec::new(), now: Duration::ZERO, mark: 0, priority: 0 }
    }

    /// With these addresses of the machine, besides loopback.
    pub fn with_local(mut self, addresses: &[IpAddr]) -> Tracer<'a> {
        self.local = addresses.to_vec();
        self
    }

    /// With a mark and a priority that packets bring along.
    pub fn with_packet_state(mut self, mark: u32, priority: u32) -> Tracer<'a> {
        (self.mark, self.priority) = (mark, priority);
        self
    }

    /// Lets time pass.
    pub fn advance(&mut self, by: Duration) {
        self.now += by;
    }

    /// The same time and memory with other rules: what packets left behind stays, as it does in the kernel.
    pub fn with_ruleset<'b>(self, ruleset: &'b Ruleset) -> Tracer<'b> {
        let Tracer { remembered, local, now, mark, priority, .. } = self;
        Tracer { ruleset, remembered, local, now, mark, priority }
    }

    /// Runs the first packet of a connection through all tables. `random` chooses a number below the one it is given.
    pub fn trace(&mut self, packet: &Packet, random: &mut dyn FnMut(u32) -> u32) -> Result<Trace, TraceError> {
        let mut flow = Flow {
            packet: *packet,
            mark: self.mark,
            priority: self.priority,
            forwarded: None,
            redirected: None,
            passed_on: None,
            masquerade: false,
            steps: Vec::new(),
        };
        let first = if packet.made_here { Hook::Output } else { Hook::Prerouting };
        let mut stop = self.hook(first, &mut flow, random)?;
        let leaves = packet.made_here || !self.is_local(flow.packet.destination);
        if stop.is_none() && leaves {
            stop = self.hook(Hook::Postrouting, &mut flow, random)?;
        }
        let outcome = match (stop, flow.forwarded, flow.redirected) {
            (Some(Stop::Reject), ..) => Outcome::Rejected,
            (Some(Stop::Drop), ..) => flow.passed_on.map_or(Outcome::Dropped, |to| Outcome::PassedOn { to }),
            (None, Some(to), _) => Outcome::Forwarded { to, masquerade: flow.masquerade },
            (None, None, Some(to)) => Outcome::Redirected { to },
            (None, None, None) => Outcome::Passed { masquerade: flow.masquerade },
        };
        Ok(Trace { outcome, mark: flow.mark, priority: flow.priority, steps: flow.steps })
    }

    /// Runs the base chains of a hook in the order of their priorities, until one ends the packet.
    fn hook(
        &mut self,
        hook: Hook,
        flow: &mut Flow,
        random: &mut dyn FnMut(u32) -> u32,
    ) -> Result<Option<Stop>, TraceError> {
        let family = Family::of(flow.packet.source);
        let ruleset = self.ruleset;
        let mut chains: Vec<(i32, &TableContent, &Arc<str>)> = Vec::new();
        for table in ruleset.tables.values().filter(|table| sees(table.table.id.family, family)) {
            for (name, (chain, _)) in &table.chains {
                let base = chain.base.iter().filter(|base| base.hook == hook);
                chains.extend(base.map(|base| (base.priority, table, name)));
            }
        }
        chains.sort_by_key(|(priority, ..)| *priority);
        for (_, table, chain) in chains {
            let stop = Machine::new(self, table, flow, random).run_base(chain)?;
            if stop.is_some() {
                return Ok(stop);
            }
        }
        Ok(None)
    }

    fn is_local(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.local.contains(&address)
    }
}

/// A packet on its way.
#[derive(Debug)]
struct Flow {
    packet: Packet,
    mark: u32,
    priority: u32,
    forwarded: Option<Endpoint>,
    redirected: Option<NonZeroU16>,
    passed_on: Option<IpAddr>,
    masquerade: bool,
    steps: Vec<String>,
}

fn sees(table: TableFamily, packet: Family) -> bool {
    match table {
        TableFamily::Inet => true,
        TableFamily::Ip => packet == Family::V4,
        TableFamily::Ip6 => packet == Family::V6,
    }
}

#[cfg(test)]
mod tests;
