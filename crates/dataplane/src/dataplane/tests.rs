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
fn what_the_kernel_does_not_hold_as_thought_is_compared_and_put_right_at_once() {
    let mut dataplane = dataplane();
    set_endpoint(&mut dataplane, 1);
    dataplane.sync().unwrap();
    // Somebody takes away, unheard, what the plan is about to take away.
    let table = nft::TableId::new(nft::Family::Ip, "portolan");
    let content = dataplane.backend_mut().ruleset.tables.get_mut(&table).unwrap();
    content.sets.get_mut("endpoints").unwrap().1.clear();
    set_endpoint(&mut dataplane, 2);
    let report = dataplane.sync().unwrap();
    assert!(report.full && report.changes > 0 && report.refused.is_empty());
    let refused = dataplane.backend().batches.iter().rev().nth(1).unwrap().to_string();
    assert!(refused.contains("10.96.0.1 . tcp . 80"), "{refused}");
    dataplane.forget();
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

fn udp_entry(to: [u8; 4], answered_by: [u8; 4]) -> nft::conntrack::Entry {
    use nft::conntrack::{Entry, Protocol, Status, Tuple};
    let tuple = |source: ([u8; 4], u16), destination: ([u8; 4], u16)| Tuple {
        source: source.0.into(),
        destination: destination.0.into(),
        protocol: Protocol::Ports { number: 17, source: source.1, destination: destination.1 },
    };
    let client = ([10, 244, 9, 1], 40000);
    let (original, reply) = (tuple(client, (to, 53)), tuple((answered_by, 5353), client));
    Entry { original, reply, status: Status::DST_NAT, mark: 0, timeout: None, id: 0, zone: 0 }
}

#[test]
fn a_check_of_all_flows_ends_those_that_nobody_serves() {
    let mut dataplane = dataplane();
    dataplane.sync().unwrap();
    dataplane.backend_mut().flows = vec![udp_entry([10, 96, 0, 2], [10, 244, 1, 9])];
    let report = dataplane.check_flows().unwrap();
    assert_eq!((report.connections, report.ended), (0, 0), "there is no UDP Service");

    let port = ServicePort { name: "".into(), protocol: Protocol::Udp, port: number(53), node_port: None };
    let cluster_ips = vec![IpAddr::from([10, 96, 0, 2])];
    dataplane.model_mut().set_service(name("dns"), Service { cluster_ips, ports: vec![port], ..Service::default() });
    let mut slice = EndpointSlice::new(name("dns"));
    slice.ports.push(SlicePort { name: "".into(), protocol: Protocol::Udp, port: number(5353) });
    slice.endpoints.push(SliceEndpoint::new(IpAddr::from([10, 244, 1, 1])));
    dataplane.model_mut().set_slice(name("dns-1"), slice);
    assert_eq!(dataplane.sync().unwrap().flows_ended, 1);
    let good = udp_entry([10, 96, 0, 2], [10, 244, 1, 1]);
    dataplane.backend_mut().flows = vec![udp_entry([10, 96, 0, 2], [10, 244, 1, 9]), good];
    assert_eq!(dataplane.sync().unwrap().flows_ended, 0, "nothing changed");
    let report = dataplane.check_flows().unwrap();
    assert_eq!((report.connections, report.ended), (2, 1));
    assert_eq!(dataplane.backend().flows, [good]);
}
