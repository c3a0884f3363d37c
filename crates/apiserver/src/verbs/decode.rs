//! From the body of a request to a document with its defaults.

use std::borrow::Cow;

use http::header::CONTENT_TYPE;
use kinds::Kind;
use kinds::schema::{self, Type};
use serde_json::Value;

use super::call::Call;
use crate::body::{self, BodyError, Decoded, Expected};
use crate::protobuf;
use crate::query::{FieldValidation, WriteOptions};
use crate::status::Status;

impl From<BodyError> for Status {
    fn from(error: BodyError) -> Self {
        let message = error.to_string();
        match error {
            BodyError::MediaType | BodyError::Encoding(_) => Self::unsupported_media_type(message),
            BodyError::TooLarge(_) => Self::too_large(message),
            BodyError::Malformed(_) => Self::bad_request(message),
        }
    }
}

/// Reads the object in the body, and gives it its defaults. Answers it and what the client is warned of.
pub(crate) fn body(call: &Call, options: &WriteOptions) -> Result<(Value, Vec<String>), Status> {
    let expected = expected(call.kind)?;
    let (mut document, warnings) = validated(read(call, &expected)?, options)?;
    call.kind.strategy.default(&mut document);
    Ok((document, warnings))
}

/// Reads an object of another type in the body: `io.k8s.api.autoscaling.v1.Scale`.
pub(crate) fn other(call: &Call, type_name: &str, options: &WriteOptions) -> Result<(Value, Vec<String>), Status> {
    let of_type = named(type_name)?;
    let gvk = of_type.gvk().ok_or_else(|| Status::internal(format!("{type_name} stands not alone")))?;
    let expected = Expected { group: gvk.group, version: gvk.version, kind: gvk.kind, of_type };
    validated(read(call, &expected)?, options)
}

/// Brings a document into the form in which it is kept: decoded as its kind, with its defaults.
pub(crate) fn document_of(
    kind: &'static Kind,
    document: Value,
    options: &WriteOptions,
) -> Result<(Value, Vec<String>), Status> {
    let decoded = body::patched(document, &expected(kind)?).map_err(Status::bad_request)?;
    let (mut document, warnings) = validated(decoded, options)?;
    kind.strategy.default(&mut document);
    Ok((document, warnings))
}

/// What a body must hold to be an object of a kind.
pub(crate) fn expected(kind: &'static Kind) -> Result<Expected, Status> {
    Expected::kind(kind).ok_or_else(|| Status::internal(format!("no schema of {}", kind.schema)))
}

/// A type of the schema table.
pub(crate) fn named(type_name: &str) -> Result<&'static Type, Status> {
    schema::get(type_name).ok_or_else(|| Status::internal(format!("no schema of {type_name}")))
}

fn read(call: &Call, expected: &Expected) -> Result<Decoded, Status> {
    let content_type = call.header(CONTENT_TYPE);
    let json = json(&call.body, content_type, expected.of_type)?;
    let content_type = if matches!(json, Cow::Owned(_)) { "application/json" } else { content_type };
    Ok(body::object(&json, content_type, expected)?)
}

/// A body as JSON or YAML: protobuf is made JSON.
pub(crate) fn json<'b>(body: &'b [u8], content_type: &str, of_type: &'static Type) -> Result<Cow<'b, [u8]>, Status> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case(protobuf::MEDIA_TYPE) {
        return Ok(Cow::Borrowed(body));
    }
    let document = protobuf::read(body, of_type).map_err(|error| Status::bad_request(error.to_string()))?;
    Ok(Cow::Owned(document.to_string().into_bytes()))
}

fn validated(decoded: Decoded, options: &WriteOptions) -> Result<(Value, Vec<String>), Status> {
    match options.field_validation {
        FieldValidation::Ignore => Ok((decoded.document, Vec::new())),
        FieldValidation::Warn => Ok((decoded.document, decoded.faults)),
        FieldValidation::Strict => Ok((decoded.strictly()?, Vec::new())),
    }
}
