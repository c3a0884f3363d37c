//! Ingress (`networking.k8s.io/v1`): which Service answers for which host and path, by a controller of somebody else's.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::document::{at, given, integer, list, same_field, set, set_or_remove, text, text_at, texts};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy, Subresource, age};
use crate::{addresses, ingress_class, names};

#[cfg(test)]
mod tests;

/// Ingress.
pub static KIND: Kind = Kind {
    group: "networking.k8s.io",
    version: "v1",
    kind: "Ingress",
    plural: "ingresses",
    singular: "ingress",
    short_names: &["ing"],
    categories: &[],
    scope: Scope::Namespaced,
    subresources: &[Subresource::Status],
    schema: "io.k8s.api.networking.v1.Ingress",
    strategy: &Ingress,
};

/// Where classes were named before they had a field.
const CLASS: &str = "kubernetes.io/ingress.class";
/// What no path that is matched as it stands may have within.
const SEQUENCES: [&str; 5] = ["//", "/./", "/../", "%2f", "%2F"];
/// What it may not end with.
const SUFFIXES: [&str; 2] = ["/..", "/."];
/// How many hosts a table shows.
const HOSTS: usize = 3;

struct Ingress;

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let class = "The name of the IngressClass resource that should be used for additional configuration";
    vec![
        Column::name(),
        Column::text("Class", class),
        Column::text("Hosts", "Hosts that incoming requests are matched against before the ingress rule"),
        Column::text("Address", "Address is a list containing ingress points for the load-balancer"),
        Column::text("Ports", "Ports of TLS configurations that open"),
        Column::age(),
    ]
});

impl Strategy for Ingress {
    fn prepare_for_create(&self, object: &mut Value) {
        set(object, "status", json!({ "loadBalancer": {} }));
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let spec = at(object, "spec");
        let mut faults = validate_spec(spec, false);
        let annotated = text_at(at(object, "metadata"), "annotations", CLASS);
        let named = given(spec, "ingressClassName").and_then(Value::as_str);
        if let (Some(annotated), Some(named)) = (annotated, named)
            && annotated != named
        {
            let detail = "must match `ingressClassName` when both are specified";
            faults.push(Error::invalid(&Path::new("annotations").child(CLASS), annotated, detail));
        }
        faults
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        set_or_remove(new, "status", given(old, "status").cloned());
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let secrets = list(at(old, "spec"), "tls").iter().map(|tls| text(tls, "secretName"));
        let stored = secrets.into_iter().any(|secret| !secret_faults(secret).is_empty());
        validate_spec(at(new, "spec"), stored)
    }

    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        set_or_remove(new, "spec", given(old, "spec").cloned());
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let points = |object| list(at(at(object, "status"), "loadBalancer"), "ingress");
        let stored: Vec<&str> = points(old).iter().map(|point| text(point, "ip")).filter(|ip| !ip.is_empty()).collect();
        let path = Path::new("status").child("loadBalancer").child("ingress");
        let mut faults = Vec::new();
        for (i, point) in points(new).iter().enumerate() {
            let (path, ip, hostname) = (path.index(i), text(point, "ip"), text(point, "hostname"));
            if !ip.is_empty() {
                faults.extend(addresses::validate_legacy(&path.child("ip"), ip, &stored));
            }
            if !hostname.is_empty() {
                faults.extend(names::subdomain_field(&path.child("hostname"), hostname));
                faults.extend(not_an_address(&path.child("hostname"), hostname));
            }
        }
        faults
    }

    fn status_warnings(&self, new: &Value, _old: &Value) -> Vec<String> {
        let points = list(at(at(new, "status"), "loadBalancer"), "ingress");
        let path = Path::new("status").child("loadBalancer").child("ingress");
        let each = points.iter().enumerate().filter(|(_, point)| !text(point, "ip").is_empty());
        each.filter_map(|(i, point)| addresses::warnings(&path.index(i), text(point, "ip"))).collect()
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let annotated = text_at(at(new, "metadata"), "annotations", CLASS).is_some();
        if old.is_none() && annotated && given(at(new, "spec"), "ingressClassName").is_none() {
            return vec![format!("annotation {CLASS:?} is deprecated, please use 'spec.ingressClassName' instead")];
        }
        Vec::new()
    }

    fn generation_changes(&self, new: &Value, old: &Value) -> Option<bool> {
        Some(!same_field(new, old, "spec"))
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        let spec = at(object, "spec");
        let class = given(spec, "ingressClassName").and_then(Value::as_str).unwrap_or("<none>");
        let points = list(at(at(object, "status"), "loadBalancer"), "ingress");
        let shown = |point| if text(point, "ip").is_empty() { text(point, "hostname") } else { text(point, "ip") };
        let points: BTreeSet<&str> = points.iter().map(shown).filter(|shown| !shown.is_empty()).collect();
        let ports = if list(spec, "tls").is_empty() { "80" } else { "80, 443" };
        vec![
            json!(text(at(object, "metadata"), "name")),
            json!(class),
            json!(print_hosts(list(spec, "rules"))),
            json!(points.into_iter().collect::<Vec<_>>().join(",")),
            json!(ports),
            json!(age(object, now)),
        ]
    }
}

fn print_hosts(rules: &[Value]) -> String {
    let mut hosts: Vec<&str> = Vec::new();
    let mut more = false;
    for rule in rules {
        more |= hosts.len() == HOSTS;
        let host = text(rule, "host");
        if !more && !host.is_empty() {
            hosts.push(host);
        }
    }
    match (hosts.is_empty(), more) {
        (true, _) => "*".to_owned(),
        (false, false) => hosts.join(","),
        (false, true) => format!("{} + {} more...", hosts.join(","), rules.len() - HOSTS),
    }
}

fn not_an_address(path: &Path, name: &str) -> Option<Error> {
    let is_address = addresses::parse(name).is_some();
    is_address.then(|| Error::invalid(path, name, "must be a DNS name, not an IP address"))
}

fn secret_faults(name: &str) -> Vec<String> {
    if name.is_empty() { Vec::new() } else { names::dns1123_subdomain(name) }
}

fn validate_spec(spec: &Value, stored_secret: bool) -> Vec<Error> {
    let path = Path::new("spec");
    let (rules, backend) = (list(spec, "rules"), given(spec, "defaultBackend"));
    let mut faults = Vec::new();
    if rules.is_empty() && backend.is_none() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        faults.push(Error::invalid(&path, at(spec, "rules").clone(), detail));
    }
    if let Some(backend) = backend {
        faults.extend(validate_backend(&path.child("defaultBackend"), backend));
    }
    for (i, rule) in rules.iter().enumerate() {
        faults.extend(validate_rule(&path.child("rules").index(i), rule));
    }
    for (i, tls) in list(spec, "tls").iter().enumerate() {
        let path = path.child("tls").index(i);
        for (i, host) in texts(tls, "hosts").into_iter().enumerate() {
            faults.extend(validate_host(&path.child("hosts").index(i), host));
        }
        let secret = text(tls, "secretName");
        if !stored_secret {
            faults.extend(Error::invalid_each(&path.child("secretName"), secret, secret_faults(secret)));
        }
    }
    if let Some(class) = given(spec, "ingressClassName").and_then(Value::as_str) {
        faults.extend(names::subdomain_field(&path.child("ingressClassName"), class));
    }
    faults
}

fn validate_host(path: &Path, host: &str) -> Vec<Error> {
    let messages = if host.contains('*') { names::wildcard_subdomain(host) } else { names::dns1123_subdomain(host) };
    Error::invalid_each(path, host, messages)
}

fn validate_rule(path: &Path, rule: &Value) -> Vec<Error> {
    let (host, mut faults) = (text(rule, "host"), Vec::new());
    if !host.is_empty() {
        let path = path.child("host");
        faults.extend(not_an_address(&path, host));
        faults.extend(validate_host(&path, host));
    }
    if let Some(http) = given(rule, "http") {
        let path = path.child("http").child("paths");
        if list(http, "paths").is_empty() {
            faults.push(Error::required(&path, ""));
        }
        for (i, of_path) in list(http, "paths").iter().enumerate() {
            faults.extend(validate_path(&path.index(i), of_path));
        }
    }
    faults
}

fn validate_path(path: &Path, rule: &Value) -> Vec<Error> {
    let Some(kind) = given(rule, "pathType").and_then(Value::as_str) else {
        return vec![Error::required(&path.child("pathType"), "pathType must be specified")];
    };
    let (value, of_path) = (text(rule, "path"), path.child("path"));
    let invalid = |detail: String| Error::invalid(&of_path, value, detail);
    let absolute = || (!value.starts_with('/')).then(|| invalid("must be an absolute path".to_owned()));
    let mut faults = Vec::new();
    match kind {
        "Exact" | "Prefix" => {
            faults.extend(absolute());
            let within = SEQUENCES.iter().filter(|sequence| value.contains(**sequence));
            faults.extend(within.map(|sequence| invalid(format!("must not contain '{sequence}'"))));
            let ends = SUFFIXES.iter().filter(|suffix| value.ends_with(**suffix));
            faults.extend(ends.map(|suffix| invalid(format!("cannot end with '{suffix}'"))));
        }
        "ImplementationSpecific" if value.is_empty() => {}
        "ImplementationSpecific" => faults.extend(absolute()),
        other => {
            let known = ["Exact", "ImplementationSpecific", "Prefix"];
            faults.push(Error::not_supported(&path.child("pathType"), other, &known));
        }
    }
    faults.extend(validate_backend(&path.child("backend"), at(rule, "backend")));
    faults
}

fn validate_backend(path: &Path, backend: &Value) -> Vec<Error> {
    match (given(backend, "resource"), given(backend, "service")) {
        (Some(_), Some(_)) => vec![Error::invalid(path, "", "cannot set both resource and service backends")],
        (Some(resource), None) => ingress_class::validate_reference(&path.child("resource"), resource),
        (None, Some(service)) => validate_service(path, service),
        (None, None) => vec![Error::invalid(path, "", "resource or service backend is required")],
    }
}

fn validate_service(path: &Path, service: &Value) -> Vec<Error> {
    let (of_service, name, port) = (path.child("service"), text(service, "name"), at(service, "port"));
    let mut faults = Vec::new();
    if name.is_empty() {
        faults.push(Error::required(&of_service.child("name"), ""));
    } else {
        faults.extend(names::label_field(&of_service.child("name"), name));
    }
    let (port_name, number) = (text(port, "name"), integer(port, "number"));
    let of_port = of_service.child("port");
    match (port_name.is_empty(), number == 0) {
        (false, false) => faults.push(Error::invalid(path, "", "cannot set both port name & port number")),
        (false, true) => {
            faults.extend(Error::invalid_each(&of_port.child("name"), port_name, names::port_name(port_name)));
        }
        (true, false) => {
            let messages = names::port_number(number).into_iter();
            faults.extend(messages.map(|message| Error::invalid(&of_port.child("number"), number, message)));
        }
        (true, true) => faults.push(Error::required(path, "port name or number is required")),
    }
    faults
}
