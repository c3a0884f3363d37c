//! Rows of the table: what is given, who asks, what must become of it.
//!
//! `name | given | endpoints | packet | verdict`
//!
//! - *given*: words that change the Service (`udp`, `np`, `lb`, `ext`, `maglev`, `itp=local`, `ranges=…`) or the node. ` + ` begins
//!   another Service, at another cluster IP, whose endpoints stand behind ` + ` too. What stands before ` => ` was so
//!   until a moment ago, and was programmed.
//! - *endpoints*: see [`crate::world::endpoint`]; ` / ` begins another slice, and `[NAME=PORT/PROTOCOL,…]` at its begin
//!   says its ports.
//! - *packet*: `WHO>WHERE`, where `WHERE` is `vip`, `vip2` (the second Service's), `nobody`, `lb`, `lb2`, `ext`, `ext2`,
//!   `np` (the node port at the node's address), a host's name, or an address; `:PORT` and `/PROTOCOL` change what the
//!   Service says.
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
    /// The other Services.
    pub others: Vec<Given>,
    /// What was before.
    pub before: Option<Box<Row>>,
    pub asker: &'static str,
    pub packet: Packet,
    pub expected: Expected,
}

/// One Service with its slices.
#[derive(Debug)]
pub struct Given {
    name: String,
    service: Service,
    slices: Vec<EndpointSlice>,
}

/// All rows of a text. `#` begins a comment.
pub fn rows(text: &str) -> Vec<Row> {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    lines.map(row).collect()
}

fn row(line: &str) -> Row {
    let columns: Vec<&str> = line.split('|').collect();
    let [name, given, endpoints, packet, verdict] = columns[..] else { panic!("not five columns: {line}") };
    let halves = |text| str::split_once(text, " => ").unwrap_or((text, text));
    let (given, endpoints) = (halves(given), halves(endpoints));
    let mut row = state(name, given.1, endpoints.1, packet, verdict);
    if line.contains(" => ") {
        row.before = Some(Box::new(state(name, given.0, endpoints.0, packet, verdict)));
    }
    row
}

fn state(name: &str, given: &str, endpoints: &str, packet: &str, verdict: &str) -> Row {
    let mut node = world::node();
    // So that marks stand between blanks at the ends too.
    let (given, endpoints) = (format!(" {given} "), format!(" {endpoints} "));
    let mut endpoints = endpoints.split(" + ");
    let services = given.split(" + ").enumerate();
    let mut services: Vec<Given> =
        services.map(|(n, words)| self::given(n, words, endpoints.next().unwrap_or_default(), &mut node)).collect();
    let Given { service, slices, .. } = services.remove(0);
    let (asker, packet) = self::packet(packet.trim(), service.ports[0].protocol);
    let (name, expected) = (name.trim().to_owned(), expected(verdict.trim()));
    Row { name, node, service, slices, others: services, before: None, asker, packet, expected }
}

fn move_to_v6(service: &mut Service, slices: &mut [EndpointSlice]) {
    service.cluster_ips.iter_mut().chain(&mut service.external_ips).for_each(|ip| *ip = world::v6(*ip));
    service.load_balancer.iter_mut().for_each(|balanced| balanced.address = world::v6(balanced.address));
    service.source_ranges.iter_mut().for_each(|net| *net = world::net_v6(net));
    let endpoints = slices.iter_mut().flat_map(|slice| &mut slice.endpoints);
    endpoints.for_each(|endpoint| endpoint.address = world::v6(endpoint.address));
}

impl Row {
    pub const SERVICE: (&str, &str) = ("default", "web");

    /// The same in the IPv6 world.
    pub fn into_v6(mut self) -> Row {
        let nets = |nets: &mut Vec<ipnet::IpNet>| nets.iter_mut().for_each(|net| *net = world::net_v6(net));
        self.node.addresses.iter_mut().for_each(|ip| *ip = world::v6(*ip));
        nets(&mut self.node.node_port_addresses);
        nets(&mut self.node.pod_cidrs);
        nets(&mut self.node.service_cidrs);
        move_to_v6(&mut self.service, &mut self.slices);
        self.others.iter_mut().for_each(|other| move_to_v6(&mut other.service, &mut other.slices));
        self.before = self.before.map(|before| Box::new(before.into_v6()));
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

    /// What was before, and what is: to be carried out in this order.
    pub fn states(&self) -> impl Iterator<Item = &Row> {
        self.before.as_deref().into_iter().chain([self])
    }

    /// Puts what is given into a model, and nothing else.
    pub fn apply(&self, model: &mut Model) {
        let (services, slices) = model.known();
        slices.iter().for_each(|name| model.remove_slice(name));
        services.iter().for_each(|name| model.remove_service(name));
        model.set_node(self.node.clone());
        let mut tell = |name: &str, service: &Service, slices: &[EndpointSlice]| {
            model.set_service(NamespacedName::new(Self::SERVICE.0, name), service.clone());
            for (n, slice) in slices.iter().enumerate() {
                model.set_slice(NamespacedName::new(Self::SERVICE.0, &format!("{name}-{n}")), slice.clone());
            }
        };
        tell(Self::SERVICE.1, &self.service, &self.slices);
        self.others.iter().for_each(|other| tell(&other.name, &other.service, &other.slices));
    }
}

fn number(n: u16) -> NonZeroU16 {
    NonZeroU16::new(n).unwrap()
}

fn given(n: usize, words: &str, endpoints: &str, node: &mut Node) -> Given {
    let port = ServicePort { name: "".into(), protocol: Protocol::Tcp, port: number(world::PORT), node_port: None };
    let cluster_ips = vec![ip(world::VIPS[n])];
    let service = Service { cluster_ips, ports: vec![port], ..Service::default() };
    let name = ["web", "web-2", "web-3"][n].to_owned();
    let mut given = Given { name, service, slices: Vec::new() };
    let words: Vec<&str> = words.split_whitespace().collect();
    for word in &words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        if !say_of_node(node, key, value) && !say_of_addresses(&mut given.service, key, value) {
            say_of_service(&mut given, key, value);
        }
    }
    given.slices = slices(endpoints, &given, &words);
    given
}

fn say_of_node(node: &mut Node, key: &str, value: &str) -> bool {
    match key {
        "masq-all" => node.masquerade_all = true,
        "no-pod-cidr" => node.pod_cidrs.clear(),
        "pod-cidr" => node.pod_cidrs = value.split(',').map(net).collect(),
        "pod-if" => {
            node.pod_cidrs.clear();
            node.pod_interfaces = value.split(',').map(world::pods_interfaces).collect();
        }
        "pod-if-too" => node.pod_interfaces = value.split(',').map(world::pods_interfaces).collect(),
        "no-service-cidr" => node.service_cidrs.clear(),
        "service-cidr" => node.service_cidrs = value.split(',').map(net).collect(),
        "no-zone" => node.zone = None,
        "no-relay" => node.loopback_relay = None,
        "zone" => node.zone = Some(value.into()),
        "node-name" => node.name = value.into(),
        "node-addresses" => node.addresses = value.split(',').map(ip).collect(),
        "np-addresses" => node.node_port_addresses = value.split(',').map(net).collect(),
        _ => return false,
    }
    true
}

fn say_of_addresses(service: &mut Service, key: &str, value: &str) -> bool {
    let mut balanced = |address: &str, mode| {
        service.load_balancer.push(LoadBalancerAddress { address: ip(address), mode });
    };
    match (key, value) {
        ("lb", "") => balanced(world::BALANCED, IpMode::Vip),
        ("lb2", "") => balanced(world::BALANCED_2, IpMode::Vip),
        ("lb", address) => balanced(address, IpMode::Vip),
        ("lb-proxy", "") => balanced(world::BALANCED, IpMode::Proxy),
        ("lb2-proxy", "") => balanced(world::BALANCED_2, IpMode::Proxy),
        ("ext", "") => service.external_ips.push(ip(world::EXTERNAL)),
        ("ext2", "") => service.external_ips.push(ip(world::EXTERNAL_2)),
        ("ext", address) => service.external_ips.push(ip(address)),
        ("vip", address) => service.cluster_ips = vec![ip(address)],
        ("headless", "") => service.cluster_ips.clear(),
        _ => return false,
    }
    true
}

fn say_of_service(given: &mut Given, key: &str, value: &str) {
    let service = &mut given.service;
    match key {
        "name" => given.name = value.into(),
        "tcp" | "udp" | "sctp" => service.ports[0].protocol = Protocol::from_api(&key.to_uppercase()).unwrap(),
        "named" => service.ports[0].name = value.into(),
        "port" => service.ports[0].port = value.parse().unwrap(),
        "np" if value.is_empty() => service.ports[0].node_port = Some(number(world::NODE_PORT)),
        "np" => service.ports[0].node_port = Some(value.parse().unwrap()),
        "itp" => service.internal_policy = policy(value),
        "etp" => service.external_policy = policy(value),
        "maglev" => service.consistent = true,
        "affinity" => service.affinity = Some(value.parse().unwrap()),
        "ranges" => service.source_ranges = value.split(',').map(net).collect(),
        "proxy-name" => service.other_proxy = true,
        "headless-label" => service.headless_label = true,
        "second-port" => {
            let mut second = service.ports[0].clone();
            (second.name, second.port) = ("second".into(), number(81));
            service.ports.push(second);
        }
        // `NAME:PORT/PROTOCOL`, and `:NODE-PORT` behind it.
        "also" => {
            let (name, rest) = value.split_once(':').unwrap();
            let (rest, node_port) = rest.rsplit_once(':').map_or((rest, None), |(rest, port)| (rest, Some(port)));
            let (port, protocol) = rest.split_once('/').unwrap();
            service.ports.push(ServicePort {
                name: name.into(),
                protocol: Protocol::from_api(&protocol.to_uppercase()).unwrap(),
                port: port.parse().unwrap(),
                node_port: node_port.map(|port| port.parse().unwrap()),
            });
        }
        "slice-proxy-name" | "slice-headless" | "slice-port-name" | "slice-protocol" => {}
        other => panic!("{other} is not known"),
    }
}

fn policy(word: &str) -> TrafficPolicy {
    match word {
        "local" => TrafficPolicy::Local,
        "cluster" => TrafficPolicy::Cluster,
        other => panic!("{other} is no policy"),
    }
}

/// One slice for each `/`, and each port in it unless it says its ports itself.
fn slices(text: &str, given: &Given, words: &[&str]) -> Vec<EndpointSlice> {
    let first = &given.service.ports[0];
    let new = |ports: Vec<SlicePort>| EndpointSlice {
        ports,
        other_proxy: words.contains(&"slice-proxy-name"),
        headless_label: words.contains(&"slice-headless"),
        ..EndpointSlice::new(NamespacedName::new(Row::SERVICE.0, &given.name))
    };
    let mut slices: Vec<EndpointSlice> = Vec::new();
    let words_of: Vec<&str> = text.split_whitespace().collect();
    for part in words_of.split(|word| *word == "/").map(|words| words.join(" ")) {
        if let Some((ports, endpoints)) = part.strip_prefix('[').and_then(|part| part.split_once(']')) {
            let endpoints = endpoints.split_whitespace().map(|text| world::endpoint(text).0).collect();
            slices.push(EndpointSlice { endpoints, ..new(ports.split(',').map(slice_port).collect()) });
            continue;
        }
        let endpoints: Vec<_> = part.split_whitespace().map(world::endpoint).collect();
        let mut ports: BTreeSet<u16> = endpoints.iter().map(|(_, port)| port.unwrap_or(world::TARGET_PORT)).collect();
        if ports.is_empty() {
            ports.insert(world::TARGET_PORT);
        }
        for port in ports {
            let name = if words.contains(&"slice-port-name") { "else".into() } else { first.name.clone() };
            let protocol = if words.contains(&"slice-protocol") { Protocol::Sctp } else { first.protocol };
            let ours = endpoints.iter().filter(|(_, own)| own.unwrap_or(world::TARGET_PORT) == port);
            let endpoints = ours.map(|(endpoint, _)| endpoint.clone()).collect();
            slices.push(EndpointSlice { endpoints, ..new(vec![SlicePort { name, protocol, port: number(port) }]) });
        }
    }
    slices
}

/// `NAME=PORT/PROTOCOL`
fn slice_port(text: &str) -> SlicePort {
    let (name, rest) = text.split_once('=').unwrap();
    let (port, protocol) = rest.split_once('/').unwrap();
    let protocol = Protocol::from_api(&protocol.to_uppercase()).unwrap();
    SlicePort { name: name.into(), protocol, port: port.parse().unwrap() }
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
        "vip2" => (ip(world::VIPS[1]), world::PORT),
        "nobody" => (ip(world::NOBODY), world::PORT),
        "lb" => (ip(world::BALANCED), world::PORT),
        "lb2" => (ip(world::BALANCED_2), world::PORT),
        "ext" => (ip(world::EXTERNAL), world::PORT),
        "ext2" => (ip(world::EXTERNAL_2), world::PORT),
        "np" => (ip(world::LOCAL[0]), world::NODE_PORT),
        address if address.starts_with(|c: char| c.is_ascii_digit()) => (ip(address), world::NODE_PORT),
        name => (ip(host(name).address), world::TARGET_PORT),
    };
    let asker = host(who);
    let made_here = who == "host";
    let source = ip(asker.address);
    let port = port.unwrap_or(usual);
    let interface = asker.interface(made_here);
    (asker.name, Packet { source, source_port: 40000, destination, port, protocol, interface, made_here })
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
