//! Reading and changing documents the way Kubernetes' decoded types read: an absent field, `null` and, where a type
//! has no pointer, the zero value are one and the same.
//!
//! Nothing here fails: a field of a wrong type (which decoding refuses before a strategy runs) reads as absent.

use serde_json::{Map, Value};

/// What an absent list reads as.
const NO_ELEMENTS: &[Value] = &[];

/// A text field; empty when absent.
pub fn text<'a>(object: &'a Value, field: &str) -> &'a str {
    object.get(field).and_then(Value::as_str).unwrap_or("")
}

/// A whole number; 0 when absent.
pub fn integer(object: &Value, field: &str) -> i64 {
    object.get(field).and_then(Value::as_i64).unwrap_or(0)
}

/// A truth value; false when absent.
pub fn flag(object: &Value, field: &str) -> bool {
    object.get(field).and_then(Value::as_bool).unwrap_or(false)
}

/// A list; empty when absent.
pub fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    object.get(field).and_then(Value::as_array).map_or(NO_ELEMENTS, Vec::as_slice)
}

/// The texts of a list of texts.
pub fn texts<'a>(object: &'a Value, field: &str) -> Vec<&'a str> {
    list(object, field).iter().map(|v| v.as_str().unwrap_or("")).collect()
}

/// The entries of a map in the order of their keys, whatever the order in the document: faults must come out the same.
pub fn entries<'a>(object: &'a Value, field: &str) -> Vec<(&'a str, &'a Value)> {
    let mut found: Vec<_> = match object.get(field).and_then(Value::as_object) {
        Some(map) => map.iter().map(|(k, v)| (k.as_str(), v)).collect(),
        None => Vec::new(),
    };
    found.sort_unstable_by_key(|(k, _)| *k);
    found
}

/// The entries of a map of texts in the order of their keys.
pub fn text_entries<'a>(object: &'a Value, field: &str) -> Vec<(&'a str, &'a str)> {
    entries(object, field).into_iter().map(|(k, v)| (k, v.as_str().unwrap_or(""))).collect()
}

/// The value of a map's key, when there is one.
pub fn text_at<'a>(object: &'a Value, field: &str, key: &str) -> Option<&'a str> {
    object.get(field)?.get(key)?.as_str()
}

/// A field that is there and not `null`: what a pointer in Kubernetes' types tells from its zero value.
pub fn given<'a>(object: &'a Value, field: &str) -> Option<&'a Value> {
    object.get(field).filter(|v| !v.is_null())
}

/// A field, or `null`.
pub fn at<'a>(object: &'a Value, field: &str) -> &'a Value {
    object.get(field).unwrap_or(&Value::Null)
}

/// An object field for changing it; made when absent. `None` when something else is there.
pub fn object_mut<'a>(object: &'a mut Value, field: &str) -> Option<&'a mut Value> {
    let inside = object.as_object_mut()?.entry(field).or_insert(Value::Null);
    if inside.is_null() {
        *inside = Value::Object(Map::new());
    }
    inside.is_object().then_some(inside)
}

/// An object field that is there, for changing it.
pub fn given_mut<'a>(object: &'a mut Value, field: &str) -> Option<&'a mut Value> {
    object.get_mut(field).filter(|v| v.is_object())
}

/// The elements of a list for changing them; none when absent.
pub fn list_mut<'a>(object: &'a mut Value, field: &str) -> &'a mut [Value] {
    object.get_mut(field).and_then(Value::as_array_mut).map_or(&mut [], Vec::as_mut_slice)
}

/// Sets a field.
pub fn set(object: &mut Value, field: &str, value: impl Into<Value>) {
    if let Some(map) = object.as_object_mut() {
        map.insert(field.to_owned(), value.into());
    }
}

/// Sets a field to a value that may be absent.
pub fn set_or_remove(object: &mut Value, field: &str, value: Option<Value>) {
    match value {
        Some(value) if !value.is_null() => set(object, field, value),
        _ => remove(object, field),
    }
}

/// Sets a field that is absent or `null`.
pub fn set_default(object: &mut Value, field: &str, value: impl Into<Value>) {
    if given(object, field).is_none() {
        set(object, field, value);
    }
}

/// Sets a text or a number that is absent or of the zero value.
pub fn set_zero_default(object: &mut Value, field: &str, value: impl Into<Value>) {
    if given(object, field).is_none_or(is_zero) {
        set(object, field, value);
    }
}

/// Removes a field.
pub fn remove(object: &mut Value, field: &str) {
    if let Some(map) = object.as_object_mut() {
        map.remove(field);
    }
}

/// Removes those of the fields that are `null` or of the zero value, as encoding with `omitempty` does.
pub fn omit_empty(object: &mut Value, fields: &[&str]) {
    for field in fields {
        if object.get(field).is_some_and(is_zero) {
            remove(object, field);
        }
    }
}

/// Whether a value is what its type is when nothing was said: `null`, `""`, `0`, `false`, `[]` or `{}`.
pub fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
    }
}

/// Equality as Kubernetes' `Semantic.DeepEqual`: absent, `null` and empty lists and maps are the same, quantities
/// aside, which are stored in one form only.
pub fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(l), Value::Object(r)) => {
            l.iter().all(|(k, v)| same(v, r.get(k).unwrap_or(&Value::Null)))
                && r.iter().all(|(k, v)| l.contains_key(k) || same(&Value::Null, v))
        }
        (Value::Array(l), Value::Array(r)) => l.len() == r.len() && l.iter().zip(r).all(|(l, r)| same(l, r)),
        (Value::Null, other) | (other, Value::Null) => match other {
            Value::Array(a) => a.is_empty(),
            Value::Object(o) => o.values().all(|v| same(&Value::Null, v)),
            other => other.is_null(),
        },
        (left, right) => left == right,
    }
}

/// Equality of two fields of two documents.
pub fn same_field(left: &Value, right: &Value, field: &str) -> bool {
    same(at(left, field), at(right, field))
}
