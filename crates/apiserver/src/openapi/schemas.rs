//! Types as OpenAPI describes them.

use std::collections::{BTreeMap, BTreeSet};

use kinds::schema::{self, Field, Relationship, Shape, Type};
use serde_json::{Map, Value, json};

use super::Form;
use super::descriptions::Descriptions;

const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
const FIELDS_V1: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1";
const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";
/// What a patch is: an object, as far as OpenAPI can say.
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";

/// Types that stand behind scalars.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named(&'static str);

/// All types of a document: what these top-level types mention.
#[derive(Debug, Default)]
pub(super) struct Reached {
    pub objects: BTreeMap<&'static str, &'static Type>,
    pub scalars: BTreeSet<Named>,
}

impl Reached {
    /// Adds a type and all that it mentions.
    pub fn add(&mut self, name: &str) {
        if let Some(kind) = schema::get(name) {
            self.object(kind);
        }
    }

    fn object(&mut self, kind: &'static Type) {
        if self.objects.insert(kind.name(), kind).is_none() {
            for field in kind.fields() {
                self.shape(&field.shape, field.go_name());
            }
        }
    }

    fn shape(&mut self, shape: &'static Shape, go_name: Option<&str>) {
        match shape {
            Shape::Object(id) => self.object(id.get()),
            Shape::List(of) | Shape::Map(of) => self.shape(of, None),
            scalar => self.scalars.extend(named(scalar, go_name).map(Named)),
        }
    }
}

/// The name of the type of a scalar that has one.
fn named(shape: &Shape, go_name: Option<&str>) -> Option<&'static str> {
    match shape {
        Shape::Any if go_name == Some("v1.FieldsV1") => Some(FIELDS_V1),
        Shape::IntOrString => Some(INT_OR_STRING),
        Shape::Quantity => Some(QUANTITY),
        Shape::Time => Some(TIME),
        Shape::MicroTime => Some(MICRO_TIME),
        Shape::Any => Some(RAW_EXTENSION),
        _ => None,
    }
}

impl Named {
    /// Its name.
    pub fn name(self) -> &'static str {
        self.0
    }

    /// How it is described.
    pub fn describe(self, form: Form, descriptions: &Descriptions) -> Value {
        let mut described = match (self.0, form) {
            (INT_OR_STRING, Form::V2) => json!({"type": "string", "format": "int-or-string"}),
            (INT_OR_STRING, Form::V3) => {
                json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
            }
            (QUANTITY, Form::V2) => json!({"type": "string"}),
            (QUANTITY, Form::V3) => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
            (TIME | MICRO_TIME, _) => json!({"type": "string", "format": "date-time"}),
            _ => json!({"type": "object"}),
        };
        if let Some(description) = descriptions.of_type(self.0) {
            described["description"] = description.into();
        }
        described
    }
}

/// How an object type is described.
pub(super) fn describe(kind: &'static Type, form: Form, descriptions: &Descriptions) -> Value {
    let fields = kind.fields().iter().map(|field| {
        let description = descriptions.of_field(kind.name(), field.name);
        (field.name.to_owned(), describe_field(field, form, description))
    });
    let mut described = json!({"type": "object"});
    let fields: Map<String, Value> = fields.collect();
    if !fields.is_empty() {
        described["properties"] = Value::Object(fields);
    }
    let required: Vec<&str> = kind.fields().iter().filter(|f| f.required).map(|f| f.name).collect();
    if !required.is_empty() {
        described["required"] = required.into();
    }
    if let Some(description) = descriptions.of_type(kind.name()) {
        described["description"] = description.into();
    }
    if let Some(gvk) = kind.gvk() {
        let gvk = json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind});
        described["x-kubernetes-group-version-kind"] = json!([gvk]);
    }
    if kind.is_atomic() {
        described["x-kubernetes-map-type"] = "atomic".into();
    }
    described
}

fn describe_field(field: &'static Field, form: Form, description: Option<&str>) -> Value {
    let mut about = Map::new();
    if let Some(description) = description {
        about.insert("description".to_owned(), description.into());
    }
    if let (Form::V3, Some(default)) = (form, field.default()) {
        about.insert("default".to_owned(), default.clone());
    }
    if let Some(key) = field.merge_key() {
        about.insert("x-kubernetes-patch-merge-key".to_owned(), key.into());
    }
    if !field.patch_strategy().is_empty() {
        about.insert("x-kubernetes-patch-strategy".to_owned(), field.patch_strategy().into());
    }
    relate(field, &mut about);
    let mut shape = describe_shape(&field.shape, field.go_name(), form);
    let values: Vec<String> = field.values().collect();
    if !values.is_empty() {
        let of = if matches!(field.shape, Shape::List(_)) { &mut shape["items"] } else { &mut shape };
        of["enum"] = values.into();
    }
    // In OpenAPI 3.0, nothing may stand beside a reference.
    match shape {
        Value::Object(shape) if shape.contains_key("$ref") && form == Form::V3 && !about.is_empty() => {
            about.insert("allOf".to_owned(), json!([shape]));
            Value::Object(about)
        }
        Value::Object(mut shape) => {
            shape.append(&mut about);
            Value::Object(shape)
        }
        other => other,
    }
}

/// How the parts of the value belong together.
fn relate(field: &'static Field, about: &mut Map<String, Value>) {
    let mut say = |what: &str, value: Value| about.insert(format!("x-kubernetes-{what}"), value);
    match (&field.shape, field.relationship()) {
        (Shape::List(_), Relationship::Keyed(keys)) => {
            say("list-type", "map".into());
            say("list-map-keys", keys.into());
        }
        (Shape::List(_), Relationship::Set) => drop(say("list-type", "set".into())),
        (Shape::List(_), _) => drop(say("list-type", "atomic".into())),
        (Shape::Map(_), Relationship::Atomic) => drop(say("map-type", "atomic".into())),
        (Shape::Object(id), Relationship::Granular) if id.get().is_atomic() => {
            say("map-type", "granular".into());
        }
        _ => {}
    }
}

fn describe_shape(shape: &'static Shape, go_name: Option<&str>, form: Form) -> Value {
    let reference = |name: &str| json!({"$ref": format!("{}{name}", form.types())});
    match shape {
        Shape::String => json!({"type": "string"}),
        Shape::Bool => json!({"type": "boolean"}),
        Shape::Int32 => json!({"type": "integer", "format": "int32"}),
        Shape::Int64 => json!({"type": "integer", "format": "int64"}),
        Shape::Double => json!({"type": "number", "format": "double"}),
        Shape::Bytes => json!({"type": "string", "format": "byte"}),
        Shape::Object(id) => reference(id.get().name()),
        Shape::List(of) => json!({"type": "array", "items": describe_shape(of, None, form)}),
        Shape::Map(of) => json!({"type": "object", "additionalProperties": describe_shape(of, None, form)}),
        scalar => reference(named(scalar, go_name).unwrap_or(RAW_EXTENSION)),
    }
}
