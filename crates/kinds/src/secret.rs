//! Secret (`v1`): bytes by key, for Pods and others to read and nobody to print.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use k8s_openapi::api::core::v1 as api;
use serde_json::{Map, Value};

use crate::config_map::{IMMUTABLE, LARGEST, decoded_length};
use crate::document::{
    at, entries, flag, object_mut, remove, same_field, set, set_zero_default, text, text_at, text_entries,
};
use crate::field::{Error, Path};
use crate::kind::{Column, Kind, Scope, Strategy, age};
use crate::names;

#[cfg(test)]
mod tests;

/// Secret.
pub static KIND: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Secret",
    plural: "secrets",
    singular: "secret",
    short_names: &[],
    categories: &[],
    scope: Scope::Namespaced,
    subresources: &[],
    schema: "io.k8s.api.core.v1.Secret",
    strategy: &Secret,
};

const SERVICE_ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    vec![
        Column::name(),
        Column::field::<api::Secret>("Type", "type"),
        Column::field::<api::Secret>("Data", "data"),
        Column::age(),
    ]
});

struct Secret;

impl Strategy for Secret {
    fn default(&self, object: &mut Value) {
        set_zero_default(object, "type", "Opaque");
        encode_texts(object);
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let path = Path::new("data");
        let mut faults = Vec::new();
        let mut size = 0;
        for (key, value) in text_entries(object, "data") {
            faults.extend(Error::invalid_each(&path.key(key), key, names::config_key(key)));
            size += decoded_length(value);
        }
        if size > LARGEST {
            faults.push(Error::too_long(&path, LARGEST));
        }
        faults.extend(validate_type(object));
        faults
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        let kind = text(old, "type").to_owned();
        set_zero_default(new, "type", kind);
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let mut faults = Vec::new();
        if text(new, "type") != text(old, "type") {
            faults.push(Error::invalid(&Path::new("type"), text(new, "type"), "field is immutable"));
        }
        if flag(old, "immutable") {
            if !flag(new, "immutable") {
                faults.push(Error::forbidden(&Path::new("immutable"), IMMUTABLE));
            }
            if !same_field(new, old, "data") {
                faults.push(Error::forbidden(&Path::new("data"), IMMUTABLE));
            }
        }
        faults.extend(self.validate(new));
        faults
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        if text(new, "type") != "kubernetes.io/tls" {
            return Vec::new();
        }
        let data = |key| pem_types(text_at(new, "data", key).unwrap_or(""));
        let fault = pem_fault(&data("tls.crt"), "certificate").or_else(|| pem_fault(&data("tls.key"), "key"));
        fault.into_iter().collect()
    }

    fn fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("type", text(object, "type").to_owned())]
    }

    fn field_names(&self) -> &'static [&'static str] {
        &["type"]
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        vec![
            text(at(object, "metadata"), "name").into(),
            text(object, "type").into(),
            entries(object, "data").len().into(),
            age(object, now).into(),
        ]
    }
}

/// `stringData` is written only: it becomes data.
fn encode_texts(object: &mut Value) {
    let texts: Map<String, Value> = text_entries(object, "stringData")
        .into_iter()
        .map(|(key, value)| (key.to_owned(), Value::from(BASE64.encode(value))))
        .collect();
    remove(object, "stringData");
    if texts.is_empty() {
        return;
    }
    if let Some(data) = object_mut(object, "data") {
        for (key, value) in texts {
            set(data, &key, value);
        }
    }
}

/// The types of the PEM blocks in some bytes (RFC 7468).
fn pem_types(base64: &str) -> Vec<String> {
    let bytes = BASE64.decode(base64).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let blocks = text.split("-----BEGIN ").skip(1).filter_map(|rest| {
        let (kind, body) = rest.split_once("-----")?;
        body.contains(&format!("-----END {kind}-----")).then(|| kind.to_owned())
    });
    blocks.collect()
}

/// What Go's `tls.X509KeyPair` says of PEM without a certificate or a key. (What is wrong inside of either is not
/// looked for.)
fn pem_fault(types: &[String], part: &str) -> Option<String> {
    let is_key = |kind: &String| kind == "PRIVATE KEY" || kind.ends_with(" PRIVATE KEY");
    let is_certificate = |kind: &String| kind == "CERTIFICATE";
    let found = if part == "key" { types.iter().any(is_key) } else { types.iter().any(is_certificate) };
    if found {
        return None;
    }
    let all = types.join(" ");
    Some(match (part, types) {
        (_, []) => format!("tls: failed to find any PEM data in {part} input"),
        ("key", [only]) if is_certificate(only) => {
            "tls: found a certificate rather than a key in the PEM for the private key".to_owned()
        }
        ("key", _) => format!(
            "tls: failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: [{all}]"
        ),
        (_, [only]) if is_key(only) => {
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched".to_owned()
        }
        _ => format!(
            "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [{all}]"
        ),
    })
}

/// What a type promises must be there.
fn validate_type(object: &Value) -> Vec<Error> {
    let path = Path::new("data");
    let data = |key: &str| text_at(object, "data", key);
    let required = |keys: &[&str]| keys.iter().map(|key| Error::required(&path.key(key), "")).collect::<Vec<_>>();
    match text(object, "type") {
        "kubernetes.io/service-account-token" => {
            let named = text_at(at(object, "metadata"), "annotations", SERVICE_ACCOUNT_NAME);
            let path = Path::new("metadata").child("annotations").key(SERVICE_ACCOUNT_NAME);
            if named.unwrap_or("").is_empty() { vec![Error::required(&path, "")] } else { Vec::new() }
        }
        "kubernetes.io/dockercfg" => validate_json(data(".dockercfg"), &path.key(".dockercfg")),
        "kubernetes.io/dockerconfigjson" => validate_json(data(".dockerconfigjson"), &path.key(".dockerconfigjson")),
        "kubernetes.io/basic-auth" if data("username").is_none() && data("password").is_none() => {
            required(&["username", "password"])
        }
        "kubernetes.io/ssh-auth" if data("ssh-privatekey").unwrap_or("").is_empty() => required(&["ssh-privatekey"]),
        "kubernetes.io/tls" => {
            let missing = ["tls.crt", "tls.key"].into_iter().filter(|key| data(key).is_none());
            required(&missing.collect::<Vec<_>>())
        }
        _ => Vec::new(),
    }
}

/// The fault of what should be an object of JSON, in the words of Go's decoder.
fn validate_json(value: Option<&str>, path: &Path) -> Vec<Error> {
    let Some(value) = value else { return vec![Error::required(path, "")] };
    let bytes = BASE64.decode(value).unwrap_or_default();
    let detail = match serde_json::from_slice::<Value>(&bytes) {
        Ok(Value::Object(_) | Value::Null) => return Vec::new(),
        Ok(other) => {
            let kind = match other {
                Value::Array(_) => "array",
                Value::String(_) => "string",
                Value::Bool(_) => "bool",
                _ => "number",
            };
            format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
        }
        Err(fault) => json_fault(&bytes, &fault),
    };
    vec![Error::invalid(path, "<secret contents redacted>", detail)]
}

/// A fault of JSON in the words of Go's decoder.
fn json_fault(bytes: &[u8], fault: &serde_json::Error) -> String {
    if fault.is_eof() {
        return "unexpected end of JSON input".to_owned();
    }
    let line = bytes.split(|b| *b == b'\n').nth(fault.line().saturating_sub(1)).unwrap_or(&[]);
    let found = char::from(line.get(fault.column().saturating_sub(1)).copied().unwrap_or(b' '));
    let words = fault.to_string();
    let place = [
        ("expected `:`", "after object key"),
        ("expected `,` or `}`", "after object key:value pair"),
        ("expected `,` or `]`", "after array element"),
        ("key must be a string", "looking for beginning of object key string"),
        ("trailing characters", "after top-level value"),
        ("control character", "in string literal"),
    ];
    let place = place.into_iter().find(|(start, _)| words.starts_with(start));
    format!("invalid character '{found}' {}", place.map_or("looking for beginning of value", |(_, place)| place))
}
