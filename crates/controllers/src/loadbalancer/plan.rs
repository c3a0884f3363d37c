//! Which addresses of the pool a Service of type LoadBalancer shows in its status.

use std::net::IpAddr;

use ::loadbalancer::pool::{AllocationError, Allocator};
use k8s_openapi::api::core::v1::Service;
use serde_json::json;

use crate::cache::Key;
use crate::change::{Change, Note, Part, Reference, SERVICES};
use crate::objects::Meta;
use crate::services::{Family, families};

/// Keeps a Service from going until its addresses are taken back.
pub const FINALIZER: &str = "service.kubernetes.io/load-balancer-cleanup";

/// What is to be done.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// What to say before anything is done.
    pub before: Option<Note>,
    /// The writes, one after the other.
    pub changes: Vec<Change>,
    /// What to say when they are done.
    pub after: Option<Note>,
    /// Then the addresses that the Service keeps; all others are free again. `None`: nothing changes.
    pub keep: Option<Vec<IpAddr>>,
    /// Whether the Service waits for an address to become free.
    pub waits: bool,
}

/// Whether a Service is this controller's business.
pub fn wants_address(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.is_some_and(|spec| spec.type_.as_deref() == Some("LoadBalancer") && spec.load_balancer_class.is_none())
}

/// The addresses that a Service shows.
pub fn shown(service: &Service) -> Vec<IpAddr> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = status.and_then(|status| status.ingress.as_deref()).unwrap_or_default();
    ingress.iter().filter_map(|ingress| ingress.ip.as_deref()?.parse().ok()).collect()
}

/// Makes the plan. Addresses that it gives to the Service are the Service's in the allocator from then on; those that it
/// takes away are free only when [`Plan::keep`] is carried out, after the writes.
pub fn plan(service: &Service, allocator: Option<&mut Allocator<Key>>) -> Plan {
    if service.spec.as_ref().is_some_and(|spec| spec.load_balancer_class.is_some()) {
        return Plan::default();
    }
    if !wants_address(service) || service.deleting() {
        return clean_up(service, allocator.as_deref());
    }
    let about = || Reference::to(SERVICES, service);
    let failed = |why: String| {
        Note::warning(
            about(),
            "SyncLoadBalancerFailed",
            format!("Error syncing load balancer: failed to ensure load balancer: {why}"),
        )
    };
    let Some(allocator) = allocator else {
        // Perhaps somebody else gives the addresses here.
        let why = "the cluster has no addresses for load balancers: start it with --load-balancer-pool".to_owned();
        return Plan { after: shown(service).is_empty().then(|| failed(why)), ..Plan::default() };
    };
    match addresses(service, allocator) {
        Ok(addresses) => ensure(service, &addresses),
        Err(error) => Plan {
            before: Some(Note::normal(about(), "EnsuringLoadBalancer", "Ensuring load balancer")),
            after: Some(failed(advice(&error))),
            waits: true,
            ..Plan::default()
        },
    }
}

/// An address of each family that the Service has, of the second one only if there is any: the one that was asked for,
/// else the one that it has, else a free one.
fn addresses(service: &Service, allocator: &mut Allocator<Key>) -> Result<Vec<IpAddr>, AllocationError<Key>> {
    let owner = Key::of(service);
    let asked = service.spec.as_ref().and_then(|spec| spec.load_balancer_ip.as_deref()?.parse::<IpAddr>().ok());
    let mut addresses = Vec::new();
    for (i, family) in families(service).into_iter().enumerate() {
        let of_family = |address: &IpAddr| address.is_ipv6() == (family == Family::V6);
        let address = match asked.filter(of_family) {
            Some(asked) => allocator.claim(asked, &owner).map(|()| asked),
            None => {
                let has = shown(service).into_iter().chain(allocator.addresses(&owner));
                let kept = has.filter(of_family).find(|address| allocator.claim(*address, &owner).is_ok());
                kept.map_or_else(|| allocator.allocate(family == Family::V6, &owner), Ok)
            }
        };
        match address {
            Ok(address) => addresses.push(address),
            Err(_) if i > 0 => {}
            Err(error) => return Err(error),
        }
    }
    Ok(addresses)
}

/// Why there is no address, and what helps.
fn advice(error: &AllocationError<Key>) -> String {
    let cure = match error {
        AllocationError::Exhausted { .. } => {
            "delete a Service of type LoadBalancer, or start the cluster with a larger --load-balancer-pool"
        }
        AllocationError::NoFamily { .. } => "add some to --load-balancer-pool, or choose another of spec.ipFamilies",
        AllocationError::OutOfPool { .. } => "choose an address of the pool, or leave spec.loadBalancerIP empty",
        AllocationError::Taken { .. } => "choose another address, or leave spec.loadBalancerIP empty",
    };
    format!("{error}: {cure}")
}

fn ensure(service: &Service, addresses: &[IpAddr]) -> Plan {
    let mut changes = Vec::new();
    if !service.has_finalizer(FINALIZER) {
        let mut finalizers = service.metadata.finalizers.clone().unwrap_or_default();
        finalizers.push(FINALIZER.to_owned());
        changes.push(set_finalizers(service, &finalizers));
    }
    let wanted: Vec<_> = addresses.iter().map(|address| json!({"ip": address.to_string(), "ipMode": "VIP"})).collect();
    let found = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let found = found.and_then(|status| status.ingress.as_ref()).map(crate::change::document);
    if found != Some(json!(wanted)) {
        let patch = json!({"metadata": {"uid": service.uid()}, "status": {"loadBalancer": {"ingress": wanted}}});
        changes.push(Change::merge(SERVICES, service, Part::Status, patch));
    }
    let note = |reason, message: &str| Note::normal(Reference::to(SERVICES, service), reason, message);
    let news = !changes.is_empty();
    Plan {
        before: news.then(|| note("EnsuringLoadBalancer", "Ensuring load balancer")),
        changes,
        after: news.then(|| note("EnsuredLoadBalancer", "Ensured load balancer")),
        keep: Some(addresses.to_vec()),
        waits: false,
    }
}

/// Takes back what a Service has that no longer wants it.
fn clean_up(service: &Service, allocator: Option<&Allocator<Key>>) -> Plan {
    let owns = allocator.is_some_and(|allocator| !allocator.addresses(&Key::of(service)).is_empty());
    let mut changes = Vec::new();
    if service.has_finalizer(FINALIZER) {
        let finalizers = service.metadata.finalizers.iter().flatten();
        let others: Vec<String> = finalizers.filter(|f| *f != FINALIZER).cloned().collect();
        changes.push(set_finalizers(service, &others));
    }
    // The server clears the status itself when the type changes; an object that ends keeps it to the end.
    if !service.deleting() && (owns || !changes.is_empty()) && !shown(service).is_empty() {
        let patch = json!({"metadata": {"uid": service.uid()}, "status": {"loadBalancer": {"ingress": null}}});
        changes.push(Change::merge(SERVICES, service, Part::Status, patch));
    }
    let note = |reason, message: &str| Note::normal(Reference::to(SERVICES, service), reason, message);
    let news = !changes.is_empty();
    Plan {
        before: news.then(|| note("DeletingLoadBalancer", "Deleting load balancer")),
        changes,
        after: news.then(|| note("DeletedLoadBalancer", "Deleted load balancer")),
        keep: owns.then(Vec::new),
        waits: false,
    }
}

fn set_finalizers(service: &Service, finalizers: &[String]) -> Change {
    // The list is replaced as a whole, so it must still be the one that was read.
    let finalizers = if finalizers.is_empty() { json!(null) } else { json!(finalizers) };
    let patch = json!({"metadata": {"resourceVersion": service.resource_version(), "finalizers": finalizers}});
    Change::merge(SERVICES, service, Part::Main, patch)
}
