//! What a Pod and the template of one are when nothing else is said.

use serde_json::{Value, json};

use super::image;
use crate::document::{at, flag, given, given_mut, integer, list, list_mut, object_mut, remove, set};
use crate::document::{set_default, set_or_remove, set_zero_default, text};
use crate::quantity::{self, Quantity};

/// How files of volumes are made when nothing else is said: 0644.
const FILE_MODE: i64 = 0o644;

/// Fills in the defaults of a Pod.
pub(super) fn of_pod(pod: &mut Value) {
    if let Some(spec) = object_mut(pod, "spec") {
        of_spec(spec);
        for field in ["containers", "initContainers"] {
            list_mut(spec, field).iter_mut().for_each(request_what_is_limited);
        }
        request_for_all(spec);
        set_default(spec, "enableServiceLinks", true);
        if flag(spec, "hostNetwork") {
            for field in ["containers", "initContainers"] {
                list_mut(spec, field).iter_mut().for_each(use_ports_of_host);
            }
        }
        // Only of Pods, not of templates.
        if given(spec, "terminationGracePeriodSeconds").and_then(Value::as_i64).is_some_and(|period| period < 0) {
            set(spec, "terminationGracePeriodSeconds", 1);
        }
    }
    if let Some(status) = given_mut(pod, "status") {
        sync_addresses(status);
    }
}

/// Fills in the defaults of what a Pod and a template of one have in common.
pub(super) fn of_spec(spec: &mut Value) {
    set_zero_default(spec, "dnsPolicy", "ClusterFirst");
    set_zero_default(spec, "restartPolicy", "Always");
    set_default(spec, "securityContext", json!({}));
    set_default(spec, "terminationGracePeriodSeconds", 30);
    set_zero_default(spec, "schedulerName", "default-scheduler");
    sync_service_account(spec);
    list_mut(spec, "volumes").iter_mut().for_each(volume);
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        list_mut(spec, field).iter_mut().for_each(container);
    }
    quantity::canonicalize_resources(spec.get_mut("overhead"));
    if let Some(resources) = given_mut(spec, "resources") {
        quantity::canonicalize_resources(resources.get_mut("limits"));
        quantity::canonicalize_resources(resources.get_mut("requests"));
    }
}

/// `serviceAccount` is the old name of `serviceAccountName`: both are always there.
fn sync_service_account(spec: &mut Value) {
    let name = match text(spec, "serviceAccountName") {
        "" => text(spec, "serviceAccount"),
        name => name,
    };
    let name = (!name.is_empty()).then(|| Value::from(name));
    set_or_remove(spec, "serviceAccountName", name.clone());
    set_or_remove(spec, "serviceAccount", name);
}

/// `podIP` is the first of `podIPs`; who names only the one, or another one, means the one.
fn sync_addresses(status: &mut Value) {
    let one = text(status, "podIP").to_owned();
    let first = list(status, "podIPs").first().map(|ip| text(ip, "ip").to_owned());
    match first {
        Some(first) if one.is_empty() => set(status, "podIP", first),
        first if !one.is_empty() && first.as_ref() != Some(&one) => set(status, "podIPs", json!([{ "ip": one }])),
        _ => {}
    }
}

fn pull_policy(image: &str) -> &'static str {
    if image::is_latest(image) { "Always" } else { "IfNotPresent" }
}

fn container(container: &mut Value) {
    let policy = pull_policy(text(container, "image"));
    set_zero_default(container, "imagePullPolicy", policy);
    set_zero_default(container, "terminationMessagePath", "/dev/termination-log");
    set_zero_default(container, "terminationMessagePolicy", "File");
    for port in list_mut(container, "ports") {
        set_zero_default(port, "protocol", "TCP");
    }
    for variable in list_mut(container, "env") {
        let Some(from) = given_mut(variable, "valueFrom") else { continue };
        references(from);
        if let Some(key) = given_mut(from, "fileKeyRef") {
            set_default(key, "optional", false);
        }
    }
    if let Some(resources) = given_mut(container, "resources") {
        quantity::canonicalize_resources(resources.get_mut("limits"));
        quantity::canonicalize_resources(resources.get_mut("requests"));
    }
    set_default(container, "resources", json!({}));
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = given_mut(container, field) {
            default_probe(probe);
        }
    }
    if let Some(lifecycle) = given_mut(container, "lifecycle") {
        for field in ["postStart", "preStop"] {
            if let Some(request) = given_mut(lifecycle, field).and_then(|handler| given_mut(handler, "httpGet")) {
                http_get(request);
            }
        }
    }
}

fn default_probe(probe: &mut Value) {
    for (field, value) in
        [("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)]
    {
        set_zero_default(probe, field, value);
    }
    if let Some(request) = given_mut(probe, "httpGet") {
        http_get(request);
    }
    if let Some(call) = given_mut(probe, "grpc") {
        set_default(call, "service", "");
    }
}

fn http_get(request: &mut Value) {
    set_zero_default(request, "path", "/");
    set_zero_default(request, "scheme", "HTTP");
}

/// References to fields and amounts, of variables and of files.
fn references(from: &mut Value) {
    if let Some(field) = given_mut(from, "fieldRef") {
        set_zero_default(field, "apiVersion", "v1");
    }
    if let Some(resource) = given_mut(from, "resourceFieldRef") {
        quantity::canonicalize(resource.get_mut("divisor"));
        set_default(resource, "divisor", "0");
    }
}

fn volume(volume: &mut Value) {
    let has_source = volume.as_object().is_some_and(|v| v.iter().any(|(field, v)| field != "name" && !v.is_null()));
    if !has_source {
        set(volume, "emptyDir", json!({}));
    }
    if let Some(directory) = given_mut(volume, "emptyDir") {
        quantity::canonicalize(directory.get_mut("sizeLimit"));
    }
    if let Some(path) = given_mut(volume, "hostPath") {
        set_default(path, "type", "");
    }
    if let Some(image) = given_mut(volume, "image") {
        let policy = pull_policy(text(image, "reference"));
        set_zero_default(image, "pullPolicy", policy);
    }
    if let Some(template) =
        given_mut(volume, "ephemeral").and_then(|ephemeral| given_mut(ephemeral, "volumeClaimTemplate"))
        && let Some(spec) = object_mut(template, "spec")
    {
        set_default(spec, "volumeMode", "Filesystem");
    }
    for field in ["secret", "configMap", "downwardAPI", "projected"] {
        if let Some(source) = given_mut(volume, field) {
            set_default(source, "defaultMode", FILE_MODE);
        }
    }
    if let Some(source) = given_mut(volume, "downwardAPI") {
        list_mut(source, "items").iter_mut().for_each(references);
    }
    if let Some(projected) = given_mut(volume, "projected") {
        for source in list_mut(projected, "sources") {
            if let Some(downward) = given_mut(source, "downwardAPI") {
                list_mut(downward, "items").iter_mut().for_each(references);
            }
            if let Some(token) = given_mut(source, "serviceAccountToken") {
                set_default(token, "expirationSeconds", 3600);
            }
        }
    }
}

/// A limit without a request is a request too.
fn request_what_is_limited(container: &mut Value) {
    let Some(resources) = given_mut(container, "resources") else { return };
    let Some(limits) = at(resources, "limits").as_object().cloned() else { return };
    if let Some(requests) = object_mut(resources, "requests") {
        for (name, amount) in limits {
            set_default(requests, &name, amount);
        }
    }
}

/// With limits for the whole Pod, what its containers ask for together, or else the limit, is asked for by the whole.
fn request_for_all(spec: &mut Value) {
    let limits = at(at(spec, "resources"), "limits").as_object().cloned().unwrap_or_default();
    if limits.is_empty() {
        return;
    }
    let together = requests_together(spec);
    let Some(requests) = given_mut(spec, "resources").and_then(|resources| object_mut(resources, "requests")) else {
        return;
    };
    for (name, amount) in together {
        if matches!(name.as_str(), "cpu" | "memory") {
            set_default(requests, &name, amount.to_string());
        }
    }
    for (name, amount) in limits {
        if matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-") {
            set_default(requests, &name, amount);
        }
    }
}

/// What all containers ask for: those that run together added up, or what an init container needs while it runs.
pub(super) fn requests_together(spec: &Value) -> Vec<(String, Quantity)> {
    let mut running: Vec<(String, Quantity)> = Vec::new();
    for container in list(spec, "containers") {
        add(&mut running, &amounts(container));
    }
    let mut sidecars = Vec::new();
    let mut starting: Vec<(String, Quantity)> = Vec::new();
    for container in list(spec, "initContainers") {
        let mut needed = amounts(container);
        if super::is_sidecar(container) {
            add(&mut running, &needed);
            add(&mut sidecars, &needed);
            needed = sidecars.clone();
        } else {
            add(&mut needed, &sidecars);
        }
        raise(&mut starting, &needed);
    }
    raise(&mut running, &starting);
    running
}

fn amounts(container: &Value) -> Vec<(String, Quantity)> {
    let requests = crate::document::entries(at(container, "resources"), "requests");
    requests
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), Quantity::from_value(value).ok()?)))
        .collect()
}

fn add(total: &mut Vec<(String, Quantity)>, more: &[(String, Quantity)]) {
    for (name, amount) in more {
        match total.iter_mut().find(|(other, _)| other == name) {
            Some((_, sum)) => *sum = sum.plus(*amount),
            None => total.push((name.clone(), *amount)),
        }
    }
}

fn raise(total: &mut Vec<(String, Quantity)>, other: &[(String, Quantity)]) {
    for (name, amount) in other {
        match total.iter_mut().find(|(known, _)| known == name) {
            Some((_, most)) if most.nanos() < amount.nanos() => *most = *amount,
            Some(_) => {}
            None => total.push((name.clone(), *amount)),
        }
    }
}

/// In the host's network a container's port is one of the host's.
fn use_ports_of_host(container: &mut Value) {
    for port in list_mut(container, "ports") {
        let number = integer(port, "containerPort");
        if number != 0 {
            set_zero_default(port, "hostPort", number);
        }
    }
}

/// Removes the fields that Kubernetes 1.36 does not serve unless it is told to; no sources are `null`, as it stores them.
pub(super) fn drop_disabled(spec: &mut Value) {
    remove(spec, "schedulingGroup");
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        for container in list_mut(spec, field) {
            if let Some(lifecycle) = given_mut(container, "lifecycle") {
                remove(lifecycle, "stopSignal");
            }
        }
    }
    for volume in list_mut(spec, "volumes") {
        let Some(projected) = given_mut(volume, "projected") else { continue };
        for source in list_mut(projected, "sources") {
            remove(source, "clusterTrustBundle");
            remove(source, "podCertificate");
        }
        if list(projected, "sources").is_empty() {
            set(projected, "sources", Value::Null);
        }
    }
}
