//! What Deployments and ReplicaSets share: a selector, a template of Pods and a number of them.

use serde_json::{Value, json};

use crate::document::{at, given, given_mut, integer, list, object_mut, same_field, set_default, text};
use crate::field::{Error, Path};
use crate::kind::Column;
use crate::pod::{self, template};
use crate::{labels, names};

/// Fills in the defaults of the number and the template.
pub(crate) fn default(object: &mut Value) {
    if let Some(spec) = object_mut(object, "spec") {
        set_default(spec, "replicas", 1);
    }
    default_template(object);
}

/// Fills in the defaults of the template.
pub(crate) fn default_template(object: &mut Value) {
    let Some(spec) = object_mut(object, "spec") else { return };
    if let Some(template) = object_mut(spec, "template") {
        template::default(template);
    }
}

/// Removes the fields of the template that are not served.
pub(crate) fn drop_disabled(object: &mut Value) {
    if let Some(template) = given_mut(object, "spec").and_then(|spec| given_mut(spec, "template")) {
        template::drop_disabled(template);
    }
}

/// The fault of a number that is below zero.
pub(crate) fn not_negative(path: &Path, object: &Value, field: &str) -> Option<Error> {
    pod::not_negative(&path.child(field), integer(object, field))
}

/// The faults of the selector and of the template, which it must match.
pub(crate) fn validate_template(path: &Path, spec: &Value) -> Vec<Error> {
    let of_selector = path.child("selector");
    let selector = given(spec, "selector");
    let print = || labels::marshal_selector(selector);
    let mut faults = Vec::new();
    match selector {
        None => faults.push(Error::required(&of_selector, "")),
        Some(selector) => {
            faults.extend(labels::validate_selector(&of_selector, selector, false));
            if labels::selector_is_empty(selector) {
                let detail = "empty selector is invalid for deployment";
                faults.push(Error::invalid(&of_selector, Value::Null, detail).printed_as(print()));
            }
        }
    }
    if selector.is_some_and(|selector| labels::print_selector(selector).is_none()) {
        faults.push(Error::invalid(&of_selector, Value::Null, "invalid label selector").printed_as(print()));
        return faults;
    }
    let path = path.child("template");
    let template = at(spec, "template");
    let of_pods = at(at(template, "metadata"), "labels");
    if !labels::matches(selector.unwrap_or(&Value::Null), of_pods) {
        let path = path.child("metadata").child("labels");
        faults.push(Error::invalid(&path, of_pods.clone(), "`selector` does not match template `labels`"));
    }
    faults.extend(validate_pods(&path, template, "ReplicaSet"));
    faults
}

/// The faults of a template of Pods that are to run for ever; `of` is the kind that makes them.
pub(crate) fn validate_pods(path: &Path, template: &Value, of: &str) -> Vec<Error> {
    let mut faults = template::validate(path, template);
    let (path, spec) = (path.child("spec"), at(template, "spec"));
    if text(spec, "restartPolicy") != "Always" {
        let policy = text(spec, "restartPolicy");
        faults.push(Error::not_supported(&path.child("restartPolicy"), policy, &["Always"]));
    }
    if given(spec, "activeDeadlineSeconds").is_some() {
        let detail = format!("activeDeadlineSeconds in {of} is not Supported");
        faults.push(Error::forbidden(&path.child("activeDeadlineSeconds"), detail));
    }
    faults
}

/// The faults of a number of Pods, or of percents of them.
pub(crate) fn validate_amount(path: &Path, value: &Value) -> Vec<Error> {
    match value.as_str() {
        Some(text) => Error::invalid_each(path, text, names::percent(text)),
        None => pod::not_negative(path, value.as_i64().unwrap_or(0)).into_iter().collect(),
    }
}

/// The fault of more than all.
pub(crate) fn validate_at_most_all(path: &Path, value: &Value) -> Option<Error> {
    let is_percent = value.as_str().is_some_and(|text| names::percent(text).is_empty());
    let too_many = is_percent && amount(value) > 100;
    too_many.then(|| Error::invalid(path, value.clone(), "must not be greater than 100%"))
}

/// The number, whether it is one of Pods or of percents.
pub(crate) fn amount(value: &Value) -> i64 {
    match value {
        Value::String(text) => text.strip_suffix('%').unwrap_or(text).parse().unwrap_or(0),
        other => other.as_i64().unwrap_or(0),
    }
}

/// The fault of a status whose collisions become fewer.
pub(crate) fn validate_collisions(status: &Value, old: &Value) -> Option<Error> {
    let collisions = integer(status, "collisionCount");
    let counted = given(old, "collisionCount").and_then(Value::as_i64);
    let path = Path::new("status").child("collisionCount");
    let fewer = counted.is_some_and(|counted| collisions < counted);
    fewer.then(|| Error::invalid(&path, collisions, "cannot be decremented"))
}

/// What the author of the template in a spec is warned of.
pub(crate) fn template_warnings(object: &Value) -> Vec<String> {
    let path = Path::new("spec").child("template");
    template::warnings(&path, at(at(object, "spec"), "template"))
}

/// The fault of a selector that is not what it was: the Pods of before would be nobody's.
pub(crate) fn validate_same_selector(new: &Value, old: &Value) -> Option<Error> {
    let (spec, old_spec) = (at(new, "spec"), at(old, "spec"));
    if same_field(spec, old_spec, "selector") {
        return None;
    }
    let fault = Error::invalid(&Path::new("spec").child("selector"), Value::Null, "field is immutable");
    Some(fault.printed_as(labels::marshal_selector(given(spec, "selector"))))
}

/// The faults of a status: no number below zero, no part (`parts`) greater than the whole.
pub(crate) fn validate_status(status: &Value, numbers: &[&str], parts: &[&str]) -> Vec<Error> {
    let path = Path::new("status");
    let mut faults: Vec<_> = numbers.iter().filter_map(|field| not_negative(&path, status, field)).collect();
    let mut at_most = |field: &str, whole: &str, named: &str| {
        let value = integer(status, field);
        if value > integer(status, whole) {
            faults.push(Error::invalid(&path.child(field), value, format!("cannot be greater than {named}")));
        }
    };
    for part in parts {
        at_most(part, "replicas", "status.replicas");
    }
    at_most("availableReplicas", "readyReplicas", "readyReplicas");
    faults
}

/// What the author of a new object is warned of, or of one whose changes count.
pub(crate) fn warnings(new: &Value, changed: Option<bool>) -> Vec<String> {
    let mut warnings = Vec::new();
    if changed.is_none() {
        warnings.extend(pod::name_warning(new, "Pod names and hostnames"));
    }
    if changed != Some(false) {
        warnings.extend(template_warnings(new));
    }
    warnings
}

/// The columns that show the template.
pub(crate) fn template_columns() -> [Column; 2] {
    [
        Column::text("Containers", "Names of each container in the template.").wide(),
        Column::text("Images", "Images referenced by each container in the template.").wide(),
    ]
}

/// The cells of [`template_columns`].
pub(crate) fn template_cells(object: &Value) -> [Value; 2] {
    let containers = list(at(at(at(object, "spec"), "template"), "spec"), "containers");
    ["name", "image"].map(|field| {
        let texts: Vec<_> = containers.iter().map(|container| text(container, field)).collect();
        json!(texts.join(","))
    })
}
