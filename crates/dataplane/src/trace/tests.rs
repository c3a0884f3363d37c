use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU16;

use nft::{Batch, Chain, ChainType, Expr, Rule, Table, TableId};

use super::*;
use crate::backend::fake;
use crate::compile::Config;
use crate::dataplane::Dataplane;
use crate::model::{EndpointSlice, NamespacedName, Node, Protocol, Service, ServicePort, SliceEndpoint, SlicePort};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn packet(source: &str) -> Packet {
    Packet {
        source: ip(source),
        source_port: 40000,
        destination: ip("10.96.0.1"),
        port: 80,
        protocol: 6,
        interface: Default::default(),
        made_here: false,
    }
}

/// One Service with affinity of a minute.
fn dataplane(config: Config) -> Dataplane<fake::Backend> {
    let mut dataplane = Dataplane::new(fake::Backend::new(config), Node::default());
    let port =
        ServicePort { name: "".into(), protocol: Protocol::Tcp, port: NonZeroU16::new(80).unwrap(), node_port: None };
    let service =
        Service { cluster_ips: vec![ip("10.96.0.1")], ports: vec![port], affinity: Some(60), ..Service::default() };
    dataplane.model_mut().set_service(NamespacedName::new("default", "web"), service);
    dataplane
}

fn endpoints(dataplane: &mut Dataplane<fake::Backend>, addresses: &[&str]) {
    let mut slice = EndpointSlice::new(NamespacedName::new("default", "web"));
    slice.ports.push(SlicePort { name: "".into(), protocol: Protocol::Tcp, port: NonZeroU16::new(8080).unwrap() });
    slice.endpoints = addresses.iter().map(|address| SliceEndpoint::new(ip(address))).collect();
    dataplane.model_mut().set_slice(NamespacedName::new("default", "web-1"), slice);
    dataplane.sync().unwrap();
}

fn forwarded(tracer: &mut Tracer<'_>, source: &str, drawn: u32) -> String {
    match tracer.trace(&packet(source), &mut |modulus| drawn % modulus).unwrap().outcome {
        Outcome::Forwarded { to, .. } => to.address.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_client_is_remembered_for_the_timeout_after_its_last_connection() {
    let mut dataplane = dataplane(Config::default());
    endpoints(&mut dataplane, &["10.244.1.1", "10.244.1.2", "10.244.1.3"]);
    let mut tracer = Tracer::new(&dataplane.backend().ruleset);
    assert_eq!(forwarded(&mut tracer, "10.244.9.1", 1), "10.244.1.2");
    for _ in 0..5 {
        tracer.advance(Duration::from_secs(59));
        assert_eq!(forwarded(&mut tracer, "10.244.9.1", 0), "10.244.1.2");
        assert_eq!(forwarded(&mut tracer, "10.244.9.2", 2), "10.244.1.3");
    }
    tracer.advance(Duration::from_secs(60));
    assert_eq!(forwarded(&mut tracer, "10.244.9.1", 0), "10.244.1.1");
}

#[test]
fn what_is_remembered_survives_changes_of_the_other_endpoints_only() {
    let mut dataplane = dataplane(Config::default());
    endpoints(&mut dataplane, &["10.244.1.1", "10.244.1.2", "10.244.1.3"]);
    let before = dataplane.backend().ruleset.clone();
    let mut tracer = Tracer::new(&before);
    for (source, drawn) in [("10.244.9.1", 0), ("10.244.9.2", 1), ("10.244.9.3", 2)] {
        forwarded(&mut tracer, source, drawn);
    }
    endpoints(&mut dataplane, &["10.244.1.2", "10.244.1.3"]);
    let mut tracer = tracer.with_ruleset(&dataplane.backend().ruleset);
    assert_eq!(forwarded(&mut tracer, "10.244.9.2", 0), "10.244.1.2");
    assert_eq!(forwarded(&mut tracer, "10.244.9.3", 1), "10.244.1.3");
    // Its endpoint is gone: a new choice, which holds.
    let chosen = forwarded(&mut tracer, "10.244.9.1", 1);
    assert!(["10.244.1.2", "10.244.1.3"].contains(&chosen.as_str()));
    assert_eq!(forwarded(&mut tracer, "10.244.9.1", 0), chosen);
}

#[test]
fn a_client_meets_the_same_endpoint_at_every_address_of_a_port_and_another_service_knows_it_not() {
    let mut dataplane = dataplane(Config::default());
    let port = |number| ServicePort {
        name: "".into(),
        protocol: Protocol::Tcp,
        port: NonZeroU16::new(number).unwrap(),
        node_port: NonZeroU16::new(number + 30_000),
    };
    let service = Service {
        cluster_ips: vec![ip("10.96.0.1")],
        external_ips: vec![ip("192.0.2.1"), ip("192.0.2.2")],
        ports: vec![port(80)],
        affinity: Some(60),
        ..Service::default()
    };
    let other =
        Service { cluster_ips: vec![ip("10.96.0.2")], affinity: Some(60), ports: vec![port(81)], ..Service::default() };
    dataplane.model_mut().set_service(NamespacedName::new("default", "web"), service);
    dataplane.model_mut().set_service(NamespacedName::new("default", "other"), other);
    let mut slice = EndpointSlice::new(NamespacedName::new("default", "other"));
    slice.ports.push(SlicePort { name: "".into(), protocol: Protocol::Tcp, port: NonZeroU16::new(8080).unwrap() });
    slice.endpoints = ["10.244.2.1", "10.244.2.2"].map(|address| SliceEndpoint::new(ip(address))).into();
    dataplane.model_mut().set_slice(NamespacedName::new("default", "other-1"), slice);
    endpoints(&mut dataplane, &["10.244.1.1", "10.244.1.2", "10.244.1.3"]);
    let mut tracer = Tracer::new(&dataplane.backend().ruleset).with_local(&[ip("172.30.0.1")]);
    let addresses = [("10.96.0.1", 80), ("192.0.2.1", 80), ("192.0.2.2", 80), ("172.30.0.1", 30_080)];
    for (client, first) in [("10.244.9.1", 0), ("10.244.9.2", 1), ("10.244.9.3", 2), ("10.244.9.4", 3)] {
        let mut met = |(address, port): (&str, u16), drawn: u32| {
            let packet = Packet { destination: ip(address), port, ..packet(client) };
            match tracer.trace(&packet, &mut |modulus| drawn % modulus).unwrap().outcome {
                Outcome::Forwarded { to, .. } => to.address.to_string(),
                other => panic!("{other:?}"),
            }
        };
        let chosen = met(addresses[first], first as u32);
        for address in addresses {
            for drawn in 0..3 {
                assert_eq!(met(address, drawn), chosen, "{client} at {address:?} after {:?}", addresses[first]);
            }
        }
        assert!(met(("10.96.0.2", 81), 1).starts_with("10.244.2."), "the other Service's numbers are its own");
        assert_eq!(met(addresses[0], 0), chosen);
    }
}

#[test]
fn when_no_more_clients_can_be_remembered_the_others_are_still_served() {
    let mut dataplane = dataplane(Config { affinity_size: 2, ..Config::default() });
    endpoints(&mut dataplane, &["10.244.1.1", "10.244.1.2"]);
    let mut tracer = Tracer::new(&dataplane.backend().ruleset);
    forwarded(&mut tracer, "10.244.9.1", 0);
    forwarded(&mut tracer, "10.244.9.2", 0);
    let met: BTreeSet<String> = (0..2).map(|drawn| forwarded(&mut tracer, "10.244.9.3", drawn)).collect();
    assert_eq!(met.len(), 2);
    assert_eq!(forwarded(&mut tracer, "10.244.9.1", 1), "10.244.1.1");
}

#[test]
fn a_trace_says_which_rules_the_packet_met() {
    let mut dataplane = dataplane(Config::default());
    endpoints(&mut dataplane, &["10.244.1.1"]);
    let trace = Tracer::new(&dataplane.backend().ruleset).trace(&packet("10.244.9.1"), &mut |_| 0).unwrap();
    let chains: Vec<&str> = trace.steps.iter().filter_map(|step| Some(step.split_once(':')?.0)).collect();
    assert_eq!(chains, ["prerouting", "services", "n1-affinity-60", "n1-affinity-60"]);
    assert!(trace.steps[2].contains("add @connections"), "{}", trace.steps[2]);
}

#[test]
fn rules_that_cannot_be_run_are_errors() {
    let table = TableId::new(nft::Family::Ip, "test");
    let run = |exprs: Vec<Expr>| {
        let mut ruleset = Ruleset::new();
        let mut batch = Batch::new();
        batch.add_table(Table::new(table.clone()));
        batch.add_chain(Chain::base(&table, "prerouting", ChainType::Nat, nft::Hook::Prerouting, -100));
        batch.add_chain(Chain::regular(&table, "loop"));
        batch.add_rule(Rule::new(&table, "prerouting", exprs));
        batch.add_rule(Rule::new(&table, "loop", vec![Expr::jump("loop")]));
        ruleset.apply(&batch).unwrap();
        Tracer::new(&ruleset).trace(&packet("10.244.9.1"), &mut |_| 0)
    };
    assert!(matches!(run(vec![Expr::Notrack]), Err(TraceError::Unknown { .. })));
    assert!(matches!(run(vec![Expr::jump("loop")]), Err(TraceError::Depth { .. })));
    assert!(matches!(run(vec![]).unwrap().outcome, Outcome::Passed { masquerade: false }));
}
