//! Which endpoints of a Service port may be given traffic: conditions, topology hints, terminating fall-back.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::model::{Conditions, Entry, Family, Node, Protocol, StoredEndpoint};
use crate::route::Endpoint;

/// The most endpoints that one list of a port has: each change of one of them costs a look at all.
pub const MOST_ENDPOINTS: usize = 200_000;

/// The endpoints of one Service port in one family.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    candidates: Vec<Candidate>,
}

/// An endpoint, as this node sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    endpoint: Endpoint,
    conditions: Conditions,
    /// On this node.
    local: bool,
    /// On this node, or nobody said where.
    perhaps_local: bool,
    for_node: Hint,
    for_zone: Hint,
    /// Of a Service whose nodes choose alike: the address of its node, if that is another and takes what is passed on.
    taker: Option<IpAddr>,
}

/// What an endpoint's hints say of this node (or zone).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hint {
    /// Nothing.
    None,
    /// Meant for it.
    Here,
    /// Meant for others.
    Elsewhere,
}

impl Candidate {
    fn new(endpoint: Endpoint, stored: &StoredEndpoint, node: &Node) -> Candidate {
        let here = stored.node.as_ref().map(|name| *name == node.name);
        Candidate {
            endpoint,
            conditions: stored.conditions,
            local: here == Some(true),
            perhaps_local: here != Some(false),
            for_node: Hint::of(stored.node_hints(), Some(&node.name)),
            for_zone: Hint::of(stored.zone_hints(), node.zone.as_deref()),
            taker: None,
        }
    }

    fn with_taker(mut self, stored: &StoredEndpoint, node: &Node) -> Candidate {
        let family = Family::of(self.endpoint.address);
        let addresses = stored.node.as_ref().filter(|_| !self.local).and_then(|name| node.takers.get(name));
        self.taker = addresses.and_then(|all| all.iter().copied().find(|address| Family::of(*address) == family));
        self
    }

    fn ready(&self) -> bool {
        self.conditions.ready
    }

    /// No new traffic while others are ready, but better than nobody (KEP-1669).
    fn leaving(&self) -> bool {
        self.conditions.serving && self.conditions.terminating
    }
}

impl Hint {
    fn of(hints: &[impl AsRef<str>], here: Option<&str>) -> Hint {
        match here {
            _ if hints.is_empty() => Hint::None,
            Some(here) if hints.iter().any(|hint| hint.as_ref() == here) => Hint::Here,
            _ => Hint::Elsewhere,
        }
    }
}

impl Endpoints {
    /// Gathers from all slices. An endpoint that is in several (as while it moves from one to another) counts once: the
    /// entry that says that it is local wins, then the one that says that it is ready, serving, not terminating.
    pub(super) fn gather(entry: &Entry, node: &Node, family: Family, name: &str, protocol: Protocol) -> Endpoints {
        let mut candidates = Vec::new();
        let is_consistent = entry.service.as_ref().is_some_and(|service| service.consistent);
        for slice in entry.slices.iter().filter(|slice| !slice.ignored) {
            let ports = slice.ports.iter().filter(|port| *port.name == *name && port.protocol == protocol);
            for port in ports {
                let ours = slice.endpoints.iter().filter(|endpoint| Family::of(endpoint.address) == family);
                candidates.extend(ours.map(|stored| {
                    let candidate = Candidate::new(Endpoint { address: stored.address, port: port.port }, stored, node);
                    if is_consistent { candidate.with_taker(stored, node) } else { candidate }
                }));
            }
        }
        candidates.sort_by_key(|candidate| {
            let Conditions { ready, serving, terminating } = candidate.conditions;
            (candidate.endpoint, Reverse(candidate.local), Reverse(ready), Reverse(serving), terminating)
        });
        candidates.dedup_by_key(|candidate| candidate.endpoint);
        Endpoints { candidates }
    }

    /// For traffic that may go anywhere: the ready ones that are meant for this node or zone; all ready ones if the
    /// hints cannot be followed; those that are leaving if none is ready.
    pub(super) fn cluster(&self) -> Vec<Endpoint> {
        let mut ready: Vec<&Candidate> = self.candidates.iter().filter(|c| c.ready()).collect();
        if ready.is_empty() {
            return endpoints(self.candidates.iter().filter(|c| c.leaving()));
        }
        if can_follow(&ready, |c| c.for_node) {
            ready.retain(|c| c.for_node == Hint::Here);
        } else if can_follow(&ready, |c| c.for_zone) {
            ready.retain(|c| c.for_zone == Hint::Here);
        }
        endpoints(ready.into_iter())
    }

    /// As all nodes see them, whatever the hints for this one: the ready ones, or those that are leaving if none is.
    pub(super) fn everywhere(&self) -> Vec<Endpoint> {
        let ready = endpoints(self.candidates.iter().filter(|c| c.ready()));
        if ready.is_empty() { endpoints(self.candidates.iter().filter(|c| c.leaving())) } else { ready }
    }

    /// Those of other nodes that take what is passed on to them, with the address of the node.
    pub(super) fn elsewhere(&self) -> BTreeMap<Endpoint, IpAddr> {
        self.candidates.iter().filter_map(|c| Some((c.endpoint, c.taker?))).collect()
    }

    /// For traffic that must stay on this node: the ready ones; those that are leaving if none is ready here, whatever
    /// there is elsewhere.
    pub(super) fn local(&self) -> Vec<Endpoint> {
        let ready = endpoints(self.candidates.iter().filter(|c| c.local && c.ready()));
        if !ready.is_empty() {
            return ready;
        }
        endpoints(self.candidates.iter().filter(|c| c.local && c.leaving()))
    }

    /// Addresses of this node's ready ones.
    pub(super) fn local_ready(&self) -> impl Iterator<Item = IpAddr> {
        self.candidates.iter().filter(|c| c.local && c.ready()).map(|c| c.endpoint.address)
    }

    /// Those that still answer.
    pub(super) fn serving(&self) -> Vec<Endpoint> {
        endpoints(self.candidates.iter().filter(|c| c.conditions.serving || c.conditions.ready))
    }

    /// Addresses that may be Pods of this node.
    pub(super) fn perhaps_local(&self) -> impl Iterator<Item = IpAddr> {
        self.candidates.iter().filter(|c| c.perhaps_local && (c.ready() || c.leaving())).map(|c| c.endpoint.address)
    }
}

/// Hints are followed only if every ready endpoint has some and at least one is meant for here: while a controller has
/// hinted only a part, following them would overload it.
fn can_follow(ready: &[&Candidate], hint: impl Fn(&Candidate) -> Hint) -> bool {
    ready.iter().all(|c| hint(c) != Hint::None) && ready.iter().any(|c| hint(c) == Hint::Here)
}

fn endpoints<'a>(candidates: impl Iterator<Item = &'a Candidate>) -> Vec<Endpoint> {
    candidates.map(|candidate| candidate.endpoint).take(MOST_ENDPOINTS).collect()
}
