//! One version of one object, encoded once and shared by all who read it.

use bytes::Bytes;
use kinds::Kind;
use serde_json::{Map, Value};

/// An object as it is served. The bytes are `{"kind":K,"apiVersion":V,"metadata":{"resourceVersion":R,…},…}`, in this
/// order, so that what a list shows of it (all but kind and version, as Kubernetes' typed lists have it) and its
/// metadata are slices of them.
#[derive(Debug)]
pub(crate) struct Object {
    pub namespace: Box<str>,
    pub name: Box<str>,
    pub revision: u64,
    labels: Box<[(Box<str>, Box<str>)]>,
    /// What field selectors see beside name and namespace.
    fields: Box<[(&'static str, Box<str>)]>,
    bytes: Bytes,
    /// Where `"metadata":` begins.
    rest: u32,
    /// Where the metadata's closing brace ends.
    metadata_end: u32,
}

const METADATA: &str = "\"metadata\":";

impl Object {
    /// Reads what the store has.
    pub fn from_stored(kind: &Kind, stored: &[u8], revision: u64) -> Result<Self, serde_json::Error> {
        let document: Value = serde_json::from_slice(stored)?;
        Ok(Self::new(kind, &document, revision))
    }

    /// Encodes a document; with revision 0, as what is not stored.
    pub fn new(kind: &Kind, document: &Value, revision: u64) -> Self {
        let metadata = &document["metadata"];
        let (mut bytes, rest) = (Vec::with_capacity(512), prefix(kind).len());
        let metadata_end = encode(kind, document, revision, &mut bytes);
        bytes.shrink_to_fit();
        let text = |name: &str| metadata[name].as_str().unwrap_or_default().into();
        let labels = metadata["labels"].as_object().map(|labels| {
            labels.iter().map(|(k, v)| (k.as_str().into(), v.as_str().unwrap_or_default().into())).collect()
        });
        let fields = kind.strategy.fields(document).into_iter().map(|(name, value)| (name, value.into())).collect();
        Self {
            namespace: text("namespace"),
            name: text("name"),
            revision,
            labels: labels.unwrap_or_default(),
            fields,
            bytes: Bytes::from(bytes),
            rest: u32::try_from(rest).unwrap_or(u32::MAX),
            metadata_end: u32::try_from(metadata_end).unwrap_or(u32::MAX),
        }
    }

    /// The whole object.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What follows kind and version: `"metadata":{…},…}`. With a `{` before it, an item of a list.
    pub fn item(&self) -> &[u8] {
        self.bytes.get(self.rest as usize..).unwrap_or_default()
    }

    /// The metadata: `{…}`.
    pub fn metadata(&self) -> &[u8] {
        self.bytes.get(self.rest as usize + METADATA.len()..self.metadata_end as usize).unwrap_or_default()
    }

    /// The document, for changing it or showing it otherwise.
    pub fn document(&self) -> Value {
        // The bytes are our own encoding of a document.
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// Its labels.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(key, _)| **key == *name).map(|(_, value)| &**value)
    }

    /// The value of a field that selectors see.
    pub fn field(&self, name: &str) -> Option<&str> {
        match name {
            "metadata.name" => Some(&self.name),
            "metadata.namespace" => Some(&self.namespace),
            _ => self.fields.iter().find(|(key, _)| *key == name).map(|(_, value)| &**value),
        }
    }

    /// Its key below its kind's folder.
    pub fn key(&self) -> Box<str> {
        crate::keys::inside(&self.namespace, &self.name).into()
    }
}

fn prefix(kind: &Kind) -> String {
    format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", kind.kind, kind.api_version())
}

/// Encodes a document for the store: without a `resourceVersion`, which is the record's revision.
pub(crate) fn encode_stored(kind: &Kind, document: &Value) -> Bytes {
    let mut out = Vec::with_capacity(512);
    encode(kind, document, 0, &mut out);
    out.into()
}

/// Writes a document in our order and answers where its metadata ends.
fn encode(kind: &Kind, document: &Value, revision: u64, out: &mut Vec<u8>) -> usize {
    let nothing = Map::new();
    out.extend_from_slice(prefix(kind).as_bytes());
    out.extend_from_slice(METADATA.as_bytes());
    out.push(b'{');
    if revision > 0 {
        out.extend_from_slice(format!("\"resourceVersion\":\"{revision}\",").as_bytes());
    }
    let metadata = document["metadata"].as_object().unwrap_or(&nothing);
    for (name, value) in metadata.iter().filter(|(name, _)| *name != "resourceVersion") {
        member(name, value, out);
    }
    close(out);
    let metadata_end = out.len();
    out.push(b',');
    let others = document.as_object().unwrap_or(&nothing).iter();
    for (name, value) in others.filter(|(name, _)| !matches!(name.as_str(), "kind" | "apiVersion" | "metadata")) {
        member(name, value, out);
    }
    close(out);
    metadata_end
}

fn member(name: &str, value: &Value, out: &mut Vec<u8>) {
    // Writing JSON to memory does not fail.
    let _ = serde_json::to_writer(&mut *out, name);
    out.push(b':');
    let _ = serde_json::to_writer(&mut *out, value);
    out.push(b',');
}

/// Ends an object whose last byte is a comma, or its opening brace.
fn close(out: &mut Vec<u8>) {
    match out.last_mut() {
        Some(last @ b',') => *last = b'}',
        _ => out.push(b'}'),
    }
}
