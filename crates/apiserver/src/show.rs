//! From objects to what the client accepts: whole, as a table, or their metadata alone; as JSON, YAML or protobuf.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use kinds::Kind;
use kinds::kind::Column;
use kinds::schema::{self, Type};
use serde_json::{Value, json};

use crate::cache::object::Object;
use crate::negotiate::{Accepted, Encoding, Form};
use crate::protobuf::{self, List};
pub(crate) use crate::response::encoded;
use crate::response::{self, Body, ItemForm, METADATA_HEAD};
use crate::status::Status;

/// What of each object a table's rows carry: the parameter `includeObject`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum IncludeObject {
    None,
    #[default]
    Metadata,
    Object,
}

impl IncludeObject {
    pub fn read(parameter: Option<&str>) -> Result<Self, Status> {
        match parameter {
            None | Some("Metadata") => Ok(Self::Metadata),
            Some("None") => Ok(Self::None),
            Some("Object") => Ok(Self::Object),
            Some(other) => Err(Status::bad_request(format!("unrecognized includeObject value: {other:?}"))),
        }
    }
}

/// How the client wants to see objects of a kind.
#[derive(Clone, Copy)]
pub(crate) struct View {
    pub kind: &'static Kind,
    pub accepted: Accepted,
    pub include: IncludeObject,
    /// Now, in seconds since the epoch: tables show ages.
    pub now: i64,
}

/// What a list says of itself.
pub(crate) struct ListMetadata {
    pub revision: u64,
    pub continue_token: String,
    pub remaining: Option<usize>,
}

impl View {
    /// An answer with one object.
    pub fn object(&self, code: StatusCode, object: &Object) -> Result<Response<Body>, Status> {
        let bytes = match self.accepted.form {
            Form::MetadataList => return Err(metadata_list_of_one()),
            _ if self.accepted.encoding == Encoding::Protobuf => {
                return Ok(response::typed(code, protobuf::MEDIA_TYPE, Body::whole(self.protobuf(object)?)));
            }
            _ => self.json(object, true),
        };
        encoded(self.accepted.encoding, code, bytes)
    }

    /// One object in JSON; `first` says whether it is the first of a watch, whose table has headings.
    pub fn json(&self, object: &Object, first: bool) -> Bytes {
        match self.accepted.form {
            Form::Whole | Form::AggregatedDiscovery => object.bytes().clone(),
            Form::Metadata | Form::MetadataList => [METADATA_HEAD.as_bytes(), object.metadata(), b"}"].concat().into(),
            Form::Table => {
                let metadata = json!({ "resourceVersion": object.revision.to_string() });
                self.table(metadata, std::iter::once(object), first).into()
            }
        }
    }

    /// One object in protobuf.
    pub fn protobuf(&self, object: &Object) -> Result<Bytes, Status> {
        let body = match self.accepted.form {
            Form::Metadata | Form::MetadataList => protobuf::write_named(&self.json(object, true))?,
            _ => protobuf::write(object.bytes(), &self.kind.api_version(), self.kind.kind, self.of_type()?)?,
        };
        Ok(body.into())
    }

    /// The type of the objects. It will do for their metadata alone too, which are field 1 of all of them.
    fn of_type(&self) -> Result<&'static Type, Status> {
        schema::get(self.kind.schema).ok_or_else(|| Status::internal(format!("no schema of {}", self.kind.schema)))
    }

    /// Whether a list is more than the bytes that are there.
    pub fn makes_lists_anew(&self) -> bool {
        self.accepted.form == Form::Table || self.accepted.encoding != Encoding::Json
    }

    /// An answer with a list.
    pub fn list(&self, objects: Vec<Arc<Object>>, of: &ListMetadata) -> Result<Response<Body>, Status> {
        let mut metadata = json!({ "resourceVersion": of.revision.to_string() });
        if !of.continue_token.is_empty() {
            metadata["continue"] = of.continue_token.clone().into();
        }
        if let Some(remaining) = of.remaining {
            metadata["remainingItemCount"] = remaining.into();
        }
        let (kind, api_version, form) = match self.accepted.form {
            Form::Table => {
                let table = self.table(metadata, objects.iter().map(|o| &**o), true);
                return encoded(self.accepted.encoding, StatusCode::OK, table.into());
            }
            Form::Metadata => {
                let why = "you may only request PartialObjectMetadata for single objects";
                return Err(Status::not_acceptable(format!("NotAcceptable: {why}")));
            }
            Form::MetadataList => {
                ("PartialObjectMetadataList".to_owned(), "meta.k8s.io/v1".to_owned(), ItemForm::Metadata)
            }
            Form::Whole | Form::AggregatedDiscovery => {
                (format!("{}List", self.kind.kind), self.kind.api_version(), ItemForm::Object)
            }
        };
        if self.accepted.encoding == Encoding::Protobuf {
            let mut list = List::new(&metadata)?;
            let of_type = self.of_type()?;
            for object in &objects {
                match form {
                    ItemForm::Object => list.push(object.bytes(), of_type)?,
                    ItemForm::Metadata => list.push(&self.json(object, true), of_type)?,
                }
            }
            let pieces = list.finish(&api_version, &kind);
            return Ok(response::typed(StatusCode::OK, protobuf::MEDIA_TYPE, Body::pieces(pieces)));
        }
        let head =
            format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata},\"items\":[");
        let body = Body::list(head.into(), objects, Bytes::from_static(b"]}"), form);
        match self.accepted.encoding {
            Encoding::Json => Ok(response::json(StatusCode::OK, body)),
            other => encoded(other, StatusCode::OK, body.into_whole()),
        }
    }

    fn table<'o>(&self, metadata: Value, objects: impl Iterator<Item = &'o Object>, headings: bool) -> Vec<u8> {
        let columns = headings.then(|| self.kind.strategy.columns());
        table(metadata, columns, objects.map(|object| self.row(object)).collect()).to_string().into_bytes()
    }

    fn row(&self, object: &Object) -> Value {
        let document = object.document();
        let cells = self.kind.strategy.row(&document, self.now);
        let mut row = json!({ "cells": cells });
        let conditions = self.kind.strategy.row_conditions(&document);
        if !conditions.is_empty() {
            row["conditions"] = Value::Array(conditions);
        }
        row["object"] = self.shown_in_row(document);
        row
    }

    /// A document that is no kind of its own, with its columns and its row: the part of an object that has another type.
    pub fn other(&self, document: Value, columns: &[Column], cells: Vec<Value>) -> Result<Response<Body>, Status> {
        let shown = match self.accepted.form {
            Form::MetadataList => return Err(metadata_list_of_one()),
            Form::Whole | Form::AggregatedDiscovery => document,
            Form::Metadata => metadata_of(&document),
            Form::Table => {
                let metadata = json!({ "resourceVersion": document["metadata"]["resourceVersion"] });
                let object = self.shown_in_row(document);
                table(metadata, Some(columns), vec![json!({ "cells": cells, "object": object })])
            }
        };
        encoded(self.accepted.encoding, StatusCode::OK, shown.to_string().into())
    }

    fn shown_in_row(&self, document: Value) -> Value {
        match self.include {
            IncludeObject::None => Value::Null,
            IncludeObject::Object => document,
            IncludeObject::Metadata => metadata_of(&document),
        }
    }
}

fn metadata_of(document: &Value) -> Value {
    json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": document["metadata"] })
}

fn metadata_list_of_one() -> Status {
    Status::not_acceptable("NotAcceptable: you may only request PartialObjectMetadataList for list results")
}

/// A `Table`; without columns, one that goes on from another.
fn table(metadata: Value, columns: Option<&[Column]>, rows: Vec<Value>) -> Value {
    let shown = |c: &Column| {
        json!({
            "name": c.name, "type": c.kind, "format": c.format, "description": c.description, "priority": c.priority,
        })
    };
    let columns: Option<Vec<Value>> = columns.map(|columns| columns.iter().map(shown).collect());
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": columns, "rows": rows,
    })
}
