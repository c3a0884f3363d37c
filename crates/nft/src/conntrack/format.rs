//! Entries and filters as attributes (linux/netfilter/nfnetlink_conntrack.h).

use std::net::IpAddr;
use std::time::Duration;

use super::entry::{Entry, Protocol, Status, Tuple};
use super::filter::{Filter, TupleFilter};
use crate::wire::{Attributes, Writer};

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const STATUS: u16 = 3;
const TIMEOUT: u16 = 7;
const MARK: u16 = 8;
const ID: u16 = 12;
const ZONE: u16 = 18;
const MARK_MASK: u16 = 21;
const FILTER: u16 = 25;

const TUPLE_IP: u16 = 1;
const TUPLE_PROTO: u16 = 2;
const IP_V4_SRC: u16 = 1;
const IP_V4_DST: u16 = 2;
const IP_V6_SRC: u16 = 3;
const IP_V6_DST: u16 = 4;
const PROTO_NUM: u16 = 1;
const PROTO_SRC_PORT: u16 = 2;
const PROTO_DST_PORT: u16 = 3;
/// Identifier, type and code follow each other, first of ICMP, then of ICMPv6.
const PROTO_ICMP: u16 = 4;
const PROTO_ICMPV6: u16 = 7;

const FILTER_ORIGINAL: u16 = 1;
const FILTER_REPLY: u16 = 2;
/// The parts of a tuple that a filter counts (`CTA_FILTER_F_*` of the kernel's nf_internals.h).
const COUNTS_SOURCE: u32 = 1;
const COUNTS_DESTINATION: u32 = 1 << 1;
const COUNTS_PROTOCOL: u32 = 1 << 3;
const COUNTS_SOURCE_PORT: u32 = 1 << 4;
const COUNTS_DESTINATION_PORT: u32 = 1 << 5;

/// The conditions of a filter.
pub(super) fn filter(filter: &Filter, w: &mut Writer) {
    let original = tuple_filter(TUPLE_ORIGINAL, &filter.original, w);
    let reply = tuple_filter(TUPLE_REPLY, &filter.reply, w);
    if let Some((mark, mask)) = filter.mark {
        w.u32(MARK, mark);
        w.u32(MARK_MASK, mask);
    }
    if original | reply != 0 {
        w.nest(FILTER, |w| {
            // These alone are in the machine's order.
            w.bytes(FILTER_ORIGINAL, &original.to_ne_bytes());
            w.bytes(FILTER_REPLY, &reply.to_ne_bytes());
        });
    }
}

/// The name of one entry: its first direction and its number.
pub(super) fn name(entry: &Entry, w: &mut Writer) {
    direction(TUPLE_ORIGINAL, &entry.original, w);
    w.u32(ID, entry.id);
    if entry.zone != 0 {
        w.u16(ZONE, entry.zone);
    }
}

/// The name of the entry with this direction of answers.
pub(super) fn answers(reply: &Tuple, w: &mut Writer) {
    direction(TUPLE_REPLY, reply, w);
}

fn direction(kind: u16, tuple: &Tuple, w: &mut Writer) {
    let Tuple { source, destination, protocol } = *tuple;
    w.nest(kind, |w| {
        w.nest(TUPLE_IP, |w| {
            address(source, IP_V4_SRC, IP_V6_SRC, w);
            address(destination, IP_V4_DST, IP_V6_DST, w);
        });
        w.nest(TUPLE_PROTO, |w| {
            w.u8(PROTO_NUM, protocol.number());
            match protocol {
                Protocol::Ports { source, destination, .. } => {
                    w.u16(PROTO_SRC_PORT, source);
                    w.u16(PROTO_DST_PORT, destination);
                }
                Protocol::Icmp { id, kind, code, .. } => {
                    let first = if source.is_ipv4() { PROTO_ICMP } else { PROTO_ICMPV6 };
                    w.u16(first, id);
                    w.u8(first + 1, kind);
                    w.u8(first + 2, code);
                }
                Protocol::Other(_) => {}
            }
        });
    });
}

/// An entry; `None` if something is missing.
pub(super) fn entry(a: Attributes<'_>) -> Option<Entry> {
    Some(Entry {
        original: tuple(a.nested(TUPLE_ORIGINAL)?)?,
        reply: tuple(a.nested(TUPLE_REPLY)?)?,
        status: Status(a.u32(STATUS)?),
        mark: a.u32(MARK).unwrap_or_default(),
        timeout: a.u32(TIMEOUT).map(|seconds| Duration::from_secs(seconds.into())),
        id: a.u32(ID)?,
        zone: a.u16(ZONE).unwrap_or_default(),
    })
}

fn tuple(a: Attributes<'_>) -> Option<Tuple> {
    let (ip, proto) = (a.nested(TUPLE_IP)?, a.nested(TUPLE_PROTO)?);
    let v4 = |kind| ip.find(kind).and_then(|b| <[u8; 4]>::try_from(b).ok()).map(IpAddr::from);
    let v6 = |kind| ip.find(kind).and_then(|b| <[u8; 16]>::try_from(b).ok()).map(IpAddr::from);
    let source = v4(IP_V4_SRC).or_else(|| v6(IP_V6_SRC))?;
    let destination = v4(IP_V4_DST).or_else(|| v6(IP_V6_DST))?;
    let number = proto.u8(PROTO_NUM)?;
    let icmp = |first: u16| {
        let (id, kind, code) = (proto.u16(first)?, proto.u8(first + 1)?, proto.u8(first + 2)?);
        Some(Protocol::Icmp { number, id, kind, code })
    };
    let protocol = match (proto.u16(PROTO_SRC_PORT), proto.u16(PROTO_DST_PORT)) {
        (Some(source), Some(destination)) => Protocol::Ports { number, source, destination },
        _ => icmp(PROTO_ICMP).or_else(|| icmp(PROTO_ICMPV6)).unwrap_or(Protocol::Other(number)),
    };
    Some(Tuple { source, destination, protocol })
}

/// The conditions on one direction; the flags of those that count. Without IPv6 addresses, which the kernel compares
/// the wrong way round.
fn tuple_filter(kind: u16, filter: &TupleFilter, w: &mut Writer) -> u32 {
    let TupleFilter { source, destination, protocol } = *filter;
    let (source, destination) = (source.filter(IpAddr::is_ipv4), destination.filter(IpAddr::is_ipv4));
    if source.is_none() && destination.is_none() && protocol.is_none() {
        return 0;
    }
    let mut counts = 0;
    w.nest(kind, |w| {
        if source.is_some() || destination.is_some() {
            w.nest(TUPLE_IP, |w| {
                if let Some(source) = source {
                    address(source, IP_V4_SRC, IP_V6_SRC, w);
                    counts |= COUNTS_SOURCE;
                }
                if let Some(destination) = destination {
                    address(destination, IP_V4_DST, IP_V6_DST, w);
                    counts |= COUNTS_DESTINATION;
                }
            });
        }
        let Some(protocol) = protocol else { return };
        w.nest(TUPLE_PROTO, |w| {
            w.u8(PROTO_NUM, protocol.number);
            counts |= COUNTS_PROTOCOL;
            if let Some(port) = protocol.source_port {
                w.u16(PROTO_SRC_PORT, port);
                counts |= COUNTS_SOURCE_PORT;
            }
            if let Some(port) = protocol.destination_port {
                w.u16(PROTO_DST_PORT, port);
                counts |= COUNTS_DESTINATION_PORT;
            }
        });
    });
    counts
}

fn address(address: IpAddr, v4: u16, v6: u16, w: &mut Writer) {
    match address {
        IpAddr::V4(address) => w.bytes(v4, &address.octets()),
        IpAddr::V6(address) => w.bytes(v6, &address.octets()),
    }
}
