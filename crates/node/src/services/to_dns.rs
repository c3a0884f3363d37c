//! Services and slices as DNS is told of them.

use dns::index::{EndpointRecord, PortRecord, Protocol, ServiceRecord, Shape, SliceRecord};

use super::to_dataplane::SERVICE_NAME;
use crate::views;

/// A Service.
pub(super) fn service(service: &views::Service) -> ServiceRecord {
    let spec = &service.spec;
    let shape = if spec.kind == "ExternalName" {
        Shape::ExternalName(spec.external_name.clone().unwrap_or_default())
    } else if spec.cluster_ips.first().is_some_and(|ip| ip == "None") {
        Shape::Headless
    } else {
        Shape::ClusterIp(spec.cluster_ips.iter().filter_map(|ip| ip.parse().ok()).collect())
    };
    let port = |port: &views::ServicePort| PortRecord {
        name: port.name.clone().unwrap_or_default(),
        protocol: protocol(port.protocol.as_deref()),
        number: u16::try_from(port.port).ok(),
    };
    ServiceRecord {
        namespace: service.metadata.namespace.clone().unwrap_or_default(),
        name: service.metadata.name.clone().unwrap_or_default(),
        shape,
        ports: spec.ports.iter().map(port).collect(),
    }
}

/// A slice; `None` where it belongs to no Service or holds names instead of addresses.
pub(super) fn slice(slice: &views::EndpointSlice) -> Option<SliceRecord> {
    if slice.address_type == "FQDN" {
        return None;
    }
    let port = |port: &views::EndpointPort| PortRecord {
        name: port.name.clone().unwrap_or_default(),
        protocol: protocol(port.protocol.as_deref()),
        number: port.port.and_then(|p| u16::try_from(p).ok()),
    };
    Some(SliceRecord {
        namespace: slice.metadata.namespace.clone()?,
        name: slice.metadata.name.clone()?,
        service: slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?.clone(),
        endpoints: slice.endpoints.iter().flatten().map(endpoint).collect(),
        ports: slice.ports.iter().flatten().map(port).collect(),
    })
}

fn endpoint(endpoint: &views::Endpoint) -> EndpointRecord {
    let pod = endpoint.target_ref.as_ref().filter(|r| r.kind.as_deref() == Some("Pod"));
    EndpointRecord {
        addresses: endpoint.addresses.iter().filter_map(|a| a.parse().ok()).collect(),
        hostname: endpoint.hostname.clone(),
        ready: endpoint.conditions.as_ref().and_then(|c| c.ready).unwrap_or(true),
        pod: pod.and_then(|r| r.name.clone()),
    }
}

fn protocol(word: Option<&str>) -> Protocol {
    match word {
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        _ => Protocol::Tcp,
    }
}
