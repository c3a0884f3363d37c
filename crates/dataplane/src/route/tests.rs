//! The table in `tests/conformance` covers each behaviour on its own; here is what it cannot say.

use std::net::IpAddr;
use std::num::NonZeroU16;

use super::*;
use crate::model::{
    Conditions, EndpointSlice, Model, NamespacedName, Node, Service, ServicePort, SliceEndpoint, SlicePort,
};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn name(text: &str) -> NamespacedName {
    NamespacedName::new("default", text)
}

fn number(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).unwrap()
}

fn port(name: &str, protocol: Protocol, port: u16, node_port: Option<u16>) -> ServicePort {
    ServicePort { name: name.into(), protocol, port: number(port), node_port: node_port.map(number) }
}

fn model() -> Model {
    Model::new(Node { name: "here".into(), addresses: vec![ip("172.30.0.1")], ..Node::default() })
}

fn slice(owner: &str, ports: &[(&str, Protocol, u16)], endpoints: Vec<SliceEndpoint>) -> EndpointSlice {
    let ports = ports.iter().map(|(name, protocol, port)| SlicePort {
        name: (*name).into(),
        protocol: *protocol,
        port: number(*port),
    });
    EndpointSlice { ports: ports.collect(), endpoints, ..EndpointSlice::new(name(owner)) }
}

fn routes(model: &Model, service: &str) -> ServiceRoutes {
    let all = model.all().into_iter().map(|id| model.entry(id).unwrap());
    let entry = all.into_iter().find(|entry| entry.name == name(service)).unwrap();
    route(entry, model.node(), Family::V4)
}

fn texts(endpoints: &[Endpoint]) -> Vec<String> {
    endpoints.iter().map(Endpoint::to_string).collect()
}

#[test]
fn ports_of_one_number_are_told_apart_by_name_and_protocol() {
    let mut model = model();
    let ports = vec![
        port("dns", Protocol::Udp, 53, None),
        port("dns-tcp", Protocol::Tcp, 53, None),
        port("metrics", Protocol::Tcp, 9153, None),
    ];
    let service = Service { cluster_ips: vec![ip("10.96.0.10")], ports, ..Service::default() };
    model.set_service(name("dns"), service);
    let ports = [("dns", Protocol::Udp, 5353), ("dns-tcp", Protocol::Tcp, 5354), ("metrics", Protocol::Tcp, 9153)];
    model.set_slice(name("dns-1"), slice("dns", &ports, vec![SliceEndpoint::new(ip("10.244.1.1"))]));
    let routes = routes(&model, "dns");
    let lists: Vec<_> = routes.ports.iter().map(|port| texts(&port.cluster)).collect();
    assert_eq!(lists, [["10.244.1.1:5353"], ["10.244.1.1:5354"], ["10.244.1.1:9153"]]);
    assert_eq!(texts(&routes.ports[0].serving), ["10.244.1.1:5353"]);
    assert!(routes.ports[1].serving.is_empty(), "TCP connections are not looked through");
}

#[test]
fn slices_that_contradict_each_other_are_believed_where_they_are_best() {
    let mut model = model();
    let service = Service {
        cluster_ips: vec![ip("10.96.0.1")],
        ports: vec![port("", Protocol::Tcp, 80, None)],
        internal_policy: crate::model::TrafficPolicy::Local,
        ..Service::default()
    };
    model.set_service(name("web"), service);
    let endpoint = |ready, node: Option<&str>| SliceEndpoint {
        conditions: Conditions { ready, serving: ready, terminating: false },
        node: node.map(Into::into),
        ..SliceEndpoint::new(ip("10.244.1.1"))
    };
    let port = [("", Protocol::Tcp, 8080)];
    model.set_slice(name("web-1"), slice("web", &port, vec![endpoint(false, None)]));
    model.set_slice(name("web-2"), slice("web", &port, vec![endpoint(true, Some("here"))]));
    assert_eq!(texts(&routes(&model, "web").ports[0].local), ["10.244.1.1:8080"]);
}

/// kubernetes#135439: an update may give one node port to two ports.
#[test]
fn a_node_port_that_two_ports_have_is_the_first_ones() {
    let mut model = model();
    let ports = vec![port("a", Protocol::Tcp, 80, Some(30080)), port("b", Protocol::Tcp, 81, Some(30080))];
    model.set_service(name("web"), Service { cluster_ips: vec![ip("10.96.0.1")], ports, ..Service::default() });
    let routes = routes(&model, "web");
    let counts: Vec<usize> = routes.ports.iter().map(|port| port.routes.len()).collect();
    assert_eq!(counts, [2, 1]);
}

#[test]
fn an_address_that_is_written_twice_has_one_route() {
    let mut model = model();
    let service = Service {
        cluster_ips: vec![ip("10.96.0.1"), ip("fd00::1")],
        external_ips: vec![ip("10.96.0.1"), ip("203.0.113.1"), ip("203.0.113.1"), ip("fd00::2")],
        ports: vec![port("", Protocol::Tcp, 80, None)],
        ..Service::default()
    };
    model.set_service(name("web"), service);
    let routes = routes(&model, "web");
    let destinations: Vec<_> = routes.ports[0].routes.iter().map(|r| (r.destination.to_string(), r.claim)).collect();
    let expected = [("10.96.0.1:80/tcp", Claim::ClusterIp), ("203.0.113.1:80/tcp", Claim::ExternalIp)];
    assert_eq!(destinations, expected.map(|(text, claim)| (text.to_owned(), claim)));
}

#[test]
fn a_dual_stack_service_has_the_endpoints_of_each_family() {
    let mut model = model();
    let ports = vec![port("", Protocol::Tcp, 80, None)];
    let cluster_ips = vec![ip("10.96.0.1"), ip("fd00::1")];
    model.set_service(name("web"), Service { cluster_ips, ports, ..Service::default() });
    let port = [("", Protocol::Tcp, 8080)];
    model.set_slice(name("web-4"), slice("web", &port, vec![SliceEndpoint::new(ip("10.244.1.1"))]));
    model.set_slice(name("web-6"), slice("web", &port, vec![SliceEndpoint::new(ip("fd01::1"))]));
    let entry = model.all().into_iter().find_map(|id| model.entry(id)).unwrap();
    let list = |family| texts(&route(entry, model.node(), family).ports[0].cluster);
    assert_eq!((list(Family::V4), list(Family::V6)), (vec!["10.244.1.1:8080".into()], vec!["[fd01::1]:8080".into()]));
}

#[test]
fn nobody_takes_a_cluster_ip_by_writing_it_into_external_ips() {
    let mut model = model();
    let service = |cluster: &str, external: &[&str]| Service {
        cluster_ips: vec![ip(cluster)],
        external_ips: external.iter().map(|text| ip(text)).collect(),
        ports: vec![port("", Protocol::Tcp, 80, None)],
        ..Service::default()
    };
    model.set_service(name("a-thief"), service("10.96.0.9", &["10.96.0.1"]));
    model.set_service(name("owner"), service("10.96.0.1", &[]));
    let port = [("", Protocol::Tcp, 8080)];
    model.set_slice(name("thief-1"), slice("a-thief", &port, vec![SliceEndpoint::new(ip("10.244.6.6"))]));
    model.set_slice(name("owner-1"), slice("owner", &port, vec![SliceEndpoint::new(ip("10.244.1.1"))]));
    let packet = Packet {
        source: ip("10.244.1.9"),
        source_port: 40000,
        destination: ip("10.96.0.1"),
        port: 80,
        protocol: 6,
        interface: Default::default(),
        made_here: false,
    };
    let verdict = Table::new(&model, Family::V4).verdict(&packet, |_| false);
    assert_eq!(verdict.to_string(), "to 10.244.1.1:8080");
}

#[test]
fn the_node_in_a_range_lets_the_balanced_address_in() {
    let mut model = model();
    let service = Service {
        cluster_ips: vec![ip("10.96.0.1")],
        load_balancer: vec![crate::model::LoadBalancerAddress {
            address: ip("198.51.100.1"),
            mode: crate::model::IpMode::Vip,
        }],
        source_ranges: vec!["172.30.0.0/24".parse().unwrap()],
        ports: vec![port("", Protocol::Tcp, 80, None)],
        ..Service::default()
    };
    model.set_service(name("web"), service.clone());
    let sources = |model: &Model| routes(model, "web").sources.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(sources(&model), ["172.30.0.0/24", "198.51.100.1/32"]);
    model.set_service(name("web"), Service { source_ranges: vec!["10.0.0.0/8".parse().unwrap()], ..service });
    assert_eq!(sources(&model), ["10.0.0.0/8"]);
}

#[test]
fn a_health_check_counts_ready_endpoints_of_this_node_each_once() {
    let mut model = model();
    let service = Service {
        cluster_ips: vec![ip("10.96.0.1")],
        ports: vec![port("a", Protocol::Tcp, 80, None), port("b", Protocol::Tcp, 81, None)],
        external_policy: crate::model::TrafficPolicy::Local,
        health_check_port: Some(number(31000)),
        ..Service::default()
    };
    model.set_service(name("web"), service.clone());
    let endpoint = |address: &str, node: &str, ready, terminating| SliceEndpoint {
        conditions: Conditions { ready, serving: true, terminating },
        node: Some(node.into()),
        ..SliceEndpoint::new(ip(address))
    };
    let endpoints = vec![
        endpoint("10.244.1.1", "here", true, false),
        endpoint("10.244.1.2", "here", true, false),
        endpoint("10.244.1.3", "here", false, true),
        endpoint("10.244.2.1", "there", true, false),
    ];
    let ports = [("a", Protocol::Tcp, 8080), ("b", Protocol::Tcp, 8081)];
    model.set_slice(name("web-1"), slice("web", &ports, endpoints));
    let check = HealthCheck { port: number(31000), service: name("web"), local_endpoints: 2 };
    assert_eq!(health_checks(&model), [check]);
    assert_eq!(local_endpoints(&model, &name("web")), Some(2));
    model
        .set_service(name("web"), Service { external_policy: crate::model::TrafficPolicy::Cluster, ..service.clone() });
    assert_eq!(health_checks(&model), []);
    assert_eq!(local_endpoints(&model, &name("web")), Some(2), "also without a health check");
    model.set_service(name("web"), Service { headless_label: true, ..service });
    assert_eq!(local_endpoints(&model, &name("web")), None, "not ours to serve");
    model.remove_service(&name("web"));
    assert_eq!(local_endpoints(&model, &name("web")), None, "its slices alone are no Service");
    assert_eq!(local_endpoints(&model, &name("else")), None);
}
