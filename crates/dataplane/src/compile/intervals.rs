//! Ranges of addresses, and of names, as elements of interval sets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use nft::{Element, Value};

use crate::model::{Family, PodInterface};

/// The addresses from the first to the last, both included, as numbers.
type Range = (u128, u128);

/// The elements of a set of these ranges, of those that are of the family: sorted, apart from each other, as the kernel
/// wants them. `without` are taken out.
pub(super) fn intervals(nets: &[IpNet], without: &[IpNet], family: Family) -> Vec<Element> {
    let ranges =
        |nets: &[IpNet]| -> Vec<Range> { nets.iter().filter(|net| Family::of_net(net) == family).map(range).collect() };
    let mut wanted = joined(ranges(nets));
    for hole in ranges(without) {
        wanted = wanted.into_iter().flat_map(|range| cut(range, hole)).collect();
    }
    let value = |number| Value::new().ip(address(number, family));
    let last = range(&everything(family)).1;
    let elements = wanted.into_iter().flat_map(|(first, end)| {
        let behind = (end < last).then(|| value(end + 1));
        Element::interval(value(first), behind)
    });
    elements.collect()
}

/// The elements of a set of interfaces' names. The kernel orders them as it does numbers of 16 bytes.
pub(super) fn interfaces(interfaces: &[PodInterface]) -> Vec<Element> {
    let value = |number: u128| Value::bytes(&number.to_be_bytes());
    let wanted = joined(interfaces.iter().map(PodInterface::range).collect());
    let elements = wanted.into_iter().flat_map(|(first, last)| {
        let behind = last.checked_add(1).map(value);
        Element::interval(value(first), behind)
    });
    elements.collect()
}

/// The range of all addresses of a family.
pub(super) fn everything(family: Family) -> IpNet {
    match family {
        Family::V4 => IpNet::V4(ipnet::Ipv4Net::default()),
        Family::V6 => IpNet::V6(ipnet::Ipv6Net::default()),
    }
}

/// The addresses that packets from elsewhere never have.
pub(super) fn loopback(family: Family) -> IpNet {
    match family {
        Family::V4 => IpNet::V4(ipnet::Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
        Family::V6 => IpNet::V6(ipnet::Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
    }
}

fn range(net: &IpNet) -> Range {
    match net {
        IpNet::V4(net) => (u32::from(net.network()).into(), u32::from(net.broadcast()).into()),
        IpNet::V6(net) => (net.network().into(), net.broadcast().into()),
    }
}

fn address(number: u128, family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::from(number as u32)),
        Family::V6 => IpAddr::V6(Ipv6Addr::from(number)),
    }
}

/// Sorted; those that touch or overlap become one.
fn joined(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined
}

/// What is left of a range.
fn cut((first, last): Range, (from, to): Range) -> impl Iterator<Item = Range> {
    if to < first || last < from {
        return [Some((first, last)), None].into_iter().flatten();
    }
    let below = (first < from).then(|| (first, from - 1));
    let above = (to < last).then(|| (to + 1, last));
    [below, above].into_iter().flatten()
}
