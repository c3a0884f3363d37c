//! Pod (`v1`): containers that live and die together, with one address.
//!
//! What is in a Pod's spec is also in the template of a ReplicaSet and a Deployment: `template` offers it to them.
//! In reading order: `defaults`, `admission` and `account` (what Kubernetes' default plugins add), the parts of the
//! validation (`validation` calls `containers`, `environment`, `probes`, `volumes`, `mounts`, `scheduling`,
//! `security`), `update`, which shows changes with `printed`, `status`, `warnings` and `table`.

mod account;
mod admission;
mod containers;
mod defaults;
mod environment;
mod image;
mod limits;
mod mounts;
mod paths;
mod printed;
mod probes;
mod references;
mod scheduling;
mod security;
mod status;
mod table;
pub(crate) mod template;
mod totals;
mod update;
mod validation;
mod volumes;
mod warnings;

#[cfg(test)]
mod tests;

use serde_json::Value;

pub use account::use_account;
pub use admission::{Classes, use_classes};
pub(crate) use containers::{container_resource, resource_name};
pub use limits::{broken_limits, fill_in_limits};
pub use references::{References, references};
pub(crate) use scheduling::validate_tolerations;
pub(crate) use status::quality_of_service;
pub use totals::{Amounts, amounts, totals};
pub(crate) use warnings::deprecation as deprecated_node_label;

use crate::document::{at, flag, given, given_mut, list, object_mut, remove, same_field, set, set_or_remove, text};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy, Subresource};
use crate::names;

/// Pod.
pub static KIND: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Pod",
    plural: "pods",
    singular: "pod",
    short_names: &["po"],
    categories: &["all"],
    scope: Scope::Namespaced,
    subresources: &[Subresource::Status],
    schema: "io.k8s.api.core.v1.Pod",
    strategy: &Pod,
};

struct Pod;

impl Strategy for Pod {
    fn default(&self, object: &mut Value) {
        defaults::of_pod(object);
    }

    fn admit(&self, object: &mut Value) -> Result<(), String> {
        if let Some(spec) = object_mut(object, "spec") {
            admission::admit(spec);
        }
        Ok(())
    }

    fn prepare_for_create(&self, object: &mut Value) {
        let status = status::of_new_pod(object);
        set(object, "status", status);
        let labels = at(at(object, "metadata"), "labels").clone();
        if let Some(spec) = given_mut(object, "spec") {
            defaults::drop_disabled(spec);
            scheduling::apply_label_keys(spec, &labels);
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut faults = validation::validate(object);
        let spec = at(object, "spec");
        let path = Path::new("spec");
        if !list(spec, "ephemeralContainers").is_empty() {
            faults.push(Error::forbidden(&path.child("ephemeralContainers"), "cannot be set on create"));
        }
        if !text(spec, "nodeName").is_empty() && !list(spec, "schedulingGates").is_empty() {
            let detail = "cannot be set until all schedulingGates have been cleared";
            faults.push(Error::forbidden(&path.child("nodeName"), detail));
        }
        faults
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        set_or_remove(new, "status", given(old, "status").cloned());
        if let Some(spec) = given_mut(new, "spec") {
            defaults::drop_disabled(spec);
            admission::keep(spec, at(old, "spec"));
        }
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        update::validate(new, old)
    }

    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        set_or_remove(new, "spec", given(old, "spec").cloned());
        if let Some(metadata) = object_mut(new, "metadata") {
            remove(metadata, "deletionTimestamp");
            let owners = given(at(old, "metadata"), "ownerReferences").cloned();
            set_or_remove(metadata, "ownerReferences", owners);
            // Kubernetes puts it back when it stores the object: a deletion is not taken back.
            set_or_remove(metadata, "deletionTimestamp", given(at(old, "metadata"), "deletionTimestamp").cloned());
        }
        status::keep_generations(new, old);
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        status::validate(new, old)
    }

    fn status_warnings(&self, new: &Value, _old: &Value) -> Vec<String> {
        status::warnings(new)
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        // Of changes nobody is warned: those who change Pods are programs.
        if old.is_some() {
            return Vec::new();
        }
        let mut warnings = Vec::new();
        warnings.extend(name_warning(new, "the Pod's hostname"));
        warnings.extend(warnings::of_spec(&Path::new(""), at(new, "metadata"), at(new, "spec")));
        warnings
    }

    fn generation_changes(&self, new: &Value, old: &Value) -> Option<bool> {
        Some(!same_field(new, old, "spec"))
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }

    fn fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        let (spec, status) = (at(object, "spec"), at(object, "status"));
        let ip = list(status, "podIPs").first().map_or("", |ip| text(ip, "ip"));
        vec![
            ("spec.nodeName", text(spec, "nodeName").to_owned()),
            ("spec.restartPolicy", text(spec, "restartPolicy").to_owned()),
            ("spec.schedulerName", text(spec, "schedulerName").to_owned()),
            ("spec.serviceAccountName", text(spec, "serviceAccountName").to_owned()),
            ("spec.hostNetwork", flag(spec, "hostNetwork").to_string()),
            ("status.phase", text(status, "phase").to_owned()),
            ("status.podIP", ip.to_owned()),
            ("status.nominatedNodeName", text(status, "nominatedNodeName").to_owned()),
        ]
    }

    fn field_names(&self) -> &'static [&'static str] {
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ]
    }

    fn columns(&self) -> &'static [Column] {
        &table::COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        table::row(object, now)
    }

    fn row_conditions(&self, object: &Value) -> Vec<Value> {
        table::row_conditions(object)
    }
}

/// Names that are no DNS labels make odd host names.
pub(crate) fn name_warning(object: &Value, of_what: &str) -> Option<String> {
    let messages = names::dns1123_label(text(at(object, "metadata"), "name"));
    (!messages.is_empty()).then(|| {
        let messages = messages.join(" ");
        format!(
            "metadata.name: this is used in {of_what}, which can result in surprising behavior; a DNS label is recommended: [{messages}]"
        )
    })
}

const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];

/// Whether a container of `initContainers` keeps running beside the others.
fn is_sidecar(container: &Value) -> bool {
    text(container, "restartPolicy") == "Always"
}

/// All containers with their paths, in the order in which Kubernetes visits them.
fn all_containers<'a>(spec: &'a Value, path: &Path) -> Vec<(&'a Value, Path)> {
    let mut all = Vec::new();
    for field in ["initContainers", "containers", "ephemeralContainers"] {
        let path = path.child(field);
        all.extend(list(spec, field).iter().enumerate().map(|(i, container)| (container, path.index(i))));
    }
    all
}

/// What must be one of several values, and may not be absent.
fn one_of(path: &Path, value: &str, supported: &[&str]) -> Option<Error> {
    if value.is_empty() {
        return Some(Error::required(path, ""));
    }
    (!supported.contains(&value)).then(|| Error::not_supported(path, value, supported))
}

/// What may not be below zero.
pub(crate) fn not_negative(path: &Path, value: i64) -> Option<Error> {
    (value < 0).then(|| Error::invalid(path, value, "must be greater than or equal to 0"))
}
