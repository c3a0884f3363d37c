use std::net::IpAddr;
use std::num::NonZeroU16;

use nft::{ObjectId, Operation};

use super::*;
use crate::backend::fake;
use crate::compile::Config;
use crate::model::{EndpointSlice, Protocol, Service, ServicePort, SliceEndpoint, SlicePort};

fn name(text: &str) -> NamespacedName {
    NamespacedName::new("default", text)
}

fn number(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).unwrap()
}

fn dataplane() -> Dataplane<fake::Backend> {
    let mut dataplane = Dataplane::new(fake::Backend::new(Config::default()), Node::default());
    let port = ServicePort { name: "".into(), protocol: Protocol::Tcp, port: number(80), node_port: None };
    let cluster_ips = vec![IpAddr::from([10, 96, 0, 1])];
    dataplane.model_mut().set_service(name("web"), Service { cluster_ips, ports: vec![port], ..Service::default() });
    dataplane
}

fn set_endpoint(dataplane: &mut Dataplane<fake::Backend>, last: u8) {
    let mut slice = EndpointSlice::new(name("web"));
    slice.ports.push(SlicePort { name: "".into(), protocol: Protocol::Tcp, port: number(8080) });
    slice.endpoints.push(SliceEndpoint::new(IpAddr::from([10, 244, 1, last])));
    dataplane.model_mut().set_slice(name("web-1"), slice);
}

#[test]
fn nothing_to_do_is_no_transaction() {
    let mut dataplane = dataplane();
    assert!(dataplane.is_dirty());
    assert!(dataplane.sync().unwrap().full);
    assert!(!dataplane.is_dirty());
    let report = dataplane.sync().unwrap();
    assert_eq!((report.changes, report.services, report.full), (0, 0, false));
    assert_eq!(dataplane.backend().batches.len(), 1);
}

#[test]
fn a_refusal_names_the_object_and_the_next_sync_compares_everything() {
    let mut dataplane = dataplane();
    set_endpoint(&mut dataplane, 1);
    dataplane.sync().unwrap();
    // Somebody takes away what the plan is about to take away.
    let table = nft::TableId::new(nft::Family::Ip, "portolan");
    let content = dataplane.backend_mut().ruleset.tables.get_mut(&table).unwrap();
    content.sets.get_mut("endpoints").unwrap().1.clear();
    set_endpoint(&mut dataplane, 2);
    let error = dataplane.sync().unwrap_err();
    let SyncError::Commit(CommitError::Memory(refused)) = error else { panic!("{error:?}") };
    assert!(refused.operation.contains("10.96.0.1 . tcp . 80"), "{refused}");
    assert!(dataplane.is_dirty());
    let report = dataplane.sync().unwrap();
    assert!(report.full && report.changes > 0);
    assert_eq!(dataplane.sync().unwrap().changes, 0);
}

#[test]
fn a_table_that_somebody_deleted_comes_back() {
    let mut dataplane = dataplane();
    set_endpoint(&mut dataplane, 1);
    dataplane.sync().unwrap();
    let before = dataplane.backend().ruleset.clone();
    let mut batch = Batch::new();
    batch.push(Operation::Delete(ObjectId::Table(nft::TableId::new(nft::Family::Ip, "portolan"))));
    dataplane.backend_mut().ruleset.apply(&batch).unwrap();
    dataplane.forget();
    dataplane.sync().unwrap();
    assert_eq!(dataplane.backend().ruleset, before);
}

#[test]
fn each_family_has_a_table() {
    let config = Config { families: vec![crate::Family::V4, crate::Family::V6], ..Config::default() };
    let mut dataplane = Dataplane::new(fake::Backend::new(config), Node::default());
    dataplane.sync().unwrap();
    let tables: Vec<String> = dataplane.backend().ruleset.tables.keys().map(ToString::to_string).collect();
    assert_eq!(tables, ["ip portolan", "ip6 portolan"]);
    assert_eq!(dataplane.backend().batches.len(), 1, "one transaction for both");
}
