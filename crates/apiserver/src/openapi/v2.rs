//! `/openapi/v2`: one document for all that is served, as JSON or, for older clients, as protobuf.

use kinds::registry;
use serde_json::{Map, Value, json};

use super::v3::write_types;
use super::{Form, TITLE, VERSION, paths, protobuf};

/// The media type of the document as protobuf.
pub const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// What older clients ask for, which is no media type that could stand in a `Content-Type`. It means [`PROTOBUF`].
pub const PROTOBUF_ASKED_FOR: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// The document as JSON.
pub fn document() -> Vec<u8> {
    let kinds = &*registry::shown().collect::<Vec<_>>();
    let mut paths = Map::new();
    for kind in kinds {
        paths.append(&mut paths::describe(kind, Form::V2));
    }
    let mut document = Vec::with_capacity(2 << 20);
    document.extend(b"{\"definitions\":{");
    write_types(kinds, Form::V2, &mut document);
    document.extend(b"},\"info\":");
    document.extend(json!({"title": TITLE, "version": VERSION}).to_string().as_bytes());
    document.extend(b",\"paths\":");
    document.extend(Value::Object(paths).to_string().as_bytes());
    document.extend(b",\"security\":[{\"BearerToken\":[]}],\"securityDefinitions\":");
    let bearer = json!({"BearerToken": {"in": "header", "name": "authorization", "type": "apiKey"}});
    document.extend(bearer.to_string().as_bytes());
    document.extend(b",\"swagger\":\"2.0\"}");
    document
}

/// The document as protobuf ([`PROTOBUF`]).
pub fn encoded() -> Vec<u8> {
    protobuf::encode(&serde_json::from_slice(&document()).unwrap_or_default())
}
