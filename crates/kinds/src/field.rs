//! Errors that name a field, as Kubernetes words them (`k8s.io/apimachinery/pkg/util/validation/field`).

use std::fmt;

use serde_json::Value;

use crate::schema::quoted;

/// Where in an object a fault lies, as Kubernetes prints it: `spec.ports[0].nodePort`, `metadata.labels[app]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(String);

impl Path {
    /// The path of a top-level field.
    pub fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// The path of a field of this one.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// The path of an element of this list.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The path of a value of this map.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key}]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The kind of a fault; the name of each is the `reason` of a cause in a `Status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorType {
    /// `FieldValueNotFound`
    NotFound,
    /// `FieldValueRequired`
    Required,
    /// `FieldValueDuplicate`
    Duplicate,
    /// `FieldValueInvalid`
    Invalid,
    /// `FieldValueNotSupported`
    NotSupported,
    /// `FieldValueForbidden`
    Forbidden,
    /// `FieldValueTooLong`
    TooLong,
    /// `FieldValueTooMany`
    TooMany,
    /// `InternalError`
    Internal,
    /// `FieldValueTypeInvalid`
    TypeInvalid,
}

impl ErrorType {
    /// The machine-readable reason of a `StatusCause`.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotFound => "FieldValueNotFound",
            Self::Required => "FieldValueRequired",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::Internal => "InternalError",
            Self::TypeInvalid => "FieldValueTypeInvalid",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::NotFound => "Not found",
            Self::Required => "Required value",
            Self::Duplicate => "Duplicate value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::Internal => "Internal error",
        }
    }
}

/// One fault of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// What is wrong with it.
    pub kind: ErrorType,
    /// Where it is.
    pub path: Path,
    /// The value that was sent, where Kubernetes prints it.
    pub value: Value,
    /// What would be right, in Kubernetes' words; may be empty.
    pub detail: String,
    /// The value as Kubernetes prints it, where its type has an order of fields that a document does not keep.
    pub printed: Option<String>,
}

impl Error {
    /// A fault with a value that is printed.
    pub fn new(kind: ErrorType, path: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self { kind, path: path.clone(), value: value.into(), detail: detail.into(), printed: None }
    }

    /// A fault whose value is printed in these words.
    #[must_use]
    pub fn printed_as(mut self, printed: impl Into<String>) -> Self {
        self.printed = Some(printed.into());
        self
    }

    /// `Invalid value: <value>: <detail>`
    pub fn invalid(path: &Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Invalid, path, value, detail)
    }

    /// `Required value: <detail>`
    pub fn required(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Required, path, "", detail)
    }

    /// `Duplicate value: <value>`
    pub fn duplicate(path: &Path, value: impl Into<Value>) -> Self {
        Self::new(ErrorType::Duplicate, path, value, "")
    }

    /// `Forbidden: <detail>`
    pub fn forbidden(path: &Path, detail: impl Into<String>) -> Self {
        Self::new(ErrorType::Forbidden, path, "", detail)
    }

    /// `Too long: may not be more than <limit> bytes`
    pub fn too_long(path: &Path, limit: usize) -> Self {
        Self::new(ErrorType::TooLong, path, "", format!("may not be more than {limit} bytes"))
    }

    /// `Too many: <count>: must have at most <limit> items`
    pub fn too_many(path: &Path, count: usize, limit: usize) -> Self {
        let items = if limit == 1 { "item" } else { "items" };
        Self::new(ErrorType::TooMany, path, count, format!("must have at most {limit} {items}"))
    }

    /// `Not found: <value>`
    pub fn not_found(path: &Path, value: impl Into<Value>) -> Self {
        Self::new(ErrorType::NotFound, path, value, "")
    }

    /// One `Invalid value` for each of the messages of a rule.
    pub fn invalid_each(path: &Path, value: &str, messages: Vec<String>) -> Vec<Self> {
        messages.into_iter().map(|message| Self::invalid(path, value, message)).collect()
    }

    /// `Unsupported value: <value>: supported values: "a", "b"`
    pub fn not_supported(path: &Path, value: impl Into<Value>, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        Self::new(ErrorType::NotSupported, path, value, format!("supported values: {}", list.join(", ")))
    }

    /// The text of the `StatusCause`: what is wrong, without the path.
    pub fn body(&self) -> String {
        let words = self.kind.words();
        let printed = match self.kind {
            ErrorType::Required | ErrorType::Forbidden | ErrorType::TooLong | ErrorType::Internal => words.to_owned(),
            _ => match (&self.printed, &self.value) {
                (Some(printed), _) => format!("{words}: {printed}"),
                (None, Value::String(text)) => format!("{words}: {}", quoted(text)),
                (None, value) => format!("{words}: {}", marshal(value)),
            },
        };
        if self.detail.is_empty() { printed } else { format!("{printed}: {}", self.detail) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

/// A value as Go's `json.Marshal` writes it: keys sorted, `<`, `>` and `&` escaped.
pub fn marshal(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort_unstable();
            let fields: Vec<_> = keys
                .into_iter()
                .map(|k| format!("{}:{}", marshal(&Value::from(k.as_str())), marshal(&map[k])))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(elements) => format!("[{}]", elements.iter().map(marshal).collect::<Vec<_>>().join(",")),
        Value::String(_) => value.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"),
        other => other.to_string(),
    }
}
