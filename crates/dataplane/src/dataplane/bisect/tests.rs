use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;

use nft::{Family, Operation, TableId};

use super::*;
use crate::backend::fake;
use crate::compile::Config;
use crate::model::{EndpointSlice, Node, Protocol, Service, ServicePort, SliceEndpoint, SlicePort};
use crate::ruleset::TableContent;

/// The address that is refused.
const BAD: Ipv4Addr = Ipv4Addr::new(10, 244, 66, 6);

fn name(n: u32) -> NamespacedName {
    NamespacedName::new("default", &format!("s{n:03}"))
}

fn good(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0af4_0000 + n)
}

fn cluster_ip(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a60_0000 + n)
}

/// A Service with one endpoint.
fn set(dataplane: &mut Dataplane<fake::Backend>, n: u32, endpoint: Ipv4Addr) {
    let (protocol, port) = (Protocol::Tcp, NonZeroU16::new(80).unwrap());
    let ports = vec![ServicePort { name: "".into(), protocol, port, node_port: None }];
    let cluster_ips = vec![IpAddr::V4(cluster_ip(n))];
    dataplane.model_mut().set_service(name(n), Service { cluster_ips, ports, ..Service::default() });
    let mut slice = EndpointSlice::new(name(n));
    slice.ports.push(SlicePort { name: "".into(), protocol, port });
    let endpoint = SliceEndpoint { node: Some("there".into()), ..SliceEndpoint::new(IpAddr::V4(endpoint)) };
    slice.endpoints.push(endpoint);
    dataplane.model_mut().set_slice(name(n), slice);
}

fn remove(dataplane: &mut Dataplane<fake::Backend>, n: u32) {
    dataplane.model_mut().remove_service(&name(n));
    dataplane.model_mut().remove_slice(&name(n));
}

fn dataplane(services: u32) -> Dataplane<fake::Backend> {
    let backend = fake::Backend::new(Config::default());
    let mut dataplane = Dataplane::new(backend, Node::default());
    (0..services).for_each(|n| set(&mut dataplane, n, good(n)));
    dataplane
}

fn refusing(dataplane: &mut Dataplane<fake::Backend>, addresses: &[Ipv4Addr]) {
    dataplane.backend_mut().refuses = addresses.iter().copied().map(IpAddr::V4).collect();
}

fn table(dataplane: &Dataplane<fake::Backend>) -> TableContent {
    dataplane.backend().ruleset.tables[&TableId::new(Family::Ip, "portolan")].clone()
}

/// The endpoint that the kernel has for a Service.
fn held(dataplane: &Dataplane<fake::Backend>, n: u32) -> Option<Ipv4Addr> {
    let endpoints = &table(dataplane).sets["endpoints"].1;
    let found = endpoints.iter().find(|(at, _)| at.key.as_slice().starts_with(&cluster_ip(n).octets()));
    found.and_then(|(_, data)| match data {
        Some(nft::Data::Value(value)) => value.as_slice().first_chunk::<4>().map(|bytes| Ipv4Addr::from(*bytes)),
        _ => None,
    })
}

fn names(refused: &[Refusal]) -> Vec<String> {
    let mut names: Vec<String> = refused.iter().map(|r| r.service.as_ref().unwrap().to_string()).collect();
    names.sort_unstable();
    names
}

/// What a fresh start would make of the model.
fn fresh(services: impl IntoIterator<Item = (u32, Ipv4Addr)>) -> TableContent {
    let mut other = dataplane(0);
    services.into_iter().for_each(|(n, endpoint)| set(&mut other, n, endpoint));
    other.sync().unwrap();
    table(&other)
}

#[test]
fn a_new_service_that_is_refused_stays_out_and_the_rest_goes_in() {
    let mut dataplane = dataplane(50);
    refusing(&mut dataplane, &[BAD]);
    set(&mut dataplane, 17, BAD);
    let now = Instant::now();
    let report = dataplane.sync_at(now).unwrap();
    assert_eq!(names(&report.refused), ["default/s017"]);
    let refusal = &report.refused[0];
    assert!(refusal.error.to_string().contains("10.244.66.6"), "{}", refusal.error);
    assert_eq!((refusal.new, refusal.retry_after), (true, Some(Duration::from_secs(30))));
    let others = (0..50).filter(|n| *n != 17).map(|n| (n, good(n)));
    assert_eq!(table(&dataplane), fresh(others));

    // It is left alone until its time comes; then it is tried, and waits longer.
    let tried = dataplane.backend().batches.len();
    assert!(dataplane.sync_at(now + Duration::from_secs(29)).unwrap().refused.is_empty());
    assert_eq!(dataplane.backend().batches.len(), tried);
    assert_eq!(dataplane.due(), Some(now + Duration::from_secs(30)));
    let later = now + Duration::from_secs(30);
    let report = dataplane.sync_at(later).unwrap();
    assert_eq!((names(&report.refused), report.refused[0].new), (vec!["default/s017".to_owned()], false));
    assert_eq!(dataplane.due(), Some(later + Duration::from_secs(60)));

    // When it changes, it is tried at once.
    set(&mut dataplane, 17, good(17));
    assert!(dataplane.sync_at(later).unwrap().refused.is_empty());
    assert_eq!(dataplane.due(), None);
    assert_eq!(table(&dataplane), fresh((0..50).map(|n| (n, good(n)))));
}

#[test]
fn a_change_that_is_refused_leaves_what_was_there() {
    let mut dataplane = dataplane(20);
    dataplane.sync().unwrap();
    refusing(&mut dataplane, &[BAD]);
    for n in [3, 5, 7, 9] {
        set(&mut dataplane, n, if n == 7 { BAD } else { good(100 + n) });
    }
    let report = dataplane.sync().unwrap();
    assert_eq!(names(&report.refused), ["default/s007"]);
    assert_eq!([3, 5, 7, 9].map(|n| held(&dataplane, n).unwrap()), [good(103), good(105), good(7), good(109)]);
    // Others change as ever, one at a time and without a dump.
    let reads = dataplane.backend().reads;
    set(&mut dataplane, 4, good(104));
    let report = dataplane.sync().unwrap();
    assert_eq!((report.services, report.refused.len(), dataplane.backend().reads), (1, 0, reads));
    // A comparison keeps it as it is, too.
    dataplane.forget();
    let report = dataplane.sync().unwrap();
    assert_eq!((report.changes, report.refused.len()), (0, 0));
    refusing(&mut dataplane, &[]);
    let due = dataplane.due().unwrap();
    dataplane.sync_at(due).unwrap();
    assert_eq!((held(&dataplane, 7), dataplane.due()), (Some(BAD), None));
}

#[test]
fn a_removal_that_is_refused_leaves_what_was_there_until_it_is_taken() {
    let mut dataplane = dataplane(20);
    dataplane.sync().unwrap();
    refusing(&mut dataplane, &[good(7)]);
    (6..9).for_each(|n| remove(&mut dataplane, n));
    let report = dataplane.sync().unwrap();
    assert_eq!(names(&report.refused), ["default/s007"]);
    assert_eq!([6, 7, 8].map(|n| held(&dataplane, n)), [None, Some(good(7)), None]);
    refusing(&mut dataplane, &[]);
    let due = dataplane.due().unwrap();
    assert!(dataplane.sync_at(due).unwrap().refused.is_empty());
    assert_eq!(table(&dataplane), fresh((0..20).filter(|n| !(6..9).contains(n)).map(|n| (n, good(n)))));
    // Its number is free again.
    assert_eq!(dataplane.model().known().0.len(), 17);
    set(&mut dataplane, 7, good(7));
    dataplane.sync().unwrap();
    assert_eq!(held(&dataplane, 7), Some(good(7)));
}

#[test]
fn after_a_restart_nobody_is_without_rules_while_the_culprits_are_looked_for() {
    let mut before = dataplane(64);
    before.sync().unwrap();
    let mut backend = fake::Backend::with_ruleset(Config::default(), before.backend().ruleset.clone());
    backend.refuses = vec![IpAddr::V4(BAD)];
    let mut restarted = Dataplane::new(backend, Node::default());
    (0..64).for_each(|n| set(&mut restarted, n, if [11, 40, 41].contains(&n) { BAD } else { good(n) }));
    // Gone while no agent ran, and come.
    remove(&mut restarted, 20);
    set(&mut restarted, 70, good(70));
    let report = restarted.sync().unwrap();
    assert_eq!(names(&report.refused), ["default/s011", "default/s040", "default/s041"]);
    let good_ones = (0..64).chain([70]).filter(|n| ![11, 20, 40, 41].contains(n));
    assert_eq!(table(&restarted), fresh(good_ones.clone().map(|n| (n, good(n)))));
    // What was right was never touched.
    for batch in restarted.backend().batches.iter().map(ToString::to_string) {
        let refused = batch.contains("10.244.66.6");
        assert!(refused || !batch.contains("10.96.0.5 "), "{batch}");
    }
}

#[test]
fn what_is_no_services_fault_is_an_error_and_nobody_stays_out() {
    let mut dataplane = dataplane(10);
    dataplane.sync().unwrap();
    refusing(&mut dataplane, &[Ipv4Addr::new(10, 128, 0, 0)]);
    let node = Node { pod_cidrs: vec!["10.128.0.0/9".parse().unwrap()], ..Node::default() };
    dataplane.model_mut().set_node(node);
    assert!(matches!(dataplane.sync(), Err(SyncError::Commit(_))));
    assert_eq!(dataplane.due(), None);
    refusing(&mut dataplane, &[]);
    let report = dataplane.sync().unwrap();
    assert!(report.refused.is_empty() && report.full && report.changes > 0);
}

#[test]
fn there_is_an_end_to_the_search() {
    let mut dataplane = dataplane(300);
    let all: Vec<Ipv4Addr> = (0..300).map(good).collect();
    refusing(&mut dataplane, &all);
    let report = dataplane.sync().unwrap();
    assert_eq!(report.refused.len(), 300);
    assert!(dataplane.backend().batches.len() <= MOST_STEPS + 4, "{}", dataplane.backend().batches.len());
    assert_eq!(table(&dataplane), fresh([]));
}

#[test]
fn a_service_that_takes_a_quarantined_ones_address_waits_for_it() {
    let mut dataplane = dataplane(4);
    dataplane.sync().unwrap();
    refusing(&mut dataplane, &[good(1)]);
    remove(&mut dataplane, 1);
    dataplane.sync().unwrap();
    let (protocol, port) = (Protocol::Tcp, NonZeroU16::new(80).unwrap());
    let ports = vec![ServicePort { name: "".into(), protocol, port, node_port: None }];
    let heir = NamespacedName::new("default", "zzz");
    let cluster_ips = vec![IpAddr::V4(cluster_ip(1))];
    dataplane.model_mut().set_service(heir.clone(), Service { cluster_ips, ports, ..Service::default() });
    let report = dataplane.sync().unwrap();
    assert_eq!(report.conflicts.iter().map(|(_, name)| name.clone()).collect::<Vec<_>>(), [heir]);
    refusing(&mut dataplane, &[]);
    let due = dataplane.due().unwrap();
    assert!(dataplane.sync_at(due).unwrap().conflicts.is_empty());
    assert_eq!(held(&dataplane, 1), None, "the heir has no endpoint");
}

/// Others interfere between the dump and the transaction: that is nobody's fault.
#[test]
fn a_race_with_others_puts_nobody_into_quarantine() {
    let mut dataplane = dataplane(4);
    dataplane.sync().unwrap();
    // The kernel does not hold what the plan takes away, and nobody said so.
    let mut flush = nft::Batch::new();
    flush.push(Operation::FlushSet(TableId::new(Family::Ip, "portolan"), "endpoints".into()));
    dataplane.backend_mut().ruleset.apply(&flush).unwrap();
    set(&mut dataplane, 2, good(200));
    let report = dataplane.sync().unwrap();
    assert!(report.refused.is_empty());
    assert_eq!(table(&dataplane), fresh((0..4).map(|n| (n, if n == 2 { good(200) } else { good(n) }))));
}
