use std::num::NonZeroU16;

use nft::conntrack::{Protocol as Above, Status, Tuple};

use super::*;
use crate::backend::fake;
use crate::compile::Config;
use crate::model::{
    Conditions, EndpointSlice, NamespacedName, Node, Protocol, Service, ServicePort, SliceEndpoint, SlicePort,
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

/// A Service with two ports: http, with a node port, to 8080, and metrics to 9090.
fn service(last: u8) -> Service {
    let port = |name: &str, protocol, port, node_port: Option<u16>| ServicePort {
        name: name.into(),
        protocol,
        port: number(port),
        node_port: node_port.map(number),
    };
    Service {
        cluster_ips: vec![IpAddr::from([10, 96, 0, last])],
        ports: vec![
            port("http", Protocol::Tcp, 80, Some(30080)),
            port("metrics", Protocol::Tcp, 90, None),
            port("dns", Protocol::Udp, 80, None),
        ],
        ..Service::default()
    }
}

fn slice(ports: &[(&str, Protocol, u16)], endpoints: &[&str]) -> EndpointSlice {
    let mut slice = EndpointSlice::new(name("web"));
    let port = |(name, protocol, port): &(&str, Protocol, u16)| SlicePort {
        name: (*name).into(),
        protocol: *protocol,
        port: number(*port),
    };
    slice.ports = ports.iter().map(port).collect();
    slice.endpoints = endpoints.iter().map(|address| SliceEndpoint::new(ip(address))).collect();
    slice
}

const HTTP: (&str, Protocol, u16) = ("http", Protocol::Tcp, 8080);
const METRICS: (&str, Protocol, u16) = ("metrics", Protocol::Tcp, 9090);
const DNS: (&str, Protocol, u16) = ("dns", Protocol::Udp, 8080);

fn dataplane() -> Dataplane<fake::Backend> {
    let node = Node { addresses: vec![ip("172.30.0.1")], loopback_relay: Some(number(10239)), ..Node::default() };
    let mut dataplane = Dataplane::new(fake::Backend::new(Config::default()), node);
    let model = dataplane.model_mut();
    model.set_service(name("web"), service(10));
    model.set_slice(name("web-1"), slice(&[HTTP, METRICS, DNS], &["10.244.1.1", "10.244.1.2"]));
    model.set_slice(name("web-2"), slice(&[HTTP], &["10.244.1.3"]));
    dataplane.sync().unwrap();
    dataplane
}

fn entry(number: u8, to: (&str, u16), answered_by: (&str, u16), status: Status) -> Entry {
    let tuple = |source: (&str, u16), destination: (&str, u16)| Tuple {
        source: ip(source.0),
        destination: ip(destination.0),
        protocol: Above::Ports { number, source: source.1, destination: destination.1 },
    };
    let client = ("10.244.9.1", 40000);
    let (original, reply) = (tuple(client, to), tuple(answered_by, client));
    Entry { original, reply, status, mark: 0, timeout: None, id: 0, zone: 0 }
}

type Row = ((&'static str, u16), (&'static str, u16), bool);

/// Which of these connections are judged to have lost their endpoint: those that say so.
fn judge(dataplane: &mut Dataplane<fake::Backend>, rows: &[Row]) {
    let tcp = |(to, by, _): &Row| entry(6, *to, *by, Status::DST_NAT);
    dataplane.backend_mut().flows = rows.iter().map(tcp).collect();
    let expected: Vec<Entry> = rows.iter().filter(|(.., departed)| *departed).map(tcp).collect();
    assert_eq!(dataplane.departed_flows(None).unwrap(), expected);
}

#[test]
fn a_connection_to_an_endpoint_that_no_slice_names_has_lost_it() {
    let mut dataplane = dataplane();
    let (vip, node, lan) = ("10.96.0.10", "172.30.0.1", "192.0.2.1");
    judge(
        &mut dataplane,
        &[
            ((vip, 80), ("10.244.1.1", 8080), false),
            ((vip, 80), ("10.244.1.3", 8080), false),
            ((vip, 80), ("10.244.1.9", 8080), true),
            // Another port of an endpoint is another endpoint.
            ((vip, 80), ("10.244.1.1", 8081), true),
            ((vip, 80), ("10.244.1.1", 9090), true),
            ((vip, 90), ("10.244.1.1", 9090), false),
            ((vip, 90), ("10.244.1.3", 9090), true),
            ((node, 30080), ("10.244.1.2", 8080), false),
            ((node, 30080), ("10.244.1.9", 8080), true),
            ((lan, 30080), ("10.244.1.9", 8080), true),
            // Nobody's destinations, and the relay's.
            ((vip, 81), ("10.244.1.9", 8080), false),
            ((node, 30081), ("10.244.1.9", 8080), false),
            (("10.96.0.11", 80), ("10.244.1.9", 8080), false),
            (("127.0.0.1", 30080), ("127.0.0.1", 10239), false),
        ],
    );
    // What is not rewritten leads where it was sent; other protocols are looked after elsewhere.
    let gone = ("10.244.1.9", 8080);
    dataplane.backend_mut().flows = vec![
        entry(6, (vip, 80), gone, Status::SEEN_REPLY),
        entry(17, (vip, 80), gone, Status::DST_NAT),
        entry(132, (vip, 80), gone, Status::DST_NAT),
    ];
    assert_eq!(dataplane.departed_flows(None).unwrap(), []);
}

#[test]
fn who_is_not_ready_or_on_its_way_out_has_not_left() {
    let mut dataplane = dataplane();
    for (ready, serving, terminating) in [(false, false, false), (false, true, true), (false, false, true)] {
        let mut slice = slice(&[HTTP], &["10.244.1.3"]);
        slice.endpoints[0].conditions = Conditions { ready, serving, terminating };
        dataplane.model_mut().set_slice(name("web-2"), slice);
        dataplane.sync().unwrap();
        judge(&mut dataplane, &[(("10.96.0.10", 80), ("10.244.1.3", 8080), false)]);
    }
    dataplane.model_mut().remove_slice(&name("web-2"));
    dataplane.sync().unwrap();
    judge(&mut dataplane, &[(("10.96.0.10", 80), ("10.244.1.3", 8080), true)]);
    // The Service may not want it, and a Service that is gone wants nothing.
    dataplane.model_mut().set_service(name("web"), Service { keep_departed: true, ..service(10) });
    dataplane.sync().unwrap();
    judge(&mut dataplane, &[(("10.96.0.10", 80), ("10.244.1.3", 8080), false)]);
    dataplane.model_mut().remove_service(&name("web"));
    dataplane.sync().unwrap();
    judge(&mut dataplane, &[(("10.96.0.10", 80), ("10.244.1.3", 8080), false)]);
}

#[test]
fn only_the_addresses_that_are_asked_for_are_judged() {
    let mut dataplane = dataplane();
    let flows: Vec<Entry> = (1..=20)
        .map(|last| IpAddr::from([10, 244, 7, last]).to_string())
        .map(|by| entry(6, ("10.96.0.10", 80), (&by, 8080), Status::DST_NAT))
        .collect();
    dataplane.backend_mut().flows = flows.clone();
    for count in [1, 4, 5, 20] {
        let addresses: BTreeSet<IpAddr> = flows[..count].iter().map(|entry| entry.reply.source).collect();
        assert_eq!(dataplane.departed_flows(Some(&addresses)).unwrap(), flows[..count]);
    }
    assert_eq!(dataplane.end(&flows[..7]).unwrap(), 7);
    assert_eq!(dataplane.end(&flows[..8]).unwrap(), 1);
    assert_eq!(dataplane.departed_flows(None).unwrap(), flows[8..]);
}

#[test]
fn who_leaves_a_slice_is_remembered_once() {
    let mut dataplane = dataplane();
    assert_eq!(dataplane.take_left(), BTreeSet::new());
    let model = dataplane.model_mut();
    // It comes, changes its condition: nobody leaves.
    model.set_slice(name("web-2"), slice(&[HTTP], &["10.244.1.3", "10.244.1.4"]));
    let mut unready = slice(&[HTTP], &["10.244.1.3", "10.244.1.4"]);
    unready.endpoints[0].conditions.ready = false;
    model.set_slice(name("web-2"), unready);
    assert_eq!(model.take_left(), BTreeSet::new());
    // An endpoint goes; a port changes, with which all go; a slice goes, and one that goes over to another Service.
    model.set_slice(name("web-2"), slice(&[HTTP], &["10.244.1.4"]));
    assert_eq!(model.take_left(), BTreeSet::from([ip("10.244.1.3")]));
    model.set_slice(name("web-2"), slice(&[METRICS], &["10.244.1.4", "10.244.1.5"]));
    assert_eq!(model.take_left(), BTreeSet::from([ip("10.244.1.4")]));
    let other = EndpointSlice { service: name("other"), ..slice(&[METRICS], &["10.244.1.5"]) };
    model.set_slice(name("web-2"), other);
    assert_eq!(model.take_left(), BTreeSet::from([ip("10.244.1.4"), ip("10.244.1.5")]));
    model.remove_slice(&name("web-1"));
    model.remove_slice(&name("web-1"));
    assert_eq!(model.take_left(), BTreeSet::from([ip("10.244.1.1"), ip("10.244.1.2")]));
    // Slices of other protocols, and those that are not for us.
    model.set_slice(name("web-1"), slice(&[DNS], &["10.244.1.1"]));
    model.remove_slice(&name("web-1"));
    let headless = EndpointSlice { headless_label: true, ..slice(&[HTTP], &["10.244.1.1"]) };
    model.set_slice(name("web-1"), headless);
    model.remove_slice(&name("web-1"));
    assert_eq!(model.take_left(), BTreeSet::new());
}
