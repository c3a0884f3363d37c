//! GET of one object.

use http::{Response, StatusCode};

use super::call::Call;
use crate::response::Body;
use crate::status::Status;

/// Answers with the newest state of the object.
pub(crate) fn get(call: &Call) -> Result<Response<Body>, Status> {
    let info = &call.info;
    let object = call.api.cache.get(call.kind, &info.namespace, &info.name);
    let object = object.ok_or_else(|| Status::not_found(call.kind, &info.name))?;
    call.view()?.object(StatusCode::OK, &object)
}
