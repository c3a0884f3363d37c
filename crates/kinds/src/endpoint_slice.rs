//! EndpointSlice (`discovery.k8s.io/v1`): some of the endpoints of a Service, with the ports they all have.

use std::sync::LazyLock;

use k8s_openapi::api::discovery::v1 as api;
use serde_json::Value;

use crate::addresses::{self, Family};
use crate::document::{at, given, list, list_mut, remove, same, same_field, set, set_default, text, text_at, texts};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy, age};
use crate::names;

#[cfg(test)]
mod tests;

/// EndpointSlice.
pub static KIND: Kind = Kind {
    group: "discovery.k8s.io",
    version: "v1",
    kind: "EndpointSlice",
    plural: "endpointslices",
    singular: "endpointslice",
    short_names: &[],
    categories: &[],
    scope: Scope::Namespaced,
    subresources: &[],
    schema: "io.k8s.api.discovery.v1.EndpointSlice",
    strategy: &EndpointSlice,
};

const ADDRESS_TYPES: &[&str] = &["FQDN", "IPv4", "IPv6"];
const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
/// Those who write slices have put the addresses into canonical form themselves.
const CONTROLLERS: &[&str] = &["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"];
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MOST_ADDRESSES: usize = 100;
const MOST_ENDPOINTS: usize = 1000;
const MOST_HINTS: usize = 8;
const MOST_PORTS: usize = 20_000;
/// How many ports and addresses a row shows.
const SHOWN: usize = 3;

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    vec![
        Column::name(),
        Column::field::<api::EndpointSlice>("AddressType", "addressType"),
        Column::field::<api::EndpointSlice>("Ports", "ports"),
        Column::field::<api::EndpointSlice>("Endpoints", "endpoints"),
        Column::age(),
    ]
});

struct EndpointSlice;

impl Strategy for EndpointSlice {
    fn default(&self, object: &mut Value) {
        for port in list_mut(object, "ports") {
            set_default(port, "name", "");
            set_default(port, "protocol", "TCP");
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        drop_topology(object);
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        validate(object, None)
    }

    fn canonicalize(&self, object: &mut Value) {
        // Kubernetes' encoding does not tell an empty list from none, and both lists are written even so.
        for field in ["endpoints", "ports"] {
            if list(object, field).is_empty() {
                set(object, field, Value::Null);
            }
        }
    }

    fn prepare_for_update(&self, new: &mut Value, _old: &Value) {
        drop_topology(new);
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let mut faults = validate(new, Some(old));
        let address_type = text(new, "addressType");
        if address_type != text(old, "addressType") {
            faults.push(Error::invalid(&Path::new("addressType"), address_type, "field is immutable"));
        }
        faults
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings = Vec::new();
        if old.is_none() && text(new, "addressType") == "FQDN" {
            // The `spec` is Kubernetes'; a slice has none.
            warnings.push("spec.addressType: FQDN endpoints are deprecated".to_owned());
        }
        if text_at(at(new, "metadata"), "labels", MANAGED_BY).is_none_or(|by| !CONTROLLERS.contains(&by)) {
            warnings.extend(address_warnings(new));
        }
        warnings
    }

    fn generation_changes(&self, new: &Value, old: &Value) -> Option<bool> {
        let content = ["addressType", "endpoints", "ports"].into_iter().any(|field| !same_field(new, old, field));
        Some(content || !same_field(at(new, "metadata"), at(old, "metadata"), "labels"))
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        let ports = list(object, "ports").iter().map(|port| match given(port, "port") {
            Some(number) => number.to_string(),
            None => given(port, "name").and_then(Value::as_str).unwrap_or("*").to_owned(),
        });
        let endpoints = list(object, "endpoints").iter().flat_map(|endpoint| texts(endpoint, "addresses"));
        vec![
            text(at(object, "metadata"), "name").into(),
            text(object, "addressType").into(),
            shorten(&ports.collect::<Vec<_>>()).into(),
            shorten(&endpoints.map(str::to_owned).collect::<Vec<_>>()).into(),
            age(object, now).into(),
        ]
    }
}

/// `a,b,c + 2 more...`, or `<unset>`.
fn shorten(all: &[String]) -> String {
    match all.len() {
        count if count > SHOWN => format!("{} + {} more...", all[..SHOWN].join(","), count - SHOWN),
        _ if all.iter().all(String::is_empty) && all.len() < 2 => "<unset>".to_owned(),
        _ => all.join(","),
    }
}

/// The field is there for readers of objects from before v1; `v1` cannot write it.
fn drop_topology(object: &mut Value) {
    for endpoint in list_mut(object, "endpoints") {
        remove(endpoint, "deprecatedTopology");
    }
}

fn address_warnings(slice: &Value) -> Vec<String> {
    let path = Path::new("endpoints");
    let mut warnings = Vec::new();
    for (i, endpoint) in list(slice, "endpoints").iter().enumerate() {
        for (j, address) in texts(endpoint, "addresses").into_iter().enumerate() {
            warnings.extend(addresses::warnings(&path.index(i).child("addresses").index(j), address));
        }
    }
    warnings
}

fn validate(slice: &Value, old: Option<&Value>) -> Vec<Error> {
    let address_type = text(slice, "addressType");
    let path = Path::new("addressType");
    let mut faults = Vec::new();
    if address_type.is_empty() {
        faults.push(Error::required(&path, ""));
    } else if !ADDRESS_TYPES.contains(&address_type) {
        faults.push(Error::not_supported(&path, address_type, ADDRESS_TYPES));
    }
    faults.extend(validate_ports(list(slice, "ports")));
    // What is stored was valid once, and may stay.
    if old.is_none_or(|old| !same(at(old, "endpoints"), at(slice, "endpoints"))) {
        faults.extend(validate_endpoints(list(slice, "endpoints"), address_type));
    }
    faults
}

fn validate_ports(ports: &[Value]) -> Vec<Error> {
    let path = Path::new("ports");
    if ports.len() > MOST_PORTS {
        return vec![Error::too_many(&path, ports.len(), MOST_PORTS)];
    }
    let mut faults = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        let name = text(port, "name");
        if !name.is_empty() {
            faults.extend(names::label_field(&path.child("name"), name));
        }
        if !seen.insert(name) {
            faults.push(Error::duplicate(&path.child("name"), name));
        }
        match given(port, "protocol").and_then(Value::as_str) {
            None => faults.push(Error::required(&path.child("protocol"), "")),
            Some(protocol) if !PROTOCOLS.contains(&protocol) => {
                faults.push(Error::not_supported(&path.child("protocol"), protocol, PROTOCOLS));
            }
            Some(_) => {}
        }
        if let Some(protocol) = given(port, "appProtocol").and_then(Value::as_str) {
            faults.extend(names::label_key_field(&path.child("appProtocol"), protocol));
        }
    }
    faults
}

fn validate_endpoints(endpoints: &[Value], address_type: &str) -> Vec<Error> {
    let path = Path::new("endpoints");
    if endpoints.len() > MOST_ENDPOINTS {
        return vec![Error::too_many(&path, endpoints.len(), MOST_ENDPOINTS)];
    }
    let validated = endpoints.iter().enumerate();
    validated.flat_map(|(i, endpoint)| validate_endpoint(&path.index(i), endpoint, address_type)).collect()
}

fn validate_endpoint(path: &Path, endpoint: &Value, address_type: &str) -> Vec<Error> {
    let mut faults = validate_addresses(&path.child("addresses"), &texts(endpoint, "addresses"), address_type);
    if let Some(node) = given(endpoint, "nodeName").and_then(Value::as_str) {
        faults.extend(names::subdomain_field(&path.child("nodeName"), node));
    }
    if let Some(hostname) = given(endpoint, "hostname").and_then(Value::as_str) {
        faults.extend(names::label_field(&path.child("hostname"), hostname));
    }
    if let Some(hints) = given(endpoint, "hints") {
        faults.extend(validate_hints(&path.child("hints"), hints));
    }
    faults
}

fn validate_addresses(path: &Path, all: &[&str], address_type: &str) -> Vec<Error> {
    let mut faults = Vec::new();
    if all.is_empty() {
        faults.push(Error::required(path, "must contain at least 1 address"));
    } else if all.len() > MOST_ADDRESSES {
        faults.push(Error::too_many(path, all.len(), MOST_ADDRESSES));
    }
    for (i, address) in all.iter().enumerate() {
        let at = path.index(i);
        let (unreadable, family) = match address_type {
            "IPv4" => (addresses::validate_legacy(&at, address, &[]), Family::V4),
            "IPv6" => (addresses::validate(&at, address), Family::V6),
            "FQDN" => {
                faults.extend(names::fully_qualified_domain(&at, address));
                continue;
            }
            _ => continue,
        };
        if unreadable.is_empty() {
            if addresses::family(address) != Some(family) {
                faults.push(Error::invalid(path, *address, format!("must be an {} address", family.name())));
            }
            faults.extend(addresses::validate_endpoint(&at, address));
        }
        faults.extend(unreadable);
    }
    faults
}

fn validate_hints(path: &Path, hints: &Value) -> Vec<Error> {
    type Rule = fn(&str) -> Vec<String>;
    let lists: [(&str, Rule); 2] = [("forZones", names::label_value), ("forNodes", names::dns1123_subdomain)];
    let mut faults = Vec::new();
    for (field, rule) in lists {
        let path = path.child(field);
        let hints = list(hints, field);
        if hints.len() > MOST_HINTS {
            faults.push(Error::too_many(&path, hints.len(), MOST_HINTS));
            return faults;
        }
        let mut seen = Vec::new();
        for (i, hint) in hints.iter().enumerate() {
            let path = path.index(i).child("name");
            let name = text(hint, "name");
            if seen.contains(&name) {
                faults.push(Error::duplicate(&path, name));
            } else {
                seen.push(name);
            }
            faults.extend(Error::invalid_each(&path, name, rule(name)));
        }
    }
    faults
}
