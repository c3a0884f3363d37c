//! The conformance table: what becomes of a packet, for each behaviour of a Service. Three judges hear each row: the
//! routes, the rules as they are interpreted, and a kernel with real packets.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod affinity;
mod comments;
mod consistent;
mod counters;
mod distribution;
mod flows;
mod heal;
mod history;
mod listing;
mod masquerade;
mod packets;
mod plain;
mod refused;
mod restart;
mod row;
mod scene;
mod streams;
mod tampering;
mod windows;
mod world;

use std::collections::BTreeSet;
use std::net::IpAddr;

use dataplane::backend::fake;
use dataplane::route::{Choice, Packet, Table, Verdict};
use dataplane::ruleset::Ruleset;
use dataplane::trace::{Outcome, Tracer};
use dataplane::{Config, Dataplane, Family, Model};

use row::{Expected, Row, rows};

/// By subject.
const ROWS: [&str; 8] = [
    include_str!("rows.txt"),
    include_str!("rows/policies.txt"),
    include_str!("rows/endpoints.txt"),
    include_str!("rows/addresses.txt"),
    include_str!("rows/several.txt"),
    include_str!("rows/changes.txt"),
    include_str!("rows/interfaces.txt"),
    include_str!("rows/consistent.txt"),
];

fn all_rows() -> Vec<Row> {
    ROWS.into_iter().flat_map(rows).collect()
}

/// Hears all rows and names all that fail, not only the first.
fn judge(family: Family, mut verdict: impl FnMut(&Row) -> Expected) {
    let mut rows = all_rows();
    if family == Family::V6 {
        rows = rows.into_iter().map(Row::into_v6).collect();
    }
    assert!(rows.len() >= 500, "only {} rows are left", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let found = verdict(row);
        if found != row.expected {
            wrong.push(format!("{}:\n    expected {:?}\n    found    {found:?}", row.name, row.expected));
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// The node's own addresses, of both families.
fn local() -> Vec<IpAddr> {
    let v4 = world::LOCAL.iter().map(|text| world::ip(text));
    v4.flat_map(|address| [address, world::v6(address)]).collect()
}

fn is_local(address: IpAddr) -> bool {
    address.is_loopback() || local().contains(&address)
}

#[test]
fn names_are_unique() {
    let rows = all_rows();
    let mut seen = BTreeSet::new();
    let twice: Vec<&str> = rows.iter().map(|row| row.name.as_str()).filter(|name| !seen.insert(*name)).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// What becomes of a packet, as the routes say.
fn routed(table: &Table, packet: &Packet) -> Expected {
    match table.verdict(packet, is_local) {
        Verdict::Forward(choices) => Expected::OneOf(choices.into_iter().collect()),
        Verdict::Relay => Expected::Relay,
        Verdict::Reject => Expected::Reject,
        Verdict::Drop => Expected::Drop,
        Verdict::Pass => Expected::Pass,
    }
}

fn judged_by_routes(family: Family) {
    judge(family, |row| {
        let mut model = Model::new(world::node());
        row.states().for_each(|state| state.apply(&mut model));
        routed(&Table::new(&model, family), &row.packet)
    });
}

#[test]
fn routes() {
    judged_by_routes(Family::V4);
}

#[test]
fn routes_v6() {
    judged_by_routes(Family::V6);
}

/// What becomes of a packet, as the rules say. Each of the first numbers that they may draw is drawn once; other bits of
/// the mark must survive, and the priority that is used on the way must be zero again.
fn traced(ruleset: &Ruleset, packet: &Packet, name: &str) -> Expected {
    const MARK: u32 = 0x8001_0000;
    let mut choices = BTreeSet::new();
    for drawn in 0..20 {
        let mut tracer = Tracer::new(ruleset).with_local(&local()).with_packet_state(MARK, 0);
        let trace = tracer.trace(packet, &mut |modulus| drawn % modulus).unwrap();
        match trace.outcome {
            Outcome::Forwarded { to, masquerade } => {
                // The bit stays on what the machine keeps for itself: nobody looks at it there.
                let leaves = packet.made_here || !is_local(to.address);
                let left_over = if leaves { 0 } else { trace.mark & 0x4000 };
                assert_eq!((trace.mark, trace.priority), (MARK | left_over, 0), "{name}");
                choices.insert(Choice { endpoint: to, masquerade })
            }
            Outcome::Passed { masquerade } => {
                assert_eq!((trace.mark, masquerade), (MARK, false), "{name}");
                return Expected::Pass;
            }
            Outcome::Redirected { to } => {
                assert_eq!((trace.mark, trace.priority), (MARK, 0), "{name}");
                assert_eq!(to.get(), world::RELAY_PORT, "{name}");
                return Expected::Relay;
            }
            Outcome::PassedOn { to } => panic!("{name}: no node takes anything, and {to} is given something"),
            Outcome::Rejected => return Expected::Reject,
            Outcome::Dropped => return Expected::Drop,
        };
    }
    Expected::OneOf(choices)
}

fn judged_by_rules(family: Family) {
    let config = Config { families: vec![family], ..Config::default() };
    let mut dataplane = Dataplane::new(fake::Backend::new(config), world::node());
    judge(family, |row| {
        for state in row.states() {
            state.apply(dataplane.model_mut());
            dataplane.sync().unwrap();
        }
        traced(&dataplane.backend().ruleset, &row.packet, &row.name)
    });
}

#[test]
fn rules() {
    judged_by_rules(Family::V4);
}

#[test]
fn rules_v6() {
    judged_by_rules(Family::V6);
}
