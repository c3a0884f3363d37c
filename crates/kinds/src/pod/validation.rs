//! The faults of a Pod's spec, in the order in which Kubernetes reports them.
//!
//! Kubernetes is lenient with what older versions of it stored; here everything that is stored passed these rules.

use serde_json::Value;

use super::containers::{self, Surroundings};
use super::{all_containers, one_of, scheduling, security, volumes};
use crate::document::{at, flag, given, integer, list, text, text_entries, texts};
use crate::field::{Error, Path};
use crate::quantity::Quantity;
use crate::{addresses, labels, names, resources};

const DNS_POLICIES: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const PREEMPTION_POLICIES: &[&str] = &["PreemptLowerPriority", "Never"];
const RESTART_POLICIES: &[&str] = &["Always", "OnFailure", "Never"];
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
pub(super) const MIRROR: &str = "kubernetes.io/config.mirror";
/// What resolvers can hold (`resolv.conf(5)`).
const MOST_NAMESERVERS: usize = 3;
const MOST_SEARCHES: usize = 32;
const LONGEST_SEARCH_LIST: usize = 2048;

/// The faults of a Pod's annotations and spec.
pub(super) fn validate(pod: &Value) -> Vec<Error> {
    let (metadata, spec) = (at(pod, "metadata"), at(pod, "spec"));
    let path = Path::new("spec");
    let mut faults = validate_annotations(&Path::new("metadata").child("annotations"), metadata, spec);
    faults.extend(validate_spec(&path, spec, Some(text(metadata, "name"))));
    if text(spec, "serviceAccountName").is_empty() {
        faults.extend(validate_no_tokens(&path.child("volumes"), list(spec, "volumes")));
    }
    for field in ["containers", "initContainers"] {
        for (i, container) in list(spec, field).iter().enumerate() {
            let image = text(container, "image");
            if image.trim() != image {
                let path = path.child(field).index(i).child("image");
                faults.push(Error::invalid(&path, image, "must not have leading or trailing whitespace"));
            }
        }
    }
    faults
}

/// The faults of annotations that mean something to Pods.
pub(super) fn validate_annotations(path: &Path, metadata: &Value, spec: &Value) -> Vec<Error> {
    let annotations = text_entries(metadata, "annotations");
    let value = |key: &str| annotations.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
    let mut faults = Vec::new();
    if let Some(mirror) = value(MIRROR)
        && text(spec, "nodeName").is_empty()
    {
        let detail = "must set spec.nodeName if mirror pod annotation is set";
        faults.push(Error::invalid(&path.key(MIRROR), mirror, detail));
    }
    if let Some(cost) = value(DELETION_COST) {
        let digits = cost.strip_prefix('-').unwrap_or(cost);
        let has_leading_zero = cost.starts_with('0') && cost != "0";
        if cost.parse::<i32>().is_err() || !digits.starts_with(|c: char| c.is_ascii_digit()) || has_leading_zero {
            faults.push(Error::invalid(&path.key(DELETION_COST), cost, "must be a 32bit integer"));
        }
    }
    faults
}

fn validate_no_tokens(path: &Path, volumes: &[Value]) -> Vec<Error> {
    let mut faults = Vec::new();
    for (i, volume) in volumes.iter().enumerate() {
        let path = path.index(i).child("projected").child("sources");
        for (j, source) in list(at(volume, "projected"), "sources").iter().enumerate() {
            if given(source, "serviceAccountToken").is_some() {
                let path = path.index(j).child("serviceAccountToken");
                faults.push(Error::forbidden(&path, "must not be specified when serviceAccountName is not set"));
            }
        }
    }
    faults
}

/// The faults of a spec: of a Pod, whose name is known, or of a template.
pub(super) fn validate_spec(path: &Path, spec: &Value, pod: Option<&str>) -> Vec<Error> {
    let mut faults = Vec::new();
    if given(spec, "terminationGracePeriodSeconds").is_none() {
        faults.push(Error::required(&path.child("terminationGracePeriodSeconds"), ""));
    }
    let (volumes, found) = volumes::validate(&path.child("volumes"), list(spec, "volumes"), pod);
    faults.extend(found);
    let surroundings = Surroundings::of(spec, volumes);
    faults.extend(containers::validate_regular(&path.child("containers"), spec, &surroundings));
    faults.extend(containers::validate_initial(&path.child("initContainers"), spec, &surroundings));
    faults.extend(containers::validate_ephemeral(&path.child("ephemeralContainers"), spec, &surroundings));
    faults.extend(validate_resources(path, spec));
    faults.extend(validate_host_ports(path, spec, pod.is_some()));
    faults.extend(one_of(&path.child("restartPolicy"), text(spec, "restartPolicy"), RESTART_POLICIES));
    faults.extend(one_of(&path.child("dnsPolicy"), text(spec, "dnsPolicy"), DNS_POLICIES));
    faults.extend(labels::validate(&path.child("nodeSelector"), spec, "nodeSelector"));
    faults.extend(security::validate_of_pod(&path.child("securityContext"), spec));
    faults.extend(scheduling::validate_affinity(&path.child("affinity"), at(spec, "affinity")));
    faults.extend(validate_dns(&path.child("dnsConfig"), spec));
    faults.extend(validate_gates(path, spec));
    faults.extend(scheduling::validate_spread(
        &path.child("topologySpreadConstraints"),
        list(spec, "topologySpreadConstraints"),
    ));
    faults.extend(security::validate_host_users(path, spec));
    faults.extend(validate_hostname_override(path, spec));
    faults.extend(validate_names(path, spec));
    faults.extend(validate_rest(path, spec));
    faults.extend(validate_variables_of_files(path, spec));
    faults
}

fn validate_resources(path: &Path, spec: &Value) -> Vec<Error> {
    let Some(wanted) = given(spec, "resources") else { return Vec::new() };
    let path = path.child("resources");
    let mut faults = Vec::new();
    if !list(wanted, "claims").is_empty() {
        faults.push(Error::forbidden(&path.child("claims"), "claims may not be set for Resources at pod-level"));
    }
    faults.extend(containers::validate_requirements(&path, wanted, containers::pod_resource));
    let amount = |resources: &Value, field: &str, name: &str| {
        given(at(resources, field), name).and_then(|value| Quantity::from_value(value).ok())
    };
    for (name, together) in super::defaults::requests_together(spec) {
        if let Some(requested) = amount(wanted, "requests", &name)
            && together.nanos() > requested.nanos()
        {
            let detail = format!("must be greater than or equal to aggregate container requests of {together}");
            faults.push(Error::invalid(&path.child("requests").key(&name), requested.to_string(), detail));
        }
    }
    for (i, container) in list(spec, "containers").iter().enumerate() {
        let limits = at(container, "resources");
        for (name, _) in crate::document::entries(limits, "limits") {
            if let (Some(limit), Some(most)) = (amount(limits, "limits", name), amount(wanted, "limits", name))
                && limit.nanos() > most.nanos()
            {
                let path = path.child("containers").index(i).key(name).child("limits");
                let detail = format!("must be less than or equal to pod limits of {most}");
                faults.push(Error::invalid(&path, limit.to_string(), detail));
            }
        }
    }
    faults
}

/// In the host's network a container's ports are the host's. A template may leave that open.
fn validate_host_ports(path: &Path, spec: &Value, is_pod: bool) -> Vec<Error> {
    if !flag(spec, "hostNetwork") {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (i, container) in list(spec, "containers").iter().enumerate() {
        let path = path.child("containers").index(i).child("ports");
        for (j, port) in list(container, "ports").iter().enumerate() {
            let host_port = integer(port, "hostPort");
            if (is_pod || host_port != 0) && host_port != integer(port, "containerPort") {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                faults.push(Error::invalid(&path.index(j).child("hostPort"), host_port, detail));
            }
        }
    }
    faults
}

fn validate_dns(path: &Path, spec: &Value) -> Vec<Error> {
    let config = given(spec, "dnsConfig");
    if text(spec, "dnsPolicy") == "None" {
        match config {
            None => return vec![Error::required(path, "must provide `dnsConfig` when `dnsPolicy` is None")],
            Some(config) if list(config, "nameservers").is_empty() => {
                let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
                return vec![Error::required(&path.child("nameservers"), detail)];
            }
            Some(_) => {}
        }
    }
    let Some(config) = config else { return Vec::new() };
    let mut faults = Vec::new();
    let (servers, searches) = (texts(config, "nameservers"), texts(config, "searches"));
    let too_many = |field: &str, detail: String| Error::invalid(&path.child(field), at(config, field).clone(), detail);
    if servers.len() > MOST_NAMESERVERS {
        faults.push(too_many("nameservers", format!("must not have more than {MOST_NAMESERVERS} nameservers")));
    }
    for (i, server) in servers.into_iter().enumerate() {
        faults.extend(addresses::validate_legacy(&path.child("nameservers").index(i), server, &[]));
    }
    if searches.len() > MOST_SEARCHES {
        faults.push(too_many("searches", format!("must not have more than {MOST_SEARCHES} search paths")));
    }
    if searches.join(" ").len() > LONGEST_SEARCH_LIST {
        let detail =
            format!("must not have more than {LONGEST_SEARCH_LIST} characters (including spaces) in the search list");
        faults.push(too_many("searches", detail));
    }
    for (i, search) in searches.into_iter().enumerate().filter(|(_, search)| *search != ".") {
        let search = search.strip_suffix('.').unwrap_or(search);
        let messages = names::dns1123_subdomain_with_underscore(search);
        faults.extend(Error::invalid_each(&path.child("searches").index(i), search, messages));
    }
    for (i, option) in list(config, "options").iter().enumerate() {
        if text(option, "name").is_empty() {
            faults.push(Error::required(&path.child("options").index(i), "must not be empty"));
        }
    }
    faults
}

fn validate_gates(path: &Path, spec: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    for (i, gate) in list(spec, "readinessGates").iter().enumerate() {
        let path = path.child("readinessGates").index(i).child("conditionType");
        faults.extend(names::label_key_field(&path, text(gate, "conditionType")));
    }
    let gates = list(spec, "schedulingGates");
    for (i, gate) in gates.iter().enumerate() {
        let path = path.child("schedulingGates").index(i);
        let name = text(gate, "name");
        faults.extend(names::label_key_field(&path, name));
        if gates[..i].iter().any(|other| text(other, "name") == name) {
            faults.push(Error::duplicate(&path, name));
        }
    }
    faults
}

fn validate_hostname_override(path: &Path, spec: &Value) -> Vec<Error> {
    let Some(name) = given(spec, "hostnameOverride").and_then(Value::as_str) else { return Vec::new() };
    let path = path.child("hostnameOverride");
    let mut faults = Vec::new();
    for field in ["setHostnameAsFQDN", "hostNetwork"] {
        if flag(spec, field) {
            faults.push(Error::forbidden(&path, format!("may not be specified when {field} is true")));
        }
    }
    if name.len() > 64 {
        faults.push(Error::too_long(&path, 64));
    }
    faults.extend(names::subdomain_field(&path, name));
    faults
}

fn validate_names(path: &Path, spec: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    for field in ["serviceAccountName", "nodeName"] {
        if !text(spec, field).is_empty() {
            faults.extend(names::subdomain_field(&path.child(field), text(spec, field)));
        }
    }
    if let Some(deadline) = given(spec, "activeDeadlineSeconds").and_then(Value::as_i64) {
        let longest = i64::from(i32::MAX);
        if !(1..=longest).contains(&deadline) {
            let path = path.child("activeDeadlineSeconds");
            faults.push(Error::invalid(&path, deadline, names::inclusive_range(1, longest)));
        }
    }
    for field in ["hostname", "subdomain"] {
        if !text(spec, field).is_empty() {
            faults.extend(names::label_field(&path.child(field), text(spec, field)));
        }
    }
    faults
}

fn validate_rest(path: &Path, spec: &Value) -> Vec<Error> {
    let mut faults = scheduling::validate_tolerations(&path.child("tolerations"), list(spec, "tolerations"));
    for (i, alias) in list(spec, "hostAliases").iter().enumerate() {
        let path = path.child("hostAliases").index(i);
        faults.extend(addresses::validate_legacy(&path.child("ip"), text(alias, "ip"), &[]));
        for (j, name) in texts(alias, "hostnames").into_iter().enumerate() {
            faults.extend(names::subdomain_field(&path.child("hostnames").index(j), name));
        }
    }
    if !text(spec, "priorityClassName").is_empty() {
        faults.extend(names::subdomain_field(&path.child("priorityClassName"), text(spec, "priorityClassName")));
    }
    if let Some(class) = given(spec, "runtimeClassName").and_then(Value::as_str) {
        faults.extend(names::subdomain_field(&path.child("runtimeClassName"), class));
    }
    if let Some(policy) = given(spec, "preemptionPolicy").and_then(Value::as_str) {
        faults.extend(one_of(&path.child("preemptionPolicy"), policy, PREEMPTION_POLICIES));
    }
    for (name, amount) in crate::document::entries(spec, "overhead") {
        let path = path.child("overhead").child("limits").key(name);
        faults.extend(containers::container_resource(&path, name));
        faults.extend(resources::validate_amount(&path, name, amount));
    }
    if let Some(os) = given(spec, "os") {
        faults.extend(one_of(&path.child("os").child("name"), text(os, "name"), &["linux", "windows"]).map(|fault| {
            // Kubernetes names the field when it is missing, its parent when it is wrong.
            if text(os, "name").is_empty() { fault } else { Error { path: path.child("os"), ..fault } }
        }));
    }
    faults
}

/// Variables that are read from files are read from volumes that are made for the Pod.
fn validate_variables_of_files(path: &Path, spec: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    for (container, path) in all_containers(spec, path) {
        for (i, variable) in list(container, "env").iter().enumerate() {
            let Some(key) = given(at(variable, "valueFrom"), "fileKeyRef") else { continue };
            let path = path.child("env").index(i).child("valueFrom").child("fileKeyRef").child("volumeName");
            let name = text(key, "volumeName");
            match list(spec, "volumes").iter().rev().find(|volume| text(volume, "name") == name) {
                None => faults.push(Error::not_found(&path, name)),
                Some(volume) if given(volume, "emptyDir").is_none() => {
                    faults.push(Error::invalid(&path, name, "referenced volume must be of type emptyDir"));
                }
                Some(_) => {}
            }
        }
    }
    faults
}
