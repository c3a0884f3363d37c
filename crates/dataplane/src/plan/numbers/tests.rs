use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU16;

use nft::{Batch, Operation};

use super::*;
use crate::backend::fake;
use crate::compile::{Config, Map};
use crate::dataplane::Dataplane;
use crate::model::{EndpointSlice, NamespacedName, Node, Protocol, Service, ServicePort, SliceEndpoint, SlicePort};
use crate::route::{Claim, Decision, Destination, Masquerade, Route};

fn endpoint(n: u32) -> Endpoint {
    Endpoint { address: IpAddr::from((0x0a00_0000 + n).to_be_bytes()), port: NonZeroU16::MIN }
}

/// A port of a cluster IP, with these endpoints.
fn port(address: u8, endpoints: std::ops::Range<u32>) -> PortRoutes {
    let destination = Destination::Address {
        address: IpAddr::from([10, 96, 0, address]),
        protocol: Protocol::Tcp,
        port: NonZeroU16::MIN,
    };
    let decision = Decision::Forward { to: List::Cluster, masquerade: Masquerade::Never };
    PortRoutes {
        protocol: Protocol::Tcp,
        port: NonZeroU16::MIN,
        cluster: endpoints.map(endpoint).collect(),
        local: Vec::new(),
        consistent: Vec::new(),
        elsewhere: BTreeMap::new(),
        serving: Vec::new(),
        routes: vec![Route { destination, claim: Claim::ClusterIp, decision, firewalled: false }],
        numbers: None,
    }
}

fn service(ports: Vec<PortRoutes>) -> ServiceRoutes {
    ServiceRoutes { affinity: Some(60), ports, ..ServiceRoutes::default() }
}

fn numbered(mut new: ServiceRoutes, old: &ServiceRoutes, blocks: &mut Blocks) -> ServiceRoutes {
    number(&mut new, old, None, blocks);
    new
}

fn numbers(service: &ServiceRoutes, port: usize) -> &Numbers {
    service.ports[port].numbers.as_deref().unwrap()
}

#[test]
fn endpoints_keep_their_numbers_while_others_come_and_go_and_ports_share_none() {
    let mut blocks = Blocks::default();
    let none = ServiceRoutes::default();
    let first = numbered(service(vec![port(1, 0..300), port(2, 0..300)]), &none, &mut blocks);
    let other = numbered(service(vec![port(3, 0..300)]), &none, &mut blocks);
    let of: BTreeSet<Block> = [numbers(&first, 0), numbers(&first, 1), numbers(&other, 0)].map(Numbers::block).into();
    assert_eq!(of.len(), 3);
    let all: BTreeSet<u32> = (0..300).map(|n| numbers(&first, 0).get(&endpoint(n)).unwrap()).collect();
    assert_eq!(all.len(), 300);
    assert!(all.iter().all(|number| Block::of(*number) == Some(numbers(&first, 0).block())));

    let second = numbered(service(vec![port(1, 100..600), port(2, 0..0)]), &first, &mut blocks);
    for n in 100..300 {
        assert_eq!(numbers(&second, 0).get(&endpoint(n)), numbers(&first, 0).get(&endpoint(n)));
    }
    assert_eq!(numbers(&second, 0).get(&endpoint(0)), None);
    // Without endpoints a port keeps its block, and those that come back have the numbers that they had.
    let third = numbered(service(vec![port(1, 100..600), port(2, 7..9)]), &second, &mut blocks);
    assert_eq!(numbers(&third, 1).block(), numbers(&first, 1).block());
    // What is given up is not given to the next.
    let gone = numbered(service(vec![]), &third, &mut blocks);
    let next = numbered(service(vec![port(4, 0..3)]), &gone, &mut blocks);
    assert!(!of.contains(&numbers(&next, 0).block()));
    assert_eq!(blocks.used.len(), 2);
}

#[test]
fn a_port_that_becomes_two_has_two_blocks() {
    let mut blocks = Blocks::default();
    let mut both = port(1, 0..3);
    both.routes.extend(port(2, 0..0).routes);
    let before = numbered(service(vec![both]), &ServiceRoutes::default(), &mut blocks);
    let after = numbered(service(vec![port(1, 0..3), port(2, 0..3)]), &before, &mut blocks);
    assert_eq!(numbers(&after, 0).block(), numbers(&before, 0).block());
    assert_ne!(numbers(&after, 1).block(), numbers(&before, 0).block());
    assert_eq!(blocks.used.len(), 2);
}

#[test]
fn a_port_of_many_endpoints_has_a_wide_block_and_keeps_it() {
    let mut blocks = Blocks::default();
    let small = numbered(service(vec![port(1, 0..10)]), &ServiceRoutes::default(), &mut blocks);
    assert!(!numbers(&small, 0).block().is_wide());
    let large = numbered(service(vec![port(1, 0..100_000)]), &small, &mut blocks);
    let all: BTreeSet<u32> = (0..100_000).map(|n| numbers(&large, 0).get(&endpoint(n)).unwrap()).collect();
    assert_eq!(all.len(), 100_000);
    assert!(all.iter().all(|number| Block::of(*number) == Some(numbers(&large, 0).block())));
    let again = numbered(service(vec![port(1, 0..10)]), &large, &mut blocks);
    assert_eq!(numbers(&again, 0).block(), numbers(&large, 0).block());
    assert_eq!(blocks.used.len(), 1);
}

#[test]
fn when_there_is_no_block_left_clients_are_not_remembered() {
    let mut blocks = Blocks::default();
    for n in 0..Block::count(true) {
        assert!(blocks.take(Block::nth(n, true).unwrap()));
    }
    assert_eq!(Block::nth(Block::count(true), true), None);
    let large = numbered(service(vec![port(1, 0..5_000)]), &ServiceRoutes::default(), &mut blocks);
    assert_eq!(large.ports[0].numbers, None);
    // What the kernel holds is not given to others either.
    let mut blocks = Blocks::begin((0..Block::count(false)).filter_map(|n| Block::nth(n, false)).collect());
    let small = numbered(service(vec![port(1, 0..5)]), &ServiceRoutes::default(), &mut blocks);
    assert_eq!(small.ports[0].numbers, None);
}

/// Clients are remembered in a set of its own: what others do to the rules makes nobody choose anew.
#[test]
fn numbers_that_others_took_out_of_the_kernel_come_back() {
    let mut dataplane = Dataplane::new(fake::Backend::new(Config::default()), Node::default());
    let name = |text: &str| NamespacedName::new("default", text);
    for (n, service) in ["a", "b"].into_iter().enumerate() {
        let port = ServicePort { name: "".into(), protocol: Protocol::Tcp, port: NonZeroU16::MIN, node_port: None };
        let cluster_ips = vec![IpAddr::from([10, 96, 0, n as u8])];
        let wanted = Service { cluster_ips, ports: vec![port], affinity: Some(60), ..Service::default() };
        dataplane.model_mut().set_service(name(service), wanted);
        let mut slice = EndpointSlice::new(name(service));
        slice.ports.push(SlicePort { name: "".into(), protocol: Protocol::Tcp, port: NonZeroU16::MIN });
        slice.endpoints = (0..3).map(|n| SliceEndpoint::new(endpoint(n).address)).collect();
        dataplane.model_mut().set_slice(name(&format!("{service}-1")), slice);
    }
    dataplane.sync().unwrap();
    // What is left is not what a first load would make.
    dataplane.model_mut().remove_service(&name("a"));
    dataplane.sync().unwrap();
    let before = dataplane.backend().ruleset.clone();
    for map in [Map::AffinitySlots, Map::AffinityEndpoints] {
        let mut batch = Batch::new();
        let table = before.tables.keys().next().unwrap().clone();
        batch.push(Operation::FlushSet(table, map.name().into()));
        dataplane.backend_mut().ruleset.apply(&batch).unwrap();
        dataplane.forget();
        assert!(dataplane.sync().unwrap().changes >= 3);
        assert_eq!(dataplane.backend().ruleset, before, "without {map:?}");
    }
}
