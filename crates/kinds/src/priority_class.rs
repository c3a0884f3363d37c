//! PriorityClass (`scheduling.k8s.io/v1`): how much more some Pods matter than others.

use std::sync::LazyLock;

use k8s_openapi::api::scheduling::v1 as api;
use serde_json::{Value, json};

use crate::document::{at, flag, given, integer, set_default, text};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy, age};

#[cfg(test)]
mod tests;

/// PriorityClass.
pub static KIND: Kind = Kind {
    group: "scheduling.k8s.io",
    version: "v1",
    kind: "PriorityClass",
    plural: "priorityclasses",
    singular: "priorityclass",
    short_names: &["pc"],
    categories: &[],
    scope: Scope::Cluster,
    subresources: &[],
    schema: "io.k8s.api.scheduling.v1.PriorityClass",
    strategy: &PriorityClass,
};

/// The classes that every cluster has, with their values and what they are for.
pub const SYSTEM: [(&str, i64, &str); 2] = [
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
];
/// What the names of those begin with.
const PREFIX: &str = "system-";
/// The highest value of any other.
const HIGHEST: i64 = 1_000_000_000;

struct PriorityClass;

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let global = Column::field::<api::PriorityClass>("Global-Default", "globalDefault");
    vec![
        Column::name(),
        Column::field::<api::PriorityClass>("Value", "value").integer(),
        Column { kind: "boolean", ..global },
        Column::age(),
        Column::field::<api::PriorityClass>("PreemptionPolicy", "preemptionPolicy"),
    ]
});

impl Strategy for PriorityClass {
    fn default(&self, object: &mut Value) {
        set_default(object, "preemptionPolicy", "PreemptLowerPriority");
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let (name, value) = (text(at(object, "metadata"), "name"), integer(object, "value"));
        let mut faults = Vec::new();
        if name.starts_with(PREFIX) {
            faults.extend(system_fault(name, value, flag(object, "globalDefault")).map(|why| {
                let words = format!(
                    "priority class names with '{PREFIX}' prefix are reserved for system use only. error: {why}"
                );
                Error::forbidden(&Path::new("metadata").child("name"), words)
            }));
        } else if value > HIGHEST {
            let words = format!("maximum allowed value of a user defined priority is {HIGHEST}");
            faults.push(Error::forbidden(&Path::new("value"), words));
        }
        let path = Path::new("preemptionPolicy");
        match given(object, "preemptionPolicy").and_then(Value::as_str) {
            None | Some("PreemptLowerPriority" | "Never") => {}
            Some("") => faults.push(Error::required(&path, "")),
            Some(other) => faults.push(Error::not_supported(&path, other, &["PreemptLowerPriority", "Never"])),
        }
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let mut faults = Vec::new();
        if integer(new, "value") != integer(old, "value") {
            faults.push(Error::forbidden(&Path::new("value"), "may not be changed in an update."));
        }
        if at(new, "preemptionPolicy") != at(old, "preemptionPolicy") {
            let policy = at(new, "preemptionPolicy").clone();
            faults.push(Error::invalid(&Path::new("preemptionPolicy"), policy, "field is immutable"));
        }
        faults
    }

    fn generation_changes(&self, _new: &Value, _old: &Value) -> Option<bool> {
        Some(false)
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        vec![
            json!(text(at(object, "metadata"), "name")),
            json!(integer(object, "value")),
            json!(flag(object, "globalDefault")),
            json!(age(object, now)),
            json!(text(object, "preemptionPolicy")),
        ]
    }
}

/// Why a class with a system's name is none of the system's.
fn system_fault(name: &str, value: i64, global: bool) -> Option<String> {
    match SYSTEM.iter().find(|(known, _, _)| *known == name) {
        None => Some(format!("{name} is not a known system priority class")),
        Some((_, known, _)) if *known != value => Some(format!("value of {name} PriorityClass must be {known}")),
        Some(_) if global => Some(format!("globalDefault of {name} PriorityClass must be false")),
        Some(_) => None,
    }
}
