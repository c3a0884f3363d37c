//! From objects to what the client accepts: whole, as a table, or their metadata alone; as JSON or YAML.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use kinds::Kind;
use serde_json::{Value, json};

use crate::cache::object::Object;
use crate::negotiate::{Accepted, Encoding, Form};
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
            Form::MetadataList => {
                let why = "you may only request PartialObjectMetadataList for list results";
                return Err(Status::not_acceptable(format!("NotAcceptable: {why}")));
            }
            _ => self.event_object(object, true),
        };
        self.answer(code, bytes)
    }

    /// One object as a watch shows it; `first` says whether it is the first, whose table has headings.
    pub fn event_object(&self, object: &Object, first: bool) -> Bytes {
        match self.accepted.form {
            Form::Whole | Form::AggregatedDiscovery => object.bytes().clone(),
            Form::Metadata | Form::MetadataList => {
                let mut out = Vec::with_capacity(METADATA_HEAD.len() + object.metadata().len() + 1);
                out.extend_from_slice(METADATA_HEAD.as_bytes());
                out.extend_from_slice(object.metadata());
                out.push(b'}');
                out.into()
            }
            Form::Table => {
                let metadata = json!({ "resourceVersion": object.revision.to_string() });
                self.table(metadata, std::iter::once(object), first).into()
            }
        }
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
                return self.answer(StatusCode::OK, self.table(metadata, objects.iter().map(|o| &**o), true).into());
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
        let head =
            format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",\"metadata\":{metadata},\"items\":[");
        let body = Body::list(head.into(), objects, Bytes::from_static(b"]}"), form);
        match self.accepted.encoding {
            Encoding::Json => Ok(response::json(StatusCode::OK, body)),
            Encoding::Yaml => {
                let whole = body.into_whole();
                self.answer(StatusCode::OK, whole)
            }
        }
    }

    fn table<'o>(&self, metadata: Value, objects: impl Iterator<Item = &'o Object>, headings: bool) -> Vec<u8> {
        let columns: Vec<Value> = self
            .kind
            .strategy
            .columns()
            .iter()
            .map(|c| {
                json!({
                    "name": c.name, "type": c.kind, "format": c.format, "description": c.description,
                    "priority": c.priority,
                })
            })
            .collect();
        let rows: Vec<Value> = objects.map(|object| self.row(object)).collect();
        let columns = if headings { Value::Array(columns) } else { Value::Null };
        let table = json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "columnDefinitions": columns, "rows": rows,
        });
        table.to_string().into_bytes()
    }

    fn row(&self, object: &Object) -> Value {
        let document = object.document();
        let cells = self.kind.strategy.row(&document, self.now);
        let mut row = json!({ "cells": cells });
        let conditions = self.kind.strategy.row_conditions(&document);
        if !conditions.is_empty() {
            row["conditions"] = Value::Array(conditions);
        }
        row["object"] = match self.include {
            IncludeObject::None => Value::Null,
            IncludeObject::Object => document,
            IncludeObject::Metadata => json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": document["metadata"],
            }),
        };
        row
    }

    fn answer(&self, code: StatusCode, bytes: Bytes) -> Result<Response<Body>, Status> {
        encoded(self.accepted.encoding, code, bytes)
    }
}

/// An answer with this JSON, or what it is in YAML.
pub(crate) fn encoded(encoding: Encoding, code: StatusCode, json: Bytes) -> Result<Response<Body>, Status> {
    match encoding {
        Encoding::Json => Ok(response::json(code, Body::whole(json))),
        Encoding::Yaml => {
            let document: Value = serde_json::from_slice(&json).map_err(|e| Status::internal(e.to_string()))?;
            let yaml = serde_saphyr::to_string(&document).map_err(|e| Status::internal(e.to_string()))?;
            Ok(response::typed(code, "application/yaml", Body::whole(yaml)))
        }
    }
}
