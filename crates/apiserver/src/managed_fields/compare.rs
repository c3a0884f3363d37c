//! What a change does to each field: adds it, changes it, removes it.

use std::collections::BTreeSet;

use kinds::schema::{Relationship, Type};
use serde_json::Value;

use super::element::Element;
use super::set::FieldSet;
use super::typed::{KeyError, Node, grouped};

/// The fields that differ between two versions of an object. None is in two of the sets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    pub removed: FieldSet,
    pub modified: FieldSet,
    pub added: FieldSet,
}

impl Comparison {
    /// The same without fields (and what is in them) that do not count.
    pub fn without(self, ignored: &FieldSet) -> Self {
        Self {
            removed: self.removed.recursive_difference(ignored),
            modified: self.modified.recursive_difference(ignored),
            added: self.added.recursive_difference(ignored),
        }
    }

    /// The fields that have another value now.
    pub fn changed(&self) -> FieldSet {
        self.modified.clone().union(&self.added)
    }
}

/// Compares two versions of an object.
pub(super) fn compare(old: &Value, new: &Value, kind: &'static Type) -> Result<Comparison, KeyError> {
    let mut walk = Walk { path: Vec::new(), found: Comparison::default() };
    walk.value(&Node::root(kind), Some(old), Some(new))?;
    Ok(walk.found)
}

struct Walk {
    path: Vec<Element>,
    found: Comparison,
}

impl Walk {
    fn value(&mut self, node: &Node, old: Option<&Value>, new: Option<&Value>) -> Result<(), KeyError> {
        match node.relationship {
            Relationship::Scalar | Relationship::Atomic => self.leaf(old, new),
            // That both are empty is told apart from one of them not being there.
            _ if is_empty(old) && is_empty(new) => self.leaf(old, new),
            Relationship::Granular => {
                self.fields(node, old, new)?;
                self.itself(old, new);
            }
            Relationship::Set | Relationship::Keyed(_) => {
                self.elements(node, old, new)?;
                self.itself(old, new);
            }
        }
        Ok(())
    }

    fn leaf(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (Some(old), Some(new)) if !equal(old, new) => self.found.modified.insert(&self.path),
            _ => self.itself(old, new),
        }
    }

    fn itself(&mut self, old: Option<&Value>, new: Option<&Value>) {
        match (old, new) {
            (None, Some(_)) => self.found.added.insert(&self.path),
            (Some(_), None) => self.found.removed.insert(&self.path),
            _ => {}
        }
    }

    fn fields(&mut self, node: &Node, old: Option<&Value>, new: Option<&Value>) -> Result<(), KeyError> {
        let (old, new) = (old.and_then(Value::as_object), new.and_then(Value::as_object));
        let names: BTreeSet<&String> = [old, new].into_iter().flatten().flat_map(serde_json::Map::keys).collect();
        for name in names {
            let Some(child) = node.child(name) else { continue };
            let (old, new) = (old.and_then(|f| f.get(name)), new.and_then(|f| f.get(name)));
            self.path.push(Element::field(name));
            self.value(&child, old, new)?;
            self.path.pop();
        }
        Ok(())
    }

    fn elements(&mut self, node: &Node, old: Option<&Value>, new: Option<&Value>) -> Result<(), KeyError> {
        let (old, new) = (grouped(node.identified(old)?), grouped(node.identified(new)?));
        let identities: BTreeSet<&Element> = old.keys().chain(new.keys()).collect();
        let element = node.element();
        for identity in identities {
            let of =
                |side: &std::collections::BTreeMap<Element, Vec<&'_ Value>>| side.get(identity).map_or(0, Vec::len);
            let (many_old, many_new) = (of(&old) > 1, of(&new) > 1);
            let first_old = old.get(identity).and_then(|e| e.first().copied());
            let first_new = new.get(identity).and_then(|e| e.first().copied());
            self.path.push(identity.clone());
            match (many_old, many_new) {
                (false, false) => self.value(&element, first_old, first_new)?,
                // Elements that cannot be told apart are one piece.
                (true, true) => {
                    if old.get(identity) != new.get(identity) {
                        self.found.modified.insert(&self.path);
                    }
                }
                (true, false) => {
                    if first_new.is_some() {
                        self.value(&element, None, first_new)?;
                    }
                    self.found.removed.insert(&self.path);
                }
                (false, true) => {
                    if first_old.is_some() {
                        self.value(&element, first_old, None)?;
                    }
                    self.found.added.insert(&self.path);
                }
            }
            self.path.pop();
        }
        Ok(())
    }
}

fn is_empty(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Object(fields)) => fields.is_empty(),
        Some(Value::Array(elements)) => elements.is_empty(),
        _ => true,
    }
}

/// Equality in which `1` is `1.0`.
pub(super) fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}
