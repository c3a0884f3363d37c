//! What becomes of a packet, read off the routes: for `explain`, and as the first of the conformance table's judges.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;

use ipnet::IpNet;

use crate::model::{Family, InterfaceName, Model, Node, Protocol};
use crate::route::{Decision, Destination, Endpoint, Masquerade, Route, ServiceRoutes, node_port_ranges, route};

/// The first packet of a connection, as it reaches this node or is made by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Source address.
    pub source: IpAddr,
    /// Source port.
    pub source_port: u16,
    /// Destination address.
    pub destination: IpAddr,
    /// Destination port.
    pub port: u16,
    /// IANA's number of the transport protocol.
    pub protocol: u8,
    /// By which interface it came; none if this machine made it.
    pub interface: InterfaceName,
    /// Whether this machine made it.
    pub made_here: bool,
}

/// Where a connection may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Choice {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Whether it sees the node's address instead of the source.
    pub masquerade: bool,
}

/// What becomes of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// To one of these.
    Forward(Vec<Choice>),
    /// To the relay of this machine, which connects to the same port of the node's own address: what becomes of it there
    /// is decided as for any packet that the node makes.
    Relay,
    /// The sender is told at once that nobody is there.
    Reject,
    /// Nothing is answered.
    Drop,
    /// It is none of ours.
    Pass,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Relay => f.write_str("relay"),
            Verdict::Reject => f.write_str("reject"),
            Verdict::Drop => f.write_str("drop"),
            Verdict::Pass => f.write_str("pass"),
            Verdict::Forward(choices) => {
                f.write_str("to")?;
                for Choice { endpoint, masquerade } in choices {
                    let note = if *masquerade { " (masqueraded)" } else { "" };
                    write!(f, " {endpoint}{note}")?;
                }
                Ok(())
            }
        }
    }
}

/// All routes of a model in one family, by destination.
#[derive(Debug)]
pub struct Table {
    family: Family,
    node: Node,
    services: Vec<ServiceRoutes>,
    /// Of all Services: an address that one of them has on this node is there for the others too.
    hairpins: BTreeSet<IpAddr>,
    /// Indexes of Service, port and route.
    by_destination: BTreeMap<Destination, (usize, usize, usize)>,
}

impl Table {
    /// Routes every Service anew.
    pub fn new(model: &Model, family: Family) -> Table {
        let entries = model.all().into_iter().filter_map(|id| model.entry(id));
        let services: Vec<_> = entries.map(|entry| route(entry, model.node(), family)).collect();
        let mut by_destination: BTreeMap<Destination, (usize, usize, usize)> = BTreeMap::new();
        let claim = |&(s, p, r): &(usize, usize, usize)| services[s].ports[p].routes[r].claim;
        for (s, service) in services.iter().enumerate() {
            for (p, port) in service.ports.iter().enumerate() {
                for (r, route) in port.routes.iter().enumerate() {
                    let at = by_destination.entry(route.destination).or_insert((s, p, r));
                    if route.claim < claim(at) {
                        *at = (s, p, r);
                    }
                }
            }
        }
        let hairpins = services.iter().flat_map(|service| service.hairpins.iter().copied()).collect();
        Table { family, node: model.node().clone(), services, hairpins, by_destination }
    }

    /// What becomes of a packet. `is_local` knows the machine's own addresses.
    pub fn verdict(&self, packet: &Packet, is_local: impl Fn(IpAddr) -> bool) -> Verdict {
        let (Some(protocol), Some(port)) = (Protocol::from_number(packet.protocol), NonZeroU16::new(packet.port))
        else {
            return self.verdict_on_address(packet.destination);
        };
        let exact = Destination::Address { address: packet.destination, protocol, port };
        if let Some(at) = self.by_destination.get(&exact) {
            return self.carry_out(*at, packet, is_local);
        }
        match self.verdict_on_address(packet.destination) {
            Verdict::Pass => {}
            decided => return decided,
        }
        let node_port = Destination::NodePort { family: self.family, protocol, port };
        match self.by_destination.get(&node_port) {
            Some(at) if self.is_node_port_address(packet.destination) && is_local(packet.destination) => {
                self.carry_out(*at, packet, is_local)
            }
            Some(_) if self.is_relayed(packet, protocol) => Verdict::Relay,
            _ => Verdict::Pass,
        }
    }

    /// For packets to no port of a Service.
    fn verdict_on_address(&self, address: IpAddr) -> Verdict {
        if self.services.iter().any(|service| service.cluster_ips.contains(&address)) {
            Verdict::Reject
        } else if contains(&self.node.service_cidrs, address) {
            Verdict::Drop
        } else {
            Verdict::Pass
        }
    }

    /// Of packets to node ports. From elsewhere none comes to a loopback address; for SCTP there is no relay.
    fn is_relayed(&self, packet: &Packet, protocol: Protocol) -> bool {
        let relay = self.node.loopback_relay.is_some() && protocol != Protocol::Sctp;
        relay && packet.made_here && packet.destination.is_loopback()
    }

    fn is_node_port_address(&self, address: IpAddr) -> bool {
        let wanted = node_port_ranges(&self.node, self.family);
        !address.is_loopback() && wanted.is_none_or(|wanted| contains(&wanted, address))
    }

    fn carry_out(&self, at: (usize, usize, usize), packet: &Packet, is_local: impl Fn(IpAddr) -> bool) -> Verdict {
        let service = &self.services[at.0];
        let port = &service.ports[at.1];
        let Route { decision, firewalled, .. } = port.routes[at.2];
        if firewalled && !contains(&service.sources, packet.source) {
            return Verdict::Drop;
        }
        let from_pod = contains(&self.node.pod_cidrs, packet.source)
            || self.node.pod_interfaces.iter().any(|interface| interface.matches(packet.interface));
        match decision {
            Decision::Reject => Verdict::Reject,
            Decision::Drop => Verdict::Drop,
            Decision::Forward { to, masquerade } => {
                let masquerade = match masquerade {
                    Masquerade::Never => false,
                    Masquerade::FromOutside => !from_pod,
                    Masquerade::Always => true,
                };
                forward(&self.hairpins, port.list(to), masquerade, packet, is_local)
            }
            Decision::BySource if from_pod => forward(&self.hairpins, &port.cluster, false, packet, is_local),
            Decision::BySource if is_local(packet.source) => {
                forward(&self.hairpins, &port.cluster, true, packet, is_local)
            }
            Decision::BySource if port.local.is_empty() => Verdict::Drop,
            Decision::BySource => forward(&self.hairpins, &port.local, false, packet, is_local),
        }
    }
}

/// Only what leaves the machine can be masqueraded: what came in and goes to one of its own processes does not.
fn forward(
    hairpins: &BTreeSet<IpAddr>,
    list: &[Endpoint],
    masquerade: bool,
    packet: &Packet,
    is_local: impl Fn(IpAddr) -> bool,
) -> Verdict {
    let choice = |endpoint: &Endpoint| {
        let hairpin = endpoint.address == packet.source && hairpins.contains(&packet.source);
        let leaves = packet.made_here || !is_local(endpoint.address);
        Choice { endpoint: *endpoint, masquerade: leaves && (masquerade || hairpin) }
    };
    // A list in which endpoints have many slots each leads to each of them.
    let choices: BTreeSet<Choice> = list.iter().map(choice).collect();
    Verdict::Forward(choices.into_iter().collect())
}

fn contains(nets: &[IpNet], address: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&address))
}
