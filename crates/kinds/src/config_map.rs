//! ConfigMap (`v1`): texts and bytes by key, for Pods to read.

use std::sync::LazyLock;

use k8s_openapi::api::core::v1 as api;
use serde_json::Value;

use crate::document::{at, entries, flag, same_field, text};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy, age};
use crate::names;

#[cfg(test)]
mod tests;

/// ConfigMap.
pub static KIND: Kind = Kind {
    group: "",
    version: "v1",
    kind: "ConfigMap",
    plural: "configmaps",
    singular: "configmap",
    short_names: &["cm"],
    categories: &[],
    scope: Scope::Namespaced,
    subresources: &[],
    schema: "io.k8s.api.core.v1.ConfigMap",
    strategy: &ConfigMap,
};

/// What all data of a ConfigMap or a Secret may weigh together, in bytes.
pub(crate) const LARGEST: usize = 1024 * 1024;
pub(crate) const IMMUTABLE: &str = "field is immutable when `immutable` is set";

static COLUMNS: LazyLock<Vec<Column>> =
    LazyLock::new(|| vec![Column::name(), Column::field::<api::ConfigMap>("Data", "data"), Column::age()]);

struct ConfigMap;

impl Strategy for ConfigMap {
    fn validate(&self, object: &Value) -> Vec<Error> {
        let (data, binary) = (entries(object, "data"), entries(object, "binaryData"));
        let mut faults = Vec::new();
        let mut size = 0;
        for (key, value) in data {
            let path = Path::new("data").key(key);
            faults.extend(Error::invalid_each(&path, key, names::config_key(key)));
            if binary.iter().any(|(other, _)| *other == key) {
                faults.push(Error::invalid(&path, key, "duplicate of key present in binaryData"));
            }
            size += value.as_str().unwrap_or("").len();
        }
        for (key, value) in binary {
            faults.extend(Error::invalid_each(&Path::new("binaryData").key(key), key, names::config_key(key)));
            size += decoded_length(value.as_str().unwrap_or(""));
        }
        if size > LARGEST {
            // How Kubernetes prints the path of the object itself.
            faults.push(Error::too_long(&Path::new("[]"), LARGEST));
        }
        faults
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let mut faults = Vec::new();
        if flag(old, "immutable") {
            if !flag(new, "immutable") {
                faults.push(Error::forbidden(&Path::new("immutable"), IMMUTABLE));
            }
            for field in ["data", "binaryData"] {
                if !same_field(new, old, field) {
                    faults.push(Error::forbidden(&Path::new(field), IMMUTABLE));
                }
            }
        }
        faults.extend(self.validate(new));
        faults
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        let count = entries(object, "data").len() + entries(object, "binaryData").len();
        vec![text(at(object, "metadata"), "name").into(), count.into(), age(object, now).into()]
    }
}

/// How many bytes a text of base64 holds.
pub(crate) fn decoded_length(base64: &str) -> usize {
    let padding = base64.bytes().rev().take_while(|b| *b == b'=').count();
    (base64.len() / 4 * 3).saturating_sub(padding)
}
