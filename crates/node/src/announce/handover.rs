//! Connections that came to an address before this node had it: who had it knows them, and gets their packets.
//!
//! When an address moves, clients learn at once where it is now, and send there what belongs to connections that were
//! made before. This node knows nothing of them: it would choose an endpoint anew, which resets them. So what is in the
//! middle of a TCP connection that conntrack does not know is passed on, as it is, to the node that had the address
//! before ([`Seat::predecessor`]), whose kernel goes on to translate it; answers go from there to the client. What begins
//! a connection stays here. So no connection breaks when an address is moved, and a node is emptied by letting it run.
//!
//! A node that left is passed what it knows for [`AFTER`], one that still announces without an end. One that went without
//! a word gets nothing: an endpoint's reset tells clients sooner than its silence.
//!
//! The rules are in a table that the kernel takes away with this process, however it ends. A packet is passed on by `dup`
//! (`nf_dup_ipv4`), which sends the copy to the other node's Ethernet address and past translation; its time to live
//! is one less, so that no packet goes round for ever.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use loadbalancer::fence::Moment;
use loadbalancer::seat::Seat;
use nft::expr::{Lookup, PayloadBase};
use nft::value::Type;
use nft::{
    Batch, Chain, ChainType, CommitError, Element, Expr, Family, Field, Hook, ObjectId, Register, Rule, Set, Socket,
    SocketError, Table, TableId, Value, Verdict,
};

/// How long a node is passed packets that has left.
const AFTER: Duration = Duration::from_secs(300);
/// Between tries of rules that were refused.
const RETRY: Duration = Duration::from_secs(10);
const TABLE: &str = "portolan-handover";
const MAP: &str = "before";
/// After conntrack (-200), before anybody translates (-100).
const PRIORITY: i32 = -150;
/// `ct state`: invalid, new.
const UNKNOWN: u32 = 1 | 8;
const TCP: u8 = 6;
const SYN: u8 = 2;

/// Packets cannot be passed on.
#[derive(Debug, thiserror::Error)]
enum HandoverError {
    /// The kernel gives no netlink socket.
    #[error("no netlink socket")]
    Netlink(#[from] SocketError),
    /// The rules are refused.
    #[error("the rules are refused")]
    Rules(#[from] CommitError),
}

/// Who is passed what.
#[derive(Default)]
pub(super) struct Handover {
    /// Owns the rules.
    socket: Option<Socket>,
    /// Of an address, where its packets go.
    passed: BTreeMap<IpAddr, IpAddr>,
    /// Of an address, who had it, and when that node was there last.
    from: BTreeMap<IpAddr, (String, Moment)>,
    /// Not before then.
    due: Moment,
}

impl Handover {
    /// Passes on what belongs to the addresses that a seat holds.
    pub(super) fn set(&mut self, seat: &Seat, now: Moment) {
        let wanted = self.wanted(seat, now);
        if wanted == self.passed || now < self.due {
            return;
        }
        match self.program(&wanted) {
            Ok(()) => {
                tracing::info!(addresses = wanted.len(), "connections that other nodes know are passed on to these");
                self.passed = wanted;
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "connections that another node knows break: it is tried again");
                self.due = now.plus(RETRY);
            }
        }
    }

    fn wanted(&mut self, seat: &Seat, now: Moment) -> BTreeMap<IpAddr, IpAddr> {
        let mut wanted = BTreeMap::new();
        self.from.retain(|address, _| seat.held().contains(address));
        for address in seat.held() {
            let Some(before) = seat.predecessor(*address) else {
                self.from.remove(address);
                continue;
            };
            let from = self.from.entry(*address).or_insert_with(|| (before.node.clone(), now));
            if before.epoch.is_some() || from.0 != before.node {
                *from = (before.node.clone(), now);
            }
            let at = before.addresses.iter().find(|at| at.is_ipv4() == address.is_ipv4());
            if let Some(at) = at.filter(|_| now.since(from.1) < AFTER) {
                wanted.insert(*address, *at);
            }
        }
        wanted
    }

    fn program(&mut self, wanted: &BTreeMap<IpAddr, IpAddr>) -> Result<(), HandoverError> {
        if wanted.is_empty() {
            // The rules go with it.
            self.socket = None;
            return Ok(());
        }
        let socket = match &mut self.socket {
            Some(socket) => socket,
            none => none.insert(Socket::in_current_netns()?),
        };
        socket.commit(&rules(wanted))?;
        Ok(())
    }
}

/// The tables, in place of those that are there.
fn rules(passed: &BTreeMap<IpAddr, IpAddr>) -> Batch {
    let mut batch = Batch::new();
    let families =
        [(Family::Ip, Field::IpDaddr, Type::Ipv4Addr, true), (Family::Ip6, Field::Ip6Daddr, Type::Ipv6Addr, false)];
    for (family, destination, kind, is_v4) in families {
        let table = TableId::new(family, TABLE);
        let made = Table { owned: true, ..Table::new(table.clone()) };
        // What is to be deleted must be there: made first, it always is.
        batch.add_table(made.clone());
        batch.delete(ObjectId::Table(table.clone()));
        let of_family = passed.iter().filter(|(address, _)| address.is_ipv4() == is_v4);
        let element =
            |(address, at): (&IpAddr, &IpAddr)| Element::value(Value::new().ip(*address), Value::new().ip(*at));
        let elements: Vec<Element> = of_family.map(element).collect();
        if elements.is_empty() {
            continue;
        }
        batch.add_table(made);
        let map = Arc::new(Set::map(&table, MAP, &[kind], &[kind]));
        batch.add_set(&map);
        batch.add_elements(&map, elements);
        batch.add_chain(Chain::base(&table, "prerouting", ChainType::Filter, Hook::Prerouting, PRIORITY));
        batch.add_rule(Rule::new(&table, "prerouting", rule(destination)));
    }
    batch
}

/// Passes on what is of TCP, begins nothing, and is of no connection that is known.
fn rule(destination: Field) -> Vec<Expr> {
    let mut exprs = vec![Field::CtState.load(Register::R0)];
    exprs.push(Expr::and(Register::R0, UNKNOWN));
    exprs.push(Expr::ne(Register::R0, Value::new().host_u32(0)));
    exprs.push(Field::L4proto.load(Register::R0));
    exprs.push(Expr::eq(Register::R0, Value::new().u8(TCP)));
    exprs.push(Expr::Payload { base: PayloadBase::Transport, offset: 13, len: 1, dreg: Register::R0 });
    let (mask, xor) = (Value::new().u8(SYN), Value::new().u8(0));
    exprs.push(Expr::Bitwise { sreg: Register::R0, dreg: Register::R0, mask, xor });
    exprs.push(Expr::eq(Register::R0, Value::new().u8(0)));
    exprs.push(destination.load(Register::R0));
    exprs.push(Expr::Lookup { set: MAP.into(), key: Register::R0, result: Lookup::Value(Register::R4) });
    exprs.push(Expr::Dup { address: Register::R4 });
    exprs.push(Expr::Verdict(Verdict::Drop));
    exprs
}

#[cfg(test)]
mod tests;
