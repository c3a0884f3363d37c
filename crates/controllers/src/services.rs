//! What a Service says of its endpoints, for slices and Endpoints alike: which Pods, which families, which ports.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::cache::{Delta, Index, Key};
use crate::caches::{Caches, selector_pair};
use crate::objects::pod::Protocol;
use crate::objects::{Meta, Pod};
use crate::selector;

/// The label of the slices of Services without an address.
pub const HEADLESS: &str = "service.kubernetes.io/headless";

/// The Services whose endpoints a change of a Pod may change.
pub fn concerned(caches: &Caches, delta: &Delta<'_, Pod>) -> BTreeSet<Key> {
    if let (Some(old), Some(new)) = (delta.old, delta.new)
        && !endpoint_changed(old, new)
    {
        return BTreeSet::new();
    }
    delta.both().flat_map(|pod| selecting(caches, pod)).collect()
}

/// Whether a change of a Pod can be seen in endpoints.
fn endpoint_changed(old: &Pod, new: &Pod) -> bool {
    let seen = |pod: &Pod| (pod.ready(), pod.deleting(), pod.terminal());
    seen(old) != seen(new)
        || old.status.ips != new.status.ips
        || old.metadata.labels != new.metadata.labels
        || old.spec.node_name != new.spec.node_name
        || old.spec.hostname != new.spec.hostname
        || old.spec.subdomain != new.spec.subdomain
}

/// The Services that select a Pod.
pub fn selecting(caches: &Caches, pod: &Pod) -> BTreeSet<Key> {
    let labels = pod.metadata.labels.as_ref();
    let pairs = labels.into_iter().flatten().map(|(key, value)| selector_pair(pod.namespace(), key, value));
    let services = pairs.flat_map(|pair| caches.services.by(Index::Selector, &pair));
    services.filter(|service| selects(service, pod)).map(|service| Key::of(&*service)).collect()
}

/// Whether a Service selects a Pod.
pub fn selects(service: &Service, pod: &Pod) -> bool {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| selector::has_all(selector, pod.metadata.labels.as_ref()))
}

/// Whether a Service has its endpoints from its selector.
pub fn has_selector(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| {
        spec.type_.as_deref() != Some("ExternalName") && spec.selector.as_ref().is_some_and(|s| !s.is_empty())
    })
}

/// A family of addresses that a Service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `IPv4`
    V4,
    /// `IPv6`
    V6,
}

impl Family {
    /// The `addressType` of its slices.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Whether an address is of this family.
    pub fn has(self, address: &IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }
}

/// The families of a Service. Every Service has `ipFamilies`; one that came from an older server may not: then the
/// cluster IP tells, and a headless one has both.
pub fn families(service: &Service) -> Vec<Family> {
    let Some(spec) = &service.spec else { return vec![Family::V4] };
    let said = spec.ip_families.iter().flatten();
    let families: Vec<Family> = said
        .filter_map(|name| match name.as_str() {
            "IPv4" => Some(Family::V4),
            "IPv6" => Some(Family::V6),
            _ => None,
        })
        .collect();
    if !families.is_empty() {
        return families;
    }
    match spec.cluster_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()) {
        Some(IpAddr::V6(_)) => vec![Family::V6],
        Some(IpAddr::V4(_)) => vec![Family::V4],
        None => vec![Family::V4, Family::V6],
    }
}

/// Whether a Service has no cluster IP.
pub fn is_headless(service: &Service) -> bool {
    let cluster_ip = service.spec.as_ref().and_then(|spec| spec.cluster_ip.as_deref());
    matches!(cluster_ip, None | Some("" | "None"))
}

/// Whether a Service shows its Pods before they are ready, and while they end.
pub fn publishes_not_ready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.publish_not_ready_addresses).unwrap_or(false)
}

/// The number of a Service's port in a Pod.
pub fn target_port(port: &ServicePort, pod: &Pod) -> Option<i32> {
    match &port.target_port {
        None => Some(port.port),
        Some(IntOrString::Int(0)) => Some(port.port),
        Some(IntOrString::Int(number)) => Some(*number),
        Some(IntOrString::String(name)) => {
            let protocol = Protocol::of(port.protocol.as_deref());
            pod.spec.ports.iter().find(|p| *p.name == **name && p.protocol == protocol).map(|p| p.number)
        }
    }
}

/// The name that a Pod has below its Service's: its own, if it says that this Service governs it.
pub fn hostname<'a>(service: &Service, pod: &'a Pod) -> Option<&'a str> {
    let governed = pod.spec.subdomain.as_deref() == Some(service.name()) && pod.namespace() == service.namespace();
    pod.spec.hostname.as_deref().filter(|_| governed)
}
