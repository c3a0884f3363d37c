//! What may be changed of a Pod: nearly nothing.

use serde_json::Value;

use super::validation::MIRROR;
use super::{printed, scheduling, validation};
use crate::document::{at, given, list, list_mut, same, same_field, set_or_remove, text, text_at};
use crate::field::{Error, Path};
use crate::names;

const CHANGEABLE: &str = "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// All faults of a change.
pub(super) fn validate(new: &Value, old: &Value) -> Vec<Error> {
    let mut faults = validation::validate(new);
    faults.extend(validate_annotations(new, old));
    let (spec, old_spec) = (at(new, "spec"), at(old, "spec"));
    let path = Path::new("spec");
    for field in ["containers", "initContainers"] {
        let (containers, path) = (list(spec, field), path.child(field));
        if containers.len() != list(old_spec, field).len() {
            faults.push(Error::forbidden(&path, "pod updates may not add or remove containers"));
            return faults;
        }
        faults.extend(validate_images(&path, containers));
    }
    let deadline = validate_deadline(&path.child("activeDeadlineSeconds"), spec, old_spec);
    let is_wrong_number = deadline.as_ref().is_some_and(|fault| !fault.value.is_null());
    faults.extend(deadline);
    if is_wrong_number {
        return faults;
    }
    let tolerations = |spec| list(spec, "tolerations");
    let at_tolerations = path.child("tolerations");
    faults.extend(scheduling::validate_more_tolerations(&at_tolerations, tolerations(spec), tolerations(old_spec)));
    faults.extend(validate_gates(&path.child("schedulingGates"), spec, old_spec));
    if same(spec, old_spec) {
        return faults;
    }
    let mut changed = with_what_may_change(spec, old_spec);
    if !list(old_spec, "schedulingGates").is_empty() {
        faults.extend(narrow(&path, &mut changed, old_spec));
    }
    if !same(&changed, old_spec) {
        let difference = printed::difference(old_spec, &changed);
        let detail = format!("pod updates may not change fields other than {CHANGEABLE}\n{difference}");
        faults.push(Error::forbidden(&path, detail));
    }
    faults
}

/// The faults of changed annotations, of the Pod or of its status only.
pub(super) fn validate_annotations(new: &Value, old: &Value) -> Vec<Error> {
    let mirror = |pod| text_at(at(pod, "metadata"), "annotations", MIRROR);
    let path = Path::new("metadata").child("annotations").key(MIRROR);
    let what = match (mirror(old), mirror(new)) {
        (old, new) if old == new => return Vec::new(),
        (None, _) => "add",
        (Some(_), _) => "remove or update",
    };
    vec![Error::forbidden(&path, format!("may not {what} mirror pod annotation"))]
}

fn validate_images(path: &Path, containers: &[Value]) -> Vec<Error> {
    let mut faults = Vec::new();
    for (i, container) in containers.iter().enumerate() {
        let path = path.index(i).child("image");
        let image = text(container, "image");
        if image.is_empty() {
            faults.push(Error::required(&path, ""));
        }
        if image.trim() != image {
            faults.push(Error::invalid(&path, image, "must not have leading or trailing whitespace"));
        }
    }
    faults
}

/// A deadline may be set, and come nearer.
fn validate_deadline(path: &Path, spec: &Value, old_spec: &Value) -> Option<Error> {
    let of = |spec: &Value| given(spec, "activeDeadlineSeconds").and_then(Value::as_i64);
    let longest = i64::from(i32::MAX);
    match (of(old_spec), of(spec)) {
        (None, None) => None,
        (Some(_), None) => {
            let detail = "must not update from a positive integer to nil value";
            Some(Error::invalid(path, Value::Null, detail))
        }
        (_, Some(new)) if !(0..=longest).contains(&new) => {
            Some(Error::invalid(path, new, names::inclusive_range(0, longest)))
        }
        (Some(old), Some(new)) if old < new => {
            Some(Error::invalid(path, new, "must be less than or equal to previous value"))
        }
        _ => None,
    }
}

/// Gates are only opened.
fn validate_gates(path: &Path, spec: &Value, old_spec: &Value) -> Vec<Error> {
    let gates = |spec| list(spec, "schedulingGates");
    let names: Vec<_> = gates(old_spec).iter().map(|gate| text(gate, "name")).collect();
    let mut faults = Vec::new();
    for (i, name) in gates(spec).iter().map(|gate| text(gate, "name")).enumerate() {
        if !names.contains(&name) {
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            faults.push(Error::forbidden(&path.index(i).child("name"), detail));
        }
    }
    faults
}

/// The new spec, with all that may be changed as it was.
fn with_what_may_change(spec: &Value, old_spec: &Value) -> Value {
    let mut changed = spec.clone();
    for field in ["containers", "initContainers"] {
        for (container, old) in list_mut(&mut changed, field).iter_mut().zip(list(old_spec, field)) {
            set_or_remove(container, "image", given(old, "image").cloned());
        }
    }
    for field in ["activeDeadlineSeconds", "schedulingGates", "tolerations"] {
        set_or_remove(&mut changed, field, given(old_spec, field).cloned());
    }
    changed
}

/// A Pod that waits for its gates may be sent to fewer nodes.
fn narrow(path: &Path, changed: &mut Value, old_spec: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    if !same_field(changed, old_spec, "nodeSelector") {
        let path = path.child("nodeSelector");
        faults.extend(scheduling::validate_narrower_selector(&path, changed, old_spec));
        set_or_remove(changed, "nodeSelector", given(old_spec, "nodeSelector").cloned());
    }
    let of_nodes = at(at(changed, "affinity"), "nodeAffinity").clone();
    let old_of_nodes = at(at(old_spec, "affinity"), "nodeAffinity");
    if !same(&of_nodes, old_of_nodes) {
        let path = path.child("affinity").child("nodeAffinity");
        faults.extend(scheduling::validate_narrower_affinity(&path, &of_nodes, old_of_nodes));
        let mut affinity = given(changed, "affinity").cloned().unwrap_or_else(|| serde_json::json!({}));
        set_or_remove(&mut affinity, "nodeAffinity", Some(old_of_nodes.clone()));
        set_or_remove(changed, "affinity", (!crate::document::is_zero(&affinity)).then_some(affinity));
    }
    faults
}
