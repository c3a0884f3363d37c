//! Kubernetes' protobuf encoding of objects, read and written: what typed clients (controllers, kubelet, kubectl's
//! `create`) speak.
//!
//! A body is the four bytes `k8s\0` and then a message `Unknown`, which names the kind and holds the object. The
//! numbers of the fields are data ([`numbers`]); what a field's value looks like is the schema table's to say, so that the
//! document that comes out is what the same client would have sent as JSON, and the other way round.
//!
//! A watch is a run of frames: four bytes that say how long it is (the first counts most), and a message `WatchEvent`,
//! which holds an event's type and, as a body like those above, its object.
//!
//! In reading order: [`wire`] (the encoding), [`numbers`], [`object`] (messages to documents), [`plan`] and [`mod@write`]
//! (documents to messages), [`list`].

mod error;
mod list;
mod numbers;
mod object;
mod plan;
#[cfg(test)]
mod tests;
mod wire;
mod write;

use std::convert::Infallible;

use bytes::{BufMut, BytesMut};
use kinds::schema::{self, Type};
use serde::Deserialize;
use serde::de::DeserializeSeed;
use serde_json::Value;

pub use error::{ProtobufError, WriteError};
pub(crate) use list::List;

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
/// The media type of a watch.
pub(crate) const WATCH_MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf;stream=watch";
/// What every body begins with.
const MAGIC: &[u8] = b"k8s\0";
/// How a body ends: no content encoding and no content type, which Kubernetes writes though they are empty.
const TAIL: &[u8] = b"\x1a\0\x22\0";

/// Reads a body: the document that it holds, with the kind and version that it names (those of `expected` when it
/// names none).
///
/// # Errors
/// When it is no body, or no object of the kind that it names.
pub fn read(body: &[u8], expected: &'static Type) -> Result<Value, ProtobufError> {
    let message = body.strip_prefix(MAGIC).ok_or(ProtobufError::Magic)?;
    let unknown = object::unknown(message)?;
    let of_type = if unknown.kind.is_empty() {
        expected
    } else {
        named(&unknown.api_version, &unknown.kind).ok_or_else(|| ProtobufError::Kind {
            kind: unknown.kind.clone(),
            api_version: unknown.api_version.clone(),
        })?
    };
    let mut document = object::message(&unknown.raw, of_type)?;
    if let Some(fields) = document.as_object_mut().filter(|_| !unknown.kind.is_empty()) {
        fields.insert("apiVersion".to_owned(), unknown.api_version.into());
        fields.insert("kind".to_owned(), unknown.kind.into());
    }
    Ok(document)
}

fn named(api_version: &str, kind: &str) -> Option<&'static Type> {
    // Nothing but metadata is there of them; where that stands is the same in every kind.
    match (api_version, kind) {
        ("meta.k8s.io/v1", "PartialObjectMetadata") => return schema::get("io.k8s.api.core.v1.Namespace"),
        ("meta.k8s.io/v1", "PartialObjectMetadataList") => return schema::get("io.k8s.api.core.v1.NamespaceList"),
        _ => {}
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    // Options are of every group.
    let options = || schema::get(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}"));
    schema::by_kind(group, version, kind).or_else(options)
}

/// Writes a body that holds a JSON object of a type, and calls it this kind of this version.
pub(crate) fn write(json: &[u8], api_version: &str, kind: &str, of_type: &Type) -> Result<Vec<u8>, WriteError> {
    let mut out = begin(api_version, kind, json.len());
    write::message(&mut out, 2, |out| fields(json, of_type, out))?;
    out.extend_from_slice(TAIL);
    Ok(out)
}

/// Writes a body that holds a JSON object of the kind that it says it is.
///
/// # Errors
/// When it is no JSON, of no known kind, or not as its kind's type says.
pub fn write_named(json: &[u8]) -> Result<Vec<u8>, WriteError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Named {
        api_version: String,
        kind: String,
    }
    let Named { api_version, kind } = serde_json::from_slice(json)?;
    let of_type = named(&api_version, &kind);
    let of_type = of_type.ok_or_else(|| WriteError::Kind { kind: kind.clone(), api_version: api_version.clone() })?;
    write(json, &api_version, &kind, of_type)
}

/// Writes a frame of a watch; `object` is a body.
pub(crate) fn frame(event: &str, object: &[u8], out: &mut BytesMut) {
    let mut message = Vec::with_capacity(object.len() + 32);
    write::bytes(&mut message, 1, event.as_bytes());
    let Ok(()) = write::message::<Infallible>(&mut message, 2, |out| {
        write::bytes(out, 1, object);
        Ok(())
    });
    out.reserve(message.len() + 4);
    // Objects are far smaller than 4 GiB.
    out.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    out.put_slice(&message);
}

/// The beginning of a body, with the kind; what follows is field 2.
fn begin(api_version: &str, kind: &str, capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(capacity + 64);
    out.extend_from_slice(MAGIC);
    let Ok(()) = write::message::<Infallible>(&mut out, 1, |out| {
        write::bytes(out, 1, api_version.as_bytes());
        write::bytes(out, 2, kind.as_bytes());
        Ok(())
    });
    out
}

/// Writes the fields of a JSON object of a type.
fn fields(json: &[u8], of_type: &Type, out: &mut Vec<u8>) -> Result<(), WriteError> {
    let mut json = serde_json::Deserializer::from_slice(json);
    Ok(write::Fields { plan: plan::of(of_type), out }.deserialize(&mut json)?)
}
