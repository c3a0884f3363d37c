//! What the Endpoints of a Service should be.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointPort, EndpointSubset, Endpoints, ObjectReference, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::subsets::{Packer, truncate};
use crate::change::{Change, ENDPOINTS};
use crate::objects::{Meta, Pod};
use crate::services::{Family, HEADLESS, families, hostname, is_headless, publishes_not_ready, target_port};
use crate::trigger_time::annotate;

/// The label that says whose work Endpoints are.
pub const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
/// Its value for those of this controller.
pub const CONTROLLER: &str = "endpoint-controller";
/// The annotation of Endpoints that do not have room for all.
pub const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

/// The change that makes the Endpoints of a Service what they should be. `pods` are those that it selects.
pub fn plan(
    service: &Service,
    pods: &[Arc<Pod>],
    existing: Option<&Endpoints>,
    trigger_time: Option<Timestamp>,
) -> Option<Change> {
    let mut wanted = subsets(service, pods);
    let truncated = truncate(&mut wanted);
    if truncated {
        // What is left of two subsets may be the same addresses.
        wanted = repacked(&wanted);
    }
    let labels = labels(service);
    let unchanged = |found: &Endpoints| {
        repacked(found.subsets.as_deref().unwrap_or_default()) == wanted
            && found.metadata.labels.as_ref() == Some(&labels)
            && found.annotation(OVER_CAPACITY) == truncated.then_some("truncated")
    };
    if existing.is_some_and(unchanged) {
        return None;
    }
    let mut endpoints = existing.cloned().unwrap_or_else(|| Endpoints {
        metadata: ObjectMeta {
            name: service.metadata.name.clone(),
            namespace: service.metadata.namespace.clone(),
            ..ObjectMeta::default()
        },
        subsets: None,
    });
    endpoints.metadata.labels = Some(labels);
    let annotations = endpoints.metadata.annotations.get_or_insert_default();
    if truncated {
        annotations.insert(OVER_CAPACITY.to_owned(), "truncated".to_owned());
    } else {
        annotations.remove(OVER_CAPACITY);
    }
    annotate(&mut endpoints.metadata, trigger_time);
    endpoints.subsets = (!wanted.is_empty()).then_some(wanted);
    Some(match existing {
        Some(_) => Change::replace(ENDPOINTS, &endpoints),
        None => Change::create(ENDPOINTS, &endpoints),
    })
}

fn repacked(subsets: &[EndpointSubset]) -> Vec<EndpointSubset> {
    let mut packer = Packer::default();
    packer.add_all(subsets);
    packer.pack()
}

fn labels(service: &Service) -> BTreeMap<String, String> {
    let mut labels = service.metadata.labels.clone().unwrap_or_default();
    labels.remove(HEADLESS);
    if is_headless(service) {
        labels.insert(HEADLESS.to_owned(), String::new());
    }
    labels.insert(MANAGED_BY.to_owned(), CONTROLLER.to_owned());
    labels
}

fn subsets(service: &Service, pods: &[Arc<Pod>]) -> Vec<EndpointSubset> {
    let mut packer = Packer::default();
    let published = publishes_not_ready(service);
    let ports = service.spec.as_ref().and_then(|spec| spec.ports.as_deref()).unwrap_or_default();
    // Endpoints have one family, the Service's first.
    let family = families(service).first().copied().unwrap_or(Family::V4);
    for pod in pods.iter().filter(|pod| !pod.terminal() && (published || !pod.deleting())) {
        let Some(ip) = pod.status.ips.iter().find(|ip| family.has(ip)) else { continue };
        let address = address(service, pod, ip.to_string());
        let ready = published || pod.ready();
        if ports.is_empty() && is_headless(service) {
            packer.add(&address, None, ready);
        }
        for port in ports {
            let Some(number) = target_port(port, pod) else { continue };
            let port = EndpointPort {
                name: port.name.clone().filter(|name| !name.is_empty()),
                port: number,
                protocol: port.protocol.clone().or_else(|| Some("TCP".to_owned())),
                app_protocol: port.app_protocol.clone(),
            };
            packer.add(&address, Some(&port), ready);
        }
    }
    packer.pack()
}

fn address(service: &Service, pod: &Pod, ip: String) -> EndpointAddress {
    EndpointAddress {
        ip,
        hostname: hostname(service, pod).map(str::to_owned),
        node_name: pod.node_name().map(str::to_owned),
        target_ref: Some(ObjectReference {
            kind: Some("Pod".to_owned()),
            namespace: pod.metadata.namespace.clone(),
            name: pod.metadata.name.clone(),
            uid: pod.metadata.uid.clone(),
            ..ObjectReference::default()
        }),
    }
}
