//! The records of one Service, written straight from its compiled form.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::name::Name;
use crate::protocol::{LABEL_MAX, NAME_MAX, rtype};
use crate::query::AskedName;
use crate::reply::{Pointer, Reply, Section, Spelled};

use super::place::Part;
use super::service::{Member, Port, PortFilter, Service, Spec};

/// Whose records are written, and where that name stands in the message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) name: &'a AskedName,
    /// Labels before the cluster's zone.
    pub(super) before: usize,
    pub(super) owner: Pointer,
    pub(super) qtype: u16,
    pub(super) ttl: u32,
    /// Whether a Service with a cluster IP and no ready endpoint does not exist.
    pub(super) ignore_empty: bool,
    /// Which address comes first: answers take turns.
    pub(super) turn: u32,
}

impl Asked<'_> {
    /// How the owner of addresses is spelled. A question's capitals are echoed in the question and by all other
    /// records; addresses bear the name as the cluster spells it, as CoreDNS answers them from its cache.
    fn address_owner(&self) -> Spelled<'_> {
        if self.name.has_capitals() { Spelled::whole(self.name.wire()) } else { Spelled::at(self.owner) }
    }

    /// The name of the Service, or of its endpoint `label`, for records that lead to it. Its labels are lower case
    /// whatever the question's are; the zone is the question's own.
    fn target<'b>(&self, label: Option<&[u8]>, buffer: &'b mut [u8; NAME_MAX]) -> Spelled<'b> {
        let service = self.name.label_start(self.before - 3);
        let zone = self.name.label_start(self.before);
        let mut length = 0;
        if let Some(label) = label {
            buffer[0] = label.len() as u8;
            buffer[1..=label.len()].copy_from_slice(label);
            length = 1 + label.len();
        }
        let mut rest = service;
        if self.name.has_capitals() {
            let spelled = &self.name.wire()[service..zone];
            buffer[length..length + spelled.len()].copy_from_slice(spelled);
            length += spelled.len();
            rest = zone;
        }
        Spelled { labels: &buffer[..length], rest: Some(self.owner.plus(rest)) }
    }
}

/// What came of a question about a Service.
#[derive(Debug)]
pub(super) enum Step {
    /// There is no such name.
    Missing,
    /// The name exists; records, if any of the type exist and fit, were written.
    Written,
    /// The name is an alias, and the question goes on with its target.
    Alias(Name),
}

/// Writes what `part` of a Service has for the question.
pub(super) fn service(asked: &Asked<'_>, service: &Service, part: Part<'_>, reply: &mut Reply<'_>) -> Step {
    let Some(spec) = service.spec() else {
        return Step::Missing;
    };
    match (&**spec, part) {
        (Spec::Nothing, _) => Step::Missing,
        (Spec::External { target }, Part::Whole) => alias(asked, target, reply),
        (Spec::External { .. }, _) => Step::Missing,
        (_, Part::Endpoint(label)) => endpoints(asked, service, service.named(label), PortFilter::default(), reply),
        (Spec::Headless, Part::Whole) => endpoints(asked, service, service.order(), PortFilter::default(), reply),
        (Spec::Headless, Part::Ports(filter)) => endpoints(asked, service, service.order(), filter, reply),
        // Endpoints' own names end with the endpoints.
        (Spec::ClusterIp { .. }, _) if asked.ignore_empty && service.order().is_empty() => Step::Missing,
        (Spec::ClusterIp { addresses, ports }, Part::Whole) => {
            cluster_ip(asked, addresses, ports, PortFilter::default(), reply)
        }
        (Spec::ClusterIp { addresses, ports }, Part::Ports(filter)) => {
            cluster_ip(asked, addresses, ports, filter, reply)
        }
    }
}

/// `ANY` gets one small record in place of all there are (RFC 8482 section 4.2).
pub(super) fn any(owner: Pointer, ttl: u32, reply: &mut Reply<'_>) {
    const DATA: &[u8] = b"\x07RFC8482\x00";
    if let Some(data) = reply.record(Section::Answer, Spelled::at(owner), rtype::HINFO, ttl, DATA.len()) {
        data.copy_from_slice(DATA);
    }
}

/// The records of a name that stands for one address and no port: a Pod, or the zone's name server.
pub(super) fn host(asked: &Asked<'_>, address: IpAddr, reply: &mut Reply<'_>) {
    match asked.qtype {
        rtype::A | rtype::AAAA => write_addresses(asked, of_family(&[address], asked.qtype), reply),
        rtype::SRV => {
            let mut buffer = [0; NAME_MAX];
            let target = asked.target(None, &mut buffer);
            if write_srv(asked, 100, 0, target, reply) {
                reply.address(Section::Additional, target, asked.ttl, address);
            }
        }
        rtype::ANY => any(asked.owner, asked.ttl, reply),
        _ => {}
    }
}

/// Writes addresses that are all of the family that is asked for.
pub(super) fn write_addresses(asked: &Asked<'_>, addresses: impl Iterator<Item = IpAddr>, reply: &mut Reply<'_>) {
    let mut owner = asked.address_owner();
    for address in addresses {
        let place = reply.next_owner();
        if !reply.address(Section::Answer, owner, asked.ttl, address) {
            return;
        }
        if let (None, Some(place)) = (owner.rest, place) {
            owner = Spelled::at(place);
        }
    }
}

/// Those of `addresses` that a question of `qtype` asks for.
pub(super) fn of_family(addresses: &[IpAddr], qtype: u16) -> impl Iterator<Item = IpAddr> {
    addresses.iter().copied().filter(move |address| address.is_ipv4() == (qtype == rtype::A))
}

fn alias(asked: &Asked<'_>, target: &Name, reply: &mut Reply<'_>) -> Step {
    match asked.qtype {
        rtype::A | rtype::AAAA => return Step::Alias(target.clone()),
        rtype::CNAME => {
            let owner = Spelled::at(asked.owner);
            reply.named(Section::Answer, owner, rtype::CNAME, asked.ttl, Spelled::whole(target.wire()));
        }
        rtype::ANY => any(asked.owner, asked.ttl, reply),
        _ => {}
    }
    Step::Written
}

fn cluster_ip(
    asked: &Asked<'_>,
    addresses: &[IpAddr],
    ports: &[Port],
    filter: PortFilter<'_>,
    reply: &mut Reply<'_>,
) -> Step {
    let matching = filter.count(ports);
    if matching == 0 {
        return Step::Missing;
    }
    match asked.qtype {
        rtype::A | rtype::AAAA => write_addresses(asked, of_family(addresses, asked.qtype), reply),
        rtype::SRV if !addresses.is_empty() => {
            let mut buffer = [0; NAME_MAX];
            let target = asked.target(None, &mut buffer);
            let weight = weight(matching * addresses.len());
            let all = distinct(ports, filter).all(|port| write_srv(asked, weight, port, target, reply));
            if all && reply.answers() > 0 {
                for address in addresses {
                    reply.address(Section::Additional, target, asked.ttl, *address);
                }
            }
        }
        rtype::ANY => any(asked.owner, asked.ttl, reply),
        _ => {}
    }
    Step::Written
}

fn endpoints(
    asked: &Asked<'_>,
    service: &Service,
    members: &[Member],
    filter: PortFilter<'_>,
    reply: &mut Reply<'_>,
) -> Step {
    let counted = |member: &Member| filter.is_any() || filter.count(service.ports(*member)) > 0;
    let exists = if service.is_uniform() { members.first().is_some_and(counted) } else { members.iter().any(counted) };
    if !exists {
        return Step::Missing;
    }
    match asked.qtype {
        rtype::A | rtype::AAAA => endpoint_addresses(asked, service, members, filter, reply),
        rtype::SRV => endpoint_srv(asked, service, members, filter, reply),
        rtype::ANY => any(asked.owner, asked.ttl, reply),
        _ => {}
    }
    Step::Written
}

fn endpoint_addresses(
    asked: &Asked<'_>,
    service: &Service,
    members: &[Member],
    filter: PortFilter<'_>,
    reply: &mut Reply<'_>,
) {
    let is_whole =
        members.len() == service.order().len() && matches!(service.spec().map(|s| &**s), Some(Spec::Headless));
    if is_whole && (service.is_uniform() || filter.is_any()) {
        return if asked.qtype == rtype::A {
            let (first, rest) = turned(service.v4(), asked.turn);
            write_addresses(asked, rest.iter().chain(first).copied().map(|a: Ipv4Addr| a.into()), reply);
        } else {
            let (first, rest) = turned(service.v6(), asked.turn);
            write_addresses(asked, rest.iter().chain(first).copied().map(|a: Ipv6Addr| a.into()), reply);
        };
    }
    if filter.is_any() {
        // Endpoints of one label are ordered by address, so doubles are neighbours.
        let same = |a: &Member, b: &Member| service.endpoint(*a).address == service.endpoint(*b).address;
        let each = members.chunk_by(same).map(|doubles| service.endpoint(doubles[0]).address);
        return write_addresses(asked, each.filter(|a| a.is_ipv4() == (asked.qtype == rtype::A)), reply);
    }
    // Slices with different ports: rare enough to gather and order the addresses for one question.
    let mut addresses: Vec<IpAddr> = members
        .iter()
        .filter(|member| filter.count(service.ports(**member)) > 0)
        .map(|member| service.endpoint(*member).address)
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    write_addresses(asked, of_family(&addresses, asked.qtype), reply);
}

fn endpoint_srv(
    asked: &Asked<'_>,
    service: &Service,
    members: &[Member],
    filter: PortFilter<'_>,
    reply: &mut Reply<'_>,
) {
    let count = |member: &Member| filter.count(service.ports(*member));
    let weight = weight(match members.first() {
        Some(first) if service.is_uniform() => count(first) * members.len(),
        _ => members.iter().map(count).sum(),
    });
    let (mut label, mut buffer) = ([0; LABEL_MAX], [0; NAME_MAX]);
    let hosts = || members.chunk_by(|a, b| same_label(service, *a, *b));
    for host in hosts() {
        let target = asked.target(Some(service.endpoint(host[0]).label(&mut label)), &mut buffer);
        let mut write = |port| write_srv(asked, weight, port, target, reply);
        let all = if service.is_uniform() || host.len() == 1 {
            distinct(service.ports(host[0]), filter).all(&mut write)
        } else {
            let ports = host.iter().flat_map(|member| service.ports(*member)).filter(|port| filter.matches(port));
            let mut numbers: Vec<u16> = ports.map(|port| port.number).filter(|number| *number != 0).collect();
            numbers.sort_unstable();
            numbers.dedup();
            numbers.into_iter().all(&mut write)
        };
        if !all {
            return;
        }
    }
    for host in hosts() {
        let target = asked.target(Some(service.endpoint(host[0]).label(&mut label)), &mut buffer);
        let mut last = None;
        for member in host {
            let named = distinct(service.ports(*member), filter).next().is_some();
            let address = service.endpoint(*member).address;
            if named && last.replace(address) != Some(address) {
                reply.address(Section::Additional, target, asked.ttl, address);
            }
        }
    }
}

/// The port numbers that SRV records name: those that match, each once, in the order of the list.
fn distinct<'s>(ports: &'s [Port], filter: PortFilter<'s>) -> impl Iterator<Item = u16> + 's {
    ports.iter().enumerate().filter(move |(_, port)| port.number != 0 && filter.matches(port)).filter_map(
        move |(at, port)| {
            let seen = ports[..at].iter().any(|earlier| earlier.number == port.number && filter.matches(earlier));
            (!seen).then_some(port.number)
        },
    )
}

/// The weight that makes `count` targets equal, as CoreDNS computes it: their share of a hundred, at least 1.
fn weight(count: usize) -> u16 {
    (100 / count.max(1)).max(1) as u16
}

fn write_srv(asked: &Asked<'_>, weight: u16, port: u16, target: Spelled<'_>, reply: &mut Reply<'_>) -> bool {
    let owner = Spelled::at(asked.owner);
    let Some(data) = reply.record(Section::Answer, owner, rtype::SRV, asked.ttl, 6 + target.length()) else {
        return false;
    };
    data[..2].fill(0);
    data[2..4].copy_from_slice(&weight.to_be_bytes());
    data[4..6].copy_from_slice(&port.to_be_bytes());
    target.write(&mut data[6..]);
    true
}

fn same_label(service: &Service, a: Member, b: Member) -> bool {
    let (a, b) = (service.endpoint(a), service.endpoint(b));
    a.hostname == b.hostname && (a.hostname.is_some() || a.address == b.address)
}

/// Splits a list at the place that has its turn to be first.
fn turned<A>(list: &[A], turn: u32) -> (&[A], &[A]) {
    list.split_at(if list.is_empty() { 0 } else { turn as usize % list.len() })
}
