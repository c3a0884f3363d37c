//! One step of a path into an object, as `fieldsV1` writes it: `f:spec`, `k:{"port":80,"protocol":"TCP"}`, `v:"finalizer"`.

use std::cmp::Ordering;
use std::fmt;

use kinds::schema::quoted;
use serde_json::Value;

/// A step of a path. The order is the one in which Kubernetes lists fields.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Element {
    /// A field of an object or an entry of a map.
    Field(Box<str>),
    /// The element of a list that has these values in these fields; by name in ascending order.
    Key(Box<[(Box<str>, Scalar)]>),
    /// The element of a set.
    Value(Scalar),
    /// A place in a list. Nothing here writes it, but it is read.
    Index(i64),
}

/// A value in an element: mostly a scalar.
#[derive(Clone, Debug)]
pub(super) struct Scalar(pub Value);

/// Why text is no element.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ElementError {
    /// It is too short, or has no colon.
    #[error("{0:?} is no path element")]
    Form(String),
    /// What follows the colon is not what it must be.
    #[error("{0:?} has no value that can be read")]
    Value(String),
}

impl Element {
    /// A field.
    pub fn field(name: &str) -> Self {
        Self::Field(name.into())
    }

    /// Reads `f:spec` and the like. `None` for a kind of element that is not known: Kubernetes lets later versions have some.
    pub fn parse(text: &str) -> Result<Option<Self>, ElementError> {
        let unreadable = |_| ElementError::Value(text.to_owned());
        let Some((kind, rest)) = text.split_at_checked(2).filter(|(kind, _)| kind.ends_with(':')) else {
            return Err(ElementError::Form(text.to_owned()));
        };
        Ok(Some(match kind {
            "f:" => Self::field(rest),
            "v:" => Self::Value(Scalar(serde_json::from_str(rest).map_err(unreadable)?)),
            "k:" => {
                let fields: serde_json::Map<String, Value> = serde_json::from_str(rest).map_err(unreadable)?;
                Self::Key(fields.into_iter().map(|(name, value)| (name.into(), Scalar(value))).collect())
            }
            "i:" => Self::Index(rest.parse().map_err(|_| ElementError::Value(text.to_owned()))?),
            _ => return Ok(None),
        }))
    }

    /// `f:spec` and the like.
    pub fn encode(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(fields) => {
                let fields: serde_json::Map<String, Value> =
                    fields.iter().map(|(name, value)| (name.to_string(), value.0.clone())).collect();
                format!("k:{}", html_safe(&Value::Object(fields).to_string()))
            }
            Self::Value(value) => format!("v:{}", html_safe(&value.0.to_string())),
            Self::Index(index) => format!("i:{index}"),
        }
    }
}

/// Go's encoder writes these characters so that JSON can stand in HTML.
fn html_safe(json: &str) -> String {
    json.replace('&', "\\u0026")
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// As in the messages of conflicts: `.spec`, `[port=80,protocol="TCP"]`, `[="finalizer"]`.
impl fmt::Display for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => write!(f, ".{name}"),
            Self::Key(fields) => {
                f.write_str("[")?;
                for (at, (name, value)) in fields.iter().enumerate() {
                    let comma = if at == 0 { "" } else { "," };
                    write!(f, "{comma}{name}={value}")?;
                }
                f.write_str("]")
            }
            Self::Value(value) => write!(f, "[={value}]"),
            Self::Index(index) => write!(f, "[{index}]"),
        }
    }
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Value::String(text) => f.write_str(&quoted(text)),
            other => write!(f, "{other}"),
        }
    }
}

impl Scalar {
    fn rank(&self) -> u8 {
        match &self.0 {
            Value::Number(_) => 0,
            Value::String(_) => 1,
            Value::Bool(_) => 2,
            Value::Array(_) => 3,
            Value::Object(_) => 4,
            Value::Null => 5,
        }
    }
}

impl Ord for Scalar {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
                (Some(a), Some(b)) => a.cmp(&b),
                _ => a.as_f64().unwrap_or_default().total_cmp(&b.as_f64().unwrap_or_default()),
            },
            (Value::String(a), Value::String(b)) => a.cmp(b),
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            // No key or set has such values; any order serves.
            (a, b) if self.rank() == other.rank() => a.to_string().cmp(&b.to_string()),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scalar {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Scalar {}
