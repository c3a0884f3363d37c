//! JSON values as Go's `%v` prints them, which is how some of Kubernetes' messages show them.

use serde_json::{Map, Value};

/// `map[a:1 b:[x y]]`
pub(super) fn map(map: &Map<String, Value>) -> String {
    let entries: Vec<String> = map.iter().map(|(key, entry)| format!("{key}:{}", value(entry))).collect();
    format!("map[{}]", entries.join(" "))
}

/// `[x y]`
pub(super) fn list(list: &[Value]) -> String {
    let elements: Vec<String> = list.iter().map(value).collect();
    format!("[{}]", elements.join(" "))
}

/// Any value.
pub(super) fn value(of: &Value) -> String {
    match of {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => match n.as_f64() {
            Some(float) if n.is_f64() && float.fract() == 0.0 && float.abs() < 1e21 => format!("{float:.0}"),
            _ => n.to_string(),
        },
        Value::String(s) => s.clone(),
        Value::Array(elements) => list(elements),
        Value::Object(entries) => map(entries),
    }
}

/// The name of a value's type in Go, once it is read from JSON.
pub(super) fn type_name(of: &Value) -> &'static str {
    match of {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
