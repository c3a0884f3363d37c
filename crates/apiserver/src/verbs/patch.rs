//! PATCH: a document is made of the old one by a JSON patch, a merge patch or a strategic merge patch.

use http::Response;
use http::header::CONTENT_TYPE;
use kinds::field::{self, Path};
use parking_lot::Mutex;
use serde_json::Value;

use super::call::Call;
use super::decode;
use super::update::{Part, Update};
use super::write::check_identity;
use crate::body::{self, Expected};
use crate::patch::{Patch, PatchError, PatchType};
use crate::query::{FieldValidation, WriteOptions};
use crate::response::Body;
use crate::status::Status;

/// Answers a PATCH of the object or a part of it.
pub(crate) async fn answer(call: &Call, part: Part) -> Result<Response<Body>, Status> {
    let change = Change::read(call, decode::expected(call.kind)?)?;
    let update = Update { kind: call.kind, namespace: &call.info.namespace, name: &call.info.name, part };
    let written = update
        .run(&call.api, &change.options, |old| {
            let mut new = change.apply(old)?;
            check_identity(call, &mut new)?;
            call.kind.strategy.default(&mut new);
            Ok(new)
        })
        .await;
    let written = written.and_then(|written| written.ok_or_else(|| Status::not_found(call.kind, &call.info.name)));
    let mut warnings = change.warnings();
    let mut written = written.map_err(|status| status.warned(&warnings))?;
    warnings.append(&mut written.warnings);
    written.warnings = warnings;
    written.answer(call)
}

/// A patch of objects of one type, with the request's options.
pub(crate) struct Change {
    patch: Patch,
    expected: Expected,
    pub options: WriteOptions,
    /// What decoding the last document found.
    faults: Mutex<Vec<String>>,
}

impl Change {
    /// Reads the patch in the body of a request.
    pub fn read(call: &Call, expected: Expected) -> Result<Self, Status> {
        let unsupported = || Status::unsupported_media_type("415: Unsupported Media Type").about("", "", "");
        let patch_type = PatchType::of(call.header(CONTENT_TYPE)).ok_or_else(unsupported)?;
        let options = call.write_options("PatchOptions")?;
        if call.query.has("force") && patch_type != PatchType::Apply {
            let why = "may not be specified for non-apply patch";
            let fault = field::Error::forbidden(&Path::new("force"), why);
            return Err(Status::invalid_options("PatchOptions", &[fault]));
        }
        let patch = Patch::read(&call.body, patch_type)?.ok_or_else(unsupported)?;
        Ok(Self { patch, expected, options, faults: Mutex::default() })
    }

    /// The document that the patch makes of `old`, decoded.
    pub fn apply(&self, old: &Value) -> Result<Value, Status> {
        let patched = self.patch.apply(old, self.expected.of_type)?;
        let refused = |why: &str| {
            let fault = self.patch.undecodable(&patched, self.expected.of_type, why);
            Status::invalid("", "", "", &[fault])
        };
        let decoded = body::patched(patched.clone(), &self.expected).map_err(|why| refused(&why))?;
        if self.options.field_validation == FieldValidation::Strict {
            let faults: Vec<String> = self.patch.faults().iter().chain(&decoded.faults).cloned().collect();
            if !faults.is_empty() {
                return Err(refused(&format!("strict decoding error: {}", faults.join(", "))));
            }
        }
        *self.faults.lock() = decoded.faults;
        Ok(decoded.document)
    }

    /// What the client is warned of.
    pub fn warnings(&self) -> Vec<String> {
        match self.options.field_validation {
            FieldValidation::Warn => self.patch.faults().iter().chain(self.faults.lock().iter()).cloned().collect(),
            FieldValidation::Ignore | FieldValidation::Strict => Vec::new(),
        }
    }
}

impl From<PatchError> for Status {
    fn from(error: PatchError) -> Self {
        let message = error.to_string();
        match error {
            PatchError::Malformed(_) => Self::bad_request(message),
            PatchError::TooManyOperations { .. } => Self::too_large(message),
            PatchError::DoesNotApply => Self::rejected(message),
            PatchError::Unmergeable(_) => Self::plain(message),
        }
    }
}
