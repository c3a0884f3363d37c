//! `/openapi/v2` and `/openapi/v3`: the documents that describe the API, made when they are asked for.

use http::header::{ACCEPT, CACHE_CONTROL, ETAG, EXPIRES, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use crate::openapi::{v2, v3};
use crate::query::Query;
use crate::response::{self, Body};
use crate::status::Status;

/// What the form of [`v2::PROTOBUF`] is called in an answer: `@` is not allowed in media types.
const PROTOBUF_ANSWER: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// How long a document may be kept that is asked for by its hash.
const KEEP: jiff::SignedDuration = jiff::SignedDuration::from_hours(24 * 365);

/// Answers a path without its last `/`; `None` for one that is no document.
pub(crate) async fn answer(path: &str, query: &Query, headers: &HeaderMap) -> Option<Result<Response<Body>, Status>> {
    let parts: Vec<String> = path.split('/').skip(1).map(ToOwned::to_owned).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts.as_slice() {
        ["openapi", "v2"] => {
            let protobuf = accepts_protobuf(headers);
            let bytes = made(move || Some(if protobuf { v2::encoded() } else { v2::document() })).await;
            let media_type = if protobuf { PROTOBUF_ANSWER } else { "application/json" };
            Some(bytes.map(|bytes| response::typed(StatusCode::OK, media_type, Body::whole(bytes.unwrap_or_default()))))
        }
        ["openapi", "v3"] => {
            let bytes = made(|| Some(v3::index())).await;
            Some(bytes.map(|bytes| response::json(StatusCode::OK, Body::whole(bytes.unwrap_or_default()))))
        }
        ["openapi", "v3", "api", version] => of_version("", version, query).await,
        ["openapi", "v3", "apis", group, version] => of_version(group, version, query).await,
        _ => None,
    }
}

async fn of_version(group: &str, version: &str, query: &Query) -> Option<Result<Response<Body>, Status>> {
    let (of_group, of_version) = (group.to_owned(), version.to_owned());
    let document = match made(move || v3::document(&of_group, &of_version)).await {
        Ok(document) => document?,
        Err(status) => return Some(Err(status)),
    };
    let hash = v3::hash(&document);
    let is_this = query.get("hash") == Some(hash.as_str());
    let mut response = response::json(StatusCode::OK, Body::whole(document));
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{hash}\"")) {
        headers.insert(ETAG, tag);
    }
    if is_this {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        let until = jiff::Timestamp::now() + KEEP;
        if let Ok(until) = HeaderValue::from_str(&until.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()) {
            headers.insert(EXPIRES, until);
        }
    }
    Some(Ok(response))
}

/// Runs what takes tens of milliseconds where it holds nobody up.
async fn made(make: impl FnOnce() -> Option<Vec<u8>> + Send + 'static) -> Result<Option<Vec<u8>>, Status> {
    tokio::task::spawn_blocking(make).await.map_err(|error| Status::internal(error.to_string()))
}

fn accepts_protobuf(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok());
    let mut types =
        accepted.flat_map(|v| v.split(',')).map(|clause| clause.split(';').next().unwrap_or_default().trim());
    types.next().is_some_and(|first| first == v2::PROTOBUF || first == PROTOBUF_ANSWER)
}
