//! What a Service's author is warned of.

use serde_json::Value;

use super::{is_external_name, type_of};
use crate::addresses;
use crate::document::{at, list, text, text_at, texts};
use crate::field::Path;

/// The warnings of a Service that is created or changed, in Kubernetes' order.
pub(super) fn of_spec(service: &Value) -> Vec<String> {
    let spec = at(service, "spec");
    let path = Path::new("spec");
    let mut warnings = Vec::new();
    let hints = "service.kubernetes.io/topology-aware-hints";
    if text_at(at(service, "metadata"), "annotations", hints).is_some() {
        warnings
            .push(format!("annotation {hints} is deprecated, please use service.kubernetes.io/topology-mode instead"));
    }
    let cluster_ip = text(spec, "clusterIP");
    if !cluster_ip.is_empty() && cluster_ip != "None" {
        for (i, address) in texts(spec, "clusterIPs").into_iter().enumerate() {
            warnings.extend(addresses::warnings(&path.child("clusterIPs").index(i), address));
        }
    }
    let headless = type_of(service) == "ClusterIP" && cluster_ip == "None";
    let external_ips = texts(spec, "externalIPs");
    if headless {
        warnings.extend(of_headless(spec));
    }
    for (i, address) in external_ips.iter().enumerate() {
        warnings.extend(addresses::warnings(&path.child("externalIPs").index(i), address));
    }
    if !external_ips.is_empty() && !headless && !is_external_name(service) {
        warnings.push("spec.externalIPs is deprecated and may no longer be implemented in some clusters".to_owned());
    }
    let load_balancer_ip = text(spec, "loadBalancerIP");
    if !load_balancer_ip.is_empty() {
        warnings.extend(addresses::warnings(&path.child("loadBalancerIP"), load_balancer_ip));
    }
    for (i, range) in texts(spec, "loadBalancerSourceRanges").into_iter().enumerate() {
        warnings.extend(addresses::range_warnings(&path.child("loadBalancerSourceRanges").index(i), range));
    }
    if is_external_name(service) && !external_ips.is_empty() {
        warnings.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if !is_external_name(service) && !text(spec, "externalName").is_empty() {
        warnings.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    if text(spec, "trafficDistribution") == "PreferClose" {
        warnings.push("spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned());
    }
    warnings
}

fn of_headless(spec: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    if !text(spec, "loadBalancerIP").is_empty() {
        warnings.push("spec.loadBalancerIP is ignored for headless services".to_owned());
    }
    if !list(spec, "externalIPs").is_empty() {
        warnings.push("spec.externalIPs is ignored for headless services".to_owned());
    }
    if text(spec, "sessionAffinity") != "None" {
        warnings.push("spec.SessionAffinity is ignored for headless services".to_owned());
    }
    warnings
}

/// The warnings of a status that is changed.
pub(super) fn of_status(service: &Value) -> Vec<String> {
    let path = Path::new("status").child("loadBalancer").child("ingress");
    let ingress = list(at(at(service, "status"), "loadBalancer"), "ingress");
    let warned =
        ingress.iter().enumerate().filter_map(|(i, point)| addresses::warnings(&path.index(i), text(point, "ip")));
    warned.collect()
}
