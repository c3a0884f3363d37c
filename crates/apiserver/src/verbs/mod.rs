//! One file a verb: from a request about objects to its answer.
//!
//! A request is a [`call::Call`]. Reading: [`get`], [`list`], [`watch`]. Writing: [`create`], [`update`], [`patch`],
//! [`apply`], [`delete`], [`deletecollection`]; what those share is in `decode` and `write`.

pub(crate) mod apply;
pub(crate) mod call;
pub(crate) mod create;
pub(crate) mod decode;
pub(crate) mod delete;
pub(crate) mod deletecollection;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod patch;
pub(crate) mod update;
pub(crate) mod watch;
pub(crate) mod write;

use http::Response;
use kinds::Scope;

use crate::patch::PatchType;
use crate::response::Body;
use crate::status::Status;
use call::Call;
use update::Part;

/// Answers a request for an object itself or all objects of a kind.
pub(crate) async fn answer(call: Call) -> Result<Response<Body>, Status> {
    let cluster = call.kind.scope == Scope::Cluster;
    let all_namespaces = !cluster && call.info.namespace.is_empty();
    match call.info.verb {
        "get" => get::get(&call).await,
        "list" => list::list(&call).await,
        "watch" => watch::watch(&call).await,
        // A namespaced object is written in its namespace only.
        _ if all_namespaces => Err(Status::method_not_allowed()),
        "create" if call.info.name.is_empty() => create::answer(&call).await,
        "update" if !call.info.name.is_empty() => update::answer(&call, Part::Object).await,
        "patch" if !call.info.name.is_empty() => patched(&call, Part::Object).await,
        "delete" => delete::answer(&call).await,
        // Namespaces are deleted one by one.
        "deletecollection" if call.kind.kind != "Namespace" => deletecollection::answer(&call).await,
        _ => Err(Status::method_not_allowed()),
    }
}

/// Answers a request for a part of an object.
pub(crate) async fn answer_part(call: Call, part: Part) -> Result<Response<Body>, Status> {
    match (call.info.verb, part) {
        ("get", Part::Status) => get::get(&call).await,
        ("patch", Part::Status) => patched(&call, part).await,
        ("update", _) => update::answer(&call, part).await,
        _ => Err(Status::method_not_allowed()),
    }
}

async fn patched(call: &Call, part: Part) -> Result<Response<Body>, Status> {
    match PatchType::of(call.header(http::header::CONTENT_TYPE)) {
        Some(PatchType::Apply) => apply::answer(call, part).await,
        _ => patch::answer(call, part).await,
    }
}
