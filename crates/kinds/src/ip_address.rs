//! IPAddress (`networking.k8s.io/v1`): an address of a Service that is taken; its name is the address.

use std::sync::LazyLock;

use k8s_openapi::api::networking::v1 as api;
use serde_json::Value;

use crate::document::{at, given, same_field, text};
use crate::field::{Error, Path, marshal};
use crate::kind::{Column, Kind, Scope, Strategy, age};
use crate::{addresses, names};

#[cfg(test)]
mod tests;

/// IPAddress.
pub static KIND: Kind = Kind {
    group: "networking.k8s.io",
    version: "v1",
    kind: "IPAddress",
    plural: "ipaddresses",
    singular: "ipaddress",
    short_names: &["ip"],
    categories: &[],
    scope: Scope::Cluster,
    subresources: &[],
    schema: "io.k8s.api.networking.v1.IPAddress",
    strategy: &IpAddress,
};

/// There is a cell for the age, but in Kubernetes no column for it.
static COLUMNS: LazyLock<Vec<Column>> =
    LazyLock::new(|| vec![Column::name(), Column::field::<api::IPAddressSpec>("ParentRef", "parentRef")]);

struct IpAddress;

impl Strategy for IpAddress {
    fn validate_name(&self, name: &str, _prefix: bool) -> Vec<String> {
        addresses::validate(&Path::new(""), name).into_iter().map(|fault| fault.detail).collect()
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let path = Path::new("spec").child("parentRef");
        match given(at(object, "spec"), "parentRef") {
            None => vec![Error::required(&path, "")],
            Some(parent) => validate_parent(parent, &path),
        }
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let mut faults = self.validate(new);
        let (spec, old_spec) = (at(new, "spec"), at(old, "spec"));
        if !same_field(spec, old_spec, "parentRef") {
            let path = Path::new("spec").child("parentRef");
            let printed = given(spec, "parentRef").map_or_else(|| "null".to_owned(), marshal_parent);
            faults.push(Error::invalid(&path, Value::Null, "field is immutable").printed_as(printed));
        }
        faults
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        let parent = given(at(object, "spec"), "parentRef").map_or_else(|| "<none>".to_owned(), print_parent);
        vec![text(at(object, "metadata"), "name").into(), parent.into(), age(object, now).into()]
    }
}

/// `services/NAMESPACE/NAME`
fn print_parent(parent: &Value) -> String {
    let resource = match text(parent, "group") {
        "" => text(parent, "resource").to_lowercase(),
        group => format!("{}.{group}", text(parent, "resource")).to_lowercase(),
    };
    match text(parent, "namespace") {
        "" => format!("{resource}/{}", text(parent, "name")),
        namespace => format!("{resource}/{namespace}/{}", text(parent, "name")),
    }
}

/// A reference as Kubernetes' own type prints it.
fn marshal_parent(parent: &Value) -> String {
    let fields = [("Group", "group"), ("Resource", "resource"), ("Namespace", "namespace"), ("Name", "name")];
    let printed = fields.map(|(name, field)| format!("\"{name}\":{}", marshal(&Value::from(text(parent, field)))));
    format!("{{{}}}", printed.join(","))
}

fn validate_parent(parent: &Value, path: &Path) -> Vec<Error> {
    let mut faults = Vec::new();
    let group = text(parent, "group");
    if !group.is_empty() {
        faults.extend(names::subdomain_field(&path.child("group"), group));
    }
    for field in ["resource", "name"] {
        let path = path.child(field);
        match text(parent, field) {
            "" => faults.push(Error::required(&path, "")),
            value => faults.extend(Error::invalid_each(&path, value, names::path_segment(value))),
        }
    }
    let namespace = text(parent, "namespace");
    if !namespace.is_empty() {
        let messages = names::path_segment(namespace);
        faults.extend(Error::invalid_each(&path.child("namespace"), namespace, messages));
    }
    faults
}
