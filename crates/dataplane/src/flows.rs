//! Connections that no rule can help: a UDP client that goes on sending keeps its connection alive in conntrack, and
//! with it the endpoint that was chosen for it once, also when that is gone, and when the Service is. So whenever a UDP
//! destination changes, its connections are looked through.
//!
//! A TCP client notices when its endpoint ends, for that says so. One that went without a word (its node died) does
//! not: the client waits for a quarter of an hour. Which connections are such is said here; whether the endpoint really
//! lives no more is asked elsewhere, of the endpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::num::NonZeroU16;

use nft::conntrack::{Entry, Filter, Protocol as Above, ProtocolFilter, Status};

use crate::model::{Family, Node, Protocol};
use crate::route::{Destination, Endpoint};

/// Above so many destinations one look through all UDP connections costs less than one for each.
const FEW: usize = 4;

/// The endpoint that answers a connection; `None`: it has no ports.
pub fn answered_by(entry: &Entry) -> Option<Endpoint> {
    let (port, _) = entry.reply.protocol.ports()?;
    Some(Endpoint { address: entry.reply.source, port: NonZeroU16::new(port)? })
}

/// The destinations that a rewritten TCP connection may have been to: its own address and port, or the node port.
pub(crate) fn tcp_destinations(entry: &Entry) -> Option<[Destination; 2]> {
    let (number, (_, port)) = (entry.original.protocol.number(), entry.original.protocol.ports()?);
    if number != Protocol::Tcp.number() || !entry.status.contains(Status::DST_NAT) {
        return None;
    }
    let (address, protocol, port) = (entry.original.destination, Protocol::Tcp, NonZeroU16::new(port)?);
    let exact = Destination::Address { address, protocol, port };
    Some([exact, Destination::NodePort { family: Family::of(address), protocol, port }])
}

/// TCP connections that these addresses answer; all if there are too many of them to be asked for one by one.
pub(crate) fn tcp_filters(addresses: Option<&BTreeSet<IpAddr>>, families: &[Family]) -> Vec<Filter> {
    let number = Protocol::Tcp.number();
    match addresses {
        Some(few) if few.len() <= FEW => {
            let filter = |address: &IpAddr| {
                let mut filter = Filter::of_family(*address);
                filter.reply.source = Some(*address);
                filter.reply.protocol = Some(ProtocolFilter { number, source_port: None, destination_port: None });
                filter
            };
            few.iter().filter(|address| families.contains(&Family::of(**address))).map(filter).collect()
        }
        _ => families.iter().map(|family| of_protocol(*family, number)).collect(),
    }
}

fn of_protocol(family: Family, number: u8) -> Filter {
    let mut filter = of_family(family);
    filter.original.protocol = Some(ProtocolFilter { number, source_port: None, destination_port: None });
    filter
}

/// UDP destinations whose connections may be stale, each with those that answer for it now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StaleFlows {
    /// `None`: no Service has it any more.
    destinations: BTreeMap<Destination, Option<Vec<Endpoint>>>,
    node_addresses: Vec<IpAddr>,
    relay: Option<NonZeroU16>,
}

impl StaleFlows {
    /// On this node.
    pub fn new(node: &Node) -> StaleFlows {
        StaleFlows { destinations: BTreeMap::new(), node_addresses: node.addresses.clone(), relay: node.loopback_relay }
    }

    /// Connections to a UDP destination are stale unless one of these answers. `None`: no Service has it any more.
    pub fn add(&mut self, destination: Destination, serving: Option<&[Endpoint]>) {
        self.destinations.insert(destination, serving.map(<[Endpoint]>::to_vec));
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.destinations.is_empty()
    }

    /// Which connections are to be looked at, all of them together.
    pub fn filters(&self) -> Vec<Filter> {
        let udp = Protocol::Udp.number();
        if self.destinations.len() <= FEW {
            return self.destinations.keys().map(|destination| filter(destination, udp)).collect();
        }
        let mut families: Vec<Family> = self.destinations.keys().map(family).collect();
        families.sort_unstable();
        families.dedup();
        families.into_iter().map(|family| of_protocol(family, udp)).collect()
    }

    /// Whether a connection leads where nobody answers any more.
    pub fn is_stale(&self, entry: &Entry) -> bool {
        let serving = |destination: &Destination| self.destinations.get(destination).map(Option::as_deref);
        is_stale(entry, &self.node_addresses, self.relay, serving)
    }
}

/// UDP connections of these families.
pub(crate) fn udp_filters(families: &[Family]) -> Vec<Filter> {
    families.iter().map(|family| of_protocol(*family, Protocol::Udp.number())).collect()
}

/// Whether a UDP connection leads where nobody answers any more. `serving` says who answers for a destination:
/// `Some(None)` if no Service has it any more, `None` if nobody asked about it.
pub(crate) fn is_stale<'e>(
    entry: &Entry,
    node_addresses: &[IpAddr],
    relay: Option<NonZeroU16>,
    serving: impl Fn(&Destination) -> Option<Option<&'e [Endpoint]>>,
) -> bool {
    let (Above::Ports { number, destination: port, .. }, Some((answering_port, _))) =
        (entry.original.protocol, entry.reply.protocol.ports())
    else {
        return false;
    };
    let Some(port) = NonZeroU16::new(port) else { return false };
    if number != Protocol::Udp.number() {
        return false;
    }
    let (address, protocol) = (entry.original.destination, Protocol::Udp);
    let node_port = Destination::NodePort { family: Family::of(address), protocol, port };
    if address.is_loopback() {
        // The relay answers for a node port, whether or not it finds anybody.
        let relayed = relay.map(NonZeroU16::get) == Some(answering_port);
        return match serving(&node_port) {
            Some(Some(_)) => relay.is_some() && !relayed,
            Some(None) => relayed,
            None => false,
        };
    }
    let known = serving(&Destination::Address { address, protocol, port }).or_else(|| {
        // A connection to somebody else's port of the same number is none of ours.
        let ours = entry.status.contains(Status::DST_NAT) || node_addresses.contains(&address);
        if ours { serving(&node_port) } else { None }
    });
    let answers = |endpoint: &Endpoint| endpoint.address == entry.reply.source && endpoint.port.get() == answering_port;
    known.is_some_and(|known| !known.unwrap_or_default().iter().any(answers))
}

fn family(destination: &Destination) -> Family {
    match destination {
        Destination::Address { address, .. } => Family::of(*address),
        Destination::NodePort { family, .. } => *family,
    }
}

fn of_family(family: Family) -> Filter {
    match family {
        Family::V4 => Filter::ipv4(),
        Family::V6 => Filter::ipv6(),
    }
}

fn filter(destination: &Destination, protocol: u8) -> Filter {
    match destination {
        Destination::Address { address, port, .. } => Filter::to(*address, protocol, port.get()),
        Destination::NodePort { family, port, .. } => of_family(*family).to_port(protocol, port.get()),
    }
}

#[cfg(test)]
mod tests;
