//! From the bytes of a request to the document of a kind, with Kubernetes' texts for what is wrong with them.
//!
//! [`inflate`](inflate()) undoes a content encoding, [`read`] makes a document of JSON or YAML, [`object`] decodes one as a kind
//! (`kinds::schema`). What strict field validation finds (duplicate and unknown fields) is told beside the document:
//! [`Decoded::strictly`] makes an error of it, its texts are warnings otherwise.
//!
//! In reading order: [`json`] and [`yaml`] (syntax), then this file's functions.

mod inflate;
pub mod json;
pub mod yaml;

#[cfg(test)]
mod tests;

use std::collections::HashSet;

use kinds::schema::{self, Type, quoted};
use serde_json::{Map, Value};

pub use inflate::inflate;

/// The most bytes that a request may bring, and the most that a compressed one may become: Kubernetes' 3 MiB.
pub const LIMIT: usize = 3 << 20;

/// The scheme that Kubernetes names when it does not know a kind: where in its sources the scheme is made.
const SCHEME: &str = "pkg/runtime/scheme.go:111";

/// The type into which Kubernetes reads `apiVersion` and `kind` before all else, as Go prints it.
const META: &str =
    r#"struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }"#;

/// How many faults of strict validation are told, as in Kubernetes.
const FAULTS: usize = 100;

/// How much of a body that makes no sense is shown.
const SUMMARY: usize = 30;

/// Why a body is refused; the texts are Kubernetes' own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// 415: the `Content-Type` is none that is read.
    #[error(
        "the body of the request was in an unknown format - accepted media types include: application/json, \
         application/yaml, application/vnd.kubernetes.protobuf"
    )]
    MediaType,
    /// 415: the `Content-Encoding` is none that is undone.
    #[error("the body of the request was in an unknown encoding {0}: accepted are gzip and identity")]
    Encoding(String),
    /// 413: it is over [`LIMIT`].
    #[error("Request entity too large: limit is {0}")]
    TooLarge(usize),
    /// 400: it is not JSON or YAML, not of the kind, or its fields are of wrong types.
    #[error("{0}")]
    Malformed(String),
}

/// A media type that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaType {
    /// `application/json`, and what says nothing.
    Json,
    /// `application/yaml`
    Yaml,
}

impl MediaType {
    /// The media type of a `Content-Type` header; empty is JSON.
    ///
    /// # Errors
    /// [`BodyError::MediaType`]
    pub fn of(content_type: &str) -> Result<Self, BodyError> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        match essence.to_ascii_lowercase().as_str() {
            "" | "application/json" => Ok(Self::Json),
            "application/yaml" => Ok(Self::Yaml),
            _ => Err(BodyError::MediaType),
        }
    }
}

/// A document as it was written, before anything is known of its kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// Where a name came twice, its last value.
    pub value: Value,
    /// What a strict reader finds of names that came twice: `duplicate field "spec.type"`.
    pub duplicates: Vec<Duplicate>,
}

/// A name that came twice in an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Where: `spec.ports[0].name`. Empty when the reader cannot tell (YAML).
    pub path: String,
    /// In the words of a warning: `duplicate field "spec.type"`, in YAML `line 3: key "type" already set in map`.
    pub fault: String,
}

/// What a body is expected to hold.
#[derive(Clone, Copy)]
pub struct Expected {
    /// API group; empty for core.
    pub group: &'static str,
    /// `v1`
    pub version: &'static str,
    /// `Service`
    pub kind: &'static str,
    /// Its type in the schema table.
    pub of_type: &'static Type,
}

impl Expected {
    /// An object of a served kind. `None` if the schema table lacks its type, which a test rules out.
    pub fn kind(kind: &kinds::Kind) -> Option<Self> {
        let of_type = schema::get(kind.schema)?;
        Some(Self { group: kind.group, version: kind.version, kind: kind.kind, of_type })
    }

    fn api_version(&self) -> String {
        api_version(self.group, self.version)
    }
}

/// A document decoded as its kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The document as Kubernetes prints it right after decoding (`kinds::schema::check`), with `apiVersion` and `kind`.
    pub document: Value,
    /// What strict validation finds, in the words of a warning (`fieldValidation=Warn`): `unknown field "spec.foo"`,
    /// `duplicate field "spec.type"`, in YAML `line 3: key "type" already set in map`.
    pub faults: Vec<String>,
    handled: String,
}

impl Decoded {
    /// The document if strict validation finds nothing (`fieldValidation=Strict`).
    ///
    /// # Errors
    /// [`BodyError::Malformed`]:
    /// `Service in version "v1" cannot be handled as a Service: strict decoding error: unknown field "spec.foo"`
    pub fn strictly(self) -> Result<Value, BodyError> {
        match self.strict_error() {
            None => Ok(self.document),
            Some(error) if self.handled.is_empty() => Err(BodyError::Malformed(error)),
            Some(error) => Err(BodyError::Malformed(format!("{}: {error}", self.handled))),
        }
    }

    /// What strict validation finds, as one error: `strict decoding error: unknown field "spec.foo"`.
    fn strict_error(&self) -> Option<String> {
        let words =
            |fault: &String| if fault.starts_with(yaml::LINE) { yaml::unmarshal_error(fault) } else { fault.clone() };
        let faults: Vec<String> = self.faults.iter().map(words).collect();
        (!faults.is_empty()).then(|| format!("strict decoding error: {}", faults.join(", ")))
    }
}

/// Reads a document in JSON or YAML.
///
/// # Errors
/// The text of the syntax error: Go's for JSON, `yaml: line 2: …` for YAML.
pub fn read(bytes: &[u8], media_type: MediaType) -> Result<Document, String> {
    match media_type {
        MediaType::Json => json::parse(bytes).map_err(|e| e.to_string()),
        MediaType::Yaml => yaml::parse(bytes).map_err(|e| e.to_string()),
    }
}

/// Decodes a body as an object of a kind. A body may leave out `kind` and `apiVersion`.
///
/// # Errors
/// [`BodyError::MediaType`], [`BodyError::TooLarge`], and [`BodyError::Malformed`] with Kubernetes' texts:
/// - `the object provided is unrecognized (must be of type Service): couldn't get version/kind; json parse error: … ({)`
/// - `Pod in version "v1" cannot be handled as a Service: converting (v1.Pod) to (core.Service): unknown conversion`
/// - `Service in version "v2" cannot be handled as a Service: no kind "Service" is registered for version "v2" in scheme …`
/// - `Service in version "v1" cannot be handled as a Service: json: cannot unmarshal string into Go struct field …`
/// - `the API version in the data (events.k8s.io/v1) does not match the expected API version (v1)`
pub fn object(bytes: &[u8], content_type: &str, expected: &Expected) -> Result<Decoded, BodyError> {
    let media_type = MediaType::of(content_type)?;
    if bytes.len() > LIMIT {
        return Err(BodyError::TooLarge(LIMIT));
    }
    let unrecognized = |why: &str| {
        let summary = summary(bytes);
        let kind = expected.kind;
        let message = format!("the object provided is unrecognized (must be of type {kind}): {why} ({summary})");
        BodyError::Malformed(message)
    };
    let read = read(bytes, media_type).map_err(|e| match media_type {
        MediaType::Json => unrecognized(&format!("couldn't get version/kind; json parse error: {e}")),
        MediaType::Yaml => unrecognized(&e),
    })?;
    let given = Named::of(&read.value).map_err(|e| unrecognized(&e))?;
    decode(read, given.or(expected), expected)
}

/// Decodes a document that is no body: one that a patch made, or that the server brings itself.
///
/// # Errors
/// Those of [`object`] that are about the document and not about its text, without the words that
/// [`object`] puts before them: `json: cannot unmarshal string into Go struct field …`.
pub fn patched(document: Value, expected: &Expected) -> Result<Decoded, String> {
    let given = Named::of(&document)?.or(expected);
    given.convertible(expected)?;
    decode_as(Document { value: document, duplicates: Vec::new() }, &given, expected, String::new())
}

fn decode(read: Document, given: Named, expected: &Expected) -> Result<Decoded, BodyError> {
    let handled =
        format!("{} in version {} cannot be handled as a {}", given.kind, quoted(&given.version), expected.kind);
    let refused = |why: String| BodyError::Malformed(format!("{handled}: {why}"));
    let decoded = given
        .convertible(expected)
        .and_then(|()| decode_as(read, &given, expected, handled.clone()))
        .map_err(refused)?;
    if given.api_version() != expected.api_version() {
        return Err(BodyError::Malformed(format!(
            "the API version in the data ({}) does not match the expected API version ({})",
            given.api_version(),
            expected.api_version()
        )));
    }
    Ok(decoded)
}

fn decode_as(read: Document, given: &Named, expected: &Expected, handled: String) -> Result<Decoded, String> {
    let checked = schema::check(&read.value, given.of_type().unwrap_or(expected.of_type));
    if let Some(error) = checked.error {
        return Err(error);
    }
    let Some(internal) = given.internal() else { return Err(given.not_registered()) };
    if internal != internal_name(expected.group, expected.kind) {
        let wanted = internal_name(expected.group, expected.kind);
        let (kind, version) = (&given.kind, &given.version);
        return Err(format!("converting ({version}.{kind}) to ({wanted}): unknown conversion"));
    }
    let mut document = checked.document;
    if let Some(fields) = document.as_object_mut() {
        fields.insert("apiVersion".to_owned(), expected.api_version().into());
        fields.insert("kind".to_owned(), expected.kind.into());
    }
    let faults = faults(read.duplicates, checked.unknown);
    Ok(Decoded { document, faults, handled })
}

/// Duplicates, but for those within what is not known anyway, and unknown fields: the first [`FAULTS`].
fn faults(duplicates: Vec<Duplicate>, unknown: Vec<String>) -> Vec<String> {
    let path = |fault: &String| Some(fault.strip_prefix("unknown field \"")?.strip_suffix('"')?.to_owned());
    let paths: HashSet<String> = unknown.iter().filter_map(path).collect();
    let within_unknown = |duplicate: &Duplicate| {
        let path = duplicate.path.as_str();
        let ends = path.match_indices(['.', '[']).map(|(at, _)| at).chain([path.len()]);
        let mut above = ends.map(|end| &path[..end]);
        above.any(|above| paths.contains(above))
    };
    let duplicates = duplicates.into_iter().filter(|d| !within_unknown(d)).map(|d| d.fault);
    duplicates.chain(unknown).take(FAULTS).collect()
}

/// What a document says that it is.
struct Named {
    group: String,
    version: String,
    kind: String,
}

impl Named {
    /// What stands in the document; empty where nothing does.
    fn of(document: &Value) -> Result<Self, String> {
        let unreadable = |why: String| format!("couldn't get version/kind; json parse error: {why}");
        let empty = Map::new();
        let fields = match document {
            Value::Object(fields) => fields,
            Value::Null => &empty,
            other => {
                return Err(unreadable(format!("json: cannot unmarshal {} into Go value of type {META}", word(other))));
            }
        };
        let text = |name: &str| match fields.get(name) {
            None | Some(Value::Null) => Ok(""),
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(other) => {
                let word = word(other);
                Err(unreadable(format!("json: cannot unmarshal {word} into Go struct field .{name} of type string")))
            }
        };
        let (api_version, kind) = (text("apiVersion")?, text("kind")?.to_owned());
        let (group, version) = match api_version.split_once('/') {
            None => ("", api_version),
            Some((_, version)) if version.contains('/') => {
                return Err(format!("unexpected GroupVersion string: {api_version}"));
            }
            Some(both) => both,
        };
        Ok(Self { group: group.to_owned(), version: version.to_owned(), kind })
    }

    /// What is left out is as expected.
    fn or(mut self, expected: &Expected) -> Self {
        if self.kind.is_empty() {
            expected.kind.clone_into(&mut self.kind);
        }
        if self.version.is_empty() && (self.group.is_empty() || self.group == expected.group) {
            expected.group.clone_into(&mut self.group);
            expected.version.clone_into(&mut self.version);
        }
        self
    }

    fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    fn of_type(&self) -> Option<&'static Type> {
        schema::by_kind(&self.group, &self.version, &self.kind)
    }

    fn not_registered(&self) -> String {
        let (kind, version) = (quoted(&self.kind), quoted(&self.api_version()));
        format!("no kind {kind} is registered for version {version} in scheme {}", quoted(SCHEME))
    }

    /// Whether the kind is known at all.
    fn convertible(&self, expected: &Expected) -> Result<(), String> {
        let as_expected = self.kind == expected.kind && self.api_version() == expected.api_version();
        if as_expected || self.of_type().is_some() { Ok(()) } else { Err(self.not_registered()) }
    }

    fn internal(&self) -> Option<String> {
        (!self.kind.is_empty()).then(|| internal_name(&self.group, &self.kind))
    }
}

/// What Kubernetes calls the type into which it converts all versions of a kind: `core.Service`.
fn internal_name(group: &str, kind: &str) -> String {
    let package = match group {
        "" | "events.k8s.io" => "core",
        other => other.split('.').next().unwrap_or(other),
    };
    format!("{package}.{kind}")
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// The beginning of a body that makes no sense: as text if it looks like JSON, else in hexadecimal.
fn summary(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(SUMMARY)];
    let more = if bytes.len() > SUMMARY { " ..." } else { "" };
    match bytes.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(shown)),
        Some(_) => format!("{}{more}", shown.iter().map(|b| format!("{b:02x}")).collect::<String>()),
    }
}

/// What Go calls the kind of a JSON value.
pub(crate) fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
