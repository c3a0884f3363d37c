//! Owners of fields: as Kubernetes 1.36.3 recorded them, and as its library (structured-merge-diff 6.3.3) makes them.

mod appliers;
mod recorded;
mod updaters;

use kinds::schema::{self, check};
use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-11-20T10:00:00Z";

fn kind(name: &str) -> &'static Type {
    schema::get(name).expect("the table has the type")
}

fn service(manager: &str) -> Change<'_> {
    Change { kind: kind("io.k8s.api.core.v1.Service"), manager, subresource: "", api_version: "v1", now: NOW }
}

fn config_map(manager: &str) -> Change<'_> {
    Change { kind: kind("io.k8s.api.core.v1.ConfigMap"), manager, subresource: "", api_version: "v1", now: NOW }
}

/// The document as its kind decodes it.
fn decoded(change: &Change<'_>, document: Value) -> Value {
    let checked = check(&document, change.kind);
    assert_eq!(checked.error, None);
    checked.document
}

/// `object` after an update by a manager.
fn written(change: &Change<'_>, old: Option<&Value>, document: Value) -> Value {
    let mut new = decoded(change, document);
    record_update(change, old, &mut new);
    new
}

/// Managers and what they own.
fn owners(object: &Value) -> Vec<(String, Value)> {
    let entries = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    let of = |e: &Value| {
        format!("{} {}", e["manager"].as_str().unwrap_or_default(), e["operation"].as_str().unwrap_or_default())
    };
    entries.iter().map(|e| (of(e), e["fieldsV1"].clone())).collect()
}
