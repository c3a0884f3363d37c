//! A search path is gone through here for who asks, as CoreDNS' `autopath @kubernetes` does.
//!
//! With `options ndots:5`, a Pod of the namespace `shop` asks for `www.example.com` as
//! `www.example.com.shop.svc.cluster.local`, and hears four denials before the answer. What is done here answers the first
//! question with an alias that leads to the name that the Pod means.
//!
//! Whose search path it is, an address alone does not tell: it may be another Pod's by now, and Pods in the node's
//! network share theirs. So three things have to agree: the namespace that the question itself names, which comes from the
//! asker's own search path; a Pod of that namespace at the asker's address; and that Pod's search path, which must be the
//! cluster's and no other. Where they do not agree, the answer is the plain denial, and the asker goes on by itself: that
//! is slower, and never wrong.

use std::net::IpAddr;

use crate::name::Name;
use crate::protocol::{NAME_MAX, rcode, rtype};
use crate::query::AskedName;
use crate::reply::{Pointer, Reply, Spelled};

use super::compose::Step;
use super::lookup::{Lookup, Verdict};
use super::place::place;
use super::tables::Tables;
use super::zones::Search;

impl Lookup<'_> {
    /// Goes on with a name that was denied, where a search path has made it. What is denied still is denied again;
    /// `outside` says whether names outside the zones can be asked for.
    pub(super) fn search(&self, client: IpAddr, outside: bool, reply: &mut Reply<'_>) -> Option<Verdict> {
        let search = self.tables.zones.search.as_ref()?;
        let name = &self.query.name;
        let before = self.tables.zones.before_cluster(name)?;
        if !matches!(self.query.qtype, rtype::A | rtype::AAAA) || !is_searched(self.tables, name, before, client) {
            return None;
        }
        // What was asked for, before the search path was added.
        let wanted = &name.wire()[..name.label_start(before - 2)];
        let zone = &name.wire()[name.label_start(before)..];
        for domain in [[b"\x03svc", zone].concat(), zone.to_vec(), b"\0".to_vec()] {
            if let Some(found) = joined(wanted, &domain).and_then(|target| self.here(&target, before, reply)) {
                return Some(found);
            }
        }
        let is_ours = joined(wanted, b"\0").is_some_and(|own| self.tables.zones.before_cluster(&own).is_some());
        let names = if outside && !is_ours { elsewhere(search, wanted) } else { Vec::new() };
        reply.clear();
        Some(if names.is_empty() { self.no_name(before, reply) } else { Verdict::Search(names) })
    }

    /// The answer by way of a name of the cluster's, if it exists. One that is an alias itself is left to the asker, who comes
    /// to it by himself after a denial.
    fn here(&self, target: &AskedName, before: usize, reply: &mut Reply<'_>) -> Option<Verdict> {
        let inside = self.tables.zones.before_cluster(target)?;
        reply.clear();
        let next = self.alias(Pointer::QUESTION, Spelled::whole(target.wire()), reply)?;
        let aliases = reply.answers();
        let asked = self.asked(target, inside, next);
        match self.step(&asked, place(target, inside), reply) {
            Step::Written if reply.answers() > aliases || reply.is_truncated() => {
                Some(Verdict::Answered(rcode::NOERROR))
            }
            // It exists and has no such address: that is what a search ends with.
            Step::Written => Some(self.no_data(before, reply)),
            Step::Missing => None,
            Step::Alias(_) => {
                reply.clear();
                Some(self.no_name(before, reply))
            }
        }
    }
}

/// Whether a question that was denied comes from a search path, and is that of a Pod which asks from there.
fn is_searched(tables: &Tables, name: &AskedName, before: usize, client: IpAddr) -> bool {
    // At least a label, one before it, the namespace and "svc": a name of one label is a Service that is not there.
    if before < 4 || name.label(before - 1) != b"svc" || name.label(0).first() == Some(&b'_') {
        return false;
    }
    let namespace = &name.wire()[name.label_start(before - 2)..name.label_start(before - 1)];
    let service = &name.wire()[name.label_start(before - 3)..name.label_start(before - 1)];
    // Below a Service's name there are endpoints, and nothing from elsewhere.
    tables.services.read(service, |_| ()).is_none() && tables.searches(namespace, client.to_canonical())
}

fn joined(labels: &[u8], domain: &[u8]) -> Option<AskedName> {
    (labels.len() + domain.len() <= NAME_MAX).then(|| AskedName::read(&[labels, domain].concat())).flatten()
}

/// The names outside the cluster that the search path goes on with, in its order.
fn elsewhere(search: &Search, wanted: &[u8]) -> Vec<Name> {
    let domains = search.further.iter().map(Name::wire).chain([b"\0".as_slice()]);
    domains.filter_map(|domain| Some(Name::from_wire(joined(wanted, domain)?.wire()))).collect()
}
