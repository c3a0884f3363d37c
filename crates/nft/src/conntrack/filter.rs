//! Which entries are meant.

use std::net::IpAddr;

use super::ConntrackError;
use super::entry::{Entry, Protocol, Tuple, family};

/// Conditions on one direction; what is `None` does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TupleFilter {
    /// Source address.
    pub source: Option<IpAddr>,
    /// Destination address.
    pub destination: Option<IpAddr>,
    /// Protocol, and ports.
    pub protocol: Option<ProtocolFilter>,
}

/// Conditions on what is above IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProtocolFilter {
    /// Protocol number.
    pub number: u8,
    /// Source port.
    pub source_port: Option<u16>,
    /// Destination port.
    pub destination_port: Option<u16>,
}

impl ProtocolFilter {
    fn matches(&self, protocol: Protocol) -> bool {
        let ports = protocol.ports();
        self.number == protocol.number()
            && self.source_port.is_none_or(|port| ports.is_some_and(|(source, _)| source == port))
            && self.destination_port.is_none_or(|port| ports.is_some_and(|(_, destination)| destination == port))
    }
}

impl TupleFilter {
    pub(crate) fn is_empty(&self) -> bool {
        *self == TupleFilter::default()
    }

    fn matches(&self, tuple: &Tuple) -> bool {
        self.source.is_none_or(|source| source == tuple.source)
            && self.destination.is_none_or(|destination| destination == tuple.destination)
            && self.protocol.is_none_or(|protocol| protocol.matches(tuple.protocol))
    }

    /// Whether everything is given: one connection at most.
    fn is_complete(&self) -> bool {
        let whole = |p: ProtocolFilter| p.source_port.is_some() && p.destination_port.is_some();
        self.source.is_some() && self.destination.is_some() && self.protocol.is_some_and(whole)
    }
}

/// Conditions on entries of one family, all of which must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    ipv6: bool,
    /// On the direction of the first packet, before any rewrite: a Service's address is its destination.
    pub original: TupleFilter,
    /// On the direction of the answers, before their rewrite is undone: an endpoint's address is their source.
    pub reply: TupleFilter,
    /// A mark, and the bits of it that count.
    pub mark: Option<(u32, u32)>,
}

impl Filter {
    /// All IPv4 entries.
    pub fn ipv4() -> Filter {
        Filter { ipv6: false, original: TupleFilter::default(), reply: TupleFilter::default(), mark: None }
    }

    /// All IPv6 entries.
    pub fn ipv6() -> Filter {
        Filter { ipv6: true, ..Filter::ipv4() }
    }

    /// All entries of the family of an address.
    pub fn of_family(address: IpAddr) -> Filter {
        if address.is_ipv4() { Filter::ipv4() } else { Filter::ipv6() }
    }

    /// Connections to an address, protocol number and port, before any rewrite: to a Service's port.
    pub fn to(address: IpAddr, protocol: u8, port: u16) -> Filter {
        let original = TupleFilter { destination: Some(address), ..TupleFilter::default() };
        Filter { original, ..Filter::of_family(address) }.to_port(protocol, port)
    }

    /// Of these, the connections of a protocol number to a port, before any rewrite: to a node port.
    pub fn to_port(mut self, protocol: u8, port: u16) -> Filter {
        let ports = ProtocolFilter { number: protocol, source_port: None, destination_port: Some(port) };
        self.original.protocol = Some(ports);
        self
    }

    /// Of these, the connections that are answered by this address and port: an endpoint.
    pub fn answered_by(mut self, address: IpAddr, protocol: u8, port: u16) -> Filter {
        let ports = ProtocolFilter { number: protocol, source_port: Some(port), destination_port: None };
        self.reply.source = Some(address);
        self.reply.protocol = Some(ports);
        self
    }

    /// Of these, the connections whose mark has these bits of the mask.
    pub fn marked(mut self, mark: u32, mask: u32) -> Filter {
        self.mark = Some((mark, mask));
        self
    }

    /// Whether an entry is meant.
    pub fn matches(&self, entry: &Entry) -> bool {
        entry.original.family() == self.family()
            && self.original.matches(&entry.original)
            && self.reply.matches(&entry.reply)
            && self.mark.is_none_or(|(mark, mask)| entry.mark & mask == mark & mask)
    }

    pub(crate) fn family(&self) -> u8 {
        if self.ipv6 { 10 } else { 2 }
    }

    /// Whether every entry of the family is meant.
    pub(crate) fn is_empty(&self) -> bool {
        self.original.is_empty() && self.reply.is_empty() && self.mark.is_none_or(|(_, mask)| mask == 0)
    }

    /// Whether a kernel that does not know filters could take it for the name of one connection.
    pub(crate) fn is_a_name(&self) -> bool {
        self.original.is_complete() || self.reply.is_complete()
    }

    /// Whether there is a condition that the kernel gets wrong.
    pub(crate) fn has_ipv6_address(&self) -> bool {
        let TupleFilter { source: a, destination: b, .. } = self.original;
        let TupleFilter { source: c, destination: d, .. } = self.reply;
        [a, b, c, d].into_iter().flatten().any(|address| address.is_ipv6())
    }

    pub(crate) fn check(&self) -> Result<(), ConntrackError> {
        let TupleFilter { source: a, destination: b, .. } = self.original;
        let TupleFilter { source: c, destination: d, .. } = self.reply;
        let fits = [a, b, c, d].into_iter().flatten().all(|address| family(address) == self.family());
        if fits { Ok(()) } else { Err(ConntrackError::MixedFamilies) }
    }
}
