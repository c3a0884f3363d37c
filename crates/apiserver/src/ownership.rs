//! Who owns which fields of what is written.

use kinds::Kind;
use kinds::schema;
use serde_json::Value;

use crate::clock;
use crate::managed_fields::{Change, record_update};
use crate::query::WriteOptions;
use crate::status::Status;

/// Who owns what the server itself writes.
pub(crate) const SERVER: &str = "kube-apiserver";

/// Writes down who owns which fields of the new document.
pub(crate) fn record(
    kind: &'static Kind,
    old: Option<&Value>,
    new: &mut Value,
    options: &WriteOptions,
    subresource: &str,
) -> Result<(), Status> {
    if !options.applied {
        let (api_version, now) = (kind.api_version(), clock::now());
        let kind = schema::get(kind.schema).ok_or_else(|| Status::internal(format!("no schema of {}", kind.schema)))?;
        let change = Change { kind, manager: &options.manager, subresource, api_version: &api_version, now: &now };
        record_update(&change, old, new);
    }
    Ok(())
}
