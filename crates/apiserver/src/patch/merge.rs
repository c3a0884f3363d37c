//! Merge patch (RFC 7386).

use serde_json::{Map, Value};

/// The document with the patch merged into it.
pub(super) fn apply(mut document: Value, patch: &Map<String, Value>) -> Value {
    merge(&mut document, patch);
    document
}

fn merge(document: &mut Value, patch: &Map<String, Value>) {
    if !document.is_object() {
        *document = Value::Object(Map::new());
    }
    let Some(fields) = document.as_object_mut() else { return };
    for (name, value) in patch {
        match value {
            Value::Null => {
                fields.remove(name);
            }
            Value::Object(inner) => merge(fields.entry(name.as_str()).or_insert(Value::Null), inner),
            other => {
                fields.insert(name.clone(), other.clone());
            }
        }
    }
}
