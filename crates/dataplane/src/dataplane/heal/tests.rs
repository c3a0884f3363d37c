use std::net::IpAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use nft::{Batch, Family, ObjectId, Operation, TableId};

use super::*;
use crate::backend::{Culprit, fake};
use crate::compile::Config;
use crate::model::{EndpointSlice, NamespacedName, Node, Protocol, Service, ServicePort, SliceEndpoint, SlicePort};

fn name(text: &str) -> NamespacedName {
    NamespacedName::new("default", text)
}

fn table() -> TableId {
    TableId::new(Family::Ip, "portolan")
}

fn set(dataplane: &mut Dataplane<fake::Backend>, n: u8) {
    let (protocol, number) = (Protocol::Tcp, NonZeroU16::new(80).unwrap());
    let port = ServicePort { name: "".into(), protocol, port: number, node_port: None };
    let cluster_ips = vec![IpAddr::from([10, 96, 0, n])];
    let service = Service { cluster_ips, ports: vec![port], ..Service::default() };
    dataplane.model_mut().set_service(name(&format!("s{n}")), service);
    let mut slice = EndpointSlice::new(name(&format!("s{n}")));
    slice.ports.push(SlicePort { name: "".into(), protocol, port: number });
    slice.endpoints.push(SliceEndpoint::new(IpAddr::from([10, 244, 1, n])));
    dataplane.model_mut().set_slice(name(&format!("slice{n}")), slice);
}

fn dataplane() -> Dataplane<fake::Backend> {
    let mut dataplane = Dataplane::new(fake::Backend::new(Config::default()), Node::default());
    (1..4).for_each(|n| set(&mut dataplane, n));
    dataplane.sync().unwrap();
    dataplane
}

fn flush(set: &str) -> Batch {
    let mut batch = Batch::new();
    batch.push(Operation::FlushSet(table(), set.into()));
    batch
}

#[test]
fn what_others_changed_is_mended_by_the_next_sync_and_told_with_their_name() {
    let mut dataplane = dataplane();
    let right = dataplane.backend().ruleset.clone();
    assert!(!dataplane.listen());
    assert_eq!(dataplane.due(), None);
    dataplane.backend_mut().tamper("nft", &flush("endpoints")).unwrap();
    let now = Instant::now();
    assert!(dataplane.listen());
    assert!(dataplane.due().unwrap() <= Instant::now() && dataplane.due().unwrap() >= now, "at once");
    let report = dataplane.sync().unwrap();
    let by = vec![Culprit { thread: 1, name: "nft".to_owned() }];
    assert_eq!(report.mended, Some(Mended { by, lost: false, changes: 3, conflict: false }));
    assert_eq!(dataplane.backend().ruleset, right);
    let last = dataplane.backend().batches.last().unwrap().to_string();
    assert_eq!(last.lines().count(), 1, "nothing but the missing elements: {last}");
    // Nothing more to do, and it is told once.
    assert_eq!(dataplane.due(), None);
    let report = dataplane.sync().unwrap();
    assert_eq!((report.mended, report.full), (None, false));
}

#[test]
fn a_loss_leads_to_a_comparison_that_changes_nothing_where_all_is_right() {
    let mut dataplane = dataplane();
    dataplane.backend_mut().interference.lost = true;
    let report = dataplane.sync().unwrap();
    assert_eq!(report.mended, Some(Mended { by: Vec::new(), lost: true, changes: 0, conflict: false }));
    assert_eq!((report.full, dataplane.backend().batches.len()), (true, 1));
}

#[test]
fn a_table_that_somebody_put_to_sleep_is_woken() {
    let mut dataplane = dataplane();
    let right = dataplane.backend().ruleset.clone();
    let mut batch = Batch::new();
    batch.add_table(nft::Table { dormant: true, ..nft::Table::new(table()) });
    dataplane.backend_mut().tamper("nft", &batch).unwrap();
    assert_ne!(dataplane.backend().ruleset, right);
    assert_eq!(dataplane.sync().unwrap().changes, 1);
    assert_eq!(dataplane.backend().ruleset, right);
}

#[test]
fn two_who_fight_are_a_conflict_and_read_little() {
    let mut dataplane = dataplane();
    let mut now = Instant::now();
    let end = now + Duration::from_secs(300);
    let reads = dataplane.backend().reads;
    let mut conflict = false;
    while now < end {
        // The other one answers every mending at once, and we are asked every tenth of a second.
        if dataplane.due().is_none() {
            dataplane.backend_mut().tamper("other-agent", &flush("endpoints")).unwrap();
        }
        dataplane.listen_at(now);
        conflict |= dataplane.sync_at(now).unwrap().mended.is_some_and(|mended| mended.conflict);
        now += Duration::from_millis(100);
    }
    assert!(conflict);
    let reads = dataplane.backend().reads - reads;
    assert!((10..25).contains(&reads), "{reads} times in five minutes");
    // When the other one is gone, all is well within the longest wait.
    now += Duration::from_secs(30);
    dataplane.sync_at(now).unwrap();
    dataplane.forget();
    assert_eq!(dataplane.sync_at(now).unwrap().changes, 0);
}

#[test]
fn while_two_fight_changes_of_services_are_programmed_at_once() {
    let mut dataplane = dataplane();
    let now = Instant::now();
    for _ in 0..6 {
        dataplane.backend_mut().tamper("other-agent", &flush("hairpins")).unwrap();
        dataplane.sync_at(now).unwrap();
    }
    assert!(dataplane.due().unwrap() > now);
    let reads = dataplane.backend().reads;
    set(&mut dataplane, 9);
    let report = dataplane.sync_at(now).unwrap();
    assert_eq!((report.full, report.services, dataplane.backend().reads), (false, 1, reads));
    assert!(report.changes > 0);
}

#[test]
fn who_stands_beside_is_told_when_it_comes_and_when_it_goes() {
    let mut dataplane = dataplane();
    assert_eq!(dataplane.sync().unwrap().others, None);
    let proxy = Other::KubeProxyNftables(TableId::new(Family::Ip, "kube-proxy"));
    dataplane.backend_mut().others = vec![proxy.clone()];
    dataplane.backend_mut().interference.beside = true;
    assert!(dataplane.listen());
    let report = dataplane.sync().unwrap();
    assert_eq!((report.others, report.full), (Some(vec![proxy.clone()]), false));
    assert_eq!(dataplane.others(), [proxy]);
    assert_eq!(dataplane.sync().unwrap().others, None);
    dataplane.backend_mut().others.clear();
    dataplane.backend_mut().interference.beside = true;
    assert_eq!(dataplane.sync().unwrap().others, Some(Vec::new()));
}

#[test]
fn sets_and_chains_of_an_older_version_go_and_what_is_right_stays() {
    let mut dataplane = dataplane();
    let right = dataplane.backend().ruleset.clone();
    let content = dataplane.backend_mut().ruleset.tables.get_mut(&table()).unwrap();
    let affinity = &mut content.sets.get_mut("affinity").unwrap().1;
    affinity.insert(crate::ruleset::ElementKey::one(nft::Value::new().host_u32(1)), None);
    let kept = content.sets["affinity"].clone();
    let mut older = Batch::new();
    // A set that is ours by name, with another key; one that is not ours, and a chain that uses both.
    older.push(Operation::FlushTable(table()));
    older.delete(ObjectId::Set(table(), "hairpins".into()));
    let hairpins = std::sync::Arc::new(nft::Set::new(&table(), "hairpins", &[nft::Type::Ipv4Addr]));
    older.add_set(&hairpins);
    let extra = std::sync::Arc::new(nft::Set::verdict_map(&table(), "extra", &[nft::Type::Ipv4Addr]));
    older.add_set(&extra);
    older.add_chain(nft::Chain::regular(&table(), "old"));
    let goto = nft::Verdict::Goto("old".into());
    older.add_elements(&extra, vec![nft::Element::verdict(nft::Value::new().ipv4([10, 96, 0, 1].into()), goto)]);
    let lookup =
        |set: &str| nft::Expr::Lookup { set: set.into(), key: nft::Register::R0, result: nft::expr::Lookup::Contained };
    older.add_rule(nft::Rule::new(&table(), "old", vec![lookup("hairpins"), lookup("extra")]));
    dataplane.backend_mut().tamper("portolan-0.0", &older).unwrap();

    dataplane.sync().unwrap();
    let content = &dataplane.backend().ruleset.tables[&table()];
    assert_eq!(content.sets["affinity"], kept, "what packets filled in is lost");
    let last = dataplane.backend().batches.last().unwrap().to_string();
    assert!(!last.contains("delete table") && !last.contains("10.96.0.1 . tcp . 80"), "{last}");
    let content = dataplane.backend_mut().ruleset.tables.get_mut(&table()).unwrap();
    content.sets.get_mut("affinity").unwrap().1.clear();
    assert_eq!(dataplane.backend().ruleset, right);
    assert_eq!(dataplane.backend().batches.len(), 2, "one transaction");
}
