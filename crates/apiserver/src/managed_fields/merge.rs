//! The live object with an applied one merged into it, and an object without some of its fields.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use kinds::schema::{Relationship, Type};
use serde_json::{Map, Value};

use super::element::Element;
use super::set::FieldSet;
use super::typed::{KeyError, Node};

/// Merges `config` into `live`: nothing is removed; what both say is as `config` says it.
pub(super) fn merge(live: &Value, config: &Value, kind: &'static Type) -> Result<Value, KeyError> {
    Ok(value(&Node::root(kind), Some(live), Some(config))?.unwrap_or_default())
}

fn value(node: &Node, live: Option<&Value>, config: Option<&Value>) -> Result<Option<Value>, KeyError> {
    match node.relationship {
        Relationship::Scalar | Relationship::Atomic => Ok(config.or(live).cloned()),
        Relationship::Granular => {
            let (l, c) = (live.and_then(Value::as_object), config.and_then(Value::as_object));
            if l.is_none_or(Map::is_empty) && c.is_none_or(Map::is_empty) {
                return Ok(config.or(live).cloned());
            }
            fields(node, l, c)
        }
        Relationship::Set | Relationship::Keyed(_) => {
            let (l, c) = (node.identified(live)?, node.identified(config)?);
            if l.is_empty() && c.is_empty() {
                return Ok(config.or(live).cloned());
            }
            elements(node, l, c)
        }
    }
}

fn fields(
    node: &Node,
    live: Option<&Map<String, Value>>,
    config: Option<&Map<String, Value>>,
) -> Result<Option<Value>, KeyError> {
    let mut merged = Map::new();
    let names: BTreeSet<&String> = [live, config].into_iter().flatten().flat_map(Map::keys).collect();
    for name in names {
        let Some(child) = node.child(name) else { continue };
        let (live, config) = (live.and_then(|f| f.get(name)), config.and_then(|f| f.get(name)));
        if let Some(value) = value(&child, live, config)? {
            merged.insert(name.clone(), value);
        }
    }
    Ok((!merged.is_empty()).then_some(Value::Object(merged)))
}

/// The elements of both lists. Those of `config` come in its order; those that it does not have stand where they stood
/// among the others.
fn elements(
    node: &Node,
    live: Vec<(Element, &Value)>,
    config: Vec<(Element, &Value)>,
) -> Result<Option<Value>, KeyError> {
    let in_config: BTreeMap<&Element, &Value> = config.iter().map(|(i, e)| (i, *e)).collect();
    // Elements of the live list that cannot be told apart are not merged into: what they would be merged to is unclear.
    let mut in_live: BTreeMap<&Element, Option<&Value>> = BTreeMap::new();
    for (identity, element) in &live {
        in_live.entry(identity).and_modify(|e| *e = None).or_insert(Some(element));
    }
    let null = Value::Null;
    let element = node.element();
    let merged = |identity: &Element| {
        let live = in_live.get(identity).map(|e| e.unwrap_or(&null));
        value(&element, live, in_config.get(identity).copied())
    };
    let mut shared: VecDeque<&Element> = config.iter().map(|(i, _)| i).filter(|i| in_live.contains_key(i)).collect();
    let mut next_shared = shared.pop_front();
    let (mut taken, mut out) = (BTreeSet::new(), Vec::new());
    let (mut l, mut c) = (0, 0);
    while l < live.len() || c < config.len() {
        if let (Some((ours, _)), Some((theirs, _))) = (live.get(l), config.get(c)) {
            if ours == theirs {
                taken.insert(ours);
                out.extend(merged(ours)?);
                (l, c) = (l + 1, c + 1);
                next_shared = shared.pop_front();
                continue;
            }
            // It is in both, but another that is comes first in the new order.
            if in_config.contains_key(ours) && next_shared.is_some_and(|next| next != ours) {
                l += 1;
                continue;
            }
        }
        if let Some((ours, at_place)) = live.get(l) {
            if !in_config.contains_key(ours) {
                out.extend(value(&element, Some(at_place), None)?);
                l += 1;
                continue;
            }
            if taken.contains(ours) {
                l += 1;
            }
        }
        if let Some((theirs, _)) = config.get(c) {
            taken.insert(theirs);
            out.extend(merged(theirs)?);
            c += 1;
            if next_shared == Some(theirs) {
                next_shared = shared.pop_front();
            }
        }
    }
    Ok((!out.is_empty()).then_some(Value::Array(out)))
}

/// An object without these fields. What is left empty is null.
pub(super) fn remove(of: &Value, fields: &FieldSet, kind: &'static Type) -> Value {
    without(&Node::root(kind), of, fields)
}

fn without(node: &Node, of: &Value, gone: &FieldSet) -> Value {
    match node.relationship {
        Relationship::Scalar => of.clone(),
        Relationship::Atomic if of.is_array() || of.is_object() => Value::Null,
        Relationship::Atomic => of.clone(),
        Relationship::Granular => {
            let Value::Object(fields) = of else { return Value::Null };
            let kept = fields.iter().filter_map(|(name, value)| {
                let element = Element::field(name);
                if gone.has(&element) {
                    return None;
                }
                let left = match (gone.within(&element), node.child(name)) {
                    (Some(gone), Some(child)) => without(&child, value, gone),
                    _ => value.clone(),
                };
                Some((name.clone(), left))
            });
            some_or_null(kept.collect::<Map<_, _>>(), Map::is_empty, Value::Object)
        }
        Relationship::Set | Relationship::Keyed(_) => {
            let Value::Array(elements) = of else { return Value::Null };
            let kept = elements.iter().filter_map(|value| {
                let Ok(identity) = node.identity(value) else { return Some(value.clone()) };
                if gone.has(&identity) {
                    return None;
                }
                Some(match gone.within(&identity) {
                    Some(gone) => without(&node.element(), value, gone),
                    None => value.clone(),
                })
            });
            some_or_null(kept.collect::<Vec<_>>(), Vec::is_empty, Value::Array)
        }
    }
}

fn some_or_null<T>(of: T, is_empty: impl Fn(&T) -> bool, value: impl Fn(T) -> Value) -> Value {
    if is_empty(&of) { Value::Null } else { value(of) }
}
