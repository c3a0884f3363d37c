//! What allocation reads of a Service, and how it refuses one.

use kinds::document::{at, text};
use kinds::field;
use serde_json::Value;

use crate::status::Status;

/// `spec.type`
pub(super) fn type_of(service: &Value) -> &str {
    text(at(service, "spec"), "type")
}

/// 422 for the Service.
pub(super) fn invalid(service: &Value, faults: &[field::Error]) -> Status {
    Status::invalid("", "Service", text(at(service, "metadata"), "name"), faults)
}
