//! Kubernetes' protobuf encoding of objects, read: what typed clients (kubectl's `create`, kubelet) send.
//!
//! A body is the four bytes `k8s\0` and then a message `Unknown`, which names the kind and holds the object. The
//! numbers of the fields are data ([`numbers`]); what a field's value looks like is the schema table's to say, so that the
//! document that comes out is what the same client would have sent as JSON.
//!
//! In reading order: [`wire`] (the encoding), [`numbers`], [`object`] (messages to documents).

mod error;
mod numbers;
mod object;
#[cfg(test)]
mod tests;
mod wire;

use kinds::schema::{self, Type};
use serde_json::Value;

pub(crate) use error::ProtobufError;

/// The media type.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";

/// Reads a body: the document that it holds, with the kind and version that it names (those of `expected` when it
/// names none).
pub(crate) fn read(body: &[u8], expected: &'static Type) -> Result<Value, ProtobufError> {
    let message = body.strip_prefix(MAGIC).ok_or(ProtobufError::Magic)?;
    let unknown = object::unknown(message)?;
    let of_type = if unknown.kind.is_empty() { expected } else { named(&unknown)? };
    let mut document = object::message(&unknown.raw, of_type)?;
    if let Some(fields) = document.as_object_mut().filter(|_| !unknown.kind.is_empty()) {
        fields.insert("apiVersion".to_owned(), unknown.api_version.into());
        fields.insert("kind".to_owned(), unknown.kind.into());
    }
    Ok(document)
}

fn named(unknown: &object::Unknown) -> Result<&'static Type, ProtobufError> {
    let (group, version) = unknown.api_version.split_once('/').unwrap_or(("", &unknown.api_version));
    let found = schema::by_kind(group, version, &unknown.kind);
    // Options are of every group.
    let options = || schema::get(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{}", unknown.kind));
    found
        .or_else(options)
        .ok_or_else(|| ProtobufError::Kind { kind: unknown.kind.clone(), api_version: unknown.api_version.clone() })
}
