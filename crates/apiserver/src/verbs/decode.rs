//! From the body of a request to a document with its defaults.

use kinds::schema;
use serde_json::Value;

use super::Call;
use crate::query::{FieldValidation, WriteOptions};
use crate::status::Status;

/// Reads the object in the body. Answers it and what the client is warned of.
pub(crate) fn body(call: &Call, options: &WriteOptions) -> Result<(Value, Vec<String>), Status> {
    let document: Value = serde_json::from_slice(&call.body).map_err(|e| Status::bad_request(e.to_string()))?;
    document_of(call.kind, &document, options)
}

/// Brings a document into the form in which it is kept: decoded as its type, with its defaults.
pub(crate) fn document_of(
    kind: &'static kinds::Kind,
    document: &Value,
    options: &WriteOptions,
) -> Result<(Value, Vec<String>), Status> {
    let handled = format!("{} in version {:?} cannot be handled as a {}", kind.kind, kind.version, kind.kind);
    let Some(of_type) = schema::get(kind.schema) else {
        return Err(Status::internal(format!("no schema of {}", kind.schema)));
    };
    let checked = schema::check(document, of_type);
    if let Some(error) = checked.error {
        return Err(Status::bad_request(format!("{handled}: {error}")));
    }
    let warnings = match options.field_validation {
        FieldValidation::Ignore => Vec::new(),
        FieldValidation::Warn => checked.unknown,
        FieldValidation::Strict if checked.unknown.is_empty() => Vec::new(),
        FieldValidation::Strict => {
            let faults = checked.unknown.join(", ");
            return Err(Status::bad_request(format!("{handled}: strict decoding error: {faults}")));
        }
    };
    let mut document = checked.document;
    kind.strategy.default(&mut document);
    Ok((document, warnings))
}
