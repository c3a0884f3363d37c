//! ReplicaSet (`apps/v1`): as many Pods of one template as are asked for.

use std::sync::LazyLock;

use k8s_openapi::api::apps::v1::{ReplicaSetSpec, ReplicaSetStatus};
use serde_json::{Value, json};

use crate::document::{at, given, integer, same_field, set, set_or_remove, text};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy, Subresource, age};
use crate::{labels, replicas};

#[cfg(test)]
mod tests;

/// ReplicaSet.
pub static KIND: Kind = Kind {
    group: "apps",
    version: "v1",
    kind: "ReplicaSet",
    plural: "replicasets",
    singular: "replicaset",
    short_names: &["rs"],
    categories: &["all"],
    scope: Scope::Namespaced,
    subresources: &[Subresource::Status, Subresource::Scale],
    schema: "io.k8s.api.apps.v1.ReplicaSet",
    strategy: &ReplicaSet,
};

struct ReplicaSet;

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let [containers, images] = replicas::template_columns();
    vec![
        Column::name(),
        Column::field::<ReplicaSetSpec>("Desired", "replicas").integer(),
        Column::field::<ReplicaSetStatus>("Current", "replicas").integer(),
        Column::field::<ReplicaSetStatus>("Ready", "readyReplicas").integer(),
        Column::age(),
        containers,
        images,
        Column::field::<ReplicaSetSpec>("Selector", "selector").wide(),
    ]
});

impl Strategy for ReplicaSet {
    fn default(&self, object: &mut Value) {
        replicas::default(object);
    }

    fn prepare_for_create(&self, object: &mut Value) {
        set(object, "status", json!({"replicas": 0}));
        replicas::drop_disabled(object);
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let spec = at(object, "spec");
        let path = Path::new("spec");
        let mut faults = Vec::new();
        for field in ["replicas", "minReadySeconds"] {
            faults.extend(replicas::not_negative(&path, spec, field));
        }
        faults.extend(replicas::validate_template(&path, spec));
        faults
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        set_or_remove(new, "status", given(old, "status").cloned());
        replicas::drop_disabled(new);
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let mut faults = self.validate(new);
        faults.extend(replicas::validate_same_selector(new, old));
        faults
    }

    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        set_or_remove(new, "spec", given(old, "spec").cloned());
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<Error> {
        let numbers = [
            "replicas",
            "fullyLabeledReplicas",
            "readyReplicas",
            "availableReplicas",
            "observedGeneration",
            "terminatingReplicas",
        ];
        let parts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
        replicas::validate_status(at(new, "status"), &numbers, &parts)
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        replicas::warnings(new, old.and_then(|old| self.generation_changes(new, old)))
    }

    fn generation_changes(&self, new: &Value, old: &Value) -> Option<bool> {
        Some(!same_field(new, old, "spec"))
    }

    fn fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("status.replicas", integer(at(object, "status"), "replicas").to_string())]
    }

    fn field_names(&self) -> &'static [&'static str] {
        &["status.replicas"]
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        let (spec, status) = (at(object, "spec"), at(object, "status"));
        let [containers, images] = replicas::template_cells(object);
        vec![
            json!(text(at(object, "metadata"), "name")),
            json!(integer(spec, "replicas")),
            json!(integer(status, "replicas")),
            json!(integer(status, "readyReplicas")),
            json!(age(object, now)),
            containers,
            images,
            json!(labels::selector_cell(at(spec, "selector"))),
        ]
    }
}
