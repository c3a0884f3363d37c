//! The rules that keep DNS on the node, and those that take it elsewhere when the node's resolver is gone. Pure values.
//!
//! While the resolver answers, questions to the cluster's DNS address are not tracked: nothing translates them, they
//! arrive at the address that the node itself has. These rules are in tables that the kernel takes away with the
//! process that made them, however it ends. Then questions are tracked again, and the rules that stay translate them to
//! the DNS of other nodes, before the rules of Services are asked, in which this node may still be an endpoint.

use std::net::IpAddr;

use nft::expr::{Nat, NatFamily, NatFlags, NatKind, NumgenMode};
use nft::{Batch, Chain, ChainType, Expr, Family, Field, Hook, ObjectId, Register, Rule, Table, TableId, Value};

/// The port of DNS.
const PORT: u16 = 53;
/// The tables that go with the process.
const HERE: &str = "portolan-dns";
/// The tables that stay.
const ELSEWHERE: &str = "portolan-dns-elsewhere";
/// Before conntrack (-200).
const RAW: i32 = -300;
/// Before the rules of Services, and of everybody else who translates destinations (-100).
const BEFORE_DSTNAT: i32 = -110;
/// Before everybody else who translates sources (100).
const BEFORE_SRCNAT: i32 = 90;
/// Other nodes among which questions are spread: each is a rule that a first packet passes.
const MOST_OTHERS: usize = 8;
const UDP: u8 = 17;
const TCP: u8 = 6;

const FIRST: Register = Register::R0;

/// One family's addresses.
struct Of<'a> {
    family: Family,
    nat: NatFamily,
    source: Field,
    destination: Field,
    addresses: Vec<&'a IpAddr>,
}

fn families(addresses: &[IpAddr]) -> [Of<'_>; 2] {
    let of = |v4: bool| addresses.iter().filter(|address| address.is_ipv4() == v4).collect();
    let (v4, v6) = (of(true), of(false));
    [
        Of {
            family: Family::Ip,
            nat: NatFamily::Ip,
            source: Field::IpSaddr,
            destination: Field::IpDaddr,
            addresses: v4,
        },
        Of {
            family: Family::Ip6,
            nat: NatFamily::Ip6,
            source: Field::Ip6Saddr,
            destination: Field::Ip6Daddr,
            addresses: v6,
        },
    ]
}

fn is(field: Field, value: Value) -> [Expr; 2] {
    [field.load(FIRST), Expr::eq(FIRST, value)]
}

/// Matches DNS over `protocol` to or from an address.
fn dns(address_is: Field, address: IpAddr, protocol: u8, port_is: Field) -> Vec<Expr> {
    let address = is(address_is, Value::new().ip(address));
    let protocol = is(Field::L4proto, Value::new().u8(protocol));
    [address, protocol, is(port_is, Value::new().u16(PORT))].concat()
}

/// Makes tables in which questions to these addresses, and answers from them, are not tracked. They belong to the socket
/// that commits this.
pub fn here(addresses: &[IpAddr]) -> Batch {
    let mut batch = Batch::new();
    for of in families(addresses).iter().filter(|of| !of.addresses.is_empty()) {
        let table = TableId::new(of.family, HERE);
        batch.add_table(Table { owned: true, ..Table::new(table.clone()) });
        for (name, hook) in [("prerouting", Hook::Prerouting), ("output", Hook::Output)] {
            batch.add_chain(Chain::base(&table, name, ChainType::Filter, hook, RAW));
            for address in &of.addresses {
                for protocol in [UDP, TCP] {
                    let question = dns(of.destination, **address, protocol, Field::ThDport);
                    let answer = dns(of.source, **address, protocol, Field::ThSport);
                    for mut exprs in [question, answer] {
                        exprs.push(Expr::Notrack);
                        batch.add_rule(Rule::new(&table, name, exprs));
                    }
                }
            }
        }
    }
    batch
}

/// Makes tables, in place of those that may be there, that translate questions to these addresses to others' DNS, one
/// of them at random. Without others nothing is translated here, and the rules of Services decide.
pub fn elsewhere(addresses: &[IpAddr], others: &[IpAddr]) -> Batch {
    let mut batch = forget();
    for of in families(addresses).iter().filter(|of| !of.addresses.is_empty()) {
        let fitting = |other: &&IpAddr| other.is_ipv4() == (of.family == Family::Ip);
        let others: Vec<&IpAddr> = others.iter().filter(fitting).take(MOST_OTHERS).collect();
        if others.is_empty() {
            continue;
        }
        let table = TableId::new(of.family, ELSEWHERE);
        batch.add_table(Table::new(table.clone()));
        for (name, hook) in [("prerouting", Hook::Prerouting), ("output", Hook::Output)] {
            batch.add_chain(Chain::base(&table, name, ChainType::Nat, hook, BEFORE_DSTNAT));
            for address in &of.addresses {
                for protocol in [UDP, TCP] {
                    for (at, other) in others.iter().enumerate() {
                        let mut exprs = dns(of.destination, **address, protocol, Field::ThDport);
                        exprs.extend(to(of.nat, **other, others.len() - at));
                        batch.add_rule(Rule::new(&table, name, exprs));
                    }
                }
            }
        }
        // The node's own questions leave with the address that they were for: it is the node's.
        batch.add_chain(Chain::base(&table, "postrouting", ChainType::Nat, Hook::Postrouting, BEFORE_SRCNAT));
        for address in &of.addresses {
            let mut exprs = is(of.source, Value::new().ip(**address)).to_vec();
            exprs.push(Expr::Masquerade { flags: NatFlags::NONE, ports: None });
            batch.add_rule(Rule::new(&table, "postrouting", exprs));
        }
    }
    batch
}

/// Whether a table is one of those that stay.
#[must_use]
pub fn stays(table: &TableId) -> bool {
    *table.name == *ELSEWHERE
}

/// Takes the tables that stay away, whether they are there or not.
pub fn forget() -> Batch {
    let mut batch = Batch::new();
    for family in [Family::Ip, Family::Ip6] {
        let table = TableId::new(family, ELSEWHERE);
        // What is to be deleted must be there: made first, it always is.
        batch.add_table(Table::new(table.clone()));
        batch.delete(ObjectId::Table(table));
    }
    batch
}

/// Translates to an address, for one of `left` that come through here.
fn to(family: NatFamily, other: IpAddr, left: usize) -> Vec<Expr> {
    let mut exprs = Vec::new();
    if left > 1 {
        let modulus = u32::try_from(left).unwrap_or(u32::MAX);
        exprs.push(Expr::Numgen { dreg: FIRST, modulus, offset: 0, mode: NumgenMode::Random });
        exprs.push(Expr::eq(FIRST, Value::new().host_u32(0)));
    }
    exprs.push(Expr::Immediate { dreg: FIRST, value: Value::new().ip(other) });
    exprs.push(Expr::Nat(Nat::to(NatKind::Dnat, family, FIRST, None)));
    exprs
}

#[cfg(test)]
mod tests;
