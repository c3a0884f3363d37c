//! What an update of a Service carries over, and what goes when its type changes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    is_external_name, is_externally_accessible, is_load_balancer, may_have_node_ports, needs_health_check,
    wants_node_ports,
};
use crate::document::{at, given, integer, list, list_mut, object_mut, remove, same_field, set, text};

/// Carries over what was given to the stored Service and the update does not name, so that the manifest that made a
/// Service can be sent again: addresses, node ports, the health check port.
pub fn keep_allocated(new: &mut Value, old: &Value) {
    let addresses = !is_external_name(old) && !is_external_name(new);
    let ports = wants_node_ports(old) && wants_node_ports(new);
    let health_check = needs_health_check(old) && needs_health_check(new);
    let Some(spec) = object_mut(new, "spec") else { return };
    let old_spec = at(old, "spec");
    if addresses {
        if text(spec, "clusterIP").is_empty() && !text(old_spec, "clusterIP").is_empty() {
            set(spec, "clusterIP", text(old_spec, "clusterIP"));
        }
        if list(spec, "clusterIPs").is_empty() && !list(old_spec, "clusterIPs").is_empty() {
            set(spec, "clusterIPs", list(old_spec, "clusterIPs"));
        }
    }
    if ports {
        keep_node_ports(spec, old_spec);
    }
    if health_check && integer(spec, "healthCheckNodePort") == 0 {
        set_port(spec, "healthCheckNodePort", integer(old_spec, "healthCheckNodePort"));
    }
}

/// A port that has the name of a stored one gets that one's node port, unless another port asks for it.
fn keep_node_ports(spec: &mut Value, old_spec: &Value) {
    let asked_for: BTreeSet<_> = node_ports(spec).intersection(&node_ports(old_spec)).copied().collect();
    let by_name: BTreeMap<_, _> =
        list(old_spec, "ports").iter().map(|port| (text(port, "name"), integer(port, "nodePort"))).collect();
    for port in list_mut(spec, "ports") {
        if integer(port, "nodePort") != 0 {
            continue;
        }
        let before = by_name.get(text(port, "name")).copied().unwrap_or(0);
        if !asked_for.contains(&before) {
            set_port(port, "nodePort", before);
        }
    }
}

fn set_port(object: &mut Value, field: &str, port: i64) {
    if port != 0 {
        set(object, field, port);
    }
}

fn node_ports(spec: &Value) -> BTreeSet<i64> {
    list(spec, "ports").iter().map(|port| integer(port, "nodePort")).filter(|port| *port != 0).collect()
}

/// When the type changes, what the new one cannot have goes, unless the user changed it too (then validation says so).
pub(super) fn drop_dependent_fields(new: &mut Value, old: &Value) {
    let to_external_name = !is_external_name(old) && is_external_name(new);
    let from_node_ports = may_have_node_ports(old) && !may_have_node_ports(new);
    let from_health_check = needs_health_check(old) && !needs_health_check(new);
    let from_load_balancer = is_load_balancer(old) && !is_load_balancer(new);
    let from_external = is_externally_accessible(old) && !is_externally_accessible(new);
    let load_balancer = is_load_balancer(new);
    let old_spec = at(old, "spec");
    if let Some(spec) = object_mut(new, "spec") {
        if to_external_name {
            drop_addresses(spec, old_spec);
        }
        if from_node_ports && node_ports(old_spec).is_superset(&node_ports(spec)) {
            list_mut(spec, "ports").iter_mut().for_each(|port| remove(port, "nodePort"));
        }
        if from_health_check && integer(spec, "healthCheckNodePort") == integer(old_spec, "healthCheckNodePort") {
            remove(spec, "healthCheckNodePort");
        }
        if from_load_balancer {
            drop_same(spec, old_spec, "allocateLoadBalancerNodePorts");
            drop_same(spec, old_spec, "loadBalancerClass");
        }
        if from_external && text(spec, "externalTrafficPolicy") == text(old_spec, "externalTrafficPolicy") {
            remove(spec, "externalTrafficPolicy");
        }
    }
    if !load_balancer && let Some(status) = object_mut(new, "status") {
        set(status, "loadBalancer", Value::Object(serde_json::Map::new()));
    }
}

fn drop_addresses(spec: &mut Value, old_spec: &Value) {
    if text(spec, "clusterIP") == text(old_spec, "clusterIP") && same_field(spec, old_spec, "clusterIPs") {
        remove(spec, "clusterIP");
        remove(spec, "clusterIPs");
    }
    if same_field(spec, old_spec, "ipFamilies") {
        remove(spec, "ipFamilies");
    }
    if text(spec, "ipFamilyPolicy") == text(old_spec, "ipFamilyPolicy") {
        remove(spec, "ipFamilyPolicy");
    }
}

fn drop_same(spec: &mut Value, old_spec: &Value, field: &str) {
    if given(spec, field).is_some() && given(spec, field) == given(old_spec, field) {
        remove(spec, field);
    }
}
