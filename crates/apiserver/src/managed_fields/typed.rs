//! Values and what is known of them: which are one piece, which fall into fields, and what tells the elements of a list
//! apart.

use std::collections::BTreeMap;

use kinds::schema::{Field, Relationship, Shape, Type};
use serde_json::Value;

use super::element::{Element, Scalar};

/// What is known of a value at some place of an object.
#[derive(Clone, Copy)]
pub(super) struct Node {
    /// How its parts belong together.
    pub relationship: Relationship<'static>,
    /// What it must be; `None` for the object itself.
    pub shape: Option<&'static Shape>,
    parts: Parts,
}

/// What the parts of a value are.
#[derive(Clone, Copy)]
enum Parts {
    /// The fields of a type.
    Fields(&'static Type),
    /// Entries of a map or elements of a list.
    Alike(&'static Shape),
    /// It has none.
    None,
}

/// Why an element of a list cannot be told from others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyError {
    /// It is null in a list by keys.
    #[error("associative list with keys may not have a null element")]
    Null,
    /// It is no object in a list by keys.
    #[error("associative list with keys may not have non-map elements")]
    NotMap,
    /// It has none of the keys.
    #[error(
        "associative list with keys has an element that omits all key fields [{0}] (and doesn't have default values for any key fields)"
    )]
    NoKeys(String),
    /// It is an object in a set.
    #[error("associative list without keys has an element that's a map type")]
    MapInSet,
    /// It is a list in a set.
    #[error("not supported: associative list with lists as elements")]
    ListInSet,
    /// It is null in a set.
    #[error("associative list without keys has an element that's an explicit null")]
    NullInSet,
}

impl Node {
    /// The object itself.
    pub fn root(kind: &'static Type) -> Self {
        Self { relationship: Relationship::Granular, shape: None, parts: Parts::Fields(kind) }
    }

    fn of_field(field: &'static Field) -> Self {
        Self { relationship: field.relationship(), ..Self::of_shape(&field.shape) }
    }

    fn of_shape(shape: &'static Shape) -> Self {
        let parts = match shape {
            Shape::Object(id) => Parts::Fields(id.get()),
            Shape::List(of) | Shape::Map(of) => Parts::Alike(of),
            _ => Parts::None,
        };
        Self { relationship: shape.relationship(), shape: Some(shape), parts }
    }

    /// A field of the object or an entry of the map; `None` if the type has no such field.
    pub fn child(&self, name: &str) -> Option<Self> {
        match self.parts {
            Parts::Fields(kind) => kind.field(name).map(Self::of_field),
            Parts::Alike(of) => Some(Self::of_shape(of)),
            Parts::None => None,
        }
    }

    /// An element of the list.
    pub fn element(&self) -> Self {
        match self.parts {
            Parts::Alike(of) => Self::of_shape(of),
            _ => Self { relationship: Relationship::Atomic, shape: None, parts: Parts::None },
        }
    }

    /// Whether its type has a field of this name, other than that of a map's entry.
    pub fn names(&self, name: &str) -> bool {
        matches!(self.parts, Parts::Fields(kind) if kind.field(name).is_some())
    }

    /// What tells an element of this list from the others.
    pub fn identity(&self, element: &Value) -> Result<Element, KeyError> {
        let Relationship::Keyed(keys) = self.relationship else {
            return match element {
                Value::Object(_) => Err(KeyError::MapInSet),
                Value::Array(_) => Err(KeyError::ListInSet),
                Value::Null => Err(KeyError::NullInSet),
                scalar => Ok(Element::Value(Scalar(scalar.clone()))),
            };
        };
        let fields = match element {
            Value::Object(fields) => fields,
            Value::Null => return Err(KeyError::Null),
            _ => return Err(KeyError::NotMap),
        };
        let default = |key: &str| match self.element().parts {
            Parts::Fields(kind) => kind.field(key).and_then(Field::default),
            _ => None,
        };
        let given = keys.iter().filter_map(|key| {
            let value = fields.get(*key).or_else(|| default(key))?;
            Some(((*key).into(), Scalar(value.clone())))
        });
        let mut named: Vec<(Box<str>, Scalar)> = given.collect();
        if named.is_empty() {
            let keys: Vec<String> = keys.iter().map(|k| format!("{k:?}")).collect();
            return Err(KeyError::NoKeys(keys.join(" ")));
        }
        named.sort();
        Ok(Element::Key(named.into()))
    }

    /// The elements of a value that is a list by keys or a set, in their order, with what tells them apart.
    /// What cannot be told apart is an error of the list.
    pub fn identified<'v>(&self, list: Option<&'v Value>) -> Result<Vec<(Element, &'v Value)>, KeyError> {
        let elements = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        elements.iter().map(|element| Ok((self.identity(element)?, element))).collect()
    }
}

/// Elements by what tells them apart.
pub(super) fn grouped(elements: Vec<(Element, &Value)>) -> BTreeMap<Element, Vec<&Value>> {
    let mut groups: BTreeMap<Element, Vec<&Value>> = BTreeMap::new();
    for (identity, element) in elements {
        groups.entry(identity).or_default().push(element);
    }
    groups
}
