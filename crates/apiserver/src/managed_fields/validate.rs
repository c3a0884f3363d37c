//! What is wrong with the form of an object, in structured-merge-diff's words.

use std::collections::BTreeSet;

use kinds::schema::{Relationship, Shape, Type};
use serde_json::Value;

use super::typed::Node;
use crate::go_text;

/// Whether elements of a list that cannot be told apart are a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Duplicates {
    /// In what is applied they are.
    Refused,
    /// In an object that is there already they are not.
    Allowed,
}

/// All faults, as one text: `.spec.nope: field not declared in schema`. `None` if there are none.
pub(super) fn faults(object: &Value, kind: &'static Type, duplicates: Duplicates) -> Option<String> {
    let mut walk = Walk { path: String::new(), faults: Vec::new(), duplicates };
    walk.value(&Node::root(kind), object);
    match walk.faults.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("errors:\n  {}", many.join("\n  "))),
    }
}

struct Walk {
    path: String,
    faults: Vec<String>,
    duplicates: Duplicates,
}

impl Walk {
    fn fault(&mut self, what: &str) {
        let colon = if self.path.is_empty() { "" } else { ": " };
        self.faults.push(format!("{}{colon}{what}", self.path));
    }

    fn within(&mut self, step: &str, walk: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        self.path.push_str(step);
        walk(self);
        self.path.truncate(length);
    }

    fn value(&mut self, node: &Node, value: &Value) {
        if value.is_null() {
            return;
        }
        match (node.shape, value) {
            (None | Some(Shape::Object(_) | Shape::Map(_)), Value::Object(fields)) => {
                for (name, value) in fields {
                    let step = format!(".{name}");
                    let Some(child) = node.child(name) else {
                        self.within(&step, |w| w.fault("field not declared in schema"));
                        break;
                    };
                    self.within(&step, |w| w.value(&child, value));
                }
            }
            (Some(Shape::List(_)), Value::Array(elements)) => self.elements(node, elements),
            (None | Some(Shape::Object(_) | Shape::Map(_)), other) => {
                self.fault(&format!("expected map, got &{{{}}}", go_text::value(other)));
            }
            (Some(Shape::List(_)), other) => self.fault(&format!("expected list, got &{{{}}}", go_text::value(other))),
            (Some(shape), value) => {
                if let Some(fault) = scalar_fault(shape, value) {
                    self.fault(&fault);
                }
            }
        }
    }

    fn elements(&mut self, node: &Node, elements: &[Value]) {
        let element = node.element();
        let by_key = matches!(node.relationship, Relationship::Set | Relationship::Keyed(_));
        let mut seen = BTreeSet::new();
        for (at, value) in elements.iter().enumerate() {
            let step = if by_key {
                let identity = match node.identity(value) {
                    Ok(identity) => identity,
                    Err(error) => return self.fault(&format!("element {at}: {error}")),
                };
                let step = identity.to_string();
                if !seen.insert(identity) && self.duplicates == Duplicates::Refused {
                    self.fault(&format!("duplicate entries for key {step}"));
                }
                step
            } else {
                format!("[{at}]")
            };
            self.within(&step, |w| w.value(&element, value));
        }
    }
}

fn scalar_fault(shape: &Shape, value: &Value) -> Option<String> {
    match (shape, value) {
        (Shape::Any | Shape::IntOrString, _) => None,
        (Shape::Int32 | Shape::Int64 | Shape::Double, Value::Number(_)) => None,
        (Shape::Int32 | Shape::Int64 | Shape::Double, other) => {
            Some(format!("expected numeric (int or float), got {}", go_text::type_name(other)))
        }
        (Shape::String | Shape::Bytes, Value::String(_)) => None,
        (Shape::String | Shape::Bytes, other) => {
            Some(format!("expected string, got &value.valueUnstructured{{Value:{}}}", go_text::syntax(other)))
        }
        (Shape::Bool, Value::Bool(_)) => None,
        (Shape::Bool, other) => Some(format!("expected boolean, got &{{{}}}", go_text::value(other))),
        (_, Value::Array(_) | Value::Object(_)) => {
            Some(format!("expected any scalar, got &{{{}}}", go_text::value(value)))
        }
        _ => None,
    }
}
