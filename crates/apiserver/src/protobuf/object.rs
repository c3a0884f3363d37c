//! From messages to documents.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kinds::schema::{Shape, Type};
use serde_json::{Map, Value};

use super::error::ProtobufError;
use super::numbers::{self, Target};
use super::wire::{Fields, Wire};

/// How deep messages may lie in one another.
const DEPTH: usize = 64;

/// The message around an object.
#[derive(Default)]
pub(super) struct Unknown {
    pub api_version: String,
    pub kind: String,
    pub raw: Vec<u8>,
}

/// Reads the message around an object.
pub(super) fn unknown(message: &[u8]) -> Result<Unknown, ProtobufError> {
    let mut unknown = Unknown::default();
    for field in Fields::of(message) {
        match field? {
            (1, Wire::Bytes(type_meta)) => {
                for field in Fields::of(type_meta) {
                    match field? {
                        (1, Wire::Bytes(text)) => unknown.api_version = string(text, "apiVersion")?,
                        (2, Wire::Bytes(text)) => unknown.kind = string(text, "kind")?,
                        _ => {}
                    }
                }
            }
            (2, Wire::Bytes(raw)) => unknown.raw = raw.to_vec(),
            _ => {}
        }
    }
    Ok(unknown)
}

/// Reads a message of a type.
pub(super) fn message(bytes: &[u8], of_type: &'static Type) -> Result<Value, ProtobufError> {
    let mut fields = Map::new();
    object(bytes, of_type.name(), of_type, DEPTH, &mut fields)?;
    Ok(Value::Object(fields))
}

/// Adds the fields of a message to those of an object of the type.
fn object(
    bytes: &[u8],
    message: &str,
    of_type: &'static Type,
    depth: usize,
    into: &mut Map<String, Value>,
) -> Result<(), ProtobufError> {
    let depth = depth.checked_sub(1).ok_or(ProtobufError::Truncated)?;
    let known = numbers::of(message);
    for field in Fields::of(bytes) {
        let (number, wire) = field?;
        // Fields of later versions are passed over, as every reader of protobuf does.
        let Some(target) = known.iter().find(|k| k.number == number).map(|k| &k.target) else { continue };
        match target {
            Target::Embedded(message) => {
                let Wire::Bytes(bytes) = wire else { return Err(ProtobufError::WireType(message.clone())) };
                object(bytes, message, of_type, depth, into)?;
            }
            Target::Field(name) => {
                if let Some(field) = of_type.field(name) {
                    add(name, wire, &field.shape, depth, into)?;
                }
            }
        }
    }
    Ok(())
}

fn add(
    name: &'static str,
    wire: Wire<'_>,
    shape: &'static Shape,
    depth: usize,
    into: &mut Map<String, Value>,
) -> Result<(), ProtobufError> {
    match shape {
        Shape::List(of) => {
            let list = into.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                elements(name, wire, of, depth, list)?;
            }
        }
        Shape::Map(of) => {
            let map = into.entry(name).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(map) = map {
                entry(name, wire, of, depth, map)?;
            }
        }
        shape => {
            let value = value(name, wire, shape, depth)?;
            into.insert(name.to_owned(), value);
        }
    }
    Ok(())
}

/// An element of a list, or several numbers in one.
fn elements(
    name: &'static str,
    wire: Wire<'_>,
    of: &'static Shape,
    depth: usize,
    list: &mut Vec<Value>,
) -> Result<(), ProtobufError> {
    if let (Wire::Bytes(packed), Shape::Int32 | Shape::Int64) = (wire, of) {
        // Numbers that stand one after another look like a message whose tags are they; they are read as such.
        let mut rest = packed;
        while !rest.is_empty() {
            let end = rest.iter().position(|b| b & 0x80 == 0).ok_or(ProtobufError::Truncated)?;
            let number = rest[..=end].iter().rev().fold(0u64, |n, b| (n << 7) | u64::from(b & 0x7f));
            list.push(signed(number).into());
            rest = &rest[end + 1..];
        }
        return Ok(());
    }
    list.push(value(name, wire, of, depth)?);
    Ok(())
}

/// An entry of a map: a message with the key as field 1 and the value as field 2.
fn entry(
    name: &'static str,
    wire: Wire<'_>,
    of: &'static Shape,
    depth: usize,
    map: &mut Map<String, Value>,
) -> Result<(), ProtobufError> {
    let Wire::Bytes(bytes) = wire else { return Err(wrong(name)) };
    let (mut key, mut entry_value) = (String::new(), None);
    for field in Fields::of(bytes) {
        match field? {
            (1, Wire::Bytes(text)) => key = string(text, name)?,
            (2, wire) => entry_value = Some(wire),
            _ => {}
        }
    }
    let value = match (entry_value, of) {
        // A list in a map is a message with the elements as field 1.
        (Some(Wire::Bytes(bytes)), Shape::List(of)) => {
            let mut list = Vec::new();
            for field in Fields::of(bytes) {
                elements(name, field?.1, of, depth, &mut list)?;
            }
            Value::Array(list)
        }
        (Some(wire), of) => value(name, wire, of, depth)?,
        (None, _) => value(name, Wire::Bytes(&[]), of, depth)?,
    };
    map.insert(key, value);
    Ok(())
}

fn value(name: &'static str, wire: Wire<'_>, shape: &'static Shape, depth: usize) -> Result<Value, ProtobufError> {
    Ok(match (shape, wire) {
        (Shape::String, Wire::Bytes(text)) => string(text, name)?.into(),
        (Shape::Bool, Wire::Varint(n)) => (n != 0).into(),
        (Shape::Int32 | Shape::Int64, Wire::Varint(n)) => signed(n).into(),
        (Shape::Double, Wire::Fixed64(bits)) => f64::from_bits(bits).into(),
        (Shape::Double, Wire::Fixed32(bits)) => f64::from(f32::from_bits(bits)).into(),
        (Shape::Bytes, Wire::Bytes(bytes)) => STANDARD.encode(bytes).into(),
        (Shape::IntOrString, Wire::Bytes(bytes)) => int_or_string(bytes, name)?,
        (Shape::Quantity, Wire::Bytes(bytes)) => match first(bytes)? {
            Some(Wire::Bytes(text)) => string(text, name)?.into(),
            _ => "0".into(),
        },
        (Shape::Time, Wire::Bytes(bytes)) => time(bytes, "%Y-%m-%dT%H:%M:%SZ")?,
        (Shape::MicroTime, Wire::Bytes(bytes)) => time(bytes, "%Y-%m-%dT%H:%M:%S.%6fZ")?,
        (Shape::Any, Wire::Bytes(bytes)) => match first(bytes)? {
            Some(Wire::Bytes(json)) => {
                serde_json::from_slice(json).map_err(|_| ProtobufError::Text(name.to_owned()))?
            }
            _ => Value::Null,
        },
        (Shape::Object(of), Wire::Bytes(bytes)) => {
            let mut fields = Map::new();
            object(bytes, of.get().name(), of.get(), depth, &mut fields)?;
            Value::Object(fields)
        }
        _ => return Err(wrong(name)),
    })
}

fn wrong(name: &str) -> ProtobufError {
    ProtobufError::WireType(name.to_owned())
}

fn string(bytes: &[u8], name: &str) -> Result<String, ProtobufError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| ProtobufError::Text(name.to_owned()))
}

/// Negative numbers stand there as their two's complement.
fn signed(number: u64) -> i64 {
    i64::from_le_bytes(number.to_le_bytes())
}

/// The value of field 1.
fn first(message: &[u8]) -> Result<Option<Wire<'_>>, ProtobufError> {
    let mut found = None;
    for field in Fields::of(message) {
        if let (1, wire) = field? {
            found = Some(wire);
        }
    }
    Ok(found)
}

fn int_or_string(message: &[u8], name: &str) -> Result<Value, ProtobufError> {
    let (mut is_text, mut number, mut text) = (false, 0, String::new());
    for field in Fields::of(message) {
        match field? {
            (1, Wire::Varint(kind)) => is_text = kind == 1,
            (2, Wire::Varint(n)) => number = signed(n),
            (3, Wire::Bytes(bytes)) => text = string(bytes, name)?,
            _ => {}
        }
    }
    Ok(if is_text { text.into() } else { number.into() })
}

/// A time; `null` for none, which is an empty message.
fn time(message: &[u8], format: &str) -> Result<Value, ProtobufError> {
    let (mut seconds, mut nanoseconds) = (None, 0);
    for field in Fields::of(message) {
        match field? {
            (1, Wire::Varint(n)) => seconds = Some(signed(n)),
            (2, Wire::Varint(n)) => nanoseconds = i32::try_from(signed(n)).unwrap_or_default(),
            _ => {}
        }
    }
    let time = seconds.and_then(|seconds| Timestamp::new(seconds, nanoseconds).ok());
    Ok(time.map_or(Value::Null, |time| time.strftime(format).to_string().into()))
}
