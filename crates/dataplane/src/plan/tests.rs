use std::num::NonZeroU16;

use super::arrange::slots;
use super::*;
use crate::backend::fake;
use crate::dataplane::Dataplane;
use crate::model::{
    EndpointSlice, NamespacedName, Node, Service, ServicePort, SliceEndpoint, SlicePort, TrafficPolicy,
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn number(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).unwrap()
}

fn name(text: &str) -> NamespacedName {
    NamespacedName::new("default", text)
}

fn endpoint(n: u8) -> Endpoint {
    Endpoint { address: IpAddr::from([10, 244, 1, n]), port: number(8080) }
}

fn all(numbers: &[u8]) -> Vec<Endpoint> {
    numbers.iter().map(|n| endpoint(*n)).collect()
}

#[test]
fn endpoints_that_stay_keep_their_slots() {
    assert_eq!(slots(&[], all(&[1, 2, 3])), all(&[1, 2, 3]));
    assert_eq!(slots(&all(&[1, 2, 3]), all(&[1, 2, 3, 4])), all(&[1, 2, 3, 4]));
    assert_eq!(slots(&all(&[1, 2, 3, 4]), all(&[2, 3, 4])), all(&[4, 2, 3]));
    assert_eq!(slots(&all(&[5, 2, 3]), all(&[1, 2, 3])), all(&[1, 2, 3]));
    assert_eq!(slots(&all(&[3, 2, 1]), all(&[1, 2, 3])), all(&[3, 2, 1]));
    assert_eq!(slots(&all(&[1, 2]), all(&[])), all(&[]));
    assert_eq!(slots(&all(&[9, 8, 7, 1]), all(&[1, 2])), all(&[1, 2]));
    assert_eq!(slots(&all(&[2, 2, 3]), all(&[1, 2, 3])), all(&[2, 1, 3]), "somebody wrote it twice");
}

fn service(address: &str) -> Service {
    let port = ServicePort { name: "".into(), protocol: Protocol::Tcp, port: number(80), node_port: None };
    Service { cluster_ips: vec![ip(address)], ports: vec![port], ..Service::default() }
}

fn slice(owner: &str, endpoints: impl IntoIterator<Item = u32>) -> EndpointSlice {
    let mut slice = EndpointSlice::new(name(owner));
    slice.ports.push(SlicePort { name: "".into(), protocol: Protocol::Tcp, port: number(8080) });
    let address = |n: u32| IpAddr::from((0x0af4_0000 + n).to_be_bytes());
    let endpoint = |n| SliceEndpoint { node: Some("there".into()), ..SliceEndpoint::new(address(n)) };
    slice.endpoints = endpoints.into_iter().map(endpoint).collect();
    slice
}

fn dataplane() -> Dataplane<fake::Backend> {
    Dataplane::new(fake::Backend::new(Config::default()), Node::default())
}

/// The batch of the last sync, as text.
fn last(dataplane: &Dataplane<fake::Backend>) -> String {
    dataplane.backend().batches.last().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn a_change_costs_what_changed() {
    let mut dataplane = dataplane();
    for n in 0..50u8 {
        dataplane.model_mut().set_service(name(&format!("s{n}")), service(&format!("10.96.0.{n}")));
        let first = u32::from(n) * 10;
        dataplane.model_mut().set_slice(name(&format!("slice{n}")), slice(&format!("s{n}"), first..first + 3));
    }
    dataplane.sync().unwrap();
    assert_eq!(dataplane.sync().unwrap().changes, 0);

    // An endpoint is replaced: one slot.
    dataplane.model_mut().set_slice(name("slice7"), slice("s7", [70, 999, 72]));
    let report = dataplane.sync().unwrap();
    assert_eq!((report.changes, report.services), (2, 1), "{}", last(&dataplane));
    // One more: a slot, and another class, with its chain, its rules (one counts) and its number.
    dataplane.model_mut().set_slice(name("slice7"), slice("s7", [70, 71, 72, 73]));
    assert_eq!(dataplane.sync().unwrap().changes, 2 + 1 + 3 + 3, "{}", last(&dataplane));
    // The second Service of that class needs no chain.
    dataplane.model_mut().set_slice(name("slice8"), slice("s8", 80..84));
    assert_eq!(dataplane.sync().unwrap().changes, 1 + 2, "{}", last(&dataplane));
    // The first endpoint goes: the last takes its slot.
    dataplane.model_mut().set_slice(name("slice8"), slice("s8", 81..84));
    assert_eq!(dataplane.sync().unwrap().changes, 3 + 2, "{}", last(&dataplane));
    // The last Service of a class leaves it, and it is there for the next.
    dataplane.model_mut().set_slice(name("slice7"), slice("s7", [70, 71, 72]));
    assert_eq!(dataplane.sync().unwrap().changes, 1 + 2, "{}", last(&dataplane));
    assert!(!last(&dataplane).contains("chain"), "{}", last(&dataplane));
    // What does not matter here changes nothing.
    let same = Service { affinity: None, health_check_port: Some(number(31000)), ..service("10.96.0.7") };
    dataplane.model_mut().set_service(name("s7"), same);
    assert_eq!(dataplane.sync().unwrap().changes, 0);
    assert_eq!(dataplane.backend().batches.len(), 6);
}

#[test]
fn classes_that_nobody_uses_are_kept_and_taken_away_many_at_once() {
    let mut dataplane = dataplane();
    dataplane.model_mut().set_service(name("s"), service("10.96.0.1"));
    let grow = |dataplane: &mut Dataplane<fake::Backend>, count: u32| {
        dataplane.model_mut().set_slice(name("slice"), slice("s", 0..count));
        dataplane.sync().unwrap();
        last(dataplane).matches("delete chain").count()
    };
    // One class is in use, and as many as may be are not.
    assert!((0..=128).all(|count| grow(&mut dataplane, count) == 0));
    let chains =
        |dataplane: &Dataplane<fake::Backend>| dataplane.backend().ruleset.tables.values().next().unwrap().chains.len();
    let most = chains(&dataplane);
    // One more: half of them go, those that were left first.
    assert_eq!(grow(&mut dataplane, 129), 65);
    assert_eq!(chains(&dataplane), most - 64);
    assert_eq!(grow(&mut dataplane, 100), 0);
    assert!(!last(&dataplane).contains("chain"), "it is still there: {}", last(&dataplane));
    assert_eq!(grow(&mut dataplane, 3), 0);
    assert!(last(&dataplane).contains("add chain ip portolan n3"), "{}", last(&dataplane));
    // A restart leaves them as they are.
    dataplane.forget();
    assert_eq!(dataplane.sync().unwrap().changes, 0);
    assert_eq!(grow(&mut dataplane, 100), 0);
    assert!(!last(&dataplane).contains("chain"), "{}", last(&dataplane));
}

#[test]
fn one_of_ten_thousand_endpoints_is_one_slot() {
    let mut dataplane = dataplane();
    dataplane.model_mut().set_service(name("s"), service("10.96.0.1"));
    for n in 0..10 {
        dataplane.model_mut().set_slice(name(&format!("slice{n}")), slice("s", n * 1000..(n + 1) * 1000));
    }
    dataplane.sync().unwrap();
    dataplane
        .model_mut()
        .set_slice(name("slice3"), slice("s", (3000..4000).map(|n| if n == 3500 { 65000 } else { n })));
    assert_eq!(dataplane.sync().unwrap().changes, 2);
    dataplane.model_mut().set_slice(name("slice3"), slice("s", 3001..4000));
    assert!(dataplane.sync().unwrap().changes < 20);
}

#[test]
fn a_service_that_takes_over_an_address_leaves_what_is_the_same() {
    let mut dataplane = dataplane();
    dataplane.model_mut().set_service(name("old"), service("10.96.0.1"));
    dataplane.model_mut().set_slice(name("old-1"), slice("old", 1..4));
    dataplane.sync().unwrap();
    dataplane.model_mut().remove_service(&name("old"));
    dataplane.model_mut().remove_slice(&name("old-1"));
    dataplane.model_mut().set_service(name("new"), service("10.96.0.1"));
    dataplane.model_mut().set_slice(name("new-1"), slice("new", 1..4));
    assert_eq!(dataplane.sync().unwrap().changes, 0);
}

#[test]
fn a_contested_address_goes_to_the_better_claim_and_to_the_next_when_that_is_given_up() {
    let mut dataplane = dataplane();
    let external = |cluster: &str| Service { external_ips: vec![ip("203.0.113.1")], ..service(cluster) };
    for (n, service_name) in ["c", "b", "a"].into_iter().enumerate() {
        dataplane.model_mut().set_service(name(service_name), external(&format!("10.96.0.{}", n + 1)));
        dataplane.model_mut().set_slice(name(&format!("{service_name}-1")), slice(service_name, [n as u32]));
    }
    let holder = |dataplane: &Dataplane<fake::Backend>| {
        let (_, endpoints) = &dataplane.backend().ruleset.tables.values().next().unwrap().sets["endpoints"];
        let held = endpoints.iter().find(|(at, _)| at.key.as_slice().starts_with(&[203, 0, 113, 1]));
        held.and_then(|(_, data)| match data {
            Some(nft::Data::Value(value)) => Some(value.as_slice()[3]),
            _ => None,
        })
    };
    let report = dataplane.sync().unwrap();
    let losers: Vec<String> = report.conflicts.iter().map(|(_, name)| name.to_string()).collect();
    assert_eq!(losers.len(), 2, "{losers:?}");
    assert_eq!(holder(&dataplane), Some(2), "the first by name");
    dataplane.model_mut().remove_service(&name("a"));
    dataplane.sync().unwrap();
    assert_eq!(holder(&dataplane), Some(1));
    // Somebody's cluster IP is stronger than everybody's external IP.
    dataplane.model_mut().set_service(name("z"), service("203.0.113.1"));
    dataplane.model_mut().set_slice(name("z-1"), slice("z", [26]));
    dataplane.sync().unwrap();
    assert_eq!(holder(&dataplane), Some(26));
    for gone in ["z", "b"] {
        dataplane.model_mut().remove_service(&name(gone));
    }
    assert_eq!(dataplane.sync().unwrap().conflicts, []);
    assert_eq!(holder(&dataplane), Some(0));
    dataplane.model_mut().remove_service(&name("c"));
    dataplane.sync().unwrap();
    assert_eq!(holder(&dataplane), None);
}

#[test]
fn the_same_history_gives_the_same_bytes() {
    let history = || {
        let mut dataplane = dataplane();
        for n in 0..40u8 {
            let mut wanted = service(&format!("10.96.0.{n}"));
            wanted.external_policy = if n % 3 == 0 { TrafficPolicy::Local } else { TrafficPolicy::Cluster };
            wanted.external_ips = vec![ip(&format!("203.0.113.{}", n % 20))];
            wanted.affinity = (n % 4 == 0).then_some(60);
            dataplane.model_mut().set_service(name(&format!("s{n}")), wanted);
            dataplane.model_mut().set_slice(name(&format!("slice{n}")), slice(&format!("s{n}"), 0..u32::from(n % 7)));
            if n % 10 == 9 {
                dataplane.sync().unwrap();
            }
        }
        dataplane.forget();
        dataplane.model_mut().set_node(Node { masquerade_all: true, ..Node::default() });
        dataplane.sync().unwrap();
        dataplane.backend().batches.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(history(), history());
}
