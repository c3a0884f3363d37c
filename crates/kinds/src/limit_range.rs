//! LimitRange (`v1`): what containers and Pods of a namespace may ask for, and what they get that do not say.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::document::{at, given, list, list_mut, object_mut, set, text};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy};
use crate::pod::{Amounts, amounts, container_resource, resource_name};
use crate::quantity::Quantity;
use crate::{names, rules};

#[cfg(test)]
mod tests;

/// LimitRange.
pub static KIND: Kind = Kind {
    group: "",
    version: "v1",
    kind: "LimitRange",
    plural: "limitranges",
    singular: "limitrange",
    short_names: &["limits"],
    categories: &[],
    scope: Scope::Namespaced,
    subresources: &[],
    schema: "io.k8s.api.core.v1.LimitRange",
    strategy: &LimitRange,
};

struct LimitRange;

impl Strategy for LimitRange {
    fn default(&self, object: &mut Value) {
        let Some(spec) = object_mut(object, "spec") else { return };
        for limit in list_mut(spec, "limits").iter_mut().filter(|limit| text(limit, "type") == "Container") {
            fill(limit, "default", "max");
            fill(limit, "defaultRequest", "default");
            fill(limit, "defaultRequest", "min");
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let path = Path::new("spec").child("limits");
        let limits = list(at(object, "spec"), "limits");
        let mut faults = Vec::new();
        for (i, limit) in limits.iter().enumerate() {
            let (path, kind) = (path.index(i), text(limit, "type"));
            faults.extend(validate_type(&path.child("type"), kind));
            if limits[..i].iter().any(|other| text(other, "type") == kind) {
                faults.push(Error::duplicate(&path.child("type"), kind));
            }
            faults.extend(validate_limit(&path, limit));
        }
        faults
    }

    fn allows_create_on_update(&self) -> bool {
        true
    }

    fn columns(&self) -> &'static [Column] {
        &rules::NAME_AND_CREATED
    }

    fn row(&self, object: &Value, _now: i64) -> Vec<Value> {
        rules::name_and_created(object)
    }
}

/// Fills in, of one map, what another has more.
fn fill(limit: &mut Value, field: &str, from: &str) {
    let more = given(limit, from).and_then(Value::as_object).cloned().unwrap_or_default();
    let missing: Vec<_> = more.into_iter().filter(|(name, _)| at(at(limit, field), name).is_null()).collect();
    if missing.is_empty() {
        return;
    }
    if let Some(map) = object_mut(limit, field) {
        missing.into_iter().for_each(|(name, amount)| set(map, &name, amount));
    }
}

fn validate_type(path: &Path, kind: &str) -> Vec<Error> {
    let faults = names::label_key_field(path, kind);
    let standard = matches!(kind, "Pod" | "Container" | "PersistentVolumeClaim");
    if faults.is_empty() && !kind.contains('/') && !standard {
        return vec![Error::invalid(path, kind, "must be a standard limit type or fully qualified")];
    }
    faults
}

fn validate_limit(path: &Path, limit: &Value) -> Vec<Error> {
    let kind = text(limit, "type");
    let name_fault = if matches!(kind, "Pod" | "Container") { container_resource } else { resource_name };
    let of_names = |field: &str| {
        let names = amounts(limit, field).into_keys();
        names.flat_map(|name| name_fault(&path.child(field).key(&name), &name)).collect::<Vec<_>>()
    };
    let mut faults = of_names("max");
    faults.extend(of_names("min"));
    for field in ["default", "defaultRequest"] {
        if kind != "Pod" {
            faults.extend(of_names(field));
        } else if !amounts(limit, field).is_empty() {
            faults.push(Error::forbidden(&path.child(field), "may not be specified when `type` is 'Pod'"));
        }
    }
    let of_storage = |field: &str| at(limit, field).get("storage").is_some();
    if kind == "PersistentVolumeClaim" && !of_storage("min") && !of_storage("max") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        faults.push(Error::required(&path.child("limits"), detail));
    }
    faults.extend(of_names("maxLimitRequestRatio"));
    faults.extend(validate_bounds(path, limit));
    faults
}

/// The faults of amounts that contradict one another.
fn validate_bounds(path: &Path, limit: &Value) -> Vec<Error> {
    let of = |field: &str| amounts(limit, field);
    let (min, max, default, request) = (of("min"), of("max"), of("default"), of("defaultRequest"));
    let ratio = of("maxLimitRequestRatio");
    let all: BTreeSet<&String> = [&min, &max, &default, &request, &ratio].into_iter().flat_map(Amounts::keys).collect();
    let mut faults = Vec::new();
    for name in all {
        let [min, max, default, request, ratio] = [&min, &max, &default, &request, &ratio].map(|of| of.get(name));
        let mut at_most =
            |low: Option<&Quantity>, high: Option<&Quantity>, field: &str, blamed: bool, words: [&str; 2]| {
                if let (Some(low), Some(high)) = (low, high)
                    && low.nanos() > high.nanos()
                {
                    let detail = format!("{} value {low} is greater than {} value {high}", words[0], words[1]);
                    let value = if blamed { low } else { high };
                    faults.push(Error::invalid(&path.child(field).key(name), json!(value.to_string()), detail));
                }
            };
        at_most(min, max, "min", true, ["min", "max"]);
        at_most(min, request, "defaultRequest", false, ["min", "default request"]);
        at_most(request, max, "defaultRequest", true, ["default request", "max"]);
        at_most(request, default, "defaultRequest", true, ["default request", "default limit"]);
        at_most(min, default, "default", true, ["min", "default"]);
        at_most(default, max, "default", false, ["default", "max"]);
        if let Some(ratio) = ratio.filter(|ratio| ratio.nanos() < 1_000_000_000) {
            let path = path.child("maxLimitRequestRatio").key(name);
            faults.push(Error::invalid(&path, ratio.to_string(), format!("ratio {ratio} is less than 1")));
        }
    }
    faults
}
