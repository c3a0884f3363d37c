//! Services and slices as the data plane is told of them. What cannot be read (an address that is none, a port out of
//! range) is left out; the API refuses such objects, and one that comes all the same must not stop the others.

use std::net::IpAddr;
use std::num::NonZeroU16;

use dataplane::model::{
    self, Conditions, IpMode, LABEL_HEADLESS, LABEL_PROXY_NAME, LoadBalancerAddress, NamespacedName, Protocol,
    SliceEndpoint, SlicePort, TrafficPolicy,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::views;

/// The affinity timeout where none is said, in seconds.
const AFFINITY_TIMEOUT: u32 = 10_800;

/// The label that names a slice's Service.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// A Service; `None` for an ExternalName, which has no traffic of its own.
pub(crate) fn service(service: &views::Service) -> Option<model::Service> {
    let spec = &service.spec;
    if spec.kind == "ExternalName" {
        return None;
    }
    let ingress = if spec.kind == "LoadBalancer" { service.status.load_balancer.ingress.as_slice() } else { &[] };
    let affinity = spec.session_affinity.as_deref() == Some("ClientIP");
    let timeout = spec.session_affinity_config.as_ref().and_then(|c| c.client_ip.as_ref()?.timeout_seconds);
    Some(model::Service {
        cluster_ips: addresses(&spec.cluster_ips),
        external_ips: addresses(&spec.external_ips),
        load_balancer: ingress.iter().filter_map(balanced).collect(),
        source_ranges: spec.load_balancer_source_ranges.iter().filter_map(|r| r.trim().parse().ok()).collect(),
        ports: spec.ports.iter().filter_map(port).collect(),
        internal_policy: TrafficPolicy::from_api(spec.internal_traffic_policy.as_deref()),
        external_policy: TrafficPolicy::from_api(spec.external_traffic_policy.as_deref()),
        affinity: affinity.then(|| timeout.and_then(|t| u32::try_from(t).ok()).unwrap_or(AFFINITY_TIMEOUT)),
        health_check_port: spec.health_check_node_port.and_then(number),
        other_proxy: has_label(&service.metadata, LABEL_PROXY_NAME),
        headless_label: has_label(&service.metadata, LABEL_HEADLESS),
    })
}

/// A slice; `None` where it belongs to no Service or holds names instead of addresses.
pub(crate) fn slice(slice: &views::EndpointSlice) -> Option<model::EndpointSlice> {
    let namespace = slice.metadata.namespace.as_deref()?;
    let service = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    if slice.address_type == "FQDN" {
        return None;
    }
    Some(model::EndpointSlice {
        service: NamespacedName::new(namespace, service),
        ports: slice.ports.iter().flatten().filter_map(slice_port).collect(),
        endpoints: slice.endpoints.iter().flatten().filter_map(endpoint).collect(),
        other_proxy: has_label(&slice.metadata, LABEL_PROXY_NAME),
        headless_label: has_label(&slice.metadata, LABEL_HEADLESS),
    })
}

fn has_label(metadata: &ObjectMeta, label: &str) -> bool {
    metadata.labels.as_ref().is_some_and(|l| l.contains_key(label))
}

/// Addresses among texts; `None`, the word of a headless Service, is none.
fn addresses(texts: &[String]) -> Vec<IpAddr> {
    texts.iter().filter_map(|t| t.parse().ok()).collect()
}

fn number(port: i32) -> Option<NonZeroU16> {
    u16::try_from(port).ok().and_then(NonZeroU16::new)
}

fn balanced(ingress: &views::Ingress) -> Option<LoadBalancerAddress> {
    let address = ingress.ip.as_ref()?.parse().ok()?;
    let mode = if ingress.ip_mode.as_deref() == Some("Proxy") { IpMode::Proxy } else { IpMode::Vip };
    Some(LoadBalancerAddress { address, mode })
}

fn port(port: &views::ServicePort) -> Option<model::ServicePort> {
    Some(model::ServicePort {
        name: port.name.as_deref().unwrap_or_default().into(),
        protocol: Protocol::from_api(port.protocol.as_deref().unwrap_or("TCP"))?,
        port: number(port.port)?,
        node_port: port.node_port.and_then(number),
    })
}

fn slice_port(port: &views::EndpointPort) -> Option<SlicePort> {
    Some(SlicePort {
        name: port.name.as_deref().unwrap_or_default().into(),
        protocol: Protocol::from_api(port.protocol.as_deref().unwrap_or("TCP"))?,
        port: number(port.port?)?,
    })
}

fn endpoint(endpoint: &views::Endpoint) -> Option<SliceEndpoint> {
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let names = |hints: &[views::Named]| hints.iter().map(|h| h.name.as_str().into()).collect();
    let hints = endpoint.hints.as_ref();
    Some(SliceEndpoint {
        address: endpoint.addresses.first()?.parse().ok()?,
        conditions: Conditions::from_api(conditions.ready, conditions.serving, conditions.terminating),
        node: endpoint.node_name.as_deref().map(Into::into),
        zone_hints: hints.map(|h| names(&h.for_zones)).unwrap_or_default(),
        node_hints: hints.map(|h| names(&h.for_nodes)).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
