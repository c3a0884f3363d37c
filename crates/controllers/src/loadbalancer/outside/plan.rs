//! What a provider is told of a Service, and what the Service shows then. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use ::loadbalancer::settings::Settings;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use serde_json::{Value, json};

use super::{Balancer, HealthCheck, Node, Port, ProviderError, Standing, State};
use crate::change::{Change, Note, Part, Reference, SERVICES, document};
use crate::loadbalancer::condition::{self, Said};
use crate::loadbalancer::plan::{FINALIZER, class, is_balanced};
use crate::objects::{self, Meta};

/// The annotation of a Service that a provider has been told of: the class.
pub const PROVIDER: &str = "portolan.dev/load-balancer-provider";
/// Whether a provider serves a Service, and if not, why and what helps.
pub const PROVIDED: &str = "portolan.dev/LoadBalancerProvided";
/// The label of nodes that load balancers leave out (KEP-1143).
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The taint of a node that is about to be deleted.
const TO_BE_DELETED: &str = "ToBeDeletedByClusterAutoscaler";

/// What a Service is to a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Nothing.
    None,
    /// It is to be taken over for a class.
    New(String),
    /// It is a class' own.
    Kept(String),
    /// It was a class' own, and is to be so no more.
    Leaving(String),
}

/// What a Service is to the providers that were chosen.
pub fn role(service: &Service, settings: Option<&Settings>) -> Role {
    let held = service.metadata.annotations.as_ref().and_then(|annotations| annotations.get(PROVIDER)).cloned();
    let wanted = class(service).filter(|_| is_balanced(service) && !service.deleting());
    // One that is not chosen any more keeps what it has made until it is wanted no more.
    let chosen = |class: &str| settings.is_some_and(|settings| settings.provider(class).is_some());
    match (held, wanted) {
        (Some(held), Some(wanted)) if held == wanted => Role::Kept(held),
        (Some(held), _) => Role::Leaving(held),
        (None, Some(wanted)) if chosen(wanted) => Role::New(wanted.to_owned()),
        (None, _) => Role::None,
    }
}

/// The nodes that can be led to: ready, and not left out.
pub fn usable(nodes: &[Arc<objects::Node>]) -> Vec<Node> {
    let leads = |node: &&Arc<objects::Node>| {
        node.ready().is_some_and(|condition| condition.status == "True")
            && !node.deleting()
            && node.label(EXCLUDED).is_none()
            && !node.taints().iter().any(|taint| taint.key == TO_BE_DELETED)
    };
    let mut usable: Vec<Node> = nodes
        .iter()
        .filter(leads)
        .map(|node| Node { name: node.name().to_owned(), addresses: node.status.internal_addresses.clone() })
        .filter(|node| !node.addresses.is_empty())
        .collect();
    usable.sort_by(|a, b| a.name.cmp(&b.name));
    usable
}

/// What a provider is told; the error is what the Service says instead.
pub fn balancer(service: &Service, nodes: Vec<Node>) -> Result<Balancer, String> {
    let spec = service.spec.as_ref().ok_or_else(|| "it has no spec".to_owned())?;
    let port = |port: &ServicePort| -> Option<Port> {
        Some(Port {
            name: port.name.clone().unwrap_or_default(),
            protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
            port: u16::try_from(port.port).ok()?,
            node_port: u16::try_from(port.node_port?).ok().filter(|port| *port > 0)?,
        })
    };
    let ports: Option<Vec<Port>> = spec.ports.iter().flatten().map(port).collect();
    let no_port = "a port has no node port (spec.allocateLoadBalancerNodePorts), by which the provider reaches nodes";
    let check = |port: i32| u16::try_from(port).ok().filter(|port| *port > 0);
    let health = spec.health_check_node_port.and_then(check);
    Ok(Balancer {
        id: service.uid().to_owned(),
        service: format!("{}/{}", service.namespace(), service.name()),
        ports: ports.ok_or_else(|| no_port.to_owned())?,
        nodes,
        source_ranges: spec.load_balancer_source_ranges.clone().unwrap_or_default(),
        client_affinity: spec.session_affinity.as_deref() == Some("ClientIP"),
        health_check: health.map(|port| HealthCheck { port, path: "/healthz".to_owned() }),
        address: spec.load_balancer_ip.clone().filter(|address| !address.is_empty()),
    })
}

/// Notes by whom a Service is served before that one is told of it, so that it is told when the Service goes.
pub fn take_over(service: &Service, class: &str) -> Change {
    let mut finalizers = service.metadata.finalizers.clone().unwrap_or_default();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
    }
    main(service, &finalizers, &json!(class))
}

/// The next write for a Service that its provider has forgotten: what it shows, then what keeps it. `None`: it is done.
pub fn let_go(service: &Service) -> Option<Change> {
    // An object that ends keeps its status to the end.
    let mut news = json!({});
    if !service.deleting() && is_balanced(service) && !ingress(service).is_empty() {
        news["loadBalancer"] = json!({"ingress": null});
    }
    if let Some(gone) = condition::gone(service, PROVIDED).filter(|_| !service.deleting()) {
        news["conditions"] = json!([gone]);
    }
    if news != json!({}) {
        return Some(status(service, &news));
    }
    let annotated = service.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(PROVIDER));
    if !annotated && !service.has_finalizer(FINALIZER) {
        return None;
    }
    let finalizers = service.metadata.finalizers.iter().flatten();
    let others: Vec<String> = finalizers.filter(|finalizer| *finalizer != FINALIZER).cloned().collect();
    Some(main(service, &others, &json!(null)))
}

/// What a Service says after its provider was asked: a write, and what is told.
pub fn answered(
    service: &Service,
    class: &str,
    answer: &Result<Standing, ProviderError>,
    now: Timestamp,
) -> (Option<Change>, Option<Note>) {
    let mut news = json!({});
    let said = |status, reason, message: String| Said { kind: PROVIDED, status, reason, message };
    let said = match answer {
        Ok(standing) => {
            // What clients were told holds while it is changed.
            let shown = wire(standing);
            if !shown.is_empty() && ingress(service) != shown {
                news["loadBalancer"] = json!({"ingress": shown});
            }
            let more = standing.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
            match standing.state {
                State::Ready => said("True", "Provided", format!("by {class}{more}")),
                State::Pending => said("False", "Pending", format!("{class} is at it{more}")),
            }
        }
        Err(ProviderError::Refused(why)) => {
            said("False", "Refused", format!("{class} refuses it: {why}: change the Service, or who serves it"))
        }
        Err(ProviderError::Unavailable { what, .. }) => {
            said("False", "Unavailable", format!("{class} cannot be asked: {what}: it is tried again"))
        }
    };
    let condition = said.news(service, now);
    let about = || Reference::to(SERVICES, service);
    let note = condition.is_some().then(|| match said.reason {
        "Provided" => Note::normal(about(), "EnsuredLoadBalancer", "Ensured load balancer"),
        "Pending" => Note::normal(about(), "EnsuringLoadBalancer", "Ensuring load balancer"),
        _ => Note::warning(about(), "SyncLoadBalancerFailed", said.message.clone()),
    });
    if let Some(condition) = condition {
        news["conditions"] = json!([condition]);
    }
    ((news != json!({})).then(|| status(service, &news)), note)
}

/// What a status shows of a standing.
fn wire(standing: &Standing) -> Vec<Value> {
    let one = |ingress: &super::Ingress| {
        let mut shown = BTreeMap::new();
        if let Some(ip) = &ingress.ip {
            // Packets reach nodes with the provider's own addresses: nodes must not take them for the address' own.
            shown.insert("ip", json!(ip));
            shown.insert("ipMode", json!("Proxy"));
        }
        if let Some(hostname) = &ingress.hostname {
            shown.insert("hostname", json!(hostname));
        }
        json!(shown)
    };
    standing.ingress.iter().map(one).collect()
}

fn ingress(service: &Service) -> Vec<Value> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    status.and_then(|status| status.ingress.as_ref()).into_iter().flatten().map(document).collect()
}

fn status(service: &Service, status: &Value) -> Change {
    let patch = json!({"metadata": {"uid": service.uid()}, "status": status});
    Change::strategic(SERVICES, service, Part::Status, patch)
}

fn main(service: &Service, finalizers: &[String], class: &Value) -> Change {
    // The list is replaced as a whole, so it must still be the one that was read.
    let finalizers = if finalizers.is_empty() { json!(null) } else { json!(finalizers) };
    let version = service.resource_version();
    let metadata = json!({"resourceVersion": version, "finalizers": finalizers, "annotations": {PROVIDER: class}});
    Change::merge(SERVICES, service, Part::Main, json!({"metadata": metadata}))
}

#[cfg(test)]
mod tests;
