use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU16;

use super::*;
use crate::backend::fake;
use crate::compile::Config;
use crate::model::{
    EndpointSlice, IpMode, LoadBalancerAddress, Node, Protocol, Service, ServicePort, SliceEndpoint, SlicePort,
};
use crate::route::MOST_ENDPOINTS;

fn name(text: &str) -> NamespacedName {
    NamespacedName::new("default", text)
}

fn port(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn service(address: &str) -> Service {
    let ports = vec![ServicePort { name: "".into(), protocol: Protocol::Tcp, port: port(80), node_port: None }];
    Service { cluster_ips: vec![ip(address)], ports, ..Service::default() }
}

fn slice(owner: &str, endpoints: impl IntoIterator<Item = SliceEndpoint>) -> EndpointSlice {
    let mut slice = EndpointSlice::new(name(owner));
    slice.ports.push(SlicePort { name: "".into(), protocol: Protocol::Tcp, port: port(8080) });
    slice.endpoints.extend(endpoints);
    slice
}

fn on(node: &str, address: &str) -> SliceEndpoint {
    SliceEndpoint { node: Some(node.into()), ..SliceEndpoint::new(ip(address)) }
}

fn dataplane() -> Dataplane<fake::Backend> {
    let mut dataplane = Dataplane::new(fake::Backend::new(Config::default()), Node::default());
    dataplane.model_mut().set_service(name("web"), service("10.96.0.1"));
    dataplane.model_mut().set_slice(name("web-1"), slice("web", [on("there", "10.244.1.1")]));
    assert_eq!(dataplane.sync().unwrap().problems, []);
    dataplane
}

/// Service, reason and message of what is new.
fn news(dataplane: &mut Dataplane<fake::Backend>) -> Vec<String> {
    dataplane.sync().unwrap().problems.iter().map(ToString::to_string).collect()
}

#[test]
fn what_could_not_be_read_is_told_once_until_it_changes() {
    let mut dataplane = dataplane();
    let fault = |text: &str| Fault::new(Reason::InvalidAddress, text);
    let faulty =
        |faults: &[&str]| Service { faults: faults.iter().map(|f| fault(f)).collect(), ..service("10.96.0.1") };
    dataplane.model_mut().set_service(name("web"), faulty(&["\"x\" is no address"]));
    assert_eq!(news(&mut dataplane), ["default/web: InvalidAddress: \"x\" is no address"]);
    let with_fault = |faults: &[&str]| EndpointSlice {
        faults: faults.iter().map(|f| fault(f)).collect(),
        ..slice("web", [on("there", "10.244.1.1")])
    };
    // Looked at again, and the same.
    dataplane.model_mut().set_slice(name("web-1"), slice("web", [on("there", "10.244.1.2")]));
    assert!(news(&mut dataplane).is_empty());
    dataplane.forget();
    assert!(news(&mut dataplane).is_empty());
    // A slice's faults are its Service's.
    dataplane.model_mut().set_slice(name("web-1"), with_fault(&["\"y\" is no address", "\"z\" is no address"]));
    assert_eq!(news(&mut dataplane), ["default/web: InvalidAddress: \"x\" is no address (and 2 more)"]);
    assert_eq!(dataplane.problems().len(), 1);
    dataplane.model_mut().set_service(name("web"), service("10.96.0.1"));
    dataplane.model_mut().remove_slice(&name("web-1"));
    assert!(news(&mut dataplane).is_empty() && dataplane.problems().is_empty());
    // And back again: that is news.
    dataplane.model_mut().set_slice(name("web-1"), with_fault(&["\"y\" is no address"]));
    assert_eq!(news(&mut dataplane).len(), 1);
    dataplane.model_mut().remove_service(&name("web"));
    assert!(news(&mut dataplane).is_empty() && dataplane.problems().is_empty());
}

#[test]
fn slices_that_contradict_each_other_are_told_and_those_that_agree_are_not() {
    let mut dataplane = dataplane();
    dataplane.model_mut().set_slice(name("web-2"), slice("web", [on("there", "10.244.1.1")]));
    assert!(news(&mut dataplane).is_empty(), "they say the same");
    dataplane.model_mut().set_slice(name("web-2"), slice("web", [on("elsewhere", "10.244.1.1")]));
    let expected = "default/web: ContradictoryEndpoints: 10.244.1.1 is described differently by the slices \
                    default/web-1 and default/web-2";
    assert_eq!(news(&mut dataplane), [expected]);
    let mut unready = on("there", "10.244.1.1");
    unready.conditions.ready = false;
    let mut other_port = slice("web", [unready.clone()]);
    other_port.ports[0].port = port(9090);
    dataplane.model_mut().set_slice(name("web-2"), other_port);
    assert!(news(&mut dataplane).is_empty(), "that is another endpoint");
    assert!(dataplane.problems().is_empty());
    dataplane.model_mut().set_slice(name("web-2"), slice("web", [unready]));
    assert_eq!(news(&mut dataplane).len(), 1);
}

#[test]
fn claims_that_lose_are_told_by_what_they_lost() {
    let mut dataplane = dataplane();
    let greedy = Service { external_ips: vec![ip("10.96.0.1")], ..service("10.96.0.2") };
    dataplane.model_mut().set_service(name("greedy"), greedy);
    for (service_name, address) in [("a", "10.96.0.3"), ("b", "10.96.0.4")] {
        let mut with_port = service(address);
        with_port.ports[0].node_port = Some(port(30080));
        dataplane.model_mut().set_service(name(service_name), with_port);
    }
    let told = news(&mut dataplane);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("default/b: NodePortConflict: node port 30080/tcp"), "{told:?}");
    assert!(told[1].starts_with("default/greedy: AddressConflict: 10.96.0.1:80/tcp"), "{told:?}");
    dataplane.model_mut().remove_service(&name("a"));
    assert!(news(&mut dataplane).is_empty());
    assert_eq!(dataplane.problems().len(), 1);
}

#[test]
fn ranges_that_guard_nothing_are_told() {
    let mut dataplane = dataplane();
    let balanced = LoadBalancerAddress { address: ip("198.51.100.1"), mode: IpMode::Vip };
    let ranges = |text: &str| Service {
        load_balancer: vec![balanced],
        source_ranges: vec![text.parse().unwrap()],
        ..service("10.96.0.1")
    };
    dataplane.model_mut().set_service(name("web"), ranges("192.0.2.0/24"));
    assert!(news(&mut dataplane).is_empty());
    dataplane.model_mut().set_service(name("web"), ranges("2001:db8::/32"));
    let expected = "default/web: SourceRangeFamilyMismatch: no source range is of IPv4: everybody may use 198.51.100.1";
    assert_eq!(news(&mut dataplane), [expected]);
}

#[test]
fn what_the_kernel_refuses_is_a_problem_as_long_as_it_stays_out() {
    let mut dataplane = dataplane();
    dataplane.backend_mut().refuses = vec![ip("10.244.66.6")];
    dataplane.model_mut().set_slice(name("web-1"), slice("web", [on("there", "10.244.66.6")]));
    let told = news(&mut dataplane);
    assert!(told.len() == 1 && told[0].starts_with("default/web: RefusedByKernel: "), "{told:?}");
    assert!(news(&mut dataplane).is_empty());
    dataplane.model_mut().set_slice(name("web-1"), slice("web", [on("there", "10.244.1.1")]));
    assert!(news(&mut dataplane).is_empty() && dataplane.problems().is_empty());
}

#[test]
fn a_hundred_thousand_endpoints_are_served_and_more_than_can_be_are_cut() {
    let mut dataplane = dataplane();
    let endpoint = |n: u32| on("there", &Ipv4Addr::from(0x0a80_0000 + n).to_string());
    let fill = |dataplane: &mut Dataplane<fake::Backend>, parts: std::ops::Range<u32>| {
        for part in parts {
            let first = part * 10_000;
            let part_of = slice("web", (first..first + 10_000).map(endpoint));
            dataplane.model_mut().set_slice(name(&format!("many-{part}")), part_of);
        }
    };
    let held = |dataplane: &Dataplane<fake::Backend>| {
        let table = dataplane.backend().ruleset.tables.values().next().unwrap();
        table.sets["endpoints"].1.len()
    };
    fill(&mut dataplane, 0..10);
    assert!(news(&mut dataplane).is_empty());
    assert_eq!(held(&dataplane), 100_001);
    fill(&mut dataplane, 10..21);
    let expected = "default/web: TooManyEndpoints: port \"\" has 210001 endpoints: those beyond 200000 get no traffic";
    assert_eq!(news(&mut dataplane), [expected]);
    assert_eq!(held(&dataplane), MOST_ENDPOINTS);
}
