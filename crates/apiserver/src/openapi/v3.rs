//! `/openapi/v3`: an index, and a document for each group and version.

use std::sync::OnceLock;

use kinds::{Kind, registry};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::descriptions::Descriptions;
use super::schemas::{self, PATCH, Reached};
use super::{Form, TITLE, VERSION, groups, paths, prefix};

/// `/openapi/v3`: where each document is, with its hash, so that a client may keep what it has. The first time every
/// document is made once, which takes some tens of milliseconds; after that it is ready.
pub fn index() -> Vec<u8> {
    static INDEX: OnceLock<Vec<u8>> = OnceLock::new();
    let make = || {
        let mut paths = Map::new();
        for (group, version) in groups(&registry::shown().collect::<Vec<_>>()) {
            let prefix = prefix(group, version);
            let hash = hash(&document(group, version).unwrap_or_default());
            paths.insert(prefix.clone(), json!({"serverRelativeURL": format!("/openapi/v3/{prefix}?hash={hash}")}));
        }
        json!({ "paths": paths }).to_string().into_bytes()
    };
    INDEX.get_or_init(make).clone()
}

/// The hash of a document as [`index`] gives it, which is its `ETag`, too.
pub fn hash(document: &[u8]) -> String {
    Sha256::digest(document).iter().map(|byte| format!("{byte:02X}")).collect()
}

/// `/openapi/v3/api/v1` and `/openapi/v3/apis/GROUP/VERSION`: paths and types as JSON. `None` if nothing is served there.
pub fn document(group: &str, version: &str) -> Option<Vec<u8>> {
    let kinds: Vec<&'static Kind> = registry::shown().filter(|k| k.group == group && k.version == version).collect();
    if kinds.is_empty() {
        return None;
    }
    let mut paths = Map::new();
    for kind in &kinds {
        paths.append(&mut super::paths::describe(kind, Form::V3));
    }
    let mut document = Vec::with_capacity(1 << 20);
    document.extend(b"{\"components\":{\"schemas\":{");
    write_types(&kinds, Form::V3, &mut document);
    document.extend(b"},\"securitySchemes\":");
    let bearer = json!({"BearerToken": {"in": "header", "name": "authorization", "type": "apiKey"}});
    document.extend(bearer.to_string().as_bytes());
    document.extend(b"},\"info\":");
    document.extend(json!({"title": TITLE, "version": VERSION}).to_string().as_bytes());
    document.extend(b",\"openapi\":\"3.0.0\",\"paths\":");
    document.extend(Value::Object(paths).to_string().as_bytes());
    document.push(b'}');
    Some(document)
}

/// Writes the types of kinds, one after the other: all of them at once as values would take ten times the room.
pub(super) fn write_types(kinds: &[&'static Kind], form: Form, out: &mut Vec<u8>) {
    let mut roots: Vec<&str> = kinds.iter().map(|k| k.schema).collect();
    roots.extend(paths::beside(kinds));
    let descriptions = Descriptions::of(&roots);
    let mut reached = Reached::default();
    for root in roots {
        reached.add(root);
        reached.add(&format!("{root}List"));
    }
    let mut first = true;
    let mut write = |name: &str, described: &Value| {
        let comma = if std::mem::take(&mut first) { "" } else { "," };
        out.extend(format!("{comma}{}:{described}", Value::from(name)).as_bytes());
    };
    for (name, kind) in &reached.objects {
        write(name, &schemas::describe(kind, form, &descriptions));
    }
    for named in &reached.scalars {
        write(named.name(), &named.describe(form, &descriptions));
    }
    write(PATCH, &json!({"type": "object"}));
}
