//! The faults of a Service, in the order in which Kubernetes reports them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    cluster_ips, is_external_name, is_externally_accessible, is_headless, is_load_balancer, needs_health_check, type_of,
};
use crate::document::{at, given, integer, list, text, text_at, texts};
use crate::field::{Error, Path};
use crate::{addresses, labels, names};

const AFFINITIES: &[&str] = &["ClientIP", "None"];
const DISTRIBUTIONS: &[&str] = &["PreferClose", "PreferSameZone", "PreferSameNode"];
const INGRESS_MODES: &[&str] = &["Proxy", "VIP"];
const POLICIES: &[&str] = &["Cluster", "Local"];
const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
/// The longest time that a client stays with its endpoint, in seconds.
const LONGEST_AFFINITY: i64 = 86_400;
const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const TOPOLOGY_MODE: &str = "service.kubernetes.io/topology-mode";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const LOAD_BALANCER_ONLY: &str = "may only be used when `type` is 'LoadBalancer'";

/// The faults of a Service; `old` is the stored one on update.
pub(super) fn validate(service: &Value, old: Option<&Value>) -> Vec<Error> {
    let spec = at(service, "spec");
    let path = Path::new("spec");
    let mut faults: Vec<_> = validate_topology_annotations(service).into_iter().collect();
    if list(spec, "ports").is_empty() && !is_headless(service) && !is_external_name(service) {
        faults.push(Error::required(&path.child("ports"), ""));
    }
    faults.extend(validate_type(service));
    faults.extend(validate_ports(list(spec, "ports"), &path.child("ports")));
    faults.extend(labels::validate(&path.child("selector"), spec, "selector"));
    faults.extend(validate_affinity(spec));
    faults.extend(cluster_ips::validate(service, old));
    faults.extend(validate_external_ips(spec, old));
    faults.extend(one_of(&path.child("type"), text(spec, "type"), TYPES));
    faults.extend(validate_node_ports(service));
    faults.extend(validate_source_ranges(service, old));
    faults.extend(validate_load_balancer_fields(service));
    faults.extend(validate_load_balancer_class(service));
    faults.extend(validate_external_policy(service));
    faults.extend(validate_internal_policy(service));
    if let Some(distribution) = given(spec, "trafficDistribution").and_then(Value::as_str)
        && !DISTRIBUTIONS.contains(&distribution)
    {
        faults.push(Error::not_supported(&path.child("trafficDistribution"), distribution, DISTRIBUTIONS));
    }
    faults
}

/// The faults of a changed Service.
pub(super) fn validate_update(new: &Value, old: &Value) -> Vec<Error> {
    let mut faults = cluster_ips::validate_address_change(new, old);
    faults.extend(cluster_ips::validate_family_change(new, old));
    let path = Path::new("spec");
    let (spec, old_spec) = (at(new, "spec"), at(old, "spec"));
    if is_load_balancer(new) && is_load_balancer(old) {
        let (class, before) = (at(spec, "loadBalancerClass"), at(old_spec, "loadBalancerClass"));
        if class != before {
            faults.push(Error::invalid(&path.child("loadBalancerClass"), class.clone(), "may not change once set"));
        }
    }
    faults.extend(validate_load_balancer_class(new));
    if needs_health_check(new)
        && needs_health_check(old)
        && integer(spec, "healthCheckNodePort") != integer(old_spec, "healthCheckNodePort")
    {
        faults.push(Error::forbidden(&path.child("healthCheckNodePort"), "field is immutable"));
    }
    faults.extend(validate(new, Some(old)));
    faults
}

fn one_of(path: &Path, value: &str, supported: &[&str]) -> Option<Error> {
    if value.is_empty() {
        return Some(Error::required(path, ""));
    }
    (!supported.contains(&value)).then(|| Error::not_supported(path, value, supported))
}

fn validate_topology_annotations(service: &Value) -> Option<Error> {
    let metadata = at(service, "metadata");
    let hints = text_at(metadata, "annotations", HINTS)?;
    let mode = text_at(metadata, "annotations", TOPOLOGY_MODE)?;
    (hints != mode).then(|| {
        let path = Path::new("metadata").child("annotations").key(TOPOLOGY_MODE);
        Error::invalid(&path, mode, format!("must match annotations[{HINTS}] when both are specified"))
    })
}

fn validate_type(service: &Value) -> Vec<Error> {
    let spec = at(service, "spec");
    let path = Path::new("spec");
    match type_of(service) {
        kind @ ("LoadBalancer" | "NodePort") if is_headless(service) => {
            let detail = format!("may not be set to 'None' for {kind} services");
            vec![Error::invalid(&path.child("clusterIPs").index(0), "None", detail)]
        }
        "ExternalName" => {
            let mut faults = Vec::new();
            for field in ["clusterIPs", "ipFamilies"] {
                if !list(spec, field).is_empty() {
                    faults.push(Error::forbidden(&path.child(field), "may not be set for ExternalName services"));
                }
            }
            if given(spec, "ipFamilyPolicy").is_some() {
                let path = path.child("ipFamilyPolicy");
                faults.push(Error::forbidden(&path, "may not be set for ExternalName services"));
            }
            let name = text(spec, "externalName");
            match name.strip_suffix('.').unwrap_or(name) {
                "" => faults.push(Error::required(&path.child("externalName"), "")),
                name => faults.extend(names::subdomain_field(&path.child("externalName"), name)),
            }
            faults
        }
        _ => Vec::new(),
    }
}

fn validate_ports(ports: &[Value], path: &Path) -> Vec<Error> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        let name = text(port, "name");
        if name.is_empty() {
            if ports.len() > 1 {
                faults.push(Error::required(&path.child("name"), ""));
            }
        } else {
            faults.extend(names::label_field(&path.child("name"), name));
            if !seen.insert(name) {
                faults.push(Error::duplicate(&path.child("name"), name));
            }
        }
        let number = integer(port, "port");
        let out_of_range = names::port_number(number);
        faults.extend(out_of_range.into_iter().map(|m| Error::invalid(&path.child("port"), number, m)));
        faults.extend(one_of(&path.child("protocol"), text(port, "protocol"), PROTOCOLS));
        faults.extend(validate_port_reference(&path.child("targetPort"), at(port, "targetPort")));
        if let Some(protocol) = given(port, "appProtocol").and_then(Value::as_str) {
            faults.extend(names::label_key_field(&path.child("appProtocol"), protocol));
        }
    }
    faults
}

/// The faults of a port that is a number or the name of a container's port.
pub(crate) fn validate_port_reference(path: &Path, port: &Value) -> Vec<Error> {
    match port.as_str() {
        Some(name) => Error::invalid_each(path, name, names::port_name(name)),
        None => {
            let number = port.as_i64().unwrap_or(0);
            names::port_number(number).into_iter().map(|message| Error::invalid(path, number, message)).collect()
        }
    }
}

fn validate_affinity(spec: &Value) -> Vec<Error> {
    let path = Path::new("spec");
    let affinity = text(spec, "sessionAffinity");
    let mut faults: Vec<_> = one_of(&path.child("sessionAffinity"), affinity, AFFINITIES).into_iter().collect();
    let path = path.child("sessionAffinityConfig");
    let config = given(spec, "sessionAffinityConfig");
    match (affinity, config) {
        ("ClientIP", config) => faults.extend(validate_client_affinity(config, &path)),
        ("None", Some(_)) => {
            faults.push(Error::forbidden(&path, "must not be set when session affinity is None"));
        }
        _ => {}
    }
    faults
}

fn validate_client_affinity(config: Option<&Value>, path: &Path) -> Option<Error> {
    const MISSING: &str = "when session affinity type is ClientIP";
    let Some(config) = config else { return Some(Error::required(path, MISSING)) };
    let path = path.child("clientIP");
    let Some(client) = given(config, "clientIP") else { return Some(Error::required(&path, MISSING)) };
    let path = path.child("timeoutSeconds");
    let Some(timeout) = given(client, "timeoutSeconds") else { return Some(Error::required(&path, MISSING)) };
    let in_range = timeout.as_i64().is_some_and(|timeout| (1..=LONGEST_AFFINITY).contains(&timeout));
    let detail = || format!("must be greater than 0 and less than {LONGEST_AFFINITY}");
    (!in_range).then(|| Error::invalid(&path, timeout.clone(), detail()))
}

fn validate_external_ips(spec: &Value, old: Option<&Value>) -> Vec<Error> {
    let stored = old.map(|old| texts(at(old, "spec"), "externalIPs")).unwrap_or_default();
    let path = Path::new("spec").child("externalIPs");
    let mut faults = Vec::new();
    for (i, address) in texts(spec, "externalIPs").into_iter().enumerate() {
        let path = path.index(i);
        let unreadable = addresses::validate_legacy(&path, address, &stored);
        if unreadable.is_empty() {
            faults.extend(addresses::validate_endpoint(&path, address));
        }
        faults.extend(unreadable);
    }
    faults
}

fn validate_node_ports(service: &Value) -> Vec<Error> {
    let ports = list(at(service, "spec"), "ports");
    let path = Path::new("spec").child("ports");
    let mut faults = Vec::new();
    let with_node_port = || ports.iter().enumerate().filter(|(_, port)| integer(port, "nodePort") != 0);
    if type_of(service) == "ClusterIP" {
        for (i, _) in with_node_port() {
            let detail = "may not be used when `type` is 'ClusterIP'";
            faults.push(Error::forbidden(&path.index(i).child("nodePort"), detail));
        }
    }
    let mut seen = BTreeSet::new();
    for (i, port) in with_node_port() {
        let number = integer(port, "nodePort");
        if !seen.insert((text(port, "protocol"), number)) {
            faults.push(Error::duplicate(&path.index(i).child("nodePort"), number));
        }
    }
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let (protocol, number) = (text(port, "protocol"), integer(port, "port"));
        if !seen.insert((protocol, number)) {
            faults.push(duplicate_port(&path.index(i), protocol, number));
        }
    }
    faults
}

/// Kubernetes prints a port of its own type in which only what was compared is set.
fn duplicate_port(path: &Path, protocol: &str, number: i64) -> Error {
    let protocol = crate::field::marshal(&Value::from(protocol));
    Error::duplicate(path, Value::Null).printed_as(format!(
        "{{\"Name\":\"\",\"Protocol\":{protocol},\"AppProtocol\":null,\"Port\":{number},\"TargetPort\":0,\"NodePort\":0}}"
    ))
}

fn validate_source_ranges(service: &Value, old: Option<&Value>) -> Vec<Error> {
    let ranges = texts(at(service, "spec"), "loadBalancerSourceRanges");
    if ranges.is_empty() {
        return validate_source_ranges_annotation(service, old);
    }
    // The capital letter is Kubernetes'.
    let path = Path::new("spec").child("LoadBalancerSourceRanges");
    let mut faults = Vec::new();
    if !is_load_balancer(service) {
        faults.push(Error::forbidden(&path, LOAD_BALANCER_ONLY));
    }
    let stored = old.map(|old| texts(at(old, "spec"), "loadBalancerSourceRanges")).unwrap_or_default();
    let stored: Vec<_> = stored.into_iter().map(str::trim).collect();
    for (i, range) in ranges.into_iter().enumerate() {
        faults.extend(addresses::validate_legacy_range(&path.index(i), range.trim(), &stored));
    }
    faults
}

/// The same ranges, in the annotation that was there before the field.
fn validate_source_ranges_annotation(service: &Value, old: Option<&Value>) -> Vec<Error> {
    let annotation = |service| text_at(at(service, "metadata"), "annotations", SOURCE_RANGES);
    let Some(ranges) = annotation(service) else { return Vec::new() };
    let path = Path::new("metadata").child("annotations").key(SOURCE_RANGES);
    let mut faults = Vec::new();
    if !is_load_balancer(service) {
        faults.push(Error::forbidden(&path, LOAD_BALANCER_ONLY));
    }
    let changed = old.is_none_or(|old| annotation(old).unwrap_or("") != ranges);
    if changed && !ranges.trim().is_empty() {
        for range in ranges.trim().split(',') {
            faults.extend(addresses::validate_legacy_range(&path, range.trim(), &[]));
        }
    }
    faults
}

fn validate_load_balancer_fields(service: &Value) -> Option<Error> {
    const FIELD: &str = "allocateLoadBalancerNodePorts";
    match (given(at(service, "spec"), FIELD), is_load_balancer(service)) {
        (Some(_), false) => Some(Error::forbidden(&Path::new("spec").child(FIELD), LOAD_BALANCER_ONLY)),
        // The path without `spec` is Kubernetes'.
        (None, true) => Some(Error::required(&Path::new(FIELD), "")),
        _ => None,
    }
}

fn validate_load_balancer_class(service: &Value) -> Vec<Error> {
    let path = Path::new("spec").child("loadBalancerClass");
    match given(at(service, "spec"), "loadBalancerClass").and_then(Value::as_str) {
        None => Vec::new(),
        Some(class) if is_load_balancer(service) => names::label_key_field(&path, class),
        Some(_) => vec![Error::forbidden(&path, LOAD_BALANCER_ONLY)],
    }
}

fn validate_external_policy(service: &Value) -> Vec<Error> {
    let spec = at(service, "spec");
    let path = Path::new("spec");
    let policy = text(spec, "externalTrafficPolicy");
    let mut faults = Vec::new();
    if is_externally_accessible(service) {
        faults.extend(one_of(&path.child("externalTrafficPolicy"), policy, POLICIES));
    } else if !policy.is_empty() {
        let detail = "may only be set for externally-accessible services";
        faults.push(Error::invalid(&path.child("externalTrafficPolicy"), policy, detail));
    }
    let path = path.child("healthCheckNodePort");
    let port = integer(spec, "healthCheckNodePort");
    match (needs_health_check(service), port) {
        (false, 0) => {}
        (false, port) => {
            let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            faults.push(Error::invalid(&path, port, detail));
        }
        (true, 0) => faults.push(Error::required(&path, "")),
        (true, port) => {
            faults.extend(names::port_number(port).into_iter().map(|message| Error::invalid(&path, port, message)));
        }
    }
    faults
}

fn validate_internal_policy(service: &Value) -> Option<Error> {
    let path = Path::new("spec").child("internalTrafficPolicy");
    match given(at(service, "spec"), "internalTrafficPolicy").and_then(Value::as_str) {
        None if matches!(type_of(service), "ClusterIP" | "NodePort" | "LoadBalancer") => {
            Some(Error::required(&path, ""))
        }
        Some(policy) if !POLICIES.contains(&policy) => Some(Error::not_supported(&path, policy, POLICIES)),
        _ => None,
    }
}

/// The faults of the status of a load balancer.
pub(super) fn validate_load_balancer(new: &Value, old: &Value) -> Vec<Error> {
    let ingress = |service| list(at(at(service, "status"), "loadBalancer"), "ingress");
    let path = Path::new("status").child("loadBalancer").child("ingress");
    if !is_load_balancer(new) && !ingress(new).is_empty() {
        return vec![Error::forbidden(&path, "may only be used when `spec.type` is 'LoadBalancer'")];
    }
    let stored: Vec<_> = ingress(old).iter().map(|point| text(point, "ip")).filter(|ip| !ip.is_empty()).collect();
    ingress(new).iter().enumerate().flat_map(|(i, point)| validate_ingress(&path.index(i), point, &stored)).collect()
}

fn validate_ingress(path: &Path, point: &Value, stored: &[&str]) -> Vec<Error> {
    let mut faults = Vec::new();
    let ip = text(point, "ip");
    if !ip.is_empty() {
        faults.extend(addresses::validate_legacy(&path.child("ip"), ip, stored));
    }
    let mode = given(point, "ipMode").and_then(Value::as_str);
    let path_of_mode = path.child("ipMode");
    match mode {
        None if !ip.is_empty() => faults.push(Error::required(&path_of_mode, "must be specified when `ip` is set")),
        Some(_) if ip.is_empty() => {
            faults.push(Error::forbidden(&path_of_mode, "may not be specified when `ip` is not set"));
        }
        Some(mode) if !INGRESS_MODES.contains(&mode) => {
            faults.push(Error::not_supported(&path_of_mode, mode, INGRESS_MODES));
        }
        _ => {}
    }
    let hostname = text(point, "hostname");
    if !hostname.is_empty() {
        faults.extend(names::subdomain_field(&path.child("hostname"), hostname));
        if addresses::parse(hostname).is_some() {
            let detail = "must be a DNS name, not an IP address";
            faults.push(Error::invalid(&path.child("hostname"), hostname, detail));
        }
    }
    faults
}
