//! What a Service and its slices say that cannot be carried out, beyond what could not be read of them.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{Entry, Family, Fault, IpMode, Reason, Service, StoredEndpoint, StoredSlice};
use crate::route::MOST_ENDPOINTS;

/// All faults of a Service and its slices, in order; none if it is not ours to serve.
pub(crate) fn faults(entry: &Entry) -> Vec<Fault> {
    let Some(service) = entry.service.as_ref().filter(|service| service.is_proxied()) else { return Vec::new() };
    let slices = || entry.slices.iter().filter(|slice| !slice.ignored);
    let mut faults: Vec<Fault> = service.faults.clone();
    faults.extend(slices().flat_map(|slice| slice.faults.iter().cloned()));
    faults.extend(sources(service));
    faults.extend(contradictions(slices()));
    let most = service.ports.iter().map(|port| {
        let of_port = slices().filter(|slice| slice.ports.iter().any(|own| *own.name == *port.name));
        (of_port.map(|slice| slice.endpoints.len()).sum::<usize>(), &port.name)
    });
    if let Some((count, name)) = most.max().filter(|(count, _)| *count > MOST_ENDPOINTS) {
        let message = format!("port {name:?} has {count} endpoints: those beyond {MOST_ENDPOINTS} get no traffic");
        faults.push(Fault::new(Reason::TooManyEndpoints, message));
    }
    faults.sort();
    faults.dedup();
    faults
}

/// Load balancers' addresses that nobody guards, because no range is of their family.
fn sources(service: &Service) -> impl Iterator<Item = Fault> {
    let guarded = |address: &IpAddr| {
        let of_family = |net: &&IpNet| Family::of_net(net) == Family::of(*address);
        service.source_ranges.is_empty() || service.source_ranges.iter().any(|net| of_family(&net))
    };
    let vips = service.load_balancer.iter().filter(|ingress| ingress.mode == IpMode::Vip);
    let open = vips.map(|ingress| ingress.address).filter(move |address| !guarded(address));
    open.map(|address| {
        let family = Family::of(address);
        let message = format!("no source range is of {family}: everybody may use {address}");
        Fault::new(Reason::SourceRangeFamilyMismatch, message)
    })
}

/// Endpoints of which two slices, or one, say different things. Which of them counts: see `Endpoints::gather`.
fn contradictions<'a>(slices: impl Iterator<Item = &'a StoredSlice>) -> Vec<Fault> {
    let endpoints = slices.flat_map(|slice| slice.endpoints.iter().map(move |endpoint| (endpoint, slice)));
    let mut all: Vec<(&StoredEndpoint, &StoredSlice)> = endpoints.collect();
    all.sort_by_key(|(endpoint, _)| endpoint.address);
    let groups = all.chunk_by(|one, other| one.0.address == other.0.address).filter(|group| group.len() > 1);
    let contradictory = groups.filter_map(|group| {
        let (first, of) = group[0];
        let differs = |(other, slice): &&(&StoredEndpoint, &StoredSlice)| {
            (other.conditions != first.conditions || other.node != first.node) && of.shares_a_port(slice)
        };
        let (_, other) = group.iter().find(differs)?;
        let message =
            format!("{} is described differently by the slices {} and {}", first.address, of.name, other.name);
        Some(Fault::new(Reason::ContradictoryEndpoints, message))
    });
    contradictory.collect()
}

impl StoredSlice {
    fn shares_a_port(&self, other: &StoredSlice) -> bool {
        self.ports.iter().any(|port| other.ports.contains(port))
    }
}
