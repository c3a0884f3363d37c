//! Which code answers which path.

use std::sync::Arc;

use http::{Method, Response, StatusCode};
use kinds::{Scope, Subresource, registry};

use crate::alloc;
use crate::discovery;
use crate::documents;
use crate::events;
use crate::front::{Asked, Front};
use crate::health;
use crate::metrics::{self, Stored};
use crate::negotiate;
use crate::operations;
use crate::proxy;
use crate::request::RequestInfo;
use crate::response::{self, Body};
use crate::reviews;
use crate::status::Status;
use crate::subresources::{self, node::NodeCall};
use crate::verbs::update::Part;
use crate::verbs::{self, call::Call};
use crate::version;
use crate::websocket;

/// Whether a request may last: it has no timeout, and does not count against those that are worked on.
pub(crate) fn is_long_running(info: &RequestInfo) -> bool {
    let of_a_pod = || matches!(info.subresource.as_str(), "log" | "exec" | "attach" | "portforward");
    info.path == operations::RESTORE
        || info.verb == "watch"
        || (info.resource == "pods" && of_a_pod())
        || is_proxy(info)
}

fn is_proxy(info: &RequestInfo) -> bool {
    let has_one = matches!(info.resource.as_str(), "pods" | "services" | "nodes");
    has_one && info.group.is_empty() && info.subresource == "proxy"
}

/// Answers a request of somebody who may.
pub(crate) async fn answer(front: &Arc<Front>, mut asked: Asked) -> Result<Response<Body>, Status> {
    if !asked.info.is_resource {
        return path(front, &asked).await;
    }
    let is_watch = asked.info.verb == "watch" && asked.info.subresource.is_empty();
    let over = if is_watch { websocket::Asked::take(&mut asked.parts) } else { None };
    let answered = resource(front, asked).await?;
    Ok(match over {
        Some(over) => over.tell(answered, front.api.stopping.clone()),
        None => answered,
    })
}

async fn path(front: &Front, asked: &Asked) -> Result<Response<Body>, Status> {
    if let Some(answer) = operations::answer(front, asked).await {
        return answer;
    }
    if !matches!(asked.parts.method, Method::GET | Method::HEAD) {
        return Err(Status::method_not_allowed());
    }
    let path = asked.info.path.trim_end_matches('/');
    if let Some(answer) = discovery::answer(&front.api, asked, path) {
        return answer;
    }
    if let Some(answer) = documents::answer(path, &asked.query, &asked.parts.headers).await {
        return answer;
    }
    match path {
        "/metrics" => {
            let api = &front.api;
            let stored = Stored {
                objects: &|kind| api.cache.count(kind),
                addresses: alloc::addresses(api),
                ports: alloc::ports(api),
            };
            let text = api.metrics.text(&stored).map_err(|error| Status::internal(error.to_string()))?;
            Ok(response::typed(StatusCode::OK, metrics::MEDIA_TYPE, Body::whole(text)))
        }
        "/version" => Ok(response::json(StatusCode::OK, Body::whole(version::json()))),
        _ if path.starts_with("/healthz") || path.starts_with("/livez") || path.starts_with("/readyz") => {
            Ok(health::answer(&front.api, path, &asked.query))
        }
        _ => Ok(response::text(StatusCode::NOT_FOUND, "404 page not found\n")),
    }
}

async fn resource(front: &Arc<Front>, mut asked: Asked) -> Result<Response<Body>, Status> {
    if let Some(answer) = reviews::answer(front, &asked) {
        return answer;
    }
    if events::is_for(&asked.info) {
        return events::answer(front, asked).await;
    }
    let info = &asked.info;
    let kind = registry::by_plural(&info.group, &info.version, &info.resource).ok_or_else(Status::no_such_resource)?;
    if kind.scope == Scope::Cluster {
        // A namespace is in the namespace that it is; nothing else in the cluster is in any.
        if !info.namespace.is_empty() && info.resource != "namespaces" {
            return Err(Status::no_such_resource());
        }
        asked.info.namespace.clear();
    }
    let info = &asked.info;
    if is_proxy(info) {
        return proxy::answer(front, asked).await;
    }
    let part = info.subresource.as_str();
    if let ("", "pods", "log" | "exec" | "attach" | "portforward") = (kind.group, kind.plural, part) {
        let call = NodeCall { api: &front.api, nodes: &front.nodes, info: &asked.info, query: &asked.query };
        return match asked.info.subresource.as_str() {
            "log" => call.log().await,
            "exec" => call.exec(&mut asked.parts).await,
            "attach" => call.attach(&mut asked.parts).await,
            _ => call.port_forward(&mut asked.parts).await,
        };
    }
    let accepted = negotiate::object(&asked.parts.headers)?;
    let refused_in = negotiate::refusal(&asked.parts.headers);
    let call = Call {
        api: front.api.clone(),
        kind,
        accepted,
        info: asked.info,
        user: Arc::new(asked.user),
        query: asked.query,
        headers: asked.parts.headers,
        body: asked.body,
    };
    let mut response = object(front, call).await.unwrap_or_else(|status| response::refusal(&status, refused_in));
    if let Some(deprecation) = kind.strategy.deprecation() {
        response::add_first_warning(&mut response, deprecation);
    }
    Ok(response)
}

async fn object(front: &Front, call: Call) -> Result<Response<Body>, Status> {
    let kind = call.kind;
    let subresource = call.info.subresource.clone();
    if !call.info.rest.is_empty() {
        return Err(Status::no_such_resource());
    }
    match (kind.plural, subresource.as_str()) {
        (_, "") => verbs::answer(call).await,
        (_, "status") if kind.has(Subresource::Status) => verbs::answer_part(call, Part::Status).await,
        (_, "scale") if kind.has(Subresource::Scale) => subresources::scale::answer(&call).await,
        ("namespaces", "finalize") => verbs::answer_part(call, Part::Finalize).await,
        ("pods", "binding") => subresources::binding::create(&call).await,
        ("serviceaccounts", "token") => subresources::token::create(&call, &front.authenticator.service_accounts),
        ("pods", "eviction") => subresources::eviction::create(&call).await,
        _ => Err(Status::no_such_resource()),
    }
}
