//! The fields that an object mentions.

use kinds::schema::{Relationship, Type};
use serde_json::Value;

use super::element::Element;
use super::set::FieldSet;
use super::typed::{Node, grouped};

/// All fields that an object mentions.
pub(super) fn field_set(value: &Value, kind: &'static Type) -> FieldSet {
    let mut set = FieldSet::default();
    collect(&Node::root(kind), value, &mut Vec::new(), &mut set);
    set
}

fn collect(node: &Node, value: &Value, path: &mut Vec<Element>, set: &mut FieldSet) {
    match node.relationship {
        Relationship::Scalar | Relationship::Atomic => set.insert(path),
        Relationship::Granular => {
            let Value::Object(fields) = value else { return };
            for (name, inner) in fields {
                path.push(Element::field(name));
                if let Some(child) = node.child(name) {
                    collect(&child, inner, path, set);
                }
                let nothing = inner.is_null() || inner.as_object().is_some_and(serde_json::Map::is_empty);
                if nothing || !node.names(name) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        Relationship::Set | Relationship::Keyed(_) => {
            let Ok(elements) = node.identified(Some(value)) else { return };
            for (identity, alike) in grouped(elements) {
                path.push(identity);
                // Of elements that are alike, the place is owned, and not what is in any of them.
                if let [one] = alike.as_slice() {
                    collect(&node.element(), one, path, set);
                }
                set.insert(path);
                path.pop();
            }
        }
    }
}
