//! Parts of a Pod as Kubernetes' own Go types print them: every field, in the order of the type, under its Go name.
//!
//! `printed/types.txt` knows the types. A line is a type and its fields: a name (with `=` the name in documents, where
//! it does not follow from the other), then what is printed when the field is absent (`""`, `0`, `false`; `null` when
//! nothing stands there), or its type, with `*` when it may be absent and `[]` when it is a list. `+` takes in the
//! fields of another type.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

use crate::document::{at, set};
use crate::field::marshal;
use crate::unified;

static TYPES: LazyLock<HashMap<&'static str, Vec<Field>>> =
    LazyLock::new(|| include_str!("printed/types.txt").lines().filter_map(parse).collect());

struct Field {
    name: &'static str,
    in_documents: String,
    shape: Shape,
}

enum Shape {
    /// A text, a number, a map: as it is, or this.
    Plain(&'static str),
    Always(&'static str),
    Maybe(&'static str),
    List(&'static str),
    /// Fields of a type that stand here as if they were the type's own.
    Embedded(&'static str),
}

fn parse(line: &'static str) -> Option<(&'static str, Vec<Field>)> {
    let (name, fields) = line.split_once(": ")?;
    Some((name, fields.split(", ").map(parse_field).collect()))
}

fn parse_field(field: &'static str) -> Field {
    let (named, shape) = field.split_once(' ').unwrap_or((field, "null"));
    let (name, in_documents) = match named.split_once('=') {
        Some((name, in_documents)) => (name, in_documents.to_owned()),
        None => (named, in_documents(named)),
    };
    let is_type = shape.starts_with(|c: char| c.is_ascii_uppercase());
    let shape = match (shape.strip_prefix('*'), shape.strip_prefix("[]"), name.strip_prefix('+')) {
        (_, _, Some(embedded)) => Shape::Embedded(embedded),
        (Some(maybe), ..) => Shape::Maybe(maybe),
        (_, Some(element), _) => Shape::List(element),
        _ if is_type => Shape::Always(shape),
        _ => Shape::Plain(shape),
    };
    Field { name, in_documents, shape }
}

/// `HTTPGet` is `httpGet`.
fn in_documents(name: &str) -> String {
    let capitals = name.bytes().take_while(u8::is_ascii_uppercase).count();
    let lowered = if capitals == name.len() { capitals } else { capitals.saturating_sub(1).max(1) };
    name.chars().enumerate().map(|(i, c)| if i < lowered { c.to_ascii_lowercase() } else { c }).collect()
}

/// A value in one line, as a fault shows it.
pub(super) fn compact(kind: &str, value: &Value) -> String {
    write(kind, value, None)
}

/// How two specs differ, line by line.
pub(super) fn difference(old: &Value, new: &Value) -> String {
    let print = |spec: &Value| {
        let mut spec = spec.clone();
        let mut context = at(&spec, "securityContext").clone();
        for field in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"] {
            set(&mut context, field, at(&spec, field).clone());
        }
        set(&mut spec, "securityContext", context);
        write("PodSpec", &spec, Some(0))
    };
    unified::difference(&print(old), &print(new))
}

/// `depth`: how far the value is indented, if it has lines.
fn write(kind: &str, value: &Value, depth: Option<usize>) -> String {
    if kind == "LabelSelector" {
        return lines(&crate::labels::marshal_selector(Some(value)), depth);
    }
    let mut fields = Vec::new();
    collect(kind, value, depth.map(|depth| depth + 1), &mut fields);
    frame('{', fields, '}', depth)
}

fn collect(kind: &str, value: &Value, depth: Option<usize>, fields: &mut Vec<String>) {
    for field in TYPES.get(kind).into_iter().flatten() {
        let content = at(value, &field.in_documents);
        let printed = match &field.shape {
            Shape::Embedded(kind) => {
                collect(kind, value, depth, fields);
                continue;
            }
            Shape::Plain(absent) if content.is_null() => (*absent).to_owned(),
            Shape::Maybe(_) | Shape::List(_) if content.is_null() => "null".to_owned(),
            Shape::Plain(_) => lines(&marshal(content), depth),
            Shape::Always(kind) | Shape::Maybe(kind) => write(kind, content, depth),
            Shape::List(kind) => {
                let elements = content.as_array().map_or(&[][..], Vec::as_slice);
                let inside = depth.map(|depth| depth + 1);
                frame('[', elements.iter().map(|element| write(kind, element, inside)).collect(), ']', depth)
            }
        };
        let colon = if depth.is_some() { ": " } else { ":" };
        fields.push(format!("\"{}\"{colon}{printed}", field.name));
    }
}

fn frame(open: char, elements: Vec<String>, close: char, depth: Option<usize>) -> String {
    match depth {
        Some(depth) if !elements.is_empty() => {
            let (outside, inside) = (" ".repeat(depth), " ".repeat(depth + 1));
            format!("{open}\n{inside}{}\n{outside}{close}", elements.join(&format!(",\n{inside}")))
        }
        _ => format!("{open}{}{close}", elements.join(",")),
    }
}

/// JSON that was written in one line, in lines.
fn lines(json: &str, depth: Option<usize>) -> String {
    let Some(mut depth) = depth else { return json.to_owned() };
    let mut printed = String::new();
    let (mut in_text, mut is_escaped) = (false, false);
    let mut characters = json.chars().peekable();
    while let Some(c) = characters.next() {
        if in_text {
            in_text = c != '"' || is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            printed.push(c);
            continue;
        }
        match c {
            '{' | '[' if characters.next_if(|next| matches!(next, '}' | ']')).is_some() => {
                printed.push(c);
                printed.push(if c == '{' { '}' } else { ']' });
            }
            '{' | '[' => {
                depth += 1;
                printed.push_str(&format!("{c}\n{}", " ".repeat(depth)));
            }
            '}' | ']' => {
                depth -= 1;
                printed.push_str(&format!("\n{}{c}", " ".repeat(depth)));
            }
            ',' => printed.push_str(&format!(",\n{}", " ".repeat(depth))),
            ':' => printed.push_str(": "),
            '"' => {
                in_text = true;
                printed.push(c);
            }
            c => printed.push(c),
        }
    }
    printed
}
