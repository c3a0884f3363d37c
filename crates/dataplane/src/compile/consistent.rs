//! Services whose nodes choose alike: a hash of the client's address and port says the slot, and all nodes have the same
//! endpoints in the same slots ([`List::Consistent`]).
//!
//! That alone would not keep a connection when a router leads it to another node: answers must come by the node that
//! rewrote the destination. So whatever node a packet comes to, the endpoint's own node rewrites it: the others pass it on
//! as it is, before anything is rewritten, and know nothing of the connection that could be lost with them.
//!
//! ```text
//! pass-on (filter, prerouting, behind conntrack)          # each: of no connection that is known here, not from a Pod
//!   tcp, not SYN: connection map @passed-connections -> node number -> @takers, dup to it, drop
//!   tcp: slot map @passed-on -> node number, update @passed-connections { connection : number }
//!   slot map @passed-on -> node number -> @takers, dup to it, drop
//! ```
//!
//! What is remembered keeps a connection where it is while endpoints come and go: of a hash alone, each change would break
//! those whose slots change hands. It is a memory of each node for itself: a connection breaks that comes to another node
//! after its slot changed hands.

use std::time::Duration;

use nft::expr::{DynsetOp, Lookup, MetaKey, PayloadBase};
use nft::{Chain, ChainType, Expr, Field, Hook, Register, Rule, Value, Verdict};

use crate::compile::elements::first_slot;
use crate::compile::key::Key;
use crate::compile::program::{SCRATCH, clear_scratch, load_scratch, lookup};
use crate::compile::{Compiler, Map, Pick};
use crate::model::Protocol;
use crate::route::{List, SLOTS};

/// Where packets are passed on.
const CHAIN_PASS_ON: &str = "pass-on";
/// After conntrack (-200), before anything is rewritten (-100).
const PRIORITY: i32 = -150;
/// `ct state`: invalid, new.
const UNKNOWN: u32 = 1 | 8;
const SYN: u8 = 2;
/// Of the hash: the same on all nodes and in all versions.
const SEED: u32 = 0x706f_7274;
/// How long it is remembered where a connection goes. After that its slot says it again.
const REMEMBERED: Duration = Duration::from_secs(900);
/// Where a node's address is loaded: behind the number by which it is found.
const NODE: Register = Register::R4;

impl Compiler {
    /// The chain that passes packets on. It is there while a Service needs it, and as long as the class is
    /// kept behind that: all packets pass its first look at conntrack.
    pub(super) fn pass_on_chain(&self) -> (Chain, Vec<Rule>) {
        let base = Chain::base(&self.table, CHAIN_PASS_ON, ChainType::Filter, Hook::Prerouting, PRIORITY);
        let comment = "what another node knows, or will: passed on to it as it is";
        let chain = Chain { comment: Some(comment.to_owned()), ..base };
        let rules = [
            (self.pass_on_known(), "a connection that goes on"),
            (self.remember_node(), "where it goes, while endpoints come and go"),
            (self.pass_on_by_slot(), "any other"),
        ];
        let rule = |(exprs, comment)| Rule::new(&self.table, CHAIN_PASS_ON, exprs).with_comment(comment);
        (chain, rules.into_iter().map(rule).collect())
    }

    /// The base chains that are not always there.
    pub(crate) fn optional_chains(&self) -> Vec<Chain> {
        vec![self.pass_on_chain().0]
    }

    /// The endpoint in the slot that the hash says.
    pub(super) fn pick_by_hash(&self, pick: &Pick) -> Vec<Expr> {
        let mut rule = Vec::new();
        self.load_slot_of_hash(pick.key, &mut rule);
        let endpoint = self.endpoint_register();
        rule.push(lookup(Map::endpoints(pick.key), Lookup::Value(endpoint)));
        rule.push(self.dnat(endpoint));
        rule
    }

    fn pass_on_known(&self) -> Vec<Expr> {
        let mut rule = self.unknown_from_outside();
        rule.extend(is_tcp());
        rule.push(Expr::Payload { base: PayloadBase::Transport, offset: 13, len: 1, dreg: Register::R0 });
        let (mask, xor) = (Value::new().u8(SYN), Value::new().u8(0));
        rule.push(Expr::Bitwise { sreg: Register::R0, dreg: Register::R0, mask, xor });
        rule.push(Expr::eq(Register::R0, Value::new().u8(0)));
        self.load_connection(&mut rule);
        rule.push(lookup(Map::PassedConnections, Lookup::Value(SCRATCH)));
        pass_on_to_scratch(&mut rule);
        rule
    }

    /// A rule of its own: where there is no place to remember it, it is passed on nevertheless.
    fn remember_node(&self) -> Vec<Expr> {
        let mut rule = self.unknown_from_outside();
        rule.extend(is_tcp());
        self.load_slot_of_hash(Key::Address, &mut rule);
        rule.push(lookup(Map::PassedOn, Lookup::Value(SCRATCH)));
        rule.push(Expr::MetaSet { key: MetaKey::Priority, sreg: SCRATCH });
        self.load_connection(&mut rule);
        // An update alone would keep what an earlier connection with the same ports left.
        for (op, timeout) in [(DynsetOp::Delete, None), (DynsetOp::Update, Some(REMEMBERED))] {
            rule.push(load_scratch(SCRATCH));
            let set = Map::PassedConnections.name().into();
            let (key, data) = (Register::R0, Some(SCRATCH));
            rule.push(Expr::Dynset { set, op, key, data, timeout, exprs: Vec::new() });
        }
        rule.extend(clear_scratch());
        rule
    }

    fn pass_on_by_slot(&self) -> Vec<Expr> {
        let mut rule = self.unknown_from_outside();
        self.load_slot_of_hash(Key::Address, &mut rule);
        rule.push(lookup(Map::PassedOn, Lookup::Value(SCRATCH)));
        pass_on_to_scratch(&mut rule);
        rule
    }

    /// Ends the rule for packets of connections that this node knows, and for those of Pods.
    fn unknown_from_outside(&self) -> Vec<Expr> {
        vec![
            Field::CtState.load(Register::R0),
            Expr::and(Register::R0, UNKNOWN),
            Expr::ne(Register::R0, Value::new().host_u32(0)),
            self.source().load(Register::R0),
            lookup(Map::PodCidrs, Lookup::NotContained),
            Field::IifName.load(Register::R0),
            lookup(Map::PodInterfaces, Lookup::NotContained),
        ]
    }

    fn load_connection(&self, rule: &mut Vec<Expr>) {
        let fields = [self.source(), self.destination(), Field::L4proto, Field::ThSport, Field::ThDport];
        rule.extend(Field::concat(Register::R0, &fields));
    }

    /// The packet's key and the slot that the hash says. The scratch is clear again.
    fn load_slot_of_hash(&self, key: Key, rule: &mut Vec<Expr>) {
        rule.extend(Field::concat(Register::R0, &[self.source(), Field::ThSport]));
        rule.push(Expr::Jhash {
            sreg: Register::R0,
            len: 4 * (self.address_words() + 1),
            dreg: SCRATCH,
            modulus: SLOTS as u32,
            seed: Some(SEED),
            offset: first_slot(List::Consistent),
        });
        // Through the priority, as nft lists no key that is computed from another.
        rule.push(Expr::MetaSet { key: MetaKey::Priority, sreg: SCRATCH });
        let behind = self.load_key(key, rule);
        rule.push(load_scratch(behind));
        rule.extend(clear_scratch());
    }
}

/// Passes on to the node whose number the scratch holds, and ends the packet here. Goes on with the next rule if it is
/// nobody's.
fn pass_on_to_scratch(rule: &mut Vec<Expr>) {
    rule.push(Expr::MetaSet { key: MetaKey::Priority, sreg: SCRATCH });
    rule.push(load_scratch(Register::R0));
    rule.extend(clear_scratch());
    rule.push(lookup(Map::Takers, Lookup::Value(NODE)));
    rule.push(Expr::Dup { address: NODE });
    rule.push(Expr::Verdict(Verdict::Drop));
}

fn is_tcp() -> [Expr; 2] {
    let tcp = Value::bytes(&[Protocol::Tcp.number()]);
    [Field::L4proto.load(Register::R0), Expr::eq(Register::R0, tcp)]
}
