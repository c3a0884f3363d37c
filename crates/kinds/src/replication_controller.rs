//! ReplicationController (`v1`): what ReplicaSets are since, with a selector of labels only.

use std::sync::LazyLock;

use k8s_openapi::api::core::v1::{ReplicationControllerSpec, ReplicationControllerStatus};
use serde_json::{Value, json};

use crate::document::{
    at, entries, given, given_mut, integer, object_mut, same_field, set, set_default, set_or_remove, text,
};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy, Subresource, age};
use crate::pod::template;
use crate::{labels, replicas};

#[cfg(test)]
mod tests;

/// ReplicationController.
pub static KIND: Kind = Kind {
    group: "",
    version: "v1",
    kind: "ReplicationController",
    plural: "replicationcontrollers",
    singular: "replicationcontroller",
    short_names: &["rc"],
    categories: &["all"],
    scope: Scope::Namespaced,
    subresources: &[Subresource::Status, Subresource::Scale],
    schema: "io.k8s.api.core.v1.ReplicationController",
    strategy: &ReplicationController,
};

struct ReplicationController;

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let [containers, images] = replicas::template_columns();
    vec![
        Column::name(),
        Column::field::<ReplicationControllerSpec>("Desired", "replicas").integer(),
        Column::field::<ReplicationControllerStatus>("Current", "replicas").integer(),
        Column::field::<ReplicationControllerStatus>("Ready", "readyReplicas").integer(),
        Column::age(),
        containers,
        images,
        Column::field::<ReplicationControllerSpec>("Selector", "selector").wide(),
    ]
});

impl Strategy for ReplicationController {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object_mut(object, "spec") else { return };
        set_default(spec, "replicas", 1);
        let Some(pods) = given_mut(spec, "template") else { return };
        template::default(pods);
        let of_pods = given(at(pods, "metadata"), "labels").cloned();
        let Some(of_pods) = of_pods.filter(|labels| !crate::document::is_zero(labels)) else { return };
        if entries(spec, "selector").is_empty() {
            set(spec, "selector", of_pods.clone());
        }
        if let Some(metadata) = object_mut(object, "metadata")
            && entries(metadata, "labels").is_empty()
        {
            set(metadata, "labels", of_pods);
        }
    }

    fn prepare_for_create(&self, object: &mut Value) {
        set(object, "status", json!({ "replicas": 0 }));
        replicas::drop_disabled(object);
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let (path, spec) = (Path::new("spec"), at(object, "spec"));
        let selector = entries(spec, "selector");
        let mut faults: Vec<_> = replicas::not_negative(&path, spec, "minReadySeconds").into_iter().collect();
        if selector.is_empty() {
            faults.push(Error::required(&path.child("selector"), ""));
        }
        faults.extend(replicas::not_negative(&path, spec, "replicas"));
        let path = path.child("template");
        let Some(pods) = given(spec, "template") else {
            faults.push(Error::required(&path, ""));
            return faults;
        };
        let of_pods = at(at(pods, "metadata"), "labels");
        if selector.iter().any(|(key, value)| of_pods.get(key) != Some(value)) {
            let path = path.child("metadata").child("labels");
            faults.push(Error::invalid(&path, of_pods.clone(), "`selector` does not match template `labels`"));
        }
        faults.extend(replicas::validate_pods(&path, pods, "ReplicationController"));
        faults
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        set_or_remove(new, "status", given(old, "status").cloned());
        replicas::drop_disabled(new);
    }

    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        set_or_remove(new, "spec", given(old, "spec").cloned());
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<Error> {
        let numbers = ["replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration"];
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
            json!(labels::print(spec, "selector")),
        ]
    }
}
