//! For tests: documents as a server writes them in protobuf. Which field has which number and which shape is read from
//! the tables that were made of Kubernetes' own sources.

use std::collections::HashMap;

use serde_json::Value;

const NUMBERS: &str = include_str!("../../../apiserver/protobuf/numbers.txt");
const SHAPES: &str = include_str!("../../../kinds/schema/table.txt");

/// A message of the type that the tables call so (`c.Service`), made of a document.
pub(crate) fn encode(kind: &str, document: &Value) -> Vec<u8> {
    let (numbers, shapes) = (numbers(kind), shapes(kind));
    let object = document.as_object().expect("a document");
    let mut fields: Vec<(u32, &str, &Value)> = object
        .iter()
        .filter_map(|(name, value)| Some((*numbers.get(&**name)?, *shapes.get(&**name)?, value)))
        .collect();
    fields.sort_by_key(|(number, ..)| *number);
    let mut bytes = Vec::new();
    for (number, shape, value) in fields {
        put(number, shape, value, &mut bytes);
    }
    bytes
}

/// The message in an envelope.
pub(crate) fn envelope(message: &[u8]) -> Vec<u8> {
    let mut bytes = super::MAGIC.to_vec();
    bytes_field(1, b"", &mut bytes);
    bytes_field(super::RAW, message, &mut bytes);
    bytes_field(3, b"", &mut bytes);
    bytes_field(4, b"", &mut bytes);
    bytes
}

/// A field that holds bytes.
pub(crate) fn bytes_field(number: u32, value: &[u8], bytes: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 2, bytes);
    varint(value.len() as u64, bytes);
    bytes.extend_from_slice(value);
}

fn put(number: u32, shape: &str, value: &Value, bytes: &mut Vec<u8>) {
    match (shape.as_bytes()[0], value) {
        (b'[', Value::Array(all)) => all.iter().for_each(|one| put(number, &shape[1..], one, bytes)),
        (b'{', Value::Object(all)) => {
            for (key, value) in all {
                let mut entry = Vec::new();
                bytes_field(1, key.as_bytes(), &mut entry);
                put(2, &shape[1..], value, &mut entry);
                bytes_field(number, &entry, bytes);
            }
        }
        (b'x', Value::String(text)) => {
            let mut both = Vec::new();
            number_field(1, 1, &mut both);
            number_field(2, 0, &mut both);
            bytes_field(3, text.as_bytes(), &mut both);
            bytes_field(number, &both, bytes);
        }
        (b'x', value) => {
            let mut both = Vec::new();
            number_field(1, 0, &mut both);
            number_field(2, value.as_i64().expect("a number"), &mut both);
            bytes_field(3, b"", &mut both);
            bytes_field(number, &both, bytes);
        }
        (_, Value::String(text)) => bytes_field(number, text.as_bytes(), bytes),
        (_, Value::Bool(flag)) => number_field(number, i64::from(*flag), bytes),
        (_, Value::Number(value)) => number_field(number, value.as_i64().expect("a whole number"), bytes),
        (_, Value::Null) => {}
        (_, value) => bytes_field(number, &encode(shape, value), bytes),
    }
}

fn number_field(number: u32, value: i64, bytes: &mut Vec<u8>) {
    varint(u64::from(number) << 3, bytes);
    varint(value as u64, bytes);
}

fn varint(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn numbers(kind: &str) -> HashMap<&'static str, u32> {
    let line = NUMBERS.lines().find_map(|line| line.strip_prefix(kind)?.strip_prefix(' '));
    let words = line.unwrap_or_else(|| panic!("{kind} is not in the table of numbers")).split(' ');
    words.filter_map(|word| word.split_once('=')).map(|(name, number)| (name, number.parse().unwrap())).collect()
}

fn shapes(kind: &str) -> HashMap<&'static str, &'static str> {
    let is_kind = |line: &&str| line.strip_prefix('=').and_then(|rest| rest.split(' ').next()) == Some(kind);
    let lines = SHAPES.lines().skip_while(|line| !is_kind(line)).skip(1);
    lines
        .take_while(|line| !line.starts_with('='))
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?))
        })
        .collect()
}
