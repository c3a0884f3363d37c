//! What a Service is when nothing else is said.

use serde_json::{Value, json};

use super::{is_externally_accessible, is_load_balancer, type_of};
use crate::document::{
    at, given, given_mut, integer, list_mut, object_mut, remove, set, set_default, set_zero_default, text,
};

/// How long a client stays with its endpoint, in seconds.
const AFFINITY_TIMEOUT: i64 = 10_800;

/// Fills in the defaults of `v1`.
pub(super) fn apply(service: &mut Value) {
    let Some(spec) = object_mut(service, "spec") else { return };
    session_affinity(spec);
    set_zero_default(spec, "type", "ClusterIP");
    for port in list_mut(spec, "ports") {
        default_port(port);
    }
    traffic_policies(service);
    if is_load_balancer(service) {
        load_balancer(service);
    }
}

fn session_affinity(spec: &mut Value) {
    set_zero_default(spec, "sessionAffinity", "None");
    match text(spec, "sessionAffinity") {
        "None" => remove(spec, "sessionAffinityConfig"),
        "ClientIP" => {
            let timeout = at(at(spec, "sessionAffinityConfig"), "clientIP");
            if given(timeout, "timeoutSeconds").is_none() {
                set(spec, "sessionAffinityConfig", json!({"clientIP": {"timeoutSeconds": AFFINITY_TIMEOUT}}));
            }
        }
        _ => {}
    }
}

fn default_port(port: &mut Value) {
    set_zero_default(port, "protocol", "TCP");
    let number = integer(port, "port");
    set_zero_default(port, "targetPort", number);
}

fn traffic_policies(service: &mut Value) {
    let externally_accessible = is_externally_accessible(service);
    let internal = matches!(type_of(service), "ClusterIP" | "NodePort" | "LoadBalancer");
    let Some(spec) = given_mut(service, "spec") else { return };
    if externally_accessible {
        set_zero_default(spec, "externalTrafficPolicy", "Cluster");
    }
    if internal {
        set_default(spec, "internalTrafficPolicy", "Cluster");
    }
}

fn load_balancer(service: &mut Value) {
    if let Some(spec) = given_mut(service, "spec") {
        set_default(spec, "allocateLoadBalancerNodePorts", true);
    }
    let Some(status) = given_mut(service, "status").and_then(|status| given_mut(status, "loadBalancer")) else {
        return;
    };
    for ingress in list_mut(status, "ingress") {
        if !text(ingress, "ip").is_empty() {
            set_default(ingress, "ipMode", "VIP");
        }
    }
}
