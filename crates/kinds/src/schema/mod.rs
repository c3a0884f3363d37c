//! The schema table: what is known of the fields of every type that is served.
//!
//! Field types, list keys, merge keys and defaults are facts, so they are data: `crates/kinds/schema/table.txt`, which
//! `generate.py` beside it extracts from Kubernetes' OpenAPI documents and tells how to read. It is parsed once, when it is
//! first asked for, into about 150 KB; names are slices of the text. Patches, managed fields, OpenAPI documents and the
//! decoding of requests ([`check`](check())) all walk it.
//!
//! Here: what a [`Type`] and a [`Field`] is. Then `table` (reading the text), `check` (decoding a document as Go does),
//! and scalars whose text has a canonical form: `time`, `base64`; and [`quoted`](quoted()).

mod base64;
mod check;
mod quoted;
mod table;
#[cfg(test)]
mod tests;
mod time;

use std::sync::LazyLock;

use serde_json::Value;

pub use check::{Checked, check};
pub use quoted::quoted;

/// One object type, such as `io.k8s.api.core.v1.ServicePort`.
#[derive(Debug)]
pub struct Type {
    name: Box<str>,
    atomic: bool,
    gvk: Option<GroupVersionKind>,
    fields: Box<[Field]>,
}

/// What objects of a top-level type call themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupVersionKind {
    /// API group; empty for core.
    pub group: &'static str,
    /// `v1`
    pub version: &'static str,
    /// `Service`
    pub kind: &'static str,
}

impl Type {
    /// The name in OpenAPI documents: `io.k8s.api.core.v1.ServicePort`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The last part of the name, which is the name of the Go struct: `ServicePort`.
    pub fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }

    /// What reflection calls the type in Go: `v1.ServicePort`.
    pub fn go_name(&self) -> &str {
        let mut dots = self.name.rmatch_indices('.');
        let second = dots.nth(1).map_or(0, |(at, _)| at + 1);
        &self.name[second..]
    }

    /// Whether its objects have one owner and are replaced whole (`x-kubernetes-map-type: atomic`).
    pub fn is_atomic(&self) -> bool {
        self.atomic
    }

    /// Group, version and kind, if objects of this type stand alone.
    pub fn gvk(&self) -> Option<GroupVersionKind> {
        self.gvk
    }

    /// Its place in [`types`], if it is one of them.
    pub fn position(&self) -> usize {
        let from = types().as_ptr().addr();
        std::ptr::from_ref(self).addr().wrapping_sub(from) / size_of::<Self>()
    }

    /// All fields, by name in ascending order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.binary_search_by(|f| f.name.cmp(name)).ok().map(|i| &self.fields[i])
    }
}

/// A place in the list of types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TypeId(u16);

impl TypeId {
    /// The type itself.
    pub fn get(self) -> &'static Type {
        &types()[usize::from(self.0)]
    }
}

/// What a value looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A string.
    String,
    /// `true` or `false`.
    Bool,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// Any number.
    Double,
    /// A whole number or a string, such as a `targetPort`.
    IntOrString,
    /// An amount, such as `100m` or `1Gi`; a bare number is read too.
    Quantity,
    /// RFC 3339 in whole seconds.
    Time,
    /// RFC 3339 with microseconds.
    MicroTime,
    /// Bytes as base64.
    Bytes,
    /// Any JSON; nothing is known of what is within.
    Any,
    /// An object of a known type.
    Object(TypeId),
    /// A list.
    List(Box<Shape>),
    /// A map from strings.
    Map(Box<Shape>),
}

impl Shape {
    /// The type of an object, or of the elements of a list of objects or the values of a map of objects.
    pub fn object(&self) -> Option<&'static Type> {
        match self {
            Self::Object(id) => Some(id.get()),
            Self::List(of) | Self::Map(of) => of.object(),
            _ => None,
        }
    }

    /// How a value of this shape is owned when no field says more about it: as an element of a list, or a value of a map.
    pub fn relationship(&self) -> Relationship<'static> {
        match self {
            Self::Object(id) if id.get().atomic => Relationship::Atomic,
            Self::Object(_) | Self::Map(_) => Relationship::Granular,
            Self::List(_) | Self::Any => Relationship::Atomic,
            _ => Relationship::Scalar,
        }
    }

    /// What reflection calls it in Go, where the type has no name of its own: `[]v1.ServicePort`, `map[string]string`.
    pub fn go_name(&self) -> String {
        match self {
            Self::String => "string".to_owned(),
            Self::Bool => "bool".to_owned(),
            Self::Int32 => "int32".to_owned(),
            Self::Int64 => "int64".to_owned(),
            Self::Double => "float64".to_owned(),
            Self::IntOrString => "intstr.IntOrString".to_owned(),
            Self::Quantity => "resource.Quantity".to_owned(),
            Self::Time => "v1.Time".to_owned(),
            Self::MicroTime => "v1.MicroTime".to_owned(),
            Self::Bytes => "[]uint8".to_owned(),
            Self::Any => "runtime.RawExtension".to_owned(),
            Self::Object(id) => id.get().go_name().to_owned(),
            Self::List(of) => format!("[]{}", of.go_name()),
            Self::Map(of) => format!("map[string]{}", of.go_name()),
        }
    }
}

/// How the parts of a value belong together, for strategic merge, managed fields and apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relationship<'a> {
    /// It has no parts.
    Scalar,
    /// A list, map or object that has one owner and is replaced whole, and anything of which nothing is known.
    Atomic,
    /// A map or object whose fields are owned one by one.
    Granular,
    /// A list of values that are owned one by one, none twice.
    Set,
    /// A list of objects that are told apart by the values of these fields.
    Keyed(&'a [&'static str]),
}

/// What becomes of an empty value when Go writes the object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Presence {
    /// It is always written: `""`, `0`, `{}`, or `null` for a list.
    #[default]
    Always,
    /// Zero values are left out (`omitempty`).
    OmitZero,
    /// A pointer: `0` and `""` are values, only nil is left out.
    OmitNull,
    /// A pointer that is written as `null` when it is nil.
    NullWhenAbsent,
}

/// One field of a type.
#[derive(Debug)]
pub struct Field {
    /// The JSON name.
    pub name: &'static str,
    /// What its value looks like.
    pub shape: Shape,
    /// Whether OpenAPI documents call it required. (Decoding does not ask for it; validation does.)
    pub required: bool,
    /// What becomes of an empty value.
    pub presence: Presence,
    traits: Option<Box<Traits>>,
}

#[derive(Debug, Default)]
struct Traits {
    keys: Box<[&'static str]>,
    set: bool,
    atomic: bool,
    granular: bool,
    merge_key: Option<&'static str>,
    strategy: Option<&'static str>,
    default: Option<Value>,
    go_name: Option<&'static str>,
    embedded_in: Option<&'static str>,
    values: Option<&'static str>,
}

impl Field {
    /// How the parts of its value belong together (`x-kubernetes-list-type`, `-list-map-keys`, `-map-type`).
    pub fn relationship(&self) -> Relationship<'_> {
        let Some(traits) = &self.traits else { return self.shape.relationship() };
        if !traits.keys.is_empty() {
            Relationship::Keyed(&traits.keys)
        } else if traits.set {
            Relationship::Set
        } else if traits.atomic {
            Relationship::Atomic
        } else if traits.granular {
            Relationship::Granular
        } else {
            self.shape.relationship()
        }
    }

    /// The field that tells elements apart in a strategic merge (`x-kubernetes-patch-merge-key`).
    pub fn merge_key(&self) -> Option<&'static str> {
        self.traits.as_ref().and_then(|t| t.merge_key)
    }

    /// `x-kubernetes-patch-strategy` as it stands there: `merge`, `replace`, `retainKeys`, `merge,retainKeys`; empty when not given.
    pub fn patch_strategy(&self) -> &'static str {
        let Some(traits) = &self.traits else { return "" };
        traits.strategy.unwrap_or(if traits.merge_key.is_some() { "merge" } else { "" })
    }

    /// The default that the OpenAPI v3 documents give, where it is not empty or the field is the key of a list.
    pub fn default(&self) -> Option<&Value> {
        self.traits.as_ref().and_then(|t| t.default.as_ref())
    }

    /// What reflection calls the field's type in Go, where it has a name of its own: `v1.Protocol`.
    pub fn go_name(&self) -> Option<&'static str> {
        self.traits.as_ref().and_then(|t| t.go_name)
    }

    /// The values that OpenAPI enumerates for the string, or for each string of the list; none if it does not.
    /// (Validation says what is allowed, and in which words it is refused.)
    pub fn values(&self) -> impl Iterator<Item = String> {
        let values = self.traits.as_ref().and_then(|t| t.values);
        values.into_iter().flat_map(|v| v.split(',')).map(|v| v.replace('_', " "))
    }

    /// The embedded Go struct in which the field stands: `ProbeHandler`.
    fn embedded_in(&self) -> Option<&'static str> {
        self.traits.as_ref().and_then(|t| t.embedded_in)
    }
}

/// All types, by name in ascending order.
pub fn types() -> &'static [Type] {
    static TYPES: LazyLock<Box<[Type]>> = LazyLock::new(table::built_in);
    &TYPES
}

/// The type of this name.
pub fn get(name: &str) -> Option<&'static Type> {
    types().binary_search_by(|t| (*t.name).cmp(name)).ok().map(|i| &types()[i])
}

/// The type of objects with this group, version and kind.
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Type> {
    types().iter().find(|t| t.gvk.is_some_and(|g| g.kind == kind && g.version == version && g.group == group))
}
