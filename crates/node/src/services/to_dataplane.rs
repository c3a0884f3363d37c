//! Services and slices as the data plane is told of them. What cannot be read (an address that is none, a port out of
//! range) is left out, and said to be; the API refuses such objects, and one that comes all the same must not stop the
//! others.

use std::net::IpAddr;
use std::num::NonZeroU16;

use dataplane::model::{
    self, ANNOTATION_CONSISTENT, ANNOTATION_RESET_DEPARTED, Conditions, Family, Fault, IpMode, LABEL_HEADLESS,
    LABEL_PROXY_NAME, LoadBalancerAddress, NamespacedName, Protocol, Reason, SliceEndpoint, SlicePort, TrafficPolicy,
};
use ipnet::IpNet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::views;

/// The affinity timeout where none is said, in seconds.
const AFFINITY_TIMEOUT: u32 = 10_800;

/// The label that names a slice's Service.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The most faults that are told of one object; they are of one sort most often.
const MOST_FAULTS: usize = 16;

/// A Service; `None` for an ExternalName, which has no traffic of its own.
pub(crate) fn service(service: &views::Service) -> Option<model::Service> {
    let spec = &service.spec;
    if spec.kind == "ExternalName" {
        return None;
    }
    let mut faults = Faults::default();
    let ingress = if spec.kind == "LoadBalancer" { service.status.load_balancer.ingress.as_slice() } else { &[] };
    let affinity = spec.session_affinity.as_deref() == Some("ClientIP");
    let timeout = spec.session_affinity_config.as_ref().and_then(|c| c.client_ip.as_ref()?.timeout_seconds);
    Some(model::Service {
        cluster_ips: addresses(&spec.cluster_ips, "clusterIPs", &mut faults),
        external_ips: addresses(&spec.external_ips, "externalIPs", &mut faults),
        load_balancer: ingress.iter().filter_map(|ingress| balanced(ingress, &mut faults)).collect(),
        source_ranges: source_ranges(&spec.load_balancer_source_ranges, &mut faults),
        ports: spec.ports.iter().filter_map(|one| port(one, &mut faults)).collect(),
        internal_policy: TrafficPolicy::from_api(spec.internal_traffic_policy.as_deref()),
        external_policy: TrafficPolicy::from_api(spec.external_traffic_policy.as_deref()),
        affinity: affinity.then(|| timeout.and_then(|t| u32::try_from(t).ok()).unwrap_or(AFFINITY_TIMEOUT)),
        health_check_port: given(spec.health_check_node_port, "healthCheckNodePort", &mut faults),
        consistent: annotation(&service.metadata, ANNOTATION_CONSISTENT.0) == Some(ANNOTATION_CONSISTENT.1),
        keep_departed: annotation(&service.metadata, ANNOTATION_RESET_DEPARTED) == Some("false"),
        other_proxy: has_label(&service.metadata, LABEL_PROXY_NAME),
        headless_label: has_label(&service.metadata, LABEL_HEADLESS),
        faults: faults.0,
    })
}

/// A slice; `None` where it belongs to no Service or holds names instead of addresses.
pub(crate) fn slice(slice: &views::EndpointSlice) -> Option<model::EndpointSlice> {
    let namespace = slice.metadata.namespace.as_deref()?;
    let service = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
    if slice.address_type == "FQDN" {
        return None;
    }
    let own = slice.metadata.name.as_deref().unwrap_or_default();
    let mut faults = Faults::default();
    let family = match slice.address_type.as_str() {
        "IPv4" => Some(Family::V4),
        "IPv6" => Some(Family::V6),
        _ => None,
    };
    let ports = slice.ports.iter().flatten().filter_map(|port| slice_port(port, own, &mut faults)).collect();
    let all = slice.endpoints.iter().flatten();
    Some(model::EndpointSlice {
        service: NamespacedName::new(namespace, service),
        ports,
        endpoints: all.filter_map(|one| endpoint(one, family, own, &mut faults)).collect(),
        other_proxy: has_label(&slice.metadata, LABEL_PROXY_NAME),
        headless_label: has_label(&slice.metadata, LABEL_HEADLESS),
        faults: faults.0,
    })
}

/// What was left out of an object.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, reason: Reason, message: String) {
        if self.0.len() < MOST_FAULTS {
            self.0.push(Fault::new(reason, message));
        }
    }

    /// What could be read; what could not is left out, and that is said.
    fn read<T>(&mut self, read: Option<T>, reason: Reason, message: impl FnOnce() -> String) -> Option<T> {
        if read.is_none() {
            self.add(reason, message());
        }
        read
    }
}

fn annotation<'a>(metadata: &'a ObjectMeta, key: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

fn has_label(metadata: &ObjectMeta, label: &str) -> bool {
    metadata.labels.as_ref().is_some_and(|l| l.contains_key(label))
}

/// Addresses among texts; `None`, the word of a headless Service, is none, and so is nothing.
fn addresses(texts: &[String], field: &str, faults: &mut Faults) -> Vec<IpAddr> {
    let said = texts.iter().filter(|text| !text.is_empty() && *text != "None");
    let address = |text: &String| {
        faults.read(text.parse().ok(), Reason::InvalidAddress, || format!("{field}: {text:?} is no address"))
    };
    said.filter_map(address).collect()
}

fn source_ranges(texts: &[String], faults: &mut Faults) -> Vec<IpNet> {
    let range = |text: &String| {
        let message = || format!("loadBalancerSourceRanges: {text:?} is no range");
        faults.read(text.trim().parse().ok(), Reason::InvalidSourceRange, message)
    };
    texts.iter().filter_map(range).collect()
}

/// A port that must be there.
fn number(port: i32, field: &str, faults: &mut Faults) -> Option<NonZeroU16> {
    let read = u16::try_from(port).ok().and_then(NonZeroU16::new);
    faults.read(read, Reason::InvalidPort, || format!("{field}: {port} is no port"))
}

/// A port that may be there; zero is the same as nothing.
fn given(port: Option<i32>, field: &str, faults: &mut Faults) -> Option<NonZeroU16> {
    number(port.filter(|port| *port != 0)?, field, faults)
}

fn protocol(word: Option<&str>, field: &str, faults: &mut Faults) -> Option<Protocol> {
    let word = word.unwrap_or("TCP");
    let message = || format!("{field}: {word:?} is no protocol of Services");
    faults.read(Protocol::from_api(word), Reason::InvalidProtocol, message)
}

fn balanced(ingress: &views::Ingress, faults: &mut Faults) -> Option<LoadBalancerAddress> {
    // An empty text is as good as none: the other way to name a balancer is by host name.
    let text = ingress.ip.as_ref().filter(|text| !text.is_empty())?;
    let message = || format!("status.loadBalancer.ingress: {text:?} is no address");
    let address = faults.read(text.parse().ok(), Reason::InvalidAddress, message)?;
    let mode = if ingress.ip_mode.as_deref() == Some("Proxy") { IpMode::Proxy } else { IpMode::Vip };
    Some(LoadBalancerAddress { address, mode })
}

fn port(port: &views::ServicePort, faults: &mut Faults) -> Option<model::ServicePort> {
    Some(model::ServicePort {
        name: port.name.as_deref().unwrap_or_default().into(),
        protocol: protocol(port.protocol.as_deref(), "ports", faults)?,
        port: number(port.port, "ports", faults)?,
        node_port: given(port.node_port, "ports.nodePort", faults),
    })
}

fn slice_port(port: &views::EndpointPort, slice: &str, faults: &mut Faults) -> Option<SlicePort> {
    let field = format!("ports of the slice {slice}");
    Some(SlicePort {
        name: port.name.as_deref().unwrap_or_default().into(),
        protocol: protocol(port.protocol.as_deref(), &field, faults)?,
        // Without a number it means all ports, which a Service's port cannot use.
        port: number(port.port?, &field, faults)?,
    })
}

fn endpoint(
    endpoint: &views::Endpoint,
    family: Option<Family>,
    slice: &str,
    faults: &mut Faults,
) -> Option<SliceEndpoint> {
    let text = endpoint.addresses.first();
    let address = text.and_then(|text| text.parse::<IpAddr>().ok());
    let message = || format!("the slice {slice}: {:?} is no address", text.map_or("", String::as_str));
    let address = faults.read(address, Reason::InvalidAddress, message)?;
    if let Some(family) = family.filter(|family| *family != Family::of(address)) {
        faults.add(Reason::AddressFamilyMismatch, format!("the slice {slice} is of {family}, and {address} is not"));
        return None;
    }
    let conditions = endpoint.conditions.clone().unwrap_or_default();
    let names = |hints: &[views::Named]| hints.iter().map(|h| h.name.as_str().into()).collect();
    let hints = endpoint.hints.as_ref();
    Some(SliceEndpoint {
        address,
        conditions: Conditions::from_api(conditions.ready, conditions.serving, conditions.terminating),
        node: endpoint.node_name.as_deref().map(Into::into),
        zone_hints: hints.map(|h| names(&h.for_zones)).unwrap_or_default(),
        node_hints: hints.map(|h| names(&h.for_nodes)).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
