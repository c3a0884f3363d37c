//! PATCH with `application/apply-patch+yaml`: server-side apply.
//!
//! The body is all that the applier wants of the object; what it owns follows from it ([`crate::managed_fields`]).

use http::Response;
use kinds::field::{self, Path};
use serde_json::Value;

use super::call::Call;
use super::update::{Part, Update};
use super::write::check_identity;
use super::{create, decode};
use crate::body::{self, Expected, MediaType};
use crate::clock;
use crate::managed_fields::{self, ApplyError, Change};
use crate::query::{FieldValidation, WriteOptions};
use crate::response::Body;
use crate::status::{Cause, Status};

/// Answers a PATCH that applies.
pub(crate) async fn answer(call: &Call, part: Part) -> Result<Response<Body>, Status> {
    let mut options = call.write_options("PatchOptions")?;
    if !options.manager_named {
        let fault = field::Error::required(&Path::new("fieldManager"), "is required for apply patch");
        return Err(Status::invalid_options("PatchOptions", &[fault]));
    }
    options.applied = true;
    let apply = Apply::read(call, part, &options)?;
    let info = &call.info;
    let update = Update { kind: call.kind, namespace: &info.namespace, name: &info.name, part };
    let written = update.run(&call.api, &options, |old| apply.to(call, Some(old))).await?;
    let mut written = match written {
        Some(written) => written,
        None if part == Part::Object => {
            let document = apply.to(call, None)?;
            create::create(&call.api, call.kind, &info.namespace, document, &options).await?
        }
        None => return Err(Status::not_found(call.kind, &info.name)),
    };
    let mut warnings = apply.warnings;
    warnings.append(&mut written.warnings);
    written.warnings = warnings;
    written.answer(call)
}

/// What is applied, by whom.
struct Apply<'a> {
    config: Value,
    warnings: Vec<String>,
    expected: Expected,
    options: &'a WriteOptions,
    subresource: &'static str,
}

impl<'a> Apply<'a> {
    fn read(call: &Call, part: Part, options: &'a WriteOptions) -> Result<Self, Status> {
        let read = body::read(&call.body, MediaType::Yaml);
        let read = read.map_err(|why| Status::bad_request(format!("error decoding YAML: {why}")))?;
        let faults: Vec<String> = read.duplicates.into_iter().map(|d| d.fault).collect();
        if options.field_validation == FieldValidation::Strict && !faults.is_empty() {
            let why = format!("error strict decoding YAML: {}", faults.join(", "));
            return Err(Status::bad_request(why));
        }
        let warnings = if options.field_validation == FieldValidation::Warn { faults } else { Vec::new() };
        let expected = decode::expected(call.kind)?;
        Ok(Self { config: read.value, warnings, expected, options, subresource: part.subresource() })
    }

    /// The document that applying makes of the object there is, if any.
    fn to(&self, call: &Call, live: Option<&Value>) -> Result<Value, Status> {
        let (api_version, now) = (call.kind.api_version(), clock::now());
        let change = Change {
            kind: self.expected.of_type,
            manager: &self.options.manager,
            subresource: self.subresource,
            api_version: &api_version,
            now: &now,
        };
        let applied = managed_fields::apply(&change, live, &self.config, self.options.force)?;
        let decoded = body::patched(applied.document, &self.expected).map_err(Status::bad_request)?;
        let mut document = decoded.document;
        check_identity(call, &mut document)?;
        call.kind.strategy.default(&mut document);
        Ok(document)
    }
}

impl From<ApplyError> for Status {
    fn from(error: ApplyError) -> Self {
        let message = error.to_string();
        match error {
            ApplyError::Malformed(_) => Self::bad_request(message),
            ApplyError::Untyped(_) => Self::plain(message),
            ApplyError::Conflict(conflicts) => {
                let cause = |c: managed_fields::Conflict| {
                    let message = c.message();
                    Cause { reason: "FieldManagerConflict", message, field: c.field }
                };
                Self::apply_conflict(message, conflicts.into_iter().map(cause).collect())
            }
        }
    }
}
