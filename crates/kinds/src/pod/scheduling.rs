//! The faults of where a Pod may run: affinity, even spreading, tolerations.

use serde_json::{Value, json};

use super::printed;
use crate::document::{at, given, given_mut, integer, list, list_mut, set, text, text_at, text_entries, texts};
use crate::field::{Error, Path};
use crate::{labels, names};

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// The faults of `affinity`.
pub(super) fn validate_affinity(path: &Path, affinity: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    if let Some(of_nodes) = given(affinity, "nodeAffinity") {
        let path = path.child("nodeAffinity");
        if let Some(required) = given(of_nodes, REQUIRED) {
            faults.extend(validate_node_selector(&path.child(REQUIRED), required));
        }
        for (i, term) in list(of_nodes, PREFERRED).iter().enumerate() {
            let path = path.child(PREFERRED).index(i);
            faults.extend(validate_weight(&path, term));
            // What no label can be is not refused here: with one node it does no harm.
            faults.extend(validate_node_term(&path.child("preference"), at(term, "preference"), true));
        }
    }
    for field in ["podAffinity", "podAntiAffinity"] {
        let (path, of_pods) = (path.child(field), at(affinity, field));
        for (i, term) in list(of_pods, REQUIRED).iter().enumerate() {
            faults.extend(validate_pod_term(&path.child(REQUIRED).index(i), term));
        }
        for (i, term) in list(of_pods, PREFERRED).iter().enumerate() {
            let path = path.child(PREFERRED).index(i);
            faults.extend(validate_weight(&path, term));
            faults.extend(validate_pod_term(&path.child("podAffinityTerm"), at(term, "podAffinityTerm")));
        }
    }
    faults
}

fn validate_weight(path: &Path, term: &Value) -> Option<Error> {
    let weight = integer(term, "weight");
    let detail = "must be in the range 1-100";
    (!(1..=100).contains(&weight)).then(|| Error::invalid(&path.child("weight"), weight, detail))
}

fn validate_node_selector(path: &Path, selector: &Value) -> Vec<Error> {
    let path = path.child("nodeSelectorTerms");
    let terms = list(selector, "nodeSelectorTerms");
    if terms.is_empty() {
        return vec![Error::required(&path, "must have at least one node selector term")];
    }
    terms.iter().enumerate().flat_map(|(i, term)| validate_node_term(&path.index(i), term, false)).collect()
}

fn validate_node_term(path: &Path, term: &Value, any_value: bool) -> Vec<Error> {
    let mut faults = Vec::new();
    for (i, requirement) in list(term, "matchExpressions").iter().enumerate() {
        faults.extend(validate_node_labels(&path.child("matchExpressions").index(i), requirement, any_value));
    }
    for (i, requirement) in list(term, "matchFields").iter().enumerate() {
        faults.extend(validate_node_fields(&path.child("matchFields").index(i), requirement));
    }
    faults
}

fn validate_node_labels(path: &Path, requirement: &Value, any_value: bool) -> Vec<Error> {
    let values = texts(requirement, "values");
    let of_values = path.child("values");
    let mut faults = match text(requirement, "operator") {
        "In" | "NotIn" if values.is_empty() => {
            vec![Error::required(&of_values, "must be specified when `operator` is 'In' or 'NotIn'")]
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            vec![Error::forbidden(&of_values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")]
        }
        "Gt" | "Lt" if values.len() != 1 => {
            vec![Error::required(&of_values, "must be specified single value when `operator` is 'Lt' or 'Gt'")]
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => Vec::new(),
        other => vec![Error::invalid(&path.child("operator"), other, "not a valid selector operator")],
    };
    faults.extend(names::label_key_field(&path.child("key"), text(requirement, "key")));
    if !any_value {
        for (i, value) in values.into_iter().enumerate() {
            faults.extend(Error::invalid_each(&of_values.index(i), value, names::label_value(value)));
        }
    }
    faults
}

fn validate_node_fields(path: &Path, requirement: &Value) -> Vec<Error> {
    let values = texts(requirement, "values");
    let of_values = path.child("values");
    let mut faults = match text(requirement, "operator") {
        "In" | "NotIn" if values.len() != 1 => {
            let detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            vec![Error::required(&of_values, detail)]
        }
        "In" | "NotIn" => Vec::new(),
        other => vec![Error::invalid(&path.child("operator"), other, "not a valid selector operator")],
    };
    match text(requirement, "key") {
        "metadata.name" => {
            for (i, value) in values.into_iter().enumerate() {
                faults.extend(names::subdomain_field(&of_values.index(i), value));
            }
        }
        other => faults.push(Error::invalid(&path.child("key"), other, "not a valid field selector key")),
    }
    faults
}

fn validate_pod_term(path: &Path, term: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    for field in ["labelSelector", "namespaceSelector"] {
        faults.extend(labels::validate_selector(&path.child(field), at(term, field), false));
    }
    for name in texts(term, "namespaces") {
        faults.extend(names::label_field(&path.child("namespace"), name));
    }
    faults.extend(validate_label_keys(path, term));
    let key = text(term, "topologyKey");
    let path = path.child("topologyKey");
    if key.is_empty() {
        faults.push(Error::required(&path, "can not be empty"));
    }
    faults.extend(names::label_key_field(&path, key));
    faults
}

/// The faults of `matchLabelKeys` and `mismatchLabelKeys`, of which [`apply_label_keys`] made expressions before.
fn validate_label_keys(path: &Path, term: &Value) -> Vec<Error> {
    let selector = given(term, "labelSelector");
    let mut faults = Vec::new();
    for field in ["matchLabelKeys", "mismatchLabelKeys"] {
        let keys = texts(term, field);
        let path = path.child(field);
        if selector.is_none() && !keys.is_empty() {
            faults.push(Error::forbidden(&path, "must not be specified when labelSelector is not set"));
            continue;
        }
        faults.extend(keys.iter().enumerate().flat_map(|(i, key)| names::label_key_field(&path.index(i), key)));
    }
    let matched = texts(term, "matchLabelKeys");
    let mut selected: Vec<_> =
        selector.map(|s| text_entries(s, "matchLabels")).into_iter().flatten().map(|(key, _)| key).collect();
    for expression in selector.map_or(&[][..], |s| list(s, "matchExpressions")) {
        let key = text(expression, "key");
        if let (Some(i), true) = (matched.iter().rposition(|other| *other == key), selected.contains(&key)) {
            faults.push(Error::invalid(&path.index(i), key, "exists in both matchLabelKeys and labelSelector"));
        }
        selected.push(key);
    }
    let mismatched = texts(term, "mismatchLabelKeys");
    for (i, key) in matched.into_iter().enumerate().filter(|(_, key)| mismatched.contains(key)) {
        let detail = "exists in both matchLabelKeys and mismatchLabelKeys";
        faults.push(Error::invalid(&path.child("matchLabelKeys").index(i), key, detail));
    }
    faults
}

/// Makes expressions of the label keys of a new Pod: its own value is the one to match, or not to.
pub(super) fn apply_label_keys(spec: &mut Value, labels: &Value) {
    if let Some(affinity) = given_mut(spec, "affinity") {
        for field in ["podAffinity", "podAntiAffinity"] {
            let Some(of_pods) = given_mut(affinity, field) else { continue };
            for term in list_mut(of_pods, PREFERRED) {
                if let Some(term) = given_mut(term, "podAffinityTerm") {
                    apply_keys_of(term, labels);
                }
            }
            list_mut(of_pods, REQUIRED).iter_mut().for_each(|term| apply_keys_of(term, labels));
        }
    }
    list_mut(spec, "topologySpreadConstraints").iter_mut().for_each(|constraint| apply_keys_of(constraint, labels));
}

fn apply_keys_of(term: &mut Value, labels: &Value) {
    let mut expressions = list(at(term, "labelSelector"), "matchExpressions").to_vec();
    let stated = expressions.len();
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in texts(term, field) {
            if let Some(value) = labels.get(key).and_then(Value::as_str) {
                expressions.push(json!({"key": key, "operator": operator, "values": [value]}));
            }
        }
    }
    if let (true, Some(selector)) = (expressions.len() > stated, given_mut(term, "labelSelector")) {
        set(selector, "matchExpressions", expressions);
    }
}

/// The faults of `topologySpreadConstraints`.
pub(super) fn validate_spread(path: &Path, constraints: &[Value]) -> Vec<Error> {
    let mut faults = Vec::new();
    for (i, constraint) in constraints.iter().enumerate() {
        let path = path.index(i);
        let (key, action) = (text(constraint, "topologyKey"), text(constraint, "whenUnsatisfiable"));
        faults.extend(positive(&path.child("maxSkew"), integer(constraint, "maxSkew")));
        if key.is_empty() {
            faults.push(Error::required(&path.child("topologyKey"), "can not be empty"));
        }
        if !matches!(action, "DoNotSchedule" | "ScheduleAnyway") {
            let path = path.child("whenUnsatisfiable");
            faults.push(Error::not_supported(&path, action, &["DoNotSchedule", "ScheduleAnyway"]));
        }
        let is_same = |other: &Value| text(other, "topologyKey") == key && text(other, "whenUnsatisfiable") == action;
        if constraints[i + 1..].iter().any(is_same) {
            let path = path.child("{topologyKey, whenUnsatisfiable}");
            faults.push(Error::duplicate(&path, format!("{{{key}, {action}}}")));
        }
        if let Some(domains) = given(constraint, "minDomains").and_then(Value::as_i64) {
            let path = path.child("minDomains");
            faults.extend(positive(&path, domains));
            if action != "DoNotSchedule" {
                let detail = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}");
                faults.push(Error::invalid(&path, domains, detail));
            }
        }
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            let policy = given(constraint, field).and_then(Value::as_str).unwrap_or("Honor");
            if !matches!(policy, "Honor" | "Ignore") {
                faults.push(Error::not_supported(&path.child(field), policy, &["Honor", "Ignore"]));
            }
        }
        // Only of affinity is there a second list of keys.
        let mut constraint = constraint.clone();
        set(&mut constraint, "mismatchLabelKeys", Value::Null);
        faults.extend(validate_label_keys(&path, &constraint));
        faults.extend(labels::validate_selector(&path.child("labelSelector"), at(&constraint, "labelSelector"), false));
    }
    faults
}

fn positive(path: &Path, value: i64) -> Option<Error> {
    (value <= 0).then(|| Error::invalid(path, value, "must be greater than zero"))
}

/// The faults of `tolerations`.
pub(crate) fn validate_tolerations(path: &Path, tolerations: &[Value]) -> Vec<Error> {
    let mut faults = Vec::new();
    for (i, toleration) in tolerations.iter().enumerate() {
        let path = path.index(i);
        let field = |name: &str| text(toleration, name);
        let (key, operator, value, effect) = (field("key"), field("operator"), field("value"), field("effect"));
        let of_operator = path.child("operator");
        if !key.is_empty() {
            faults.extend(names::label_key_field(&path.child("key"), key));
        } else if operator != "Exists" {
            let detail = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            faults.push(Error::invalid(&of_operator, operator, detail));
        }
        if given(toleration, "tolerationSeconds").is_some() && effect != "NoExecute" {
            let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            faults.push(Error::invalid(&path.child("effect"), effect, detail));
        }
        match operator {
            "Equal" | "" => {
                let messages = names::label_value(value);
                if !messages.is_empty() {
                    faults.push(Error::invalid(&of_operator, value, messages.join(";")));
                }
            }
            "Exists" if value.is_empty() => {}
            "Exists" => {
                let detail = "value must be empty when `operator` is 'Exists'";
                faults.push(Error::invalid(&of_operator, value, detail));
            }
            "Lt" | "Gt" => {
                faults.push(Error::not_supported(&of_operator, operator, &["Equal", "Exists", "Lt", "Gt"]));
            }
            other => faults.push(Error::not_supported(&of_operator, other, &["Equal", "Exists"])),
        }
        if !effect.is_empty() && !EFFECTS.contains(&effect) {
            faults.push(Error::not_supported(&path.child("effect"), effect, EFFECTS));
        }
    }
    faults
}

/// The faults of a changed list of tolerations: those that were there stay, but may end sooner or later.
pub(super) fn validate_more_tolerations(path: &Path, new: &[Value], old: &[Value]) -> Vec<Error> {
    let without_seconds =
        |toleration: &Value| ["key", "operator", "value", "effect"].map(|field| text(toleration, field).to_owned());
    let is_kept = |old: &Value| new.iter().any(|new| without_seconds(new) == without_seconds(old));
    if old.iter().all(is_kept) {
        return validate_tolerations(path, new);
    }
    vec![Error::forbidden(path, "existing toleration can not be modified except its tolerationSeconds")]
}

/// The fault of a changed `nodeSelector` of a Pod that waits for its gates: it may only become narrower.
pub(super) fn validate_narrower_selector(path: &Path, new: &Value, old: &Value) -> Option<Error> {
    let is_kept = text_entries(old, "nodeSelector")
        .into_iter()
        .all(|(key, value)| text_at(new, "nodeSelector", key) == Some(value));
    let detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
    (!is_kept).then(|| Error::invalid(path, at(new, "nodeSelector").clone(), detail))
}

/// The faults of a changed node affinity of a Pod that waits for its gates: it may only become narrower.
pub(super) fn validate_narrower_affinity(path: &Path, new: &Value, old: &Value) -> Vec<Error> {
    let terms = |affinity: &Value| list(at(affinity, REQUIRED), "nodeSelectorTerms").to_vec();
    let (new, old) = (terms(new), terms(old));
    let path = path.child(REQUIRED).child("nodeSelectorTerms");
    if !old.is_empty() && new.len() != old.len() {
        let detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed";
        let printed: Vec<_> = new.iter().map(|term| printed::compact("NodeSelectorTerm", term)).collect();
        let printed = if new.is_empty() { "null".to_owned() } else { format!("[{}]", printed.join(",")) };
        return vec![Error::invalid(&path, Value::Null, detail).printed_as(printed)];
    }
    let mut faults = Vec::new();
    for (i, (new, old)) in new.iter().zip(&old).enumerate() {
        let (mut was_empty, mut is_empty, mut is_kept) = (true, true, true);
        for field in ["matchExpressions", "matchFields"] {
            let (new, old) = (list(new, field), list(old, field));
            was_empty &= old.is_empty();
            is_empty &= new.is_empty();
            is_kept &= new.starts_with(old);
        }
        if !is_kept || was_empty && !is_empty {
            let detail = "only additions are allowed (no mutations or deletions)";
            let printed = printed::compact("NodeSelectorTerm", new);
            faults.push(Error::invalid(&path.index(i), Value::Null, detail).printed_as(printed));
        }
    }
    faults
}
