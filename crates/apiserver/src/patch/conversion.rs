//! What Kubernetes says of a strategically merged object that does not fit its type: it does not go through JSON then, and
//! has other words than a decoder of bodies.

use kinds::schema::{Shape, Type};
use serde_json::Value;

use crate::body::word;
use crate::go_text::type_name;

/// The first fault; `None` if this way of conversion finds none.
pub(super) fn fault(object: &Value, kind: &'static Type) -> Option<String> {
    let fields = match object {
        Value::Object(fields) => fields,
        Value::Null => return None,
        other => return Some(format!("cannot restore struct from: {}", kind_name(other))),
    };
    kind.fields().iter().find_map(|field| {
        let name = field.go_name().map_or_else(|| field.shape.go_name(), str::to_owned);
        of_shape(fields.get(field.name)?, &field.shape, &name)
    })
}

fn of_shape(value: &Value, shape: &'static Shape, name: &str) -> Option<String> {
    let restored = |what: &str| Some(format!("cannot restore {what} from {}", kind_name(value)));
    match (shape, value) {
        (_, Value::Null) | (Shape::Any, _) => None,
        (Shape::Object(id), value) => fault(value, id.get()),
        (Shape::List(of), Value::Array(elements)) => {
            let name = name.strip_prefix("[]").map_or_else(|| of.go_name(), str::to_owned);
            elements.iter().find_map(|element| of_shape(element, of, &name))
        }
        (Shape::Map(of), Value::Object(entries)) => {
            let name = name.strip_prefix("map[string]").map_or_else(|| of.go_name(), str::to_owned);
            entries.values().find_map(|entry| of_shape(entry, of, &name))
        }
        (Shape::List(_), _) => restored("slice"),
        (Shape::Map(_), _) => restored("map"),
        (Shape::Bytes, Value::String(_)) => None,
        (Shape::Bytes, _) => restored("slice"),
        (Shape::IntOrString, Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            Some(format!("json: cannot unmarshal {} into Go value of type int32", word(value)))
        }
        (Shape::Time | Shape::MicroTime, Value::String(_)) => None,
        (Shape::Time | Shape::MicroTime, _) => {
            Some(format!("json: cannot unmarshal {} into Go value of type string", word(value)))
        }
        (Shape::IntOrString | Shape::Quantity, _) => None,
        (scalar, value) => of_scalar(value, scalar, name),
    }
}

fn of_scalar(value: &Value, shape: &Shape, name: &str) -> Option<String> {
    let cannot = || Some(format!("cannot convert {} to {name}", type_name(value)));
    let unrecognized = || Some(format!("unrecognized type: {}", shape.go_name()));
    match (shape, value) {
        (Shape::String, Value::String(_)) | (Shape::Bool, Value::Bool(_)) | (Shape::Double, Value::Number(_)) => None,
        (Shape::Int32 | Shape::Int64, Value::Number(n)) if !n.is_f64() => None,
        (Shape::Int32 | Shape::Int64, Value::Number(_)) => cannot(),
        // Go converts whole numbers to text, to a character each, so that is refused apart.
        (Shape::String, Value::Number(n)) if !n.is_f64() => cannot(),
        _ => unrecognized(),
    }
}

/// What reflection calls the kind of a value.
fn kind_name(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "slice",
        Value::Object(_) => "map",
        other => type_name(other),
    }
}
