//! Decoding a document as Kubernetes does: into a Go struct, and what that struct prints again.
//!
//! The rules are those of `encoding/json` with `sigs.k8s.io/json`'s strictness: names are case-sensitive, `null` is
//! absence, an unknown field is dropped and reported, the first value of a wrong type is the error, and on the way out
//! empty values are written or left out as the `json` tags say ([`Presence`]).

use serde_json::{Map, Number, Value};

use super::{Field, Presence, Shape, Type, base64, quoted, time};
use crate::quantity::Quantity;

/// Strict faults beyond this number are not told, as in Kubernetes.
const MOST_UNKNOWN: usize = 100;

/// What came of decoding a document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checked {
    /// The document as Kubernetes would print it right after decoding, before any defaults: without unknown fields, nulls
    /// and empty values that are left out; with the empty values that are always written (`status: {}`, `port: 0`,
    /// `rules: null`); quantities, times and base64 in canonical form. Meaningless if there is an error.
    pub document: Value,
    /// `unknown field "spec.foo"`, in ascending order, at most a hundred. With `fieldValidation=Strict` they
    /// are an error, with `Warn` each is a warning.
    pub unknown: Vec<String>,
    /// The fault of the first value with a wrong type or form, in Go's words:
    /// `json: cannot unmarshal string into Go struct field ServicePort.spec.ports.port of type int32`.
    pub error: Option<String>,
}

/// Decodes a document of a type.
pub fn check(document: &Value, kind: &'static Type) -> Checked {
    let mut decoder = Decoder::default();
    match decoder.start(document, kind) {
        Ok(document) => Checked { document, unknown: decoder.unknown, error: decoder.saved },
        Err(Abort(error)) => Checked { document: Value::Null, unknown: decoder.unknown, error: Some(error) },
    }
}

/// A fault that ends decoding at once: one that a type's own `UnmarshalJSON` found. (Others let it go on to the end.)
struct Abort(String);

#[derive(Default)]
struct Decoder {
    unknown: Vec<String>,
    saved: Option<String>,
    /// `spec.ports[0]`, for unknown fields.
    path: String,
    /// `spec`, `ports`: Go's errors name fields, not places in lists.
    fields: Vec<&'static str>,
    /// The name of the struct whose field is being decoded.
    owner: &'static str,
}

impl Decoder {
    fn start(&mut self, document: &Value, kind: &'static Type) -> Result<Value, Abort> {
        match document {
            Value::Object(fields) => self.object(fields, kind),
            Value::Null => Ok(Value::Object(empty(kind))),
            other => {
                self.mismatch(word(other), kind.go_name());
                Ok(Value::Null)
            }
        }
    }

    /// All fields of a struct, as it prints them.
    fn object(&mut self, given: &Map<String, Value>, kind: &'static Type) -> Result<Value, Abort> {
        let mut printed = empty(kind);
        for (name, value) in given {
            let Some(field) = kind.field(name) else {
                self.unknown_field(name);
                continue;
            };
            if let Some(value) = self.field(value, field, kind)?
                && !(field.presence == Presence::OmitZero && is_zero(&value))
            {
                printed.insert(field.name.to_owned(), value);
            }
        }
        Ok(Value::Object(printed))
    }

    fn field(&mut self, value: &Value, field: &'static Field, kind: &'static Type) -> Result<Option<Value>, Abort> {
        let (length, owner) = (self.path.len(), self.owner);
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(field.name);
        let depth = self.fields.len();
        self.fields.extend(field.embedded_in());
        self.fields.push(field.name);
        self.owner = kind.short_name();
        let decoded = self.value(value, &field.shape, field.go_name())?;
        self.fields.truncate(depth);
        self.owner = owner;
        self.path.truncate(length);
        Ok(decoded)
    }

    /// `None` is Go's nil or zero.
    fn value(
        &mut self,
        value: &Value,
        shape: &'static Shape,
        name: Option<&'static str>,
    ) -> Result<Option<Value>, Abort> {
        let decoded = match (shape, value) {
            (_, Value::Null) => return Ok(None),
            (Shape::Any, _) | (Shape::String, Value::String(_)) | (Shape::Bool, Value::Bool(_)) => Some(value.clone()),
            (Shape::Double, Value::Number(_)) | (Shape::IntOrString, Value::String(_)) => Some(value.clone()),
            (Shape::Int32, Value::Number(n)) => self.integer(n, i64::from(i32::MIN)..=i64::from(i32::MAX), shape, name),
            (Shape::Int64, Value::Number(n)) => self.integer(n, i64::MIN..=i64::MAX, shape, name),
            (Shape::IntOrString, _) => Some(self.int_or_string(value)?),
            (Shape::Quantity, other) => Some(amount(other)?),
            (Shape::Time, Value::String(s)) => time::seconds(s).map_err(Abort)?.map(Value::String),
            (Shape::MicroTime, Value::String(s)) => time::micros(s).map_err(Abort)?.map(Value::String),
            (Shape::Time | Shape::MicroTime, other) => return Err(self.abort(word(other), "string")),
            (Shape::Bytes, Value::String(s)) => match base64::canonical(s) {
                Ok(s) => Some(Value::String(s)),
                Err(error) => {
                    self.saved.get_or_insert(error.to_string());
                    None
                }
            },
            (Shape::Bytes, Value::Array(elements)) => Some(self.bytes(elements)),
            (Shape::Object(id), Value::Object(fields)) => Some(self.object(fields, id.get())?),
            (Shape::List(of), Value::Array(elements)) => Some(self.list(elements, of, name)?),
            (Shape::Map(of), Value::Object(entries)) => Some(self.map(entries, of, name)?),
            (_, other) => {
                self.mismatch(word(other), &name.map_or_else(|| shape.go_name(), str::to_owned));
                None
            }
        };
        Ok(decoded)
    }

    fn list(&mut self, elements: &[Value], of: &'static Shape, name: Option<&'static str>) -> Result<Value, Abort> {
        let mut list = Vec::with_capacity(elements.len());
        let length = self.path.len();
        for (at, element) in elements.iter().enumerate() {
            self.path.push_str(&format!("[{at}]"));
            let decoded = self.value(element, of, name.and_then(|n| n.strip_prefix("[]")))?;
            self.path.truncate(length);
            list.push(decoded.unwrap_or_else(|| zero(of)));
        }
        Ok(Value::Array(list))
    }

    fn map(
        &mut self,
        entries: &Map<String, Value>,
        of: &'static Shape,
        name: Option<&'static str>,
    ) -> Result<Value, Abort> {
        let mut map = Map::new();
        let length = self.path.len();
        for (key, entry) in entries {
            if length > 0 {
                self.path.push('.');
            }
            self.path.push_str(key);
            let decoded = self.value(entry, of, name.and_then(|n| n.strip_prefix("map[string]")))?;
            self.path.truncate(length);
            map.insert(key.clone(), decoded.unwrap_or_else(|| zero(of)));
        }
        Ok(Value::Object(map))
    }

    fn integer(
        &mut self,
        number: &Number,
        range: std::ops::RangeInclusive<i64>,
        shape: &Shape,
        name: Option<&'static str>,
    ) -> Option<Value> {
        match number.as_i64() {
            Some(n) if range.contains(&n) => Some(Value::from(n)),
            _ => {
                self.mismatch(&format!("number {number}"), &name.map_or_else(|| shape.go_name(), str::to_owned));
                None
            }
        }
    }

    /// Go takes a list of small numbers for bytes, too.
    fn bytes(&mut self, elements: &[Value]) -> Value {
        let mut bytes = Vec::with_capacity(elements.len());
        for element in elements {
            let byte = element.as_u64().and_then(|n| u8::try_from(n).ok());
            match element {
                Value::Null => {}
                Value::Number(n) if byte.is_none() => self.mismatch(&format!("number {n}"), "uint8"),
                Value::Number(_) => {}
                other => self.mismatch(word(other), "uint8"),
            }
            bytes.push(byte.unwrap_or(0));
        }
        Value::String(base64::encode(&bytes))
    }

    fn int_or_string(&self, value: &Value) -> Result<Value, Abort> {
        match value {
            Value::Number(n) => match n.as_i64().filter(|n| i32::try_from(*n).is_ok()) {
                Some(n) => Ok(Value::from(n)),
                None => Err(self.abort(&format!("number {n}"), "int32")),
            },
            other => Err(self.abort(word(other), "int32")),
        }
    }

    fn mismatch(&mut self, got: &str, wanted: &str) {
        if self.saved.is_none() {
            self.saved = Some(self.words(got, wanted));
        }
    }

    fn abort(&self, got: &str, wanted: &str) -> Abort {
        Abort(self.words(got, wanted))
    }

    fn words(&self, got: &str, wanted: &str) -> String {
        if self.fields.is_empty() {
            return format!("json: cannot unmarshal {got} into Go value of type {wanted}");
        }
        let (owner, fields) = (self.owner, self.fields.join("."));
        format!("json: cannot unmarshal {got} into Go struct field {owner}.{fields} of type {wanted}")
    }

    fn unknown_field(&mut self, name: &str) {
        if self.unknown.len() < MOST_UNKNOWN {
            let dot = if self.path.is_empty() { "" } else { "." };
            self.unknown.push(format!("unknown field {}", quoted(&format!("{}{dot}{name}", self.path))));
        }
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// How Go prints the zero value.
fn zero(shape: &'static Shape) -> Value {
    match shape {
        Shape::String => Value::from(""),
        Shape::Bool => Value::from(false),
        Shape::Int32 | Shape::Int64 | Shape::Double | Shape::IntOrString => Value::from(0),
        Shape::Quantity => Value::from("0"),
        Shape::Object(id) => Value::Object(empty(id.get())),
        Shape::Time | Shape::MicroTime | Shape::Bytes | Shape::Any | Shape::List(_) | Shape::Map(_) => Value::Null,
    }
}

/// What the encoder writes of a struct that nothing was said of.
fn empty(kind: &'static Type) -> Map<String, Value> {
    let written = kind.fields().iter().filter_map(|field| match field.presence {
        Presence::Always => Some((field.name.to_owned(), zero(&field.shape))),
        Presence::NullWhenAbsent => Some((field.name.to_owned(), Value::Null)),
        Presence::OmitZero | Presence::OmitNull => None,
    });
    written.collect()
}

fn amount(value: &Value) -> Result<Value, Abort> {
    let amount = match value {
        Value::String(text) => Quantity::parse(text.trim()),
        other => Quantity::from_value(other),
    };
    amount.map(|a| Value::String(a.to_string())).map_err(|e| Abort(e.to_string()))
}

/// What Go calls the kind of a JSON value.
fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
