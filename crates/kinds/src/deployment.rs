//! Deployment (`apps/v1`): Pods of one template, replaced step by step when the template changes.

use std::sync::LazyLock;

use k8s_openapi::api::apps::v1::{DeploymentSpec, DeploymentStatus};
use serde_json::{Value, json};

use crate::document::{
    at, given, integer, object_mut, same_field, set, set_default, set_or_remove, set_zero_default, text,
};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy, Subresource, age};
use crate::{labels, replicas};

#[cfg(test)]
mod tests;

/// Deployment.
pub static KIND: Kind = Kind {
    group: "apps",
    version: "v1",
    kind: "Deployment",
    plural: "deployments",
    singular: "deployment",
    short_names: &["deploy"],
    categories: &["all"],
    scope: Scope::Namespaced,
    subresources: &[Subresource::Status, Subresource::Scale],
    schema: "io.k8s.api.apps.v1.Deployment",
    strategy: &Deployment,
};

/// How much of a Deployment is replaced at a time.
const STEP: &str = "25%";

struct Deployment;

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let [containers, images] = replicas::template_columns();
    vec![
        Column::name(),
        Column::text("Ready", "Number of the pod with ready state"),
        Column::field::<DeploymentStatus>("Up-to-date", "updatedReplicas"),
        Column::field::<DeploymentStatus>("Available", "availableReplicas"),
        Column::age(),
        containers,
        images,
        Column::field::<DeploymentSpec>("Selector", "selector").wide(),
    ]
});

impl Strategy for Deployment {
    fn default(&self, object: &mut Value) {
        replicas::default(object);
        let Some(spec) = object_mut(object, "spec") else { return };
        if let Some(strategy) = object_mut(spec, "strategy") {
            set_zero_default(strategy, "type", "RollingUpdate");
            if text(strategy, "type") == "RollingUpdate"
                && let Some(update) = object_mut(strategy, "rollingUpdate")
            {
                set_default(update, "maxUnavailable", STEP);
                set_default(update, "maxSurge", STEP);
            }
        }
        set_default(spec, "revisionHistoryLimit", 10);
        set_default(spec, "progressDeadlineSeconds", 600);
    }

    fn prepare_for_create(&self, object: &mut Value) {
        set(object, "status", json!({}));
        replicas::drop_disabled(object);
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        validate_spec(at(object, "spec"))
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
        if let Some(metadata) = object_mut(new, "metadata") {
            set_or_remove(metadata, "labels", given(at(old, "metadata"), "labels").cloned());
        }
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let status = at(new, "status");
        let numbers = [
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "unavailableReplicas",
            "terminatingReplicas",
            "collisionCount",
        ];
        let parts = ["updatedReplicas", "readyReplicas", "availableReplicas"];
        let mut faults = replicas::validate_status(status, &numbers, &parts);
        faults.extend(replicas::validate_collisions(status, at(old, "status")));
        faults
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        replicas::warnings(new, old.and_then(|old| self.generation_changes(new, old)))
    }

    fn generation_changes(&self, new: &Value, old: &Value) -> Option<bool> {
        // Annotations are copied to the ReplicaSets.
        let is_same =
            same_field(new, old, "spec") && same_field(at(new, "metadata"), at(old, "metadata"), "annotations");
        Some(!is_same)
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        let (spec, status) = (at(object, "spec"), at(object, "status"));
        let selector = match labels::print_selector(at(spec, "selector")) {
            Some(printed) => printed,
            None => "<invalid>".to_owned(),
        };
        let [containers, images] = replicas::template_cells(object);
        vec![
            json!(text(at(object, "metadata"), "name")),
            json!(format!("{}/{}", integer(status, "readyReplicas"), integer(spec, "replicas"))),
            json!(integer(status, "updatedReplicas")),
            json!(integer(status, "availableReplicas")),
            json!(age(object, now)),
            containers,
            images,
            json!(selector),
        ]
    }
}

fn validate_spec(spec: &Value) -> Vec<Error> {
    let path = Path::new("spec");
    let mut faults: Vec<_> = replicas::not_negative(&path, spec, "replicas").into_iter().collect();
    faults.extend(replicas::validate_template(&path, spec));
    faults.extend(validate_strategy(&path.child("strategy"), at(spec, "strategy")));
    for field in ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"] {
        faults.extend(replicas::not_negative(&path, spec, field));
    }
    if let Some(deadline) = given(spec, "progressDeadlineSeconds").and_then(Value::as_i64)
        && deadline <= integer(spec, "minReadySeconds")
    {
        let path = path.child("progressDeadlineSeconds");
        faults.push(Error::invalid(&path, deadline, "must be greater than minReadySeconds"));
    }
    faults
}

fn validate_strategy(path: &Path, strategy: &Value) -> Vec<Error> {
    let update = given(strategy, "rollingUpdate");
    let of_update = path.child("rollingUpdate");
    match (text(strategy, "type"), update) {
        ("Recreate", None) => Vec::new(),
        ("Recreate", Some(_)) => {
            vec![Error::forbidden(&of_update, "may not be specified when strategy `type` is 'Recreate'")]
        }
        ("RollingUpdate", None) => vec![Error::required(&of_update, "this should be defaulted and never be nil")],
        ("RollingUpdate", Some(update)) => validate_rolling_update(&of_update, update),
        _ => {
            let fault = Error::not_supported(path, Value::Null, &["Recreate", "RollingUpdate"]);
            vec![fault.printed_as(marshal_strategy(strategy))]
        }
    }
}

fn validate_rolling_update(path: &Path, update: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    for field in ["maxUnavailable", "maxSurge"] {
        faults.extend(replicas::validate_amount(&path.child(field), at(update, field)));
    }
    let unavailable = at(update, "maxUnavailable");
    let path = path.child("maxUnavailable");
    if replicas::amount(unavailable) == 0 && replicas::amount(at(update, "maxSurge")) == 0 {
        faults.push(Error::invalid(&path, unavailable.clone(), "may not be 0 when `maxSurge` is 0"));
    }
    faults.extend(replicas::validate_at_most_all(&path, unavailable));
    faults
}

/// A strategy as Kubernetes' own type prints it.
fn marshal_strategy(strategy: &Value) -> String {
    let print = |value: &Value| crate::field::marshal(value);
    let update = match given(strategy, "rollingUpdate") {
        None => "null".to_owned(),
        Some(update) => {
            let number = |field: &str| print(given(update, field).unwrap_or(&json!(0)));
            format!("{{\"MaxUnavailable\":{},\"MaxSurge\":{}}}", number("maxUnavailable"), number("maxSurge"))
        }
    };
    format!("{{\"Type\":{},\"RollingUpdate\":{update}}}", print(&json!(text(strategy, "type"))))
}
