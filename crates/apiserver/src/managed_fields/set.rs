//! Sets of fields: what a manager owns, and what a change touches.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use kinds::schema::Type;
use serde_json::{Map, Value};

use super::element::{Element, ElementError};
use super::typed::Node;

/// A set of fields of an object. Owning an object or a list is something else than owning what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet(BTreeMap<Element, Owned>);

/// What is owned of one field. Never nothing at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Owned {
    /// The field itself.
    itself: bool,
    /// Fields in it.
    within: FieldSet,
}

impl Owned {
    fn is_nothing(&self) -> bool {
        !self.itself && self.within.is_empty()
    }
}

impl FieldSet {
    /// A set of such paths.
    pub fn of(paths: &[&[&str]]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let path: Vec<Element> = path.iter().map(|name| Element::field(name)).collect();
            set.insert(&path);
        }
        set
    }

    /// Adds the field at a path. The root has no owner: the empty path adds nothing.
    pub fn insert(&mut self, path: &[Element]) {
        match path {
            [] => {}
            [last] => self.0.entry(last.clone()).or_default().itself = true,
            [first, rest @ ..] => self.0.entry(first.clone()).or_default().within.insert(rest),
        }
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the field is there.
    pub fn has(&self, element: &Element) -> bool {
        self.0.get(element).is_some_and(|o| o.itself)
    }

    /// The fields within a field, if there are any.
    pub fn within(&self, element: &Element) -> Option<&Self> {
        self.0.get(element).map(|o| &o.within).filter(|w| !w.is_empty())
    }

    /// The fields of either.
    pub fn union(mut self, other: &Self) -> Self {
        for (element, theirs) in &other.0 {
            match self.0.entry(element.clone()) {
                Entry::Vacant(place) => drop(place.insert(theirs.clone())),
                Entry::Occupied(mut place) => {
                    let ours = place.get_mut();
                    ours.itself |= theirs.itself;
                    ours.within = std::mem::take(&mut ours.within).union(&theirs.within);
                }
            }
        }
        self
    }

    /// The fields of both.
    pub fn intersection(&self, other: &Self) -> Self {
        self.combined(other, |ours, theirs| {
            let theirs = theirs?;
            Some(Owned { itself: ours.itself && theirs.itself, within: ours.within.intersection(&theirs.within) })
        })
    }

    /// The fields that the other does not have. What is in a field stays even if the other has the field itself.
    pub fn difference(&self, other: &Self) -> Self {
        self.combined(other, |ours, theirs| {
            let Some(theirs) = theirs else { return Some(ours.clone()) };
            Some(Owned { itself: ours.itself && !theirs.itself, within: ours.within.difference(&theirs.within) })
        })
    }

    /// The fields that the other does not have, nor any field that they are in.
    pub fn recursive_difference(&self, other: &Self) -> Self {
        self.combined(other, |ours, theirs| match theirs {
            None => Some(ours.clone()),
            Some(theirs) if theirs.itself => None,
            Some(theirs) => {
                Some(Owned { itself: ours.itself, within: ours.within.recursive_difference(&theirs.within) })
            }
        })
    }

    fn combined(&self, other: &Self, combine: impl Fn(&Owned, Option<&Owned>) -> Option<Owned>) -> Self {
        let kept = self.0.iter().filter_map(|(element, ours)| {
            let owned = combine(ours, other.0.get(element)).filter(|o| !o.is_nothing())?;
            Some((element.clone(), owned))
        });
        Self(kept.collect())
    }

    /// The set with every named field that has others in it: `a.b.c` brings `a`, but no entry of a map.
    pub fn with_named_fields(&self, kind: &'static Type) -> Self {
        self.named(Some(Node::root(kind)))
    }

    fn named(&self, node: Option<Node>) -> Self {
        let each = self.0.iter().map(|(element, owned)| {
            let inner = match element {
                Element::Field(name) => node.and_then(|n| n.child(name)),
                Element::Key(_) => node.map(|n| n.element()),
                Element::Value(_) | Element::Index(_) => None,
            };
            let named = matches!(element, Element::Field(name) if node.is_some_and(|n| n.names(name)));
            let itself = owned.itself || (named && !owned.within.is_empty());
            (element.clone(), Owned { itself, within: owned.within.named(inner) })
        });
        Self(each.collect())
    }

    /// All paths: of each object first the fields themselves, then what is in them.
    pub fn paths(&self) -> Vec<Vec<Element>> {
        let mut paths = Vec::new();
        self.collect(&mut Vec::new(), &mut paths);
        paths
    }

    fn collect(&self, prefix: &mut Vec<Element>, paths: &mut Vec<Vec<Element>>) {
        for (element, _) in self.0.iter().filter(|(_, o)| o.itself) {
            let mut path = prefix.clone();
            path.push(element.clone());
            paths.push(path);
        }
        for (element, owned) in &self.0 {
            prefix.push(element.clone());
            owned.within.collect(prefix, paths);
            prefix.pop();
        }
    }

    /// As `fieldsV1`.
    pub fn encode(&self) -> Value {
        Value::Object(self.encode_fields())
    }

    fn encode_fields(&self) -> Map<String, Value> {
        let each = self.0.iter().map(|(element, owned)| {
            let mut within = owned.within.encode_fields();
            if owned.itself && !within.is_empty() {
                within.insert(".".to_owned(), Value::Object(Map::new()));
            }
            (element.encode(), Value::Object(within))
        });
        each.collect()
    }

    /// Reads `fieldsV1`.
    pub fn decode(fields: &Value) -> Result<Self, ElementError> {
        match fields {
            Value::Object(fields) => Ok(Self::decode_fields(fields)?.within),
            _ => Ok(Self::default()),
        }
    }

    /// An object that holds nothing says that the field itself is owned.
    fn decode_fields(fields: &Map<String, Value>) -> Result<Owned, ElementError> {
        let mut owned = Owned::default();
        for (name, inner) in fields {
            if name == "." {
                owned.itself = true;
                continue;
            }
            let Some(element) = Element::parse(name)? else { continue };
            let nothing = Map::new();
            let inner = Self::decode_fields(inner.as_object().unwrap_or(&nothing))?;
            owned.within.0.insert(element, inner);
        }
        owned.itself |= owned.within.is_empty();
        Ok(owned)
    }
}
