//! A node between its neighbours: each has a network of its own with the node as its router, in both families.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;

use anyhow::Result;
use dataplane::backend::nftables;
use dataplane::model::{
    Conditions, EndpointSlice, IpMode, LoadBalancerAddress, Node, Protocol, Service, ServicePort, SliceEndpoint,
    SlicePort,
};
use dataplane::{Config, Dataplane, Family, NamespacedName};
use testbed::{Lab, Namespace};
use tokio::runtime::Runtime;

pub const NODE: &str = "172.30.0.1";
pub const VIP: &str = "10.96.0.10";
pub const BALANCED: &str = "198.51.100.1";
pub const PORT: u16 = 80;
pub const NODE_PORT: u16 = 30080;
pub const TARGET_PORT: u16 = 8080;

pub type Kernel = Dataplane<nftables::Backend>;

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The same place in the IPv6 world.
pub fn v6(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(address) if address.is_loopback() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(address) => Ipv6Addr::from_bits(0xfd00 << 112 | u128::from(address.to_bits())).into(),
        IpAddr::V6(_) => address,
    }
}

/// In one family or the other.
pub fn of(family: Family, address: &str) -> IpAddr {
    match family {
        Family::V4 => ip(address),
        Family::V6 => v6(ip(address)),
    }
}

pub fn number(port: u16) -> NonZeroU16 {
    NonZeroU16::new(port).unwrap()
}

/// Namespaces live as long as it does.
pub struct Bed {
    pub lab: Lab,
    pub node: Namespace,
}

impl Bed {
    pub fn new(test: &str) -> Result<Bed> {
        let lab = Lab::new(test);
        let node = lab.namespace("node")?;
        for (key, value) in [
            ("net.ipv4.ip_forward", "1"),
            ("net.ipv6.conf.all.forwarding", "1"),
            ("net.ipv4.conf.all.rp_filter", "0"),
            ("net.ipv4.conf.default.rp_filter", "0"),
            ("net.ipv4.icmp_ratelimit", "0"),
            ("net.ipv6.icmp.ratelimit", "0"),
        ] {
            node.set_sysctl(key, value)?;
        }
        for address in both(NODE, 32)? {
            node.add_address("lo", address)?;
        }
        Ok(Bed { lab, node })
    }

    /// A neighbour at an address whose network, of 24 bits, is its own: there `.254` is the node. The node's end of the
    /// link has the neighbour's name.
    pub fn neighbour(&self, name: &str, address: &str) -> Result<Namespace> {
        let place = self.lab.namespace(name)?;
        self.lab.veth((&self.node, name), (&place, "eth0"))?;
        let (network, _) = address.rsplit_once('.').unwrap();
        let gateway = format!("{network}.254");
        for own in both(address, 24)? {
            place.add_address("eth0", own)?;
        }
        for own in both(&gateway, 24)? {
            self.node.add_address(name, own)?;
        }
        place.add_route("0.0.0.0/0".parse()?, ip(&gateway))?;
        place.add_route("::/0".parse()?, v6(ip(&gateway)))?;
        Ok(place)
    }

    /// Opens the node's kernel, for both families.
    pub fn kernel(&self, relay: Option<NonZeroU16>) -> Result<Kernel> {
        let config = Config { families: vec![Family::V4, Family::V6], ..Config::default() };
        let backend = self.node.run(|| nftables::Backend::new(config))??;
        Ok(Dataplane::new(backend, node(relay)))
    }

    /// A runtime whose threads are all on the node.
    pub fn runtime(&self) -> Result<Runtime> {
        let place = self.node.path();
        let enter = move || {
            let file = std::fs::File::open(&place).unwrap();
            nix::sched::setns(&file, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        };
        Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).on_thread_start(enter).enable_all().build()?)
    }
}

/// An address with its prefix, in both families.
fn both(address: &str, prefix: u8) -> Result<[testbed::Network; 2]> {
    let address = ip(address);
    Ok([testbed::Network { address, prefix }, testbed::Network { address: v6(address), prefix: prefix + 96 }])
}

/// What the node knows of itself.
pub fn node(relay: Option<NonZeroU16>) -> Node {
    let net = |net: &str| net.parse().unwrap();
    Node {
        name: "here".into(),
        addresses: vec![ip(NODE), v6(ip(NODE))],
        pod_cidrs: vec![net("10.244.0.0/16"), net("fd00::10.244.0.0/112")],
        service_cidrs: vec![net("10.96.0.0/16"), net("fd00::10.96.0.0/112")],
        loopback_relay: relay,
        ..Node::default()
    }
}

/// The Service `default/NAME`, of both families: a cluster IP, a node port, a balanced address.
pub fn service(protocol: Protocol) -> Service {
    let port = ServicePort { name: "".into(), protocol, port: number(PORT), node_port: Some(number(NODE_PORT)) };
    let addresses = |address| vec![ip(address), v6(ip(address))];
    let balanced = |address| LoadBalancerAddress { address, mode: IpMode::Vip };
    Service {
        cluster_ips: addresses(VIP),
        load_balancer: addresses(BALANCED).into_iter().map(balanced).collect(),
        ports: vec![port],
        ..Service::default()
    }
}

pub fn name(name: &str) -> NamespacedName {
    NamespacedName::new("default", name)
}

/// Puts a Service with these endpoints, each in both families, into the model.
pub fn set(kernel: &mut Kernel, service_name: &str, told: Service, endpoints: &[&str]) {
    let protocol = told.ports[0].protocol;
    kernel.model_mut().set_service(name(service_name), told);
    set_endpoints(kernel, service_name, protocol, endpoints);
}

/// Replaces the endpoints.
pub fn set_endpoints(kernel: &mut Kernel, service_name: &str, protocol: Protocol, endpoints: &[&str]) {
    for family in [Family::V4, Family::V6] {
        let mut slice = EndpointSlice::new(name(service_name));
        slice.ports.push(SlicePort { name: "".into(), protocol, port: number(TARGET_PORT) });
        slice.endpoints = endpoints.iter().map(|address| SliceEndpoint::new(of(family, address))).collect();
        kernel.model_mut().set_slice(name(&format!("{service_name}-{family}")), slice);
    }
}

/// The same endpoints, all in one condition: ready, serving, terminating.
pub fn set_conditions(kernel: &mut Kernel, service_name: &str, endpoints: &[&str], conditions: (bool, bool, bool)) {
    let (ready, serving, terminating) = conditions;
    for family in [Family::V4, Family::V6] {
        let mut slice = EndpointSlice::new(name(service_name));
        slice.ports.push(SlicePort { name: "".into(), protocol: Protocol::Tcp, port: number(TARGET_PORT) });
        let endpoint = |address: &&str| SliceEndpoint {
            conditions: Conditions { ready, serving, terminating },
            ..SliceEndpoint::new(of(family, address))
        };
        slice.endpoints = endpoints.iter().map(endpoint).collect();
        kernel.model_mut().set_slice(name(&format!("{service_name}-{family}")), slice);
    }
}

/// Where a server listens in one of the two families.
pub fn target(family: Family, address: &str) -> SocketAddr {
    SocketAddr::new(of(family, address), TARGET_PORT)
}
