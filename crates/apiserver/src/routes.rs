//! Which code answers which path.

use std::sync::Arc;

use http::{Method, Response, StatusCode};
use kinds::{Subresource, registry};

use crate::discovery;
use crate::handler::{Asked, Front};
use crate::health;
use crate::negotiate;
use crate::request::RequestInfo;
use crate::response::{self, Body};
use crate::status::Status;
use crate::verbs::{self, Call};
use crate::version;

/// Whether a request may last: it has no timeout, and does not count against those that are worked on.
pub(crate) fn is_long_running(info: &RequestInfo) -> bool {
    info.verb == "watch" || (info.resource == "pods" && matches!(info.subresource.as_str(), "log" | "exec" | "attach"))
}

/// Answers a request of somebody who may.
pub(crate) async fn answer(front: &Arc<Front>, asked: Asked) -> Result<Response<Body>, Status> {
    if asked.info.is_resource { resource(front, asked).await } else { path(front, &asked) }
}

fn path(front: &Front, asked: &Asked) -> Result<Response<Body>, Status> {
    if !matches!(asked.parts.method, Method::GET | Method::HEAD) {
        return Err(Status::method_not_allowed());
    }
    let path = asked.info.path.trim_end_matches('/');
    if let Some(answer) = discovery::answer(&front.api, asked, path) {
        return answer;
    }
    match path {
        "/version" => Ok(response::json(StatusCode::OK, Body::whole(version::json()))),
        _ if path.starts_with("/livez") || path.starts_with("/readyz") => {
            Ok(health::answer(&front.api, path, &asked.query))
        }
        _ => Ok(response::text(StatusCode::NOT_FOUND, "404 page not found\n")),
    }
}

async fn resource(front: &Arc<Front>, asked: Asked) -> Result<Response<Body>, Status> {
    let info = &asked.info;
    let kind = registry::by_plural(&info.group, &info.version, &info.resource).ok_or_else(Status::no_such_resource)?;
    let accepted = negotiate::object(&asked.parts.headers)?;
    let call = Call {
        api: front.api.clone(),
        kind,
        accepted,
        info: asked.info,
        user: asked.user,
        query: asked.query,
        headers: asked.parts.headers,
        body: asked.body,
    };
    let answer = match call.info.subresource.as_str() {
        "" => verbs::answer(call).await,
        "status" if kind.has(Subresource::Status) => verbs::answer_status(call).await,
        _ => Err(Status::no_such_resource()),
    };
    let mut response = answer.unwrap_or_else(|status| response::refusal(&status));
    if let Some(deprecation) = kind.strategy.deprecation() {
        response::add_first_warning(&mut response, deprecation);
    }
    Ok(response)
}
