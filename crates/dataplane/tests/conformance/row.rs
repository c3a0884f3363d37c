//! Rows of the table: what is given, who asks, what must become of it.
//!
//! `name | given | endpoints | packet | verdict`
//!
//! - *given*: words that change the Service (`udp`, `np`, `lb`, `ext`, `itp=local`, `ranges=…`) or the node.
//! - *endpoints*: see [`crate::world::endpoint`]; `/` begins another slice.
//! - *packet*: `WHO>WHERE`, where `WHERE` is `vip`, `nobody`, `lb`, `ext`, `np` (the node port at the node's address),
//!   a host's name, or an address; `:PORT` and `/PROTOCOL` change what the Service says.
//! - *verdict*: the endpoints that may be chosen, `*` behind those that must see the node's address; or `relay`,
//!   `reject`, `drop`, `pass`.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU16;

use dataplane::model::{
    EndpointSlice, IpMode, LoadBalancerAddress, Model, Protocol, Service, ServicePort, SlicePort, TrafficPolicy,
};
use dataplane::route::{Choice, Endpoint, Packet};
use dataplane::{NamespacedName, Node};

use crate::world::{self, host, ip, net};

/// What must become of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    OneOf(BTreeSet<Choice>),
    Relay,
    Reject,
    Drop,
    Pass,
}

/// A row, read.
#[derive(Debug)]
pub struct Row {
    pub name: String,
    pub node: Node,
    pub service: Service,
    pub slices: Vec<EndpointSlice>,
    pub asker: &'static str,
    pub packet: Packet,
    pub expected: Expected,
}

/// All rows of a text. `#` begins a comment.
pub fn rows(text: &str) -> Vec<Row> {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(row).collect()
}

fn row(line: &str) -> Row {
    let columns: Vec<&str> = line.split('|').map(str::trim).collect();
    let [name, given, endpoints, packet, verdict] = columns[..] else { panic!("not five columns: {line}") };
    let (service, node) = self::given(given);
    let words: Vec<&str> = given.split_whitespace().collect();
    let slices = slices(endpoints, &service, &words);
    let (asker, packet) = self::packet(packet, service.ports[0].protocol);
    Row { name: name.to_owned(), node, service, slices, asker, packet, expected: expected(verdict) }
}

impl Row {
    pub const SERVICE: (&str, &str) = ("default", "web");

    /// The same in the IPv6 world.
    pub fn into_v6(mut self) -> Row {
        let all = |addresses: &mut Vec<IpAddr>| addresses.iter_mut().for_each(|ip| *ip = world::v6(*ip));
        let nets = |nets: &mut Vec<ipnet::IpNet>| nets.iter_mut().for_each(|net| *net = world::net_v6(net));
        all(&mut self.node.addresses);
        nets(&mut self.node.node_port_addresses);
        nets(&mut self.node.pod_cidrs);
        nets(&mut self.node.service_cidrs);
        all(&mut self.service.cluster_ips);
        all(&mut self.service.external_ips);
        self.service.load_balancer.iter_mut().for_each(|balanced| balanced.address = world::v6(balanced.address));
        nets(&mut self.service.source_ranges);
        let endpoints = self.slices.iter_mut().flat_map(|slice| &mut slice.endpoints);
        endpoints.for_each(|endpoint| endpoint.address = world::v6(endpoint.address));
        self.packet.source = world::v6(self.packet.source);
        self.packet.destination = world::v6(self.packet.destination);
        if let Expected::OneOf(choices) = &mut self.expected {
            *choices = std::mem::take(choices)
                .into_iter()
                .map(|mut choice| {
                    choice.endpoint.address = world::v6(choice.endpoint.address);
                    choice
                })
                .collect();
        }
        self
    }

    /// Puts what is given into a model, and nothing else.
    pub fn apply(&self, model: &mut Model) {
        let (services, slices) = model.known();
        slices.iter().for_each(|name| model.remove_slice(name));
        services.iter().for_each(|name| model.remove_service(name));
        model.set_node(self.node.clone());
        model.set_service(NamespacedName::new(Self::SERVICE.0, Self::SERVICE.1), self.service.clone());
        for (n, slice) in self.slices.iter().enumerate() {
            model.set_slice(NamespacedName::new(Self::SERVICE.0, &format!("web-{n}")), slice.clone());
        }
    }
}

fn given(text: &str) -> (Service, Node) {
    let number = |n: u16| NonZeroU16::new(n).unwrap();
    let mut node = world::node();
    let port = ServicePort { name: "".into(), protocol: Protocol::Tcp, port: number(world::PORT), node_port: None };
    let mut service = Service { cluster_ips: vec![ip(world::VIP)], ports: vec![port], ..Service::default() };
    let balanced = |mode| LoadBalancerAddress { address: ip(world::BALANCED), mode };
    for word in text.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "tcp" | "udp" | "sctp" => service.ports[0].protocol = Protocol::from_api(&key.to_uppercase()).unwrap(),
            "named" => service.ports[0].name = value.into(),
            "np" => service.ports[0].node_port = Some(number(world::NODE_PORT)),
            "lb" => service.load_balancer.push(balanced(IpMode::Vip)),
            "lb-proxy" => service.load_balancer.push(balanced(IpMode::Proxy)),
            "ext" => service.external_ips.push(ip(world::EXTERNAL)),
            "itp" => service.internal_policy = policy(value),
            "etp" => service.external_policy = policy(value),
            "affinity" => service.affinity = Some(value.parse().unwrap()),
            "ranges" => service.source_ranges = value.split(',').map(net).collect(),
            "proxy-name" => service.other_proxy = true,
            "headless-label" => service.headless_label = true,
            "headless" => service.cluster_ips.clear(),
            "second-port" => {
                let mut second = service.ports[0].clone();
                (second.name, second.port) = ("second".into(), number(81));
                service.ports.push(second);
            }
            "masq-all" => node.masquerade_all = true,
            "no-pod-cidr" => node.pod_cidrs.clear(),
            "no-service-cidr" => node.service_cidrs.clear(),
            "no-zone" => node.zone = None,
            "no-relay" => node.loopback_relay = None,
            "np-addresses" => node.node_port_addresses = value.split(',').map(net).collect(),
            "slice-proxy-name" | "slice-headless" | "slice-port-name" | "slice-protocol" => {}
            other => panic!("{other} is not known"),
        }
    }
    (service, node)
}

fn policy(word: &str) -> TrafficPolicy {
    match word {
        "local" => TrafficPolicy::Local,
        "cluster" => TrafficPolicy::Cluster,
        other => panic!("{other} is no policy"),
    }
}

/// One slice for each `/`, and each port in it.
fn slices(text: &str, service: &Service, given: &[&str]) -> Vec<EndpointSlice> {
    let mut slices: Vec<EndpointSlice> = Vec::new();
    for part in text.split('/') {
        let endpoints: Vec<_> = part.split_whitespace().map(world::endpoint).collect();
        let mut ports: BTreeSet<u16> = endpoints.iter().map(|(_, port)| port.unwrap_or(world::TARGET_PORT)).collect();
        if ports.is_empty() {
            ports.insert(world::TARGET_PORT);
        }
        for port in ports {
            let mut slice = EndpointSlice::new(NamespacedName::new(Row::SERVICE.0, Row::SERVICE.1));
            let named = given.contains(&"slice-port-name");
            let other = given.contains(&"slice-protocol");
            slice.ports.push(SlicePort {
                name: if named { "else".into() } else { service.ports[0].name.clone() },
                protocol: if other { Protocol::Sctp } else { service.ports[0].protocol },
                port: NonZeroU16::new(port).unwrap(),
            });
            slice.other_proxy = given.contains(&"slice-proxy-name");
            slice.headless_label = given.contains(&"slice-headless");
            let ours = endpoints.iter().filter(|(_, own)| own.unwrap_or(world::TARGET_PORT) == port);
            slice.endpoints = ours.map(|(endpoint, _)| endpoint.clone()).collect();
            slices.push(slice);
        }
    }
    slices
}

fn packet(text: &str, protocol: Protocol) -> (&'static str, Packet) {
    let (who, whither) = text.split_once('>').unwrap_or_else(|| panic!("{text} is no packet"));
    let (whither, protocol) = match whither.split_once('/') {
        Some((whither, "icmp")) => (whither, 1),
        Some((whither, word)) => (whither, Protocol::from_api(&word.to_uppercase()).unwrap().number()),
        None => (whither, protocol.number()),
    };
    let (whither, port) = match whither.split_once(':') {
        Some((whither, port)) => (whither, Some(port.parse().unwrap())),
        None => (whither, None),
    };
    let (destination, usual): (IpAddr, u16) = match whither {
        "vip" => (ip(world::VIP), world::PORT),
        "nobody" => (ip(world::NOBODY), world::PORT),
        "lb" => (ip(world::BALANCED), world::PORT),
        "ext" => (ip(world::EXTERNAL), world::PORT),
        "np" => (ip(world::LOCAL[0]), world::NODE_PORT),
        address if address.starts_with(|c: char| c.is_ascii_digit()) => (ip(address), world::NODE_PORT),
        name => (ip(host(name).address), world::TARGET_PORT),
    };
    let asker = host(who);
    let made_here = who == "host";
    let source = ip(asker.address);
    let port = port.unwrap_or(usual);
    (asker.name, Packet { source, source_port: 40000, destination, port, protocol, made_here })
}

fn expected(text: &str) -> Expected {
    match text {
        "relay" => Expected::Relay,
        "reject" => Expected::Reject,
        "drop" => Expected::Drop,
        "pass" => Expected::Pass,
        choices => Expected::OneOf(choices.split_whitespace().map(choice).collect()),
    }
}

fn choice(text: &str) -> Choice {
    let (text, masquerade) = text.strip_suffix('*').map_or((text, false), |text| (text, true));
    let (name, port) = text.split_once(':').map_or((text, world::TARGET_PORT), |(n, p)| (n, p.parse().unwrap()));
    let port = NonZeroU16::new(port).unwrap();
    Choice { endpoint: Endpoint { address: ip(host(name).address), port }, masquerade }
}
