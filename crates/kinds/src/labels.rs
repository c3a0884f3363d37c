//! Labels and label selectors: their rules, how they are printed, and what they match.

use serde_json::{Value, json};

use crate::document::{at, entries, given, list, text, text_entries, texts};
use crate::field::{Error, Path};
use crate::names;

#[cfg(test)]
mod tests;

/// The faults of a map of labels that is a field of an object.
pub fn validate(path: &Path, object: &Value, field: &str) -> Vec<Error> {
    let mut faults = Vec::new();
    for (key, value) in text_entries(object, field) {
        faults.extend(names::label_key_field(path, key));
        faults.extend(Error::invalid_each(path, value, names::label_value(value)));
    }
    faults
}

/// The faults of a label selector (`matchLabels`, `matchExpressions`). `stored_values` lets values through that are
/// no label values, because a selector with such values is stored already.
pub fn validate_selector(path: &Path, selector: &Value, stored_values: bool) -> Vec<Error> {
    let mut faults = validate(&path.child("matchLabels"), selector, "matchLabels");
    for (i, requirement) in list(selector, "matchExpressions").iter().enumerate() {
        faults.extend(validate_requirement(&path.child("matchExpressions").index(i), requirement, stored_values));
    }
    faults
}

fn validate_requirement(path: &Path, requirement: &Value, stored_values: bool) -> Vec<Error> {
    let mut faults = Vec::new();
    let values = texts(requirement, "values");
    match text(requirement, "operator") {
        "In" | "NotIn" => {
            if values.is_empty() {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                faults.push(Error::required(&path.child("values"), detail));
            }
        }
        "Exists" | "DoesNotExist" => {
            if !values.is_empty() {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                faults.push(Error::forbidden(&path.child("values"), detail));
            }
        }
        other => faults.push(Error::invalid(&path.child("operator"), other, "not a valid selector operator")),
    }
    faults.extend(names::label_key_field(&path.child("key"), text(requirement, "key")));
    if !stored_values {
        for (i, value) in values.into_iter().enumerate() {
            faults.extend(Error::invalid_each(&path.child("values").index(i), value, names::label_value(value)));
        }
    }
    faults
}

/// Whether any value of the selector's expressions is no label value.
pub fn selector_has_invalid_values(selector: &Value) -> bool {
    list(selector, "matchExpressions")
        .iter()
        .flat_map(|requirement| texts(requirement, "values"))
        .any(|value| !names::label_value(value).is_empty())
}

/// Whether the selector says nothing, which matches everything.
pub fn selector_is_empty(selector: &Value) -> bool {
    entries(selector, "matchLabels").is_empty() && list(selector, "matchExpressions").is_empty()
}

/// Labels as kubectl prints them: `a=b,c=d`, or `<none>`.
pub fn print(object: &Value, field: &str) -> String {
    let pairs: Vec<_> = text_entries(object, field).into_iter().map(|(k, v)| format!("{k}={v}")).collect();
    if pairs.is_empty() { "<none>".to_owned() } else { pairs.join(",") }
}

/// A label selector as a query says it: `a=b,c in (d,e),!f`. Empty when it matches everything, or when there is none.
/// `None` when it cannot be read.
pub fn print_selector(selector: &Value) -> Option<String> {
    let mut parts: Vec<(String, String)> = Vec::new();
    for (key, value) in text_entries(selector, "matchLabels") {
        if !names::label_key(key).is_empty() || !names::label_value(value).is_empty() {
            return None;
        }
        parts.push((key.to_owned(), format!("{key}={value}")));
    }
    for requirement in list(selector, "matchExpressions") {
        let key = text(requirement, "key");
        if !validate_requirement(&Path::new(""), requirement, false).is_empty() {
            return None;
        }
        let mut values = texts(requirement, "values");
        values.sort_unstable();
        values.dedup();
        let printed = match text(requirement, "operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        };
        parts.push((key.to_owned(), printed));
    }
    parts.sort_by(|left, right| left.0.cmp(&right.0));
    Some(parts.into_iter().map(|(_, printed)| printed).collect::<Vec<_>>().join(","))
}

/// A label selector as a column shows it.
pub(crate) fn selector_cell(selector: &Value) -> String {
    match print_selector(selector) {
        None => "<error>".to_owned(),
        Some(printed) if printed.is_empty() => "<none>".to_owned(),
        Some(printed) => printed,
    }
}

/// Whether a label selector matches labels (a map). An empty selector matches all, an absent one nothing.
pub fn matches(selector: &Value, labels: &Value) -> bool {
    if !selector.is_object() {
        return false;
    }
    let value_of = |key: &str| labels.get(key).and_then(Value::as_str);
    text_entries(selector, "matchLabels").into_iter().all(|(key, value)| value_of(key) == Some(value))
        && list(selector, "matchExpressions").iter().all(|requirement| {
            let value = value_of(text(requirement, "key"));
            let values = texts(requirement, "values");
            match text(requirement, "operator") {
                "In" => value.is_some_and(|value| values.contains(&value)),
                "NotIn" => value.is_none_or(|value| !values.contains(&value)),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// A label selector as a fault prints it: fields in the order of Kubernetes' type.
pub(crate) fn marshal_selector(selector: Option<&Value>) -> String {
    let Some(selector) = selector.filter(|s| s.is_object()) else { return "null".to_owned() };
    let mut parts = Vec::new();
    if !entries(selector, "matchLabels").is_empty() {
        parts.push(format!("\"matchLabels\":{}", crate::field::marshal(at(selector, "matchLabels"))));
    }
    let expressions: Vec<_> = list(selector, "matchExpressions").iter().map(marshal_requirement).collect();
    if !expressions.is_empty() {
        parts.push(format!("\"matchExpressions\":[{}]", expressions.join(",")));
    }
    format!("{{{}}}", parts.join(","))
}

fn marshal_requirement(requirement: &Value) -> String {
    let field = |name: &str| crate::field::marshal(given(requirement, name).unwrap_or(&json!("")));
    let values = match list(requirement, "values") {
        [] => String::new(),
        _ => format!(",\"values\":{}", field("values")),
    };
    format!("{{\"key\":{},\"operator\":{}{values}}}", field("key"), field("operator"))
}
