//! A question becomes an answer.
//!
//! Answers are CoreDNS' own, also where one may wonder: TXT at a name that exists but has no records, such as a
//! namespace, is NXDOMAIN; SOA below the zone is NODATA whether the name exists or not; an alias within the cluster
//! whose target has no such record has no CNAME in its answer either.

use std::net::IpAddr;

use crate::name::Name;
use crate::protocol::{LABEL_MAX, NAME_MAX, rcode, rtype};
use crate::query::{AskedName, Query};
use crate::reply::{Pointer, Reply, Section, Spelled};

use super::compose::{self, Asked, Step};
use super::place::{Place, place};
use super::reverse;
use super::service::{Service, Spec, undashed};
use super::tables::Tables;
use super::zones::{Fallthrough, PodNames, Zone};

/// The most aliases that are followed from one question.
const ALIASES_MAX: usize = 10;

/// What the index has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The reply is whole, with this response code.
    Answered(u16),
    /// The reply denies the name with this response code, but upstream servers may know it.
    Fallthrough(u16),
    /// The reply has CNAME records so far; the name that they lead to lies outside the zones.
    Continue(Name),
    /// The name lies in none of the zones. Nothing was written.
    NotOurs,
    /// A search path made the name. It goes on with these names, which lie outside the zones, one after another; nothing
    /// was written.
    Search(Vec<Name>),
}

/// Answers a question of class IN. `turn` decides which of several addresses comes first.
pub(super) fn answer(tables: &Tables, synced: bool, query: &Query<'_>, reply: &mut Reply<'_>, turn: u32) -> Verdict {
    let zones = &tables.zones;
    let lookup = Lookup { tables, query, turn };
    if let Some(before) = zones.before_cluster(&query.name) {
        return if synced { lookup.cluster(before, reply) } else { Verdict::Answered(rcode::SERVFAIL) };
    }
    let within = |zone: &'_ Zone| zone.labels_before(&query.name);
    match zones.reverse.iter().find_map(within) {
        Some(_) if !synced => Verdict::Answered(rcode::SERVFAIL),
        Some(before) => lookup.reverse(before, reply),
        None => Verdict::NotOurs,
    }
}

/// Goes on with a denied name by the search path of who asks; `None` where no search path has made it, and then the reply
/// is as it was.
pub(super) fn search(
    tables: &Tables,
    query: &Query<'_>,
    client: IpAddr,
    outside: bool,
    reply: &mut Reply<'_>,
    turn: u32,
) -> Option<Verdict> {
    let lookup = Lookup { tables, query, turn };
    let found = lookup.search(client, outside, reply);
    lookup.count_if_wasted(found.as_ref());
    found
}

pub(super) struct Lookup<'a> {
    pub(super) tables: &'a Tables,
    pub(super) query: &'a Query<'a>,
    pub(super) turn: u32,
}

impl Lookup<'_> {
    fn cluster(&self, before: usize, reply: &mut Reply<'_>) -> Verdict {
        let place = match (self.query.qtype, place(&self.query.name, before)) {
            (rtype::SOA, Place::Apex) => return self.apex(before, reply),
            (rtype::SOA, _) => return self.no_data(before, reply),
            (_, place) => place,
        };
        let asked = self.asked(&self.query.name, before, Pointer::QUESTION);
        match self.step(&asked, place, reply) {
            Step::Missing => {
                // Where search paths are gone through, it is not known yet whether the question is wasted.
                if self.tables.zones.search.is_none() {
                    self.count_search_miss(before, place);
                }
                self.no_name(before, reply)
            }
            Step::Written => self.written(before, reply),
            Step::Alias(target) => self.follow(before, target, reply),
        }
    }

    /// Counts a question that a search path has made, if it has, where it leads to nothing from here either.
    pub(super) fn count_if_wasted(&self, found: Option<&Verdict>) {
        let name = &self.query.name;
        let leads_on = matches!(found, Some(Verdict::Answered(rcode::NOERROR) | Verdict::Search(_)));
        if let Some(before) = self.tables.zones.before_cluster(name).filter(|_| !leads_on) {
            self.count_search_miss(before, place(name, before));
        }
    }

    /// Writes what a place in the cluster's zone has for the question.
    pub(super) fn step(&self, asked: &Asked<'_>, place: Place<'_>, reply: &mut Reply<'_>) -> Step {
        match place {
            Place::Nowhere => Step::Missing,
            Place::Apex if matches!(asked.qtype, rtype::NS | rtype::ANY) => {
                self.write_apex(asked.before, reply);
                Step::Written
            }
            Place::Apex | Place::Branch => self.empty(),
            Place::Namespace { of_pods: true, .. } if self.tables.zones.pods == PodNames::Disabled => Step::Missing,
            Place::Namespace { name, .. } if self.tables.has_namespace(name) => self.empty(),
            Place::Namespace { .. } => Step::Missing,
            Place::DnsVersion => self.dns_version(asked, reply),
            Place::NameServer => match asked.qtype {
                rtype::TXT => Step::Missing,
                rtype::A | rtype::AAAA => {
                    let servers = &self.tables.zones.name_servers;
                    compose::write_addresses(asked, compose::of_family(servers, asked.qtype), reply);
                    Step::Written
                }
                _ => Step::Written,
            },
            Place::Pod { label, namespace } => self.pod(asked, label, namespace, reply),
            Place::Service { key, part } => self
                .tables
                .services
                .read(key, |service| compose::service(asked, service, part, reply))
                .unwrap_or(Step::Missing),
        }
    }

    /// Counts a question that a search path has made of a name from elsewhere. `NAME.NAMESPACE.svc.ZONE` is one when NAME
    /// has several labels and does not end in a Service of that namespace; so are names below `svc.ZONE` and the zone
    /// whose namespace does not exist.
    fn count_search_miss(&self, before: usize, place: Place<'_>) {
        let name = &self.query.name;
        if before < 2 || name.label(0).first() == Some(&b'_') {
            return;
        }
        if name.label(before - 1) != b"svc" {
            return if !matches!(place, Place::Pod { .. }) {
                self.tables.count_search_miss(None)
            };
        }
        let Some(service) = before.checked_sub(3) else { return };
        let namespace = &name.wire()[name.label_start(before - 2)..name.label_start(before - 1)];
        let key = &name.wire()[name.label_start(service)..name.label_start(before - 1)];
        if !self.tables.has_namespace(namespace) {
            self.tables.count_search_miss(None);
        } else if service > 0 && self.tables.services.read(key, |_| ()).is_none() {
            self.tables.count_search_miss(Some(namespace));
        }
    }

    /// A name that exists and has nothing of its own.
    fn empty(&self) -> Step {
        if self.query.qtype == rtype::TXT { Step::Missing } else { Step::Written }
    }

    fn apex(&self, before: usize, reply: &mut Reply<'_>) -> Verdict {
        self.write_apex(before, reply);
        self.written(before, reply)
    }

    fn write_apex(&self, before: usize, reply: &mut Reply<'_>) {
        let zones = &self.tables.zones;
        let zone = self.zone_pointer(before);
        match self.query.qtype {
            rtype::SOA => zones.write_soa(reply, Section::Answer, zone, self.tables.serial()),
            rtype::NS if !zones.name_servers.is_empty() => {
                let server = Spelled { labels: b"\x02ns\x03dns", rest: Some(zone) };
                reply.named(Section::Answer, Spelled::at(zone), rtype::NS, zones.ttl, server);
                for address in &zones.name_servers {
                    reply.address(Section::Additional, server, zones.ttl, *address);
                }
            }
            rtype::ANY => compose::any(zone, zones.ttl, reply),
            _ => {}
        }
    }

    fn dns_version(&self, asked: &Asked<'_>, reply: &mut Reply<'_>) -> Step {
        const VERSION: &[u8] = b"\x051.1.0";
        const TTL: u32 = 28_800;
        if asked.qtype != rtype::TXT {
            return Step::Missing;
        }
        let owner = Spelled::at(asked.owner);
        if let Some(data) = reply.record(Section::Answer, owner, rtype::TXT, TTL, VERSION.len()) {
            data.copy_from_slice(VERSION);
        }
        Step::Written
    }

    fn pod(&self, asked: &Asked<'_>, label: &[u8], namespace: &[u8], reply: &mut Reply<'_>) -> Step {
        let address = match self.tables.zones.pods {
            PodNames::Disabled => None,
            PodNames::Insecure => undashed(label).filter(|_| self.tables.has_namespace(namespace)),
            PodNames::Verified => undashed(label).filter(|address| self.tables.has_pod(namespace, *address)),
        };
        match address {
            Some(address) => {
                compose::host(asked, address, reply);
                Step::Written
            }
            None => Step::Missing,
        }
    }

    /// Goes on with the target of an alias, and with that of the next.
    fn follow(&self, before: usize, first: Name, reply: &mut Reply<'_>) -> Verdict {
        let mut target = first;
        let mut owner = Pointer::QUESTION;
        for _ in 0..ALIASES_MAX {
            let Some(next) = self.alias(owner, Spelled::whole(target.wire()), reply) else {
                return Verdict::Answered(rcode::NOERROR);
            };
            let Some(name) = AskedName::read(target.wire()) else {
                break;
            };
            let Some(inside) = self.tables.zones.before_cluster(&name) else {
                return Verdict::Continue(target);
            };
            let aliases = reply.answers();
            let asked = self.asked(&name, inside, next);
            match self.step(&asked, place(&name, inside), reply) {
                Step::Alias(further) => (target, owner) = (further, next),
                Step::Written if reply.answers() > aliases || reply.is_truncated() => {
                    return Verdict::Answered(rcode::NOERROR);
                }
                Step::Written | Step::Missing => break,
            }
        }
        reply.clear();
        self.no_data(before, reply)
    }

    /// Writes an alias. Returns where its target stands, if it fits.
    pub(super) fn alias(&self, owner: Pointer, target: Spelled<'_>, reply: &mut Reply<'_>) -> Option<Pointer> {
        reply.named(Section::Answer, Spelled::at(owner), rtype::CNAME, self.tables.zones.ttl, target)
    }

    fn reverse(&self, before: usize, reply: &mut Reply<'_>) -> Verdict {
        let qtype = self.query.qtype;
        let is_public = self.tables.zones.fallthrough == Fallthrough::Public && !reverse::is_private(&self.query.name);
        match qtype {
            rtype::SOA | rtype::NS | rtype::ANY if before == 0 => return self.apex(0, reply),
            // Of what lies below, CoreDNS says so too, whatever it lets through. Zones of the world's are another's.
            rtype::SOA if !is_public => return self.no_data(before, reply),
            rtype::SOA | rtype::TXT => {}
            _ if before == 0 => return self.no_data(0, reply),
            _ => {}
        }
        if let (rtype::PTR | rtype::ANY, Some(address)) = (qtype, reverse::address(&self.query.name)) {
            self.pointers(address, reply);
            if reply.answers() > 0 || reply.is_truncated() {
                if qtype == rtype::ANY {
                    reply.clear();
                    compose::any(Pointer::QUESTION, self.tables.zones.ttl, reply);
                }
                return Verdict::Answered(rcode::NOERROR);
            }
        }
        let let_through = match self.tables.zones.fallthrough {
            Fallthrough::None => false,
            Fallthrough::Public => is_public,
            Fallthrough::All => true,
        };
        match if qtype == rtype::SOA { self.no_data(before, reply) } else { self.no_name(before, reply) } {
            Verdict::Answered(code) if let_through => Verdict::Fallthrough(code),
            verdict => verdict,
        }
    }

    /// Writes PTR records: to the Service whose cluster IP it is, or else to every Service that has such an endpoint.
    fn pointers(&self, address: IpAddr, reply: &mut Reply<'_>) {
        self.tables.referrers(address, |keys| {
            let read = |key: &[u8], look: &mut dyn FnMut(&Service)| self.tables.services.read(key, |s| look(s));
            for key in keys {
                read(key, &mut |service| {
                    let own = matches!(service.spec().map(|spec| &**spec),
                        Some(Spec::ClusterIp { addresses, .. }) if addresses.contains(&address));
                    if own && reply.answers() == 0 {
                        self.pointer(None, service, reply);
                    }
                });
            }
            if reply.answers() > 0 {
                return;
            }
            for key in keys {
                read(key, &mut |service| {
                    let mut last = [0; LABEL_MAX];
                    let mut seen = 0;
                    for member in service.order().iter().filter(|_| service.spec().is_some()) {
                        let endpoint = service.endpoint(*member);
                        let mut buffer = [0; LABEL_MAX];
                        if endpoint.address != address {
                            continue;
                        }
                        let label = endpoint.label(&mut buffer);
                        if last[..seen] != *label {
                            self.pointer(Some(label), service, reply);
                            seen = label.len();
                            last[..seen].copy_from_slice(label);
                        }
                    }
                });
            }
        });
    }

    fn pointer(&self, label: Option<&[u8]>, service: &Service, reply: &mut Reply<'_>) {
        let mut buffer = [0; NAME_MAX];
        let mut length = 0;
        let zone = self.tables.zones.primary();
        let label_length = label.map(|label| label.len() as u8);
        let parts = [label_length.as_slice(), label.unwrap_or_default(), service.key(), b"\x03svc", zone];
        for part in parts {
            buffer[length..length + part.len()].copy_from_slice(part);
            length += part.len();
        }
        let (owner, target) = (Spelled::at(Pointer::QUESTION), Spelled::whole(&buffer[..length]));
        reply.named(Section::Answer, owner, rtype::PTR, self.tables.zones.ttl, target);
    }

    pub(super) fn asked<'n>(&self, name: &'n AskedName, before: usize, owner: Pointer) -> Asked<'n> {
        let zones = &self.tables.zones;
        let (ttl, ignore_empty) = (zones.ttl, zones.ignore_empty_services);
        Asked { name, before, owner, qtype: self.query.qtype, ttl, ignore_empty, turn: self.turn }
    }

    fn zone_pointer(&self, before: usize) -> Pointer {
        Pointer::into_question(self.query.name.label_start(before))
    }

    /// The answer that was written, or NODATA where nothing was.
    fn written(&self, before: usize, reply: &mut Reply<'_>) -> Verdict {
        if reply.answers() == 0 && !reply.is_truncated() {
            return self.no_data(before, reply);
        }
        Verdict::Answered(rcode::NOERROR)
    }

    pub(super) fn no_data(&self, before: usize, reply: &mut Reply<'_>) -> Verdict {
        let zone = self.zone_pointer(before);
        self.tables.zones.write_soa(reply, Section::Authority, zone, self.tables.serial());
        Verdict::Answered(rcode::NOERROR)
    }

    pub(super) fn no_name(&self, before: usize, reply: &mut Reply<'_>) -> Verdict {
        self.no_data(before, reply);
        Verdict::Answered(rcode::NXDOMAIN)
    }
}
