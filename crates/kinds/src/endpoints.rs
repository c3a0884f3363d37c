//! Endpoints (`v1`): all endpoints of a Service in one object. Deprecated; EndpointSlices say the same.
//!
//! Kubernetes 1.36 stores subsets as they are sent; earlier ones packed and sorted them.

use std::sync::LazyLock;

use k8s_openapi::api::core::v1 as api;
use serde_json::Value;

use crate::document::{at, given, integer, list, list_mut, same, set_zero_default, text, text_at};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy, age};
use crate::{addresses, names};

#[cfg(test)]
mod tests;

/// Endpoints.
pub static KIND: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Endpoints",
    plural: "endpoints",
    singular: "endpoints",
    short_names: &["ep"],
    categories: &[],
    scope: Scope::Namespaced,
    subresources: &[],
    schema: "io.k8s.api.core.v1.Endpoints",
    strategy: &Endpoints,
};

const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
/// Who wrote the object, and who is trusted to write addresses in canonical form.
const MANAGED_BY: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");
/// How many addresses a row shows.
const SHOWN: usize = 3;

static COLUMNS: LazyLock<Vec<Column>> =
    LazyLock::new(|| vec![Column::name(), Column::field::<api::Endpoints>("Endpoints", "subsets"), Column::age()]);

struct Endpoints;

impl Strategy for Endpoints {
    fn default(&self, object: &mut Value) {
        for subset in list_mut(object, "subsets") {
            for port in list_mut(subset, "ports") {
                set_zero_default(port, "protocol", "TCP");
            }
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        validate_subsets(list(object, "subsets"))
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        // What is stored was valid once, and may stay.
        if same(at(new, "subsets"), at(old, "subsets")) { Vec::new() } else { self.validate(new) }
    }

    fn deprecation(&self) -> Option<&'static str> {
        Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let (label, controller) = MANAGED_BY;
        if text_at(at(new, "metadata"), "labels", label) == Some(controller) {
            return Vec::new();
        }
        let mut warnings = Vec::new();
        for (i, subset) in list(new, "subsets").iter().enumerate() {
            for field in ["addresses", "notReadyAddresses"] {
                let path = Path::new("subsets").index(i).child(field);
                for (j, address) in list(subset, field).iter().enumerate() {
                    warnings.extend(addresses::warnings(&path.index(j).child("ip"), text(address, "ip")));
                }
            }
        }
        warnings
    }

    fn allows_create_on_update(&self) -> bool {
        true
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        vec![
            text(at(object, "metadata"), "name").into(),
            print(list(object, "subsets")).into(),
            age(object, now).into(),
        ]
    }
}

/// Every address with every port of its subset; headless ones have none.
fn print(subsets: &[Value]) -> String {
    if subsets.is_empty() {
        return "<none>".to_owned();
    }
    let mut all = Vec::new();
    for subset in subsets {
        let addresses = || list(subset, "addresses").iter().map(|address| text(address, "ip"));
        match list(subset, "ports") {
            [] => all.extend(addresses().map(str::to_owned)),
            ports => {
                for port in ports {
                    let port = integer(port, "port");
                    all.extend(
                        addresses()
                            .map(|ip| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }),
                    );
                }
            }
        }
    }
    let shown = all[..all.len().min(SHOWN)].join(",");
    if all.len() > SHOWN { format!("{shown} + {} more...", all.len() - SHOWN) } else { shown }
}

fn validate_subsets(subsets: &[Value]) -> Vec<Error> {
    let mut faults = Vec::new();
    for (i, subset) in subsets.iter().enumerate() {
        let path = Path::new("subsets").index(i);
        if list(subset, "addresses").is_empty() && list(subset, "notReadyAddresses").is_empty() {
            faults.push(Error::required(&path, "must specify `addresses` or `notReadyAddresses`"));
        }
        for field in ["addresses", "notReadyAddresses"] {
            for (j, address) in list(subset, field).iter().enumerate() {
                faults.extend(validate_address(&path.child(field).index(j), address));
            }
        }
        let ports = list(subset, "ports");
        for (j, port) in ports.iter().enumerate() {
            faults.extend(validate_port(&path.child("ports").index(j), port, ports.len() > 1));
        }
    }
    faults
}

fn validate_address(path: &Path, address: &Value) -> Vec<Error> {
    let ip = text(address, "ip");
    let mut faults = addresses::validate_legacy(&path.child("ip"), ip, &[]);
    let hostname = text(address, "hostname");
    if !hostname.is_empty() {
        faults.extend(names::label_field(&path.child("hostname"), hostname));
    }
    if let Some(node) = given(address, "nodeName").and_then(Value::as_str) {
        faults.extend(names::subdomain_field(&path.child("nodeName"), node));
    }
    faults.extend(addresses::validate_endpoint(&path.child("ip"), ip));
    faults
}

fn validate_port(path: &Path, port: &Value, name_required: bool) -> Vec<Error> {
    let name = text(port, "name");
    let mut faults = match name {
        "" if name_required => vec![Error::required(&path.child("name"), "")],
        "" => Vec::new(),
        name => names::label_field(&path.child("name"), name),
    };
    let number = integer(port, "port");
    let out_of_range = names::port_number(number);
    faults.extend(out_of_range.into_iter().map(|message| Error::invalid(&path.child("port"), number, message)));
    let protocol = text(port, "protocol");
    if protocol.is_empty() {
        faults.push(Error::required(&path.child("protocol"), ""));
    } else if !PROTOCOLS.contains(&protocol) {
        faults.push(Error::not_supported(&path.child("protocol"), protocol, PROTOCOLS));
    }
    if let Some(protocol) = given(port, "appProtocol").and_then(Value::as_str) {
        faults.extend(names::label_key_field(&path.child("appProtocol"), protocol));
    }
    faults
}
