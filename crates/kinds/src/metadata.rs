//! What all objects have: the rules of `metadata`, in the order in which Kubernetes reports their faults.
//!
//! The API server calls [`validate`] before a kind's own validation of a new object and [`validate_update`] before
//! that of a changed one. Kubernetes checks an update's metadata twice (once for all kinds, once in the kind's own
//! validation), so that each of its faults is a cause twice.

use serde_json::Value;

use crate::Kind;
use crate::document::{at, flag, given, integer, list, text, text_entries, texts};
use crate::field::{Error, Path, marshal};
use crate::schema::quoted;
use crate::{Scope, labels, names};

#[cfg(test)]
mod tests;

/// What all annotations of an object may weigh together, in bytes.
const ANNOTATIONS_SIZE: usize = 256 * 1024;
/// The longest name of a field manager, in bytes.
const FIELD_MANAGER_LENGTH: usize = 128;
/// The longest name of a subresource in `managedFields`, in bytes.
const SUBRESOURCE_LENGTH: usize = 256;
/// The finalizers that Kubernetes itself knows; others need a domain.
const STANDARD_FINALIZERS: &[&str] = &["kubernetes", "orphan", "foregroundDeletion"];

/// The faults of a new object's metadata, whose name is generated already.
pub fn validate(kind: &Kind, object: &Value) -> Vec<Error> {
    let metadata = at(object, "metadata");
    let path = Path::new("metadata");
    let mut faults = Vec::new();
    let name_rule = |name: &str, prefix: bool| kind.strategy.validate_name(name, prefix);
    let generate_name = text(metadata, "generateName");
    if !generate_name.is_empty() {
        let messages = name_rule(generate_name, true);
        faults.extend(Error::invalid_each(&path.child("generateName"), generate_name, messages));
    }
    let name = text(metadata, "name");
    if name.is_empty() {
        faults.push(Error::required(&path.child("name"), "name or generateName is required"));
    } else {
        faults.extend(Error::invalid_each(&path.child("name"), name, name_rule(name, false)));
    }
    faults.extend(validate_namespace(kind.scope, metadata, &path));
    let generation = integer(metadata, "generation");
    if generation < 0 {
        let detail = "must be greater than or equal to 0";
        faults.push(Error::invalid(&path.child("generation"), generation, detail));
    }
    faults.extend(labels::validate(&path.child("labels"), metadata, "labels"));
    faults.extend(validate_annotations(&path.child("annotations"), metadata, "annotations"));
    faults.extend(validate_owners(&path.child("ownerReferences"), list(metadata, "ownerReferences")));
    faults.extend(validate_finalizers(&path.child("finalizers"), metadata));
    faults.extend(validate_managed_fields(&path.child("managedFields"), list(metadata, "managedFields")));
    faults.extend(validate_standard_finalizers(&path.child("finalizers"), metadata));
    faults
}

/// The faults of a changed object's metadata.
pub fn validate_update(new: &Value, old: &Value) -> Vec<Error> {
    let (new, old) = (at(new, "metadata"), at(old, "metadata"));
    let path = Path::new("metadata");
    let mut faults = Vec::new();
    if given(old, "deletionTimestamp").is_some() {
        faults.extend(validate_no_new_finalizers(&path.child("finalizers"), new, old));
    }
    if text(new, "resourceVersion").is_empty() {
        faults.push(Error::invalid(&path.child("resourceVersion"), "", "must be specified for an update"));
    }
    if integer(new, "generation") < integer(old, "generation") {
        let generation = integer(new, "generation");
        faults.push(Error::invalid(&path.child("generation"), generation, "must not be decremented"));
    }
    for field in ["name", "namespace", "uid"] {
        if text(new, field) != text(old, field) {
            faults.push(Error::invalid(&path.child(field), text(new, field), "field is immutable"));
        }
    }
    for field in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        if given(new, field) != given(old, field) {
            faults.push(Error::invalid(&path.child(field), at(new, field).clone(), "field is immutable"));
        }
    }
    faults.extend(labels::validate(&path.child("labels"), new, "labels"));
    faults.extend(validate_annotations(&path.child("annotations"), new, "annotations"));
    faults.extend(validate_owners(&path.child("ownerReferences"), list(new, "ownerReferences")));
    faults.extend(validate_managed_fields(&path.child("managedFields"), list(new, "managedFields")));
    faults.extend(validate_standard_finalizers(&path.child("finalizers"), new));
    faults
}

fn validate_namespace(scope: Scope, metadata: &Value, path: &Path) -> Vec<Error> {
    let path = path.child("namespace");
    let namespace = text(metadata, "namespace");
    match scope {
        Scope::Namespaced if namespace.is_empty() => vec![Error::required(&path, "")],
        Scope::Namespaced => names::label_field(&path, namespace),
        Scope::Cluster if namespace.is_empty() => Vec::new(),
        Scope::Cluster => vec![Error::forbidden(&path, "not allowed on this type")],
    }
}

/// The faults of annotations: keys like those of labels, in any case; any values; not too much of it all.
pub fn validate_annotations(path: &Path, object: &Value, field: &str) -> Vec<Error> {
    let annotations = text_entries(object, field);
    let mut faults = Vec::new();
    for (key, _) in &annotations {
        faults.extend(Error::invalid_each(path, key, names::label_key(&key.to_lowercase())));
    }
    if annotations.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() > ANNOTATIONS_SIZE {
        faults.push(Error::too_long(path, ANNOTATIONS_SIZE));
    }
    faults
}

fn validate_owners(path: &Path, owners: &[Value]) -> Vec<Error> {
    let mut faults = Vec::new();
    let mut controller: Option<String> = None;
    for owner in owners {
        faults.extend(validate_owner(path, owner));
        if !flag(owner, "controller") {
            continue;
        }
        let this = format!("{}/{}", text(owner, "kind"), text(owner, "name"));
        match &controller {
            None => controller = Some(this),
            Some(first) => {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {this}"
                );
                let all = owners.iter().map(marshal_owner).collect::<Vec<_>>().join(",");
                faults.push(Error::invalid(path, Value::Null, detail).printed_as(format!("[{all}]")));
            }
        }
    }
    faults
}

fn validate_owner(path: &Path, owner: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    let api_version = text(owner, "apiVersion");
    // `GROUP/VERSION` or `VERSION`; anything else is no version at all.
    let version = match api_version.matches('/').count() {
        0 => api_version,
        1 => api_version.rsplit('/').next().unwrap_or(""),
        _ => "",
    };
    if version.is_empty() {
        faults.push(Error::invalid(&path.child("apiVersion"), api_version, "version must not be empty"));
    }
    for field in ["kind", "name", "uid"] {
        if text(owner, field).is_empty() {
            faults.push(Error::invalid(&path.child(field), "", "must not be empty"));
        }
    }
    if api_version == "v1" && text(owner, "kind") == "Event" {
        let detail = "/v1, Kind=Event is disallowed from being an owner";
        faults.push(Error::invalid(path, Value::Null, detail).printed_as(marshal_owner(owner)));
    }
    faults
}

/// An owner reference in the order of its type's fields.
fn marshal_owner(owner: &Value) -> String {
    let mut parts: Vec<_> = ["apiVersion", "kind", "name", "uid"]
        .into_iter()
        .map(|field| format!("\"{field}\":{}", marshal(&Value::from(text(owner, field)))))
        .collect();
    for field in ["controller", "blockOwnerDeletion"] {
        if let Some(value) = given(owner, field) {
            parts.push(format!("\"{field}\":{}", marshal(value)));
        }
    }
    format!("{{{}}}", parts.join(","))
}

fn validate_finalizers(path: &Path, metadata: &Value) -> Vec<Error> {
    let finalizers = texts(metadata, "finalizers");
    let mut faults: Vec<_> = finalizers.iter().flat_map(|finalizer| names::label_key_field(path, finalizer)).collect();
    if finalizers.contains(&"orphan") && finalizers.contains(&"foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        faults.push(Error::invalid(path, at(metadata, "finalizers").clone(), detail));
    }
    faults
}

fn validate_standard_finalizers(path: &Path, metadata: &Value) -> Vec<Error> {
    let finalizers = texts(metadata, "finalizers");
    finalizers
        .iter()
        .enumerate()
        .flat_map(|(i, finalizer)| validate_standard_finalizer(&path.index(i), finalizer))
        .collect()
}

/// The fault of a finalizer without a domain that Kubernetes does not know.
pub(crate) fn validate_standard_finalizer(path: &Path, finalizer: &str) -> Option<Error> {
    if finalizer.contains('/') || STANDARD_FINALIZERS.contains(&finalizer) {
        return None;
    }
    Some(Error::invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified"))
}

fn validate_no_new_finalizers(path: &Path, new: &Value, old: &Value) -> Option<Error> {
    let stored = texts(old, "finalizers");
    let mut extra: Vec<_> = texts(new, "finalizers").into_iter().filter(|f| !stored.contains(f)).collect();
    extra.sort_unstable();
    extra.dedup();
    if extra.is_empty() {
        return None;
    }
    let printed = extra.into_iter().map(quoted).collect::<Vec<_>>().join(", ");
    Some(Error::forbidden(
        path,
        format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{printed}}}"
        ),
    ))
}

fn validate_managed_fields(path: &Path, managers: &[Value]) -> Vec<Error> {
    let mut faults = Vec::new();
    for (i, manager) in managers.iter().enumerate() {
        let path = path.index(i);
        let operation = text(manager, "operation");
        if operation != "Apply" && operation != "Update" {
            faults.push(Error::invalid(&path.child("operation"), operation, "must be `Apply` or `Update`"));
        }
        let fields_type = text(manager, "fieldsType");
        if !fields_type.is_empty() && fields_type != "FieldsV1" {
            faults.push(Error::invalid(&path.child("fieldsType"), fields_type, "must be `FieldsV1`"));
        }
        faults.extend(validate_field_manager(&path.child("manager"), text(manager, "manager")));
        if text(manager, "subresource").len() > SUBRESOURCE_LENGTH {
            faults.push(Error::too_long(&path.child("subresource"), SUBRESOURCE_LENGTH));
        }
    }
    faults
}

/// The faults of the name of a field manager, also where a request gives it.
pub fn validate_field_manager(path: &Path, manager: &str) -> Vec<Error> {
    let mut faults = Vec::new();
    if manager.len() > FIELD_MANAGER_LENGTH {
        faults.push(Error::too_long(path, FIELD_MANAGER_LENGTH));
    }
    for (at, c) in manager.char_indices().filter(|(_, c)| c.is_control()) {
        let detail = format!("invalid character U+{:04X} (at position {at})", c as u32);
        faults.push(Error::invalid(path, manager, detail));
    }
    faults
}
