//! Namespace (`v1`): where names are one's own.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::document::{at, given, list, object_mut, set, set_or_remove, set_zero_default, text, texts};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy, Subresource, age};
use crate::{metadata, names};

#[cfg(test)]
mod tests;

/// Namespace.
pub static KIND: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Namespace",
    plural: "namespaces",
    singular: "namespace",
    short_names: &["ns"],
    categories: &[],
    scope: Scope::Cluster,
    subresources: &[Subresource::Status],
    schema: "io.k8s.api.core.v1.Namespace",
    strategy: &Namespace,
};

/// What holds a namespace until all in it is gone.
const FINALIZER: &str = "kubernetes";
/// The label that says a namespace's name, so that selectors can.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

static COLUMNS: LazyLock<Vec<Column>> =
    LazyLock::new(|| vec![Column::name(), Column::text("Status", "The status of the namespace"), Column::age()]);

struct Namespace;

impl Strategy for Namespace {
    fn default(&self, object: &mut Value) {
        label_with_name(object);
        if let Some(status) = object_mut(object, "status") {
            set_zero_default(status, "phase", "Active");
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        set(object, "status", json!({"phase": "Active"}));
        if let Some(spec) = object_mut(object, "spec")
            && !texts(spec, "finalizers").contains(&FINALIZER)
        {
            let mut finalizers = list(spec, "finalizers").to_vec();
            finalizers.push(FINALIZER.into());
            set(spec, "finalizers", finalizers);
        }
    }

    fn validate_name(&self, name: &str, prefix: bool) -> Vec<String> {
        if prefix { names::dns1123_label(&names::without_trailing_dash(name)) } else { names::dns1123_label(name) }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        validate_finalizers(object, |path, _| path.clone())
    }

    fn canonicalize(&self, object: &mut Value) {
        label_with_name(object);
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        if let Some(spec) = object_mut(new, "spec") {
            set_or_remove(spec, "finalizers", given(at(old, "spec"), "finalizers").cloned());
        }
        set_or_remove(new, "status", given(old, "status").cloned());
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<Error> {
        let phase = text(at(new, "status"), "phase");
        let (wanted, when) = match given(at(new, "metadata"), "deletionTimestamp") {
            None => ("Active", "empty"),
            Some(_) => ("Terminating", "not empty"),
        };
        if phase == wanted {
            return Vec::new();
        }
        let detail = format!("may only be '{wanted}' if `deletionTimestamp` is {when}");
        // The capital letter is Kubernetes'.
        vec![Error::invalid(&Path::new("status").child("Phase"), phase, detail)]
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }

    fn fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("status.phase", text(at(object, "status"), "phase").to_owned())]
    }

    fn field_names(&self) -> &'static [&'static str] {
        &["status.phase"]
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        vec![
            text(at(object, "metadata"), "name").into(),
            text(at(object, "status"), "phase").into(),
            age(object, now).into(),
        ]
    }
}

/// What an update of `/finalize`, which alone changes `spec.finalizers`, may not change is put back.
pub fn prepare_for_finalize(new: &mut Value, old: &Value) {
    set_or_remove(new, "status", given(old, "status").cloned());
}

/// All faults of an update of `/finalize`.
pub fn validate_finalize(new: &Value) -> Vec<Error> {
    validate_finalizers(new, Path::index)
}

fn label_with_name(object: &mut Value) {
    let name = text(at(object, "metadata"), "name").to_owned();
    if name.is_empty() {
        return;
    }
    if let Some(labels) = object_mut(object, "metadata").and_then(|metadata| object_mut(metadata, "labels")) {
        set(labels, NAME_LABEL, name);
    }
}

fn validate_finalizers(object: &Value, place: fn(&Path, usize) -> Path) -> Vec<Error> {
    let path = Path::new("spec").child("finalizers");
    let mut faults = Vec::new();
    for (i, finalizer) in texts(at(object, "spec"), "finalizers").into_iter().enumerate() {
        let path = place(&path, i);
        faults.extend(names::label_key_field(&path, finalizer));
        faults.extend(metadata::validate_standard_finalizer(&path, finalizer));
    }
    faults
}
