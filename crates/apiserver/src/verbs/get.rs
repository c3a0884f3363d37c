//! GET of one object: its newest state, or one that is no older than the client knows.

use http::{Response, StatusCode};

use super::call::Call;
use super::list::{PATIENCE, too_large};
use crate::query::resource_version;
use crate::response::Body;
use crate::status::Status;

/// Answers with the object.
pub(crate) async fn get(call: &Call) -> Result<Response<Body>, Status> {
    let info = &call.info;
    let cache = &call.api.cache;
    match call.query.get("resourceVersion").map(resource_version).transpose()? {
        None => call.api.catch_up().await?,
        Some(version) if !cache.reach(version, PATIENCE).await => return Err(too_large(version, cache.revision())),
        Some(_) => {}
    }
    let object = cache.get(call.kind, &info.namespace, &info.name);
    let object = object.ok_or_else(|| Status::not_found(call.kind, &info.name))?;
    call.view()?.object(StatusCode::OK, &object)
}
