//! Patches: JSON patch (RFC 6902), merge patch (RFC 7386) and Kubernetes' strategic merge patch.
//!
//! A patch is read once ([`Patch::read`]) and applied to as many versions of the object as it takes
//! ([`Patch::apply`]). What comes out is a document that must still be decoded as its kind
//! (`body::patched`); [`Patch::undecodable`] words the refusal of one that cannot be.
//!
//! In reading order: `merge`, `json`, `strategic`, `conversion`.

mod conversion;
mod json;
mod merge;
mod strategic;
#[cfg(test)]
mod tests;

use kinds::field::{Error, Path};
use kinds::schema::Type;
use serde_json::{Map, Value};

use crate::body::{self, word};
use crate::go_text;

/// How a body changes an object; its `Content-Type` says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// `application/json-patch+json`
    Json,
    /// `application/merge-patch+json`
    Merge,
    /// `application/strategic-merge-patch+json`
    Strategic,
    /// `application/apply-patch+yaml`: server-side apply, which [`crate::managed_fields`] does.
    Apply,
}

impl PatchType {
    /// The patch type of a `Content-Type` header; `None` if it is none (415).
    pub fn of(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default() {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        }
    }
}

/// Why a patch is refused; the texts are Kubernetes' own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// 400: it is no patch.
    #[error("{0}")]
    Malformed(String),
    /// 413: it has too many operations.
    #[error("Request entity too large: The allowed maximum operations in a JSON patch is {most}, got {got}")]
    TooManyOperations {
        /// How many there may be.
        most: usize,
        /// How many there are.
        got: usize,
    },
    /// 422 with reason `Invalid` and empty `details`: it cannot be applied to this object. Kubernetes does not say why.
    #[error("the server rejected our request due to an error in our request")]
    DoesNotApply,
    /// 500 without a reason, as Kubernetes answers: lists that cannot be merged.
    #[error("{0}")]
    Unmergeable(String),
}

/// A patch that has been read.
#[derive(Clone, Debug)]
pub struct Patch {
    operations: Operations,
    faults: Vec<String>,
}

#[derive(Clone, Debug)]
enum Operations {
    Json(Vec<json::Operation>),
    Merge(Map<String, Value>),
    Strategic(Map<String, Value>),
}

impl Patch {
    /// Reads a patch. `None` when the type is [`PatchType::Apply`], which is no patch in this sense.
    ///
    /// # Errors
    /// [`PatchError::Malformed`] (`error decoding patch: json: cannot unmarshal object into Go value of type
    /// []handlers.jsonPatchOp`), [`PatchError::TooManyOperations`]
    pub fn read(bytes: &[u8], patch_type: PatchType) -> Result<Option<Self>, PatchError> {
        let prefix = if patch_type == PatchType::Strategic { "" } else { "error decoding patch: " };
        let malformed = |why: String| PatchError::Malformed(format!("{prefix}{why}"));
        let read = body::json::parse(bytes).map_err(|e| malformed(e.to_string()))?;
        let mut faults: Vec<String> = read.duplicates.into_iter().map(|d| d.fault).collect();
        let operations = match patch_type {
            PatchType::Apply => return Ok(None),
            PatchType::Json => {
                let (operations, unknown) = json::read(read.value).map_err(malformed)?;
                faults.extend(unknown);
                for fault in &mut faults {
                    *fault = format!("json patch {fault}");
                }
                Operations::Json(json::bounded(operations)?)
            }
            // Kubernetes reads null as no map, which its library then calls no patch.
            PatchType::Merge if read.value.is_null() => {
                return Err(PatchError::Malformed("Invalid JSON Patch".to_owned()));
            }
            PatchType::Merge => Operations::Merge(map(read.value).map_err(malformed)?),
            PatchType::Strategic => Operations::Strategic(map(read.value).map_err(malformed)?),
        };
        Ok(Some(Self { operations, faults }))
    }

    /// What strict field validation finds in the patch itself: `duplicate field "spec.type"`,
    /// `json patch unknown field "[0].foo"`. Warnings, or with `fieldValidation=Strict` part of the error (see
    /// [`Patch::undecodable`]) together with what decoding finds.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// The document that the patch makes of `current`, an object of type `kind`.
    ///
    /// # Errors
    /// [`PatchError::DoesNotApply`], [`PatchError::Unmergeable`], and for strategic merges [`PatchError::Malformed`]
    /// (`invalid patch format of retainKeys`)
    pub fn apply(&self, current: &Value, kind: &'static Type) -> Result<Value, PatchError> {
        match &self.operations {
            Operations::Json(operations) => json::apply(operations, current.clone()),
            Operations::Merge(patch) => Ok(merge::apply(current.clone(), patch)),
            Operations::Strategic(patch) => strategic::apply(current.clone(), patch.clone(), kind),
        }
    }

    /// 422 for a patched document of type `kind` that cannot be decoded, or not strictly (`why`): a fault for
    /// `Status::invalid` with empty group, kind and name:
    /// ` "" is invalid: patch: Invalid value: "{…}": json: cannot unmarshal …`
    pub fn undecodable(&self, patched: &Value, kind: &'static Type, why: &str) -> Error {
        let path = Path::new("patch");
        match &self.operations {
            Operations::Json(_) | Operations::Merge(_) => Error::invalid(&path, patched.to_string(), why),
            Operations::Strategic(patch) => {
                let why = conversion::fault(patched, kind).unwrap_or_else(|| why.to_owned());
                Error::invalid(&path, go_text::map(patch), why)
            }
        }
    }
}

fn map(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        other => {
            Err(format!("json: cannot unmarshal {} into Go value of type map[string]interface {{}}", word(&other)))
        }
    }
}
