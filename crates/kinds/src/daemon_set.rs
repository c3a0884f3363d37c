//! DaemonSet (`apps/v1`): one Pod of a template on every node that it fits.

use std::sync::LazyLock;

use k8s_openapi::api::apps::v1::{DaemonSetSpec, DaemonSetStatus};
use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Value, json};

use crate::document::{
    at, given, integer, object_mut, same_field, set, set_default, set_or_remove, set_zero_default, text, text_at,
};
use crate::field::{Error, Path, marshal};
use crate::kind::{Column, Kind, Scope, Strategy, Subresource, age};
use crate::{labels, replicas};

#[cfg(test)]
mod tests;

/// DaemonSet.
pub static KIND: Kind = Kind {
    group: "apps",
    version: "v1",
    kind: "DaemonSet",
    plural: "daemonsets",
    singular: "daemonset",
    short_names: &["ds"],
    categories: &["all"],
    scope: Scope::Namespaced,
    subresources: &[Subresource::Status],
    schema: "io.k8s.api.apps.v1.DaemonSet",
    strategy: &DaemonSet,
};

/// Where the number of templates that there have been is shown, which is a field no more.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

struct DaemonSet;

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let [containers, images] = replicas::template_columns();
    vec![
        Column::name(),
        Column::field::<DaemonSetStatus>("Desired", "desiredNumberScheduled").integer(),
        Column::field::<DaemonSetStatus>("Current", "currentNumberScheduled").integer(),
        Column::field::<DaemonSetStatus>("Ready", "numberReady").integer(),
        Column::field::<DaemonSetStatus>("Up-to-date", "updatedNumberScheduled").integer(),
        Column::field::<DaemonSetStatus>("Available", "numberAvailable").integer(),
        Column::field::<PodSpec>("Node Selector", "nodeSelector"),
        Column::age(),
        containers,
        images,
        Column::field::<DaemonSetSpec>("Selector", "selector").wide(),
    ]
});

impl Strategy for DaemonSet {
    fn default(&self, object: &mut Value) {
        replicas::default_template(object);
        let Some(spec) = object_mut(object, "spec") else { return };
        if let Some(strategy) = object_mut(spec, "updateStrategy") {
            set_zero_default(strategy, "type", "RollingUpdate");
            if text(strategy, "type") == "RollingUpdate"
                && let Some(update) = object_mut(strategy, "rollingUpdate")
            {
                set_default(update, "maxUnavailable", 1);
                set_default(update, "maxSurge", 0);
            }
        }
        set_default(spec, "revisionHistoryLimit", 10);
    }

    fn prepare_for_create(&self, object: &mut Value) {
        set(object, "status", empty_status());
        replicas::drop_disabled(object);
        let given = template_generation(object);
        set_template_generation(object, given.max(1));
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        validate_spec(at(object, "spec"), false)
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        set_or_remove(new, "status", given(old, "status").cloned());
        replicas::drop_disabled(new);
        let changed = !same_field(at(new, "spec"), at(old, "spec"), "template");
        set_template_generation(new, template_generation(old) + i64::from(changed));
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let mut faults: Vec<_> = replicas::validate_same_selector(new, old).into_iter().collect();
        let stored = labels::selector_has_invalid_values(at(at(old, "spec"), "selector"));
        faults.extend(validate_spec(at(new, "spec"), stored));
        faults
    }

    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        set_or_remove(new, "spec", given(old, "spec").cloned());
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let numbers = [
            "currentNumberScheduled",
            "numberMisscheduled",
            "desiredNumberScheduled",
            "numberReady",
            "observedGeneration",
            "updatedNumberScheduled",
            "numberAvailable",
            "numberUnavailable",
            "collisionCount",
        ];
        let (path, status) = (Path::new("status"), at(new, "status"));
        let mut faults: Vec<_> =
            numbers.iter().filter_map(|field| replicas::not_negative(&path, status, field)).collect();
        faults.extend(replicas::validate_collisions(status, at(old, "status")));
        faults
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let changed = old.is_none_or(|old| !same_field(at(new, "spec"), at(old, "spec"), "template"));
        if changed { replicas::template_warnings(new) } else { Vec::new() }
    }

    fn generation_changes(&self, new: &Value, old: &Value) -> Option<bool> {
        Some(!same_field(new, old, "spec"))
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        let (spec, status) = (at(object, "spec"), at(object, "status"));
        let [containers, images] = replicas::template_cells(object);
        let number = |field: &str| json!(integer(status, field));
        vec![
            json!(text(at(object, "metadata"), "name")),
            number("desiredNumberScheduled"),
            number("currentNumberScheduled"),
            number("numberReady"),
            number("updatedNumberScheduled"),
            number("numberAvailable"),
            json!(labels::print(at(at(spec, "template"), "spec"), "nodeSelector")),
            json!(age(object, now)),
            containers,
            images,
            json!(labels::selector_cell(at(spec, "selector"))),
        ]
    }
}

fn empty_status() -> Value {
    json!({ "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0 })
}

fn template_generation(object: &Value) -> i64 {
    let shown = text_at(at(object, "metadata"), "annotations", TEMPLATE_GENERATION);
    shown.and_then(|shown| shown.parse().ok()).unwrap_or(0)
}

fn set_template_generation(object: &mut Value, generation: i64) {
    if let Some(annotations) = object_mut(object, "metadata").and_then(|metadata| object_mut(metadata, "annotations")) {
        set(annotations, TEMPLATE_GENERATION, generation.to_string());
    }
}

fn validate_spec(spec: &Value, stored_values: bool) -> Vec<Error> {
    let path = Path::new("spec");
    let (selector, template) = (given(spec, "selector"), at(spec, "template"));
    let of_selector = path.child("selector");
    let mut faults = Vec::new();
    if let Some(selector) = selector {
        faults.extend(labels::validate_selector(&of_selector, selector, stored_values));
    }
    let of_pods = at(at(template, "metadata"), "labels");
    let readable = selector.is_none_or(|selector| labels::print_selector(selector).is_some());
    if readable && !labels::matches(selector.unwrap_or(&Value::Null), of_pods) {
        let path = path.child("template").child("metadata").child("labels");
        faults.push(Error::invalid(&path, of_pods.clone(), "`selector` does not match template `labels`"));
    }
    if selector.is_some_and(labels::selector_is_empty) {
        let fault = Error::invalid(&of_selector, Value::Null, "empty selector is invalid for daemonset");
        faults.push(fault.printed_as(labels::marshal_selector(selector)));
    }
    faults.extend(replicas::validate_pods(&path.child("template"), template, "DaemonSet"));
    faults.extend(replicas::not_negative(&path, spec, "minReadySeconds"));
    faults.extend(validate_strategy(&path.child("updateStrategy"), at(spec, "updateStrategy")));
    faults.extend(replicas::not_negative(&path, spec, "revisionHistoryLimit"));
    faults
}

fn validate_strategy(path: &Path, strategy: &Value) -> Vec<Error> {
    match (text(strategy, "type"), given(strategy, "rollingUpdate")) {
        ("OnDelete", _) => Vec::new(),
        ("RollingUpdate", None) => vec![Error::required(&path.child("rollingUpdate"), "")],
        ("RollingUpdate", Some(update)) => validate_rolling_update(&path.child("rollingUpdate"), update),
        (other, update) => {
            let update = match update {
                None => "null".to_owned(),
                Some(update) => {
                    let part = |field: &str| marshal(given(update, field).unwrap_or(&json!(0)));
                    format!("{{\"MaxUnavailable\":{},\"MaxSurge\":{}}}", part("maxUnavailable"), part("maxSurge"))
                }
            };
            let printed = format!("{{\"Type\":{},\"RollingUpdate\":{update}}}", marshal(&json!(other)));
            vec![Error::not_supported(path, Value::Null, &["RollingUpdate", "OnDelete"]).printed_as(printed)]
        }
    }
}

fn validate_rolling_update(path: &Path, update: &Value) -> Vec<Error> {
    let fields = ["maxUnavailable", "maxSurge"];
    let mut faults = Vec::new();
    for field in fields {
        faults.extend(replicas::validate_amount(&path.child(field), at(update, field)));
    }
    for field in fields {
        faults.extend(replicas::validate_at_most_all(&path.child(field), at(update, field)));
    }
    let [unavailable, surge] = fields.map(|field| replicas::amount(at(update, field)) != 0);
    if unavailable && surge {
        let detail = "may not be set when maxUnavailable is non-zero";
        faults.push(Error::invalid(&path.child("maxSurge"), at(update, "maxSurge").clone(), detail));
    }
    if !unavailable && !surge {
        faults.push(Error::required(&path.child("maxUnavailable"), "cannot be 0 when maxSurge is 0"));
    }
    faults
}
