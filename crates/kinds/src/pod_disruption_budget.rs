//! PodDisruptionBudget (`policy/v1`): how many of some Pods may be evicted at a time.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::document::{at, given, integer, same_field, set, set_or_remove, text};
use crate::field::{Error, Path, marshal};
use crate::kind::{Column, Kind, Scope, Strategy, Subresource, age};
use crate::{labels, replicas};

#[cfg(test)]
mod tests;

/// PodDisruptionBudget.
pub static KIND: Kind = Kind {
    group: "policy",
    version: "v1",
    kind: "PodDisruptionBudget",
    plural: "poddisruptionbudgets",
    singular: "poddisruptionbudget",
    short_names: &["pdb"],
    categories: &[],
    scope: Scope::Namespaced,
    subresources: &[Subresource::Status],
    schema: "io.k8s.api.policy.v1.PodDisruptionBudget",
    strategy: &PodDisruptionBudget,
};

struct PodDisruptionBudget;

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    vec![
        Column::name(),
        Column::text("Min Available", "The minimum number of pods that must be available."),
        Column::text("Max Unavailable", "The maximum number of pods that may be unavailable."),
        Column::text("Allowed Disruptions", "Calculated number of pods that may be disrupted at this time.").integer(),
        Column::age(),
    ]
});

impl Strategy for PodDisruptionBudget {
    fn prepare_for_create(&self, object: &mut Value) {
        let none = json!({ "disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0 });
        set(object, "status", none);
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        validate_spec(at(object, "spec"), false)
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        set_or_remove(new, "status", given(old, "status").cloned());
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let stored = labels::selector_has_invalid_values(at(at(old, "spec"), "selector"));
        validate_spec(at(new, "spec"), stored)
    }

    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        set_or_remove(new, "spec", given(old, "spec").cloned());
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<Error> {
        let (path, status) = (Path::new("status"), at(new, "status"));
        let numbers = ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"];
        numbers.iter().filter_map(|field| replicas::not_negative(&path, status, field)).collect()
    }

    fn allows_unconditional_update(&self) -> bool {
        false
    }

    fn generation_changes(&self, new: &Value, old: &Value) -> Option<bool> {
        Some(!same_field(new, old, "spec"))
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        let spec = at(object, "spec");
        let amount = |field: &str| match given(spec, field) {
            None => json!("N/A"),
            Some(Value::String(percent)) => json!(percent),
            Some(number) => json!(number.to_string()),
        };
        vec![
            json!(text(at(object, "metadata"), "name")),
            amount("minAvailable"),
            amount("maxUnavailable"),
            json!(integer(at(object, "status"), "disruptionsAllowed")),
            json!(age(object, now)),
        ]
    }
}

fn validate_spec(spec: &Value, stored_values: bool) -> Vec<Error> {
    let path = Path::new("spec");
    let mut faults = Vec::new();
    if given(spec, "minAvailable").is_some() && given(spec, "maxUnavailable").is_some() {
        let detail = "minAvailable and maxUnavailable cannot be both set";
        faults.push(Error::invalid(&path, Value::Null, detail).printed_as(print_spec(spec)));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        if let Some(value) = given(spec, field) {
            faults.extend(replicas::validate_amount(&path.child(field), value));
            faults.extend(replicas::validate_at_most_all(&path.child(field), value));
        }
    }
    faults.extend(labels::validate_selector(&path.child("selector"), at(spec, "selector"), stored_values));
    if let Some(policy) = given(spec, "unhealthyPodEvictionPolicy").and_then(Value::as_str)
        && !matches!(policy, "AlwaysAllow" | "IfHealthyBudget")
    {
        let path = path.child("unhealthyPodEvictionPolicy");
        faults.push(Error::not_supported(&path, policy, &["AlwaysAllow", "IfHealthyBudget"]));
    }
    faults
}

/// A spec as Kubernetes' own type prints it.
fn print_spec(spec: &Value) -> String {
    let part = |field: &str| marshal(given(spec, field).unwrap_or(&Value::Null));
    format!(
        "{{\"MinAvailable\":{},\"Selector\":{},\"MaxUnavailable\":{},\"UnhealthyPodEvictionPolicy\":{}}}",
        part("minAvailable"),
        labels::marshal_selector(given(spec, "selector")),
        part("maxUnavailable"),
        part("unhealthyPodEvictionPolicy"),
    )
}
