//! JSON values as Go prints them, which is how some of Kubernetes' messages show them.

use kinds::schema::quoted;
use serde_json::{Map, Value};

/// An object as `%v` prints it: `map[a:1 b:[x y]]`
pub(crate) fn map(map: &Map<String, Value>) -> String {
    let entries: Vec<String> = map.iter().map(|(key, entry)| format!("{key}:{}", value(entry))).collect();
    format!("map[{}]", entries.join(" "))
}

/// A list as `%v` prints it: `[x y]`
pub(crate) fn list(list: &[Value]) -> String {
    let elements: Vec<String> = list.iter().map(value).collect();
    format!("[{}]", elements.join(" "))
}

/// Any value as `%v` prints it.
pub(crate) fn value(of: &Value) -> String {
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

/// Any value as `%#v` prints it: in Go's own syntax.
pub(crate) fn syntax(of: &Value) -> String {
    match of {
        Value::Null => "interface {}(nil)".to_owned(),
        Value::String(s) => quoted(s),
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(syntax).collect();
            format!("[]interface {{}}{{{}}}", elements.join(", "))
        }
        Value::Object(entries) => {
            let entries: Vec<String> = entries.iter().map(|(k, v)| format!("{}:{}", quoted(k), syntax(v))).collect();
            format!("map[string]interface {{}}{{{}}}", entries.join(", "))
        }
        scalar => value(scalar),
    }
}

/// The name of a value's type, once it is read from JSON.
pub(crate) fn type_name(of: &Value) -> &'static str {
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
