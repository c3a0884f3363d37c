//! The whole of a zone, as AXFR asks for it (RFC 5936): what `kubernetes` of CoreDNS transfers, in the order of the
//! Services' names, with the SOA record first and last.
//!
//! A transfer holds the Services as they were when it began, by reference, and writes one message when it is asked for
//! the next. A Service that changes meanwhile has its new records in the next transfer.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use crate::name::labels;
use crate::protocol::{LABEL_MAX, rcode, rtype};
use crate::query::Query;
use crate::reply::{Flags, Pointer, Reply, Section, Spelled, Transport};

use super::service::{Service, Spec};
use super::tables::Tables;
use super::zones::Zones;

/// Octets of a message, about: large enough that headers do not matter, small enough for compression pointers and
/// for whoever reads it whole.
const MESSAGE: usize = 16 * 1024;

/// A record: labels before the zone, type, data.
type Pending = (Vec<u8>, u16, Vec<u8>);

/// A zone on its way: each item is a message.
#[derive(Debug)]
pub struct Transfer {
    zones: Arc<Zones>,
    /// The zone that is asked for, in wire form.
    zone: Vec<u8>,
    serial: u32,
    question: Vec<u8>,
    services: std::vec::IntoIter<Arc<Service>>,
    pending: VecDeque<Pending>,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    First,
    Middle,
    Over,
}

/// Begins a transfer of the zone that is asked for; `None` where it is none of the cluster's.
pub(super) fn begin(tables: &Tables, query: &Query<'_>) -> Option<Transfer> {
    if tables.zones.before_cluster(&query.name) != Some(0) {
        return None;
    }
    let mut services = tables.services.collect(|service| service.spec().map(|_| Arc::clone(service)));
    services.sort_by(|a, b| backwards(a.key()).cmp(&backwards(b.key())));
    let mut question = vec![0; 12];
    question[..2].copy_from_slice(&query.id.to_be_bytes());
    (question[2], question[5]) = (u8::from(query.recursion_desired), 1);
    question.extend_from_slice(query.question());
    Some(Transfer {
        zones: Arc::clone(&tables.zones),
        zone: query.name.wire().to_vec(),
        serial: tables.serial(),
        question,
        services: services.into_iter(),
        pending: VecDeque::from(fixed(&tables.zones, query.name.wire())),
        state: State::First,
    })
}

/// Namespace before name.
fn backwards(key: &[u8]) -> Vec<&[u8]> {
    let mut parts: Vec<_> = labels(key).collect();
    parts.reverse();
    parts
}

/// The zone's own records.
fn fixed(zones: &Zones, zone: &[u8]) -> Vec<Pending> {
    let mut records = Vec::new();
    if !zones.name_servers.is_empty() {
        let server = [b"\x02ns\x03dns", zone].concat();
        records.push((Vec::new(), rtype::NS, server));
        records.extend(zones.name_servers.iter().map(|address| host(b"\x02ns\x03dns".to_vec(), *address)));
    }
    records.push((b"\x0bdns-version".to_vec(), rtype::TXT, b"\x051.1.0".to_vec()));
    records
}

impl Iterator for Transfer {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.state == State::Over {
            return None;
        }
        let question = std::mem::take(&mut self.question);
        let message = Query::parse(&question).ok().map(|query| self.message(&query));
        self.question = question;
        message
    }
}

impl Transfer {
    fn message(&mut self, query: &Query<'_>) -> Vec<u8> {
        let mut buffer = vec![0; MESSAGE];
        let mut reply = Reply::start(&mut buffer, query, Transport::Tcp);
        if self.state == State::First {
            self.zones.write_soa(&mut reply, Section::Answer, Pointer::QUESTION, self.serial);
            self.state = State::Middle;
        }
        while let Some((labels, kind, data)) = self.next_record() {
            let owner = Spelled { labels: &labels, rest: Some(Pointer::QUESTION) };
            match reply.record(Section::Answer, owner, kind, self.zones.ttl, data.len()) {
                Some(place) => place.copy_from_slice(&data),
                None => {
                    self.pending.push_front((labels, kind, data));
                    break;
                }
            }
        }
        if self.pending.is_empty() && self.services.len() == 0 {
            let before = reply.answers();
            self.zones.write_soa(&mut reply, Section::Answer, Pointer::QUESTION, self.serial);
            if reply.answers() > before {
                self.state = State::Over;
            }
        }
        reply.clear_truncated();
        let length = reply.finish(rcode::NOERROR, Flags { authoritative: true, ..Flags::default() });
        buffer.truncate(length);
        buffer
    }

    fn next_record(&mut self) -> Option<Pending> {
        while self.pending.is_empty() {
            let service = self.services.next()?;
            self.pending.extend(records(&service, &self.zone));
        }
        self.pending.pop_front()
    }
}

/// A Service's records.
fn records(service: &Service, zone: &[u8]) -> Vec<Pending> {
    let own = [service.key().as_ref(), b"\x03svc"].concat();
    let below = |label: &[u8]| [&[label.len() as u8], label, &own].concat();
    let srv = |port: &super::service::Port, weight: usize, target: &[u8]| {
        let protocol = port.protocol.label();
        let name = [&[port.name.len() as u8 + 1], b"_".as_slice(), &port.name].concat();
        let owner = [name.as_slice(), &[protocol.len() as u8 + 1], b"_".as_slice(), protocol, &own].concat();
        let weight = (100 / weight.max(1)).max(1) as u16;
        let data = [&[0, 0], weight.to_be_bytes().as_slice(), &port.number.to_be_bytes(), target, zone].concat();
        (owner, rtype::SRV, data)
    };
    let named = |port: &&super::service::Port| !port.name.is_empty() && port.name.len() < LABEL_MAX && port.number > 0;
    match service.spec().map(|spec| &**spec) {
        None | Some(Spec::Nothing) => Vec::new(),
        Some(Spec::External { target }) => vec![(own, rtype::CNAME, target.wire().to_vec())],
        Some(Spec::ClusterIp { addresses, ports }) => {
            let hosts = addresses.iter().map(|address| host(own.clone(), *address));
            hosts.chain(ports.iter().filter(named).map(|port| srv(port, addresses.len(), &own))).collect()
        }
        Some(Spec::Headless) => {
            let members = service.order();
            let mut addresses = BTreeSet::new();
            let (mut hosts, mut services) = (Vec::new(), BTreeSet::new());
            for member in members {
                let endpoint = service.endpoint(*member);
                addresses.insert(endpoint.address);
                let mut buffer = [0; LABEL_MAX];
                let name = below(endpoint.label(&mut buffer));
                services.extend(service.ports(*member).iter().filter(named).map(|p| srv(p, members.len(), &name)));
                hosts.push(host(name, endpoint.address));
            }
            // One endpoint in two slices.
            hosts.dedup();
            let all = addresses.into_iter().map(|address| host(own.clone(), address));
            all.chain(hosts).chain(services).collect()
        }
    }
}

fn host(owner: Vec<u8>, address: IpAddr) -> Pending {
    match address {
        IpAddr::V4(address) => (owner, rtype::A, address.octets().to_vec()),
        IpAddr::V6(address) => (owner, rtype::AAAA, address.octets().to_vec()),
    }
}
