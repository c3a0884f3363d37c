//! Health checks of load balancers: how many endpoints a node has for a Service whose traffic must stay on the node.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU16;

use crate::model::{Entry, Family, Model, NamespacedName, Node, Service, TrafficPolicy};
use crate::route::endpoints::Endpoints;

/// What is to be answered on a `healthCheckNodePort`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The port of the node's addresses.
    pub port: NonZeroU16,
    /// Whose.
    pub service: NamespacedName,
    /// How many ready endpoints this node has, of all ports and families, each address once. Those that are leaving
    /// do not count: the balancer is to send its traffic elsewhere.
    pub local_endpoints: usize,
}

/// All health checks, sorted by port. Looks only at Services that have one.
pub fn health_checks(model: &Model) -> Vec<HealthCheck> {
    let mut checks = Vec::new();
    for entry in model.all().into_iter().filter_map(|id| model.entry(id)) {
        let Some(service) = entry.service.as_ref().filter(|service| service.is_proxied()) else { continue };
        let Some(port) = service.health_check_port.filter(|_| service.external_policy == TrafficPolicy::Local) else {
            continue;
        };
        let local_endpoints = local_ready(entry, service, model.node());
        checks.push(HealthCheck { port, service: entry.name.clone(), local_endpoints });
    }
    checks.sort_by_key(|check| check.port);
    checks
}

/// How many ready endpoints this node has for a Service, counted as [`HealthCheck::local_endpoints`]. `None`: there is
/// no such Service, or it is not ours to serve. Looks at nothing but this Service.
pub fn local_endpoints(model: &Model, name: &NamespacedName) -> Option<usize> {
    let entry = model.entry(model.find(name)?)?;
    let service = entry.service.as_ref().filter(|service| service.is_proxied())?;
    Some(local_ready(entry, service, model.node()))
}

fn local_ready(entry: &Entry, service: &Service, node: &Node) -> usize {
    let mut ready: BTreeSet<IpAddr> = BTreeSet::new();
    for family in [Family::V4, Family::V6] {
        for port in &service.ports {
            let endpoints = Endpoints::gather(entry, node, family, &port.name, port.protocol);
            ready.extend(endpoints.local_ready());
        }
    }
    ready.len()
}

/// The families in which a Service has a port with endpoints, but none of them on this node: what its Local policies
/// forbid to serve is not served here.
pub fn families_without_local_endpoints(model: &Model, name: &NamespacedName) -> Vec<Family> {
    let entry = model.find(name).and_then(|id| model.entry(id));
    let Some((entry, service)) = entry.and_then(|entry| Some((entry, entry.service.as_ref()?))) else {
        return Vec::new();
    };
    let lacks = |family: &Family| {
        service.ports.iter().any(|port| {
            let endpoints = Endpoints::gather(entry, model.node(), *family, &port.name, port.protocol);
            endpoints.local().is_empty() && !endpoints.cluster().is_empty()
        })
    };
    [Family::V4, Family::V6].into_iter().filter(lacks).collect()
}
