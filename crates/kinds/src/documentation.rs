//! What the fields of Kubernetes' types are for, in Kubernetes' words: read from k8s-openapi's schemas, so that no
//! copy of those texts is kept here.

use schemars::{JsonSchema, SchemaGenerator};

/// The description of a field of a type; empty when there is none.
///
/// The text is leaked: columns, which alone ask, are made once and live as long as the process.
pub(crate) fn of<T: JsonSchema>(field: &str) -> &'static str {
    let schema = T::json_schema(&mut SchemaGenerator::default());
    let text = schema.get("properties").and_then(|p| p.get(field)?.get("description")?.as_str().map(str::to_owned));
    text.map_or("", |text| text.leak())
}
