//! `/proxy` of Services, Pods and nodes: a request goes on to what runs there, and its answer comes back.
//!
//! The path is what follows `/proxy`. In HTML, and in where an answer sends its reader, links to the same place get the
//! path of the proxy before them ([`rewrite`]), so that a page that is looked at through it works. Where a
//! request goes is [`locate`]d by the names in the path: `NAME`, `NAME:PORT` or `SCHEME:NAME:PORT`.

mod locate;
mod rewrite;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use crate::front::{Asked, Front};
use crate::nodes;
use crate::relay;
use crate::response::{Body, BodyError};
use crate::status::Status;
use locate::Target;

/// The largest page whose links are rewritten, in bytes; a larger one is not passed on.
const PAGE_LIMIT: usize = 16 << 20;
/// What a browser would take for the leave of a whole other server.
const CROSS_ORIGIN: [&str; 4] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
];

/// A request's body as it comes.
pub(crate) type Sent = UnsyncBoxBody<Bytes, BodyError>;

/// Passes a request on.
pub(crate) async fn answer(front: &Front, mut asked: Asked) -> Result<Response<Body>, Status> {
    let target = locate::locate(&front.api, &asked.info)?;
    let (prefix, path) = split(&asked.info.path, !asked.info.namespace.is_empty());
    let query = asked.parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    if path.is_empty() && matches!(asked.parts.method, Method::GET | Method::HEAD) {
        return redirect(&format!("{prefix}/{query}"));
    }
    let path = if path.is_empty() { "/" } else { path };
    let client = asked.parts.extensions.remove::<OnUpgrade>().filter(|_| relay::is_upgrade(&asked.parts.headers));
    let body = asked.sent.get_mut().take().unwrap_or_default();
    let place = target.address().to_string();
    let request = request(&asked.parts, &place, prefix, &format!("{path}{query}"), client.is_some(), body)?;
    let answer = match &target {
        Target::Node(node) => front.nodes.call(node, request).await,
        Target::Pod { address, is_secured } => nodes::call_pod(address, *is_secured, request).await,
    };
    let answer = answer
        .map_err(|error| Status::unavailable(format!("error trying to reach service: {error}")).about("", "", ""))?;
    if let (Some(client), StatusCode::SWITCHING_PROTOCOLS) = (client, answer.status()) {
        return Ok(relay::switch(client, answer, front.api.stopping.clone()));
    }
    let own_hosts = [asked.parts.headers.get(HOST).and_then(|h| h.to_str().ok()).unwrap_or_default(), &place];
    passed_back(answer, prefix, own_hosts).await
}

/// What comes before the path that is passed on, and that path.
fn split(path: &str, is_namespaced: bool) -> (&str, &str) {
    // /api/v1/nodes/NAME/proxy, /api/v1/namespaces/NAMESPACE/pods/NAME/proxy
    let slashes = if is_namespaced { 7 } else { 5 };
    path.split_at(path.match_indices('/').nth(slashes).map_or(path.len(), |(at, _)| at))
}

fn redirect(to: &str) -> Result<Response<Body>, Status> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    let to = HeaderValue::from_str(to).map_err(|error| Status::bad_request(error.to_string()))?;
    response.headers_mut().insert(LOCATION, to);
    Ok(response)
}

fn request(
    parts: &Parts,
    place: &str,
    prefix: &str,
    path: &str,
    upgrades: bool,
    body: Sent,
) -> Result<Request<Sent>, Status> {
    let bad = |error: http::Error| Status::bad_request(error.to_string());
    let uri = Uri::from(path.parse::<PathAndQuery>().map_err(|error| bad(error.into()))?);
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    for (name, value) in parts.headers.iter().filter(|(name, _)| relay::passes(name)) {
        headers.append(name, value.clone());
    }
    // Links can be rewritten in what is not compressed only.
    headers.remove(ACCEPT_ENCODING);
    let host = parts.headers.get(HOST).cloned().or_else(|| HeaderValue::from_str(parts.uri.authority()?.as_str()).ok());
    headers.insert(HOST, host.map_or_else(|| HeaderValue::from_str(place), Ok).map_err(|error| bad(error.into()))?);
    let plain = path.split('?').next().unwrap_or_default();
    let forwarded = HeaderValue::from_str(&format!("{prefix}{plain}")).map_err(|error| bad(error.into()))?;
    headers.insert(HeaderName::from_static("x-forwarded-uri"), forwarded);
    if upgrades {
        headers.extend(relay::upgrade_headers(&parts.headers));
    }
    Ok(request)
}

/// The answer as the client may have it.
async fn passed_back(answer: Response<Incoming>, prefix: &str, own_hosts: [&str; 2]) -> Result<Response<Body>, Status> {
    let (head, body) = answer.into_parts();
    let mut headers = HeaderMap::new();
    let passed = |name: &HeaderName| relay::passes(name) && !CROSS_ORIGIN.contains(&name.as_str());
    for (name, value) in head.headers.iter().filter(|(name, _)| passed(name)) {
        headers.append(name, value.clone());
    }
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = text(&CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    let is_page = media_type == "text/html" && text(&CONTENT_ENCODING).is_empty();
    let location = (!text(&LOCATION).is_empty()).then(|| rewrite::url(text(&LOCATION), prefix, own_hosts));
    let body = match location {
        Some(location) => {
            headers.insert(LOCATION, HeaderValue::from_str(&location).map_err(|e| Status::internal(e.to_string()))?);
            relay::stream(body)
        }
        None if is_page => {
            let page = Limited::new(body, PAGE_LIMIT).collect().await;
            let page = page.map_err(|error| Status::unavailable(format!("error trying to reach service: {error}")))?;
            let page = String::from_utf8_lossy(&page.to_bytes()).into_owned();
            headers.remove(CONTENT_LENGTH);
            Body::whole(rewrite::html(&page, prefix, own_hosts))
        }
        None => relay::stream(body),
    };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = headers;
    Ok(response)
}
