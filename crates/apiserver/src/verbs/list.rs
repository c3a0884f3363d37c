//! GET of many objects: at the newest revision, at one that the client knows, or page by page at one revision.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Response;
use serde::{Deserialize, Serialize};

use super::call::Call;
use crate::cache::Listed;
use crate::cache::object::Object;
use crate::cache::selection::Selection;
use crate::query::{ListOptions, VersionMatch};
use crate::response::Body;
use crate::show::{ListMetadata, View};
use crate::status::{Cause, Status};

/// How many objects are much work to show otherwise than they are kept.
const MUCH: usize = 64;
/// How long a list waits for a revision that the server has not seen yet.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// Answers with a list.
pub(crate) async fn list(call: &Call) -> Result<Response<Body>, Status> {
    let options = ListOptions::read(&call.query, false)?;
    let selection = call.selection(&options)?;
    let view = call.view()?;
    let page = page(call, &options, &selection).await?;
    show(view, page).await
}

/// Shows a page; one that is much work is made where others do not wait for it.
pub(crate) async fn show(view: View, page: Page) -> Result<Response<Body>, Status> {
    if page.objects.len() < MUCH || !view.makes_lists_anew() {
        return view.list(page.objects, &page.metadata);
    }
    let made = tokio::task::spawn_blocking(move || view.list(page.objects, &page.metadata)).await;
    made.unwrap_or_else(|error| Err(Status::internal(error.to_string())))
}

/// One page of a list.
pub(crate) struct Page {
    pub objects: Vec<Arc<Object>>,
    pub metadata: ListMetadata,
}

/// The objects that are asked for, as far as the limit goes.
pub(crate) async fn page(call: &Call, options: &ListOptions, selection: &Selection) -> Result<Page, Status> {
    let listed = match options.continue_token.as_str() {
        "" => first(call, options, selection).await?,
        token => following(call, options, selection, &Continue::decode(token)?).await?,
    };
    let mut metadata = ListMetadata { revision: listed.revision, continue_token: String::new(), remaining: None };
    // There may be nothing that is wanted among what is left: as in Kubernetes, the next page says so.
    if let Some(last) = listed.objects.last().filter(|_| listed.left > 0) {
        // What is left can be counted only when everything is wanted.
        metadata.remaining = selection.is_everything().then_some(listed.left);
        metadata.continue_token = Continue::after(last, listed.revision).encode();
    }
    Ok(Page { objects: listed.objects, metadata })
}

/// The objects at the revision that the options ask for.
async fn first(call: &Call, options: &ListOptions, selection: &Selection) -> Result<Listed, Status> {
    let cache = &call.api.cache;
    let mut limit = options.limit;
    match (options.resource_version, options.version_match) {
        // Without a version: the newest state there is.
        (None, _) => call.api.catch_up().await?,
        // 0: any state, whole.
        (Some(0), _) => limit = 0,
        (Some(version), matching) => {
            if !cache.reach(version, PATIENCE).await {
                return Err(too_large(version, cache.revision()));
            }
            // A limit with a version means exactly that version, unless it says otherwise.
            if matching == Some(VersionMatch::Exact) || (matching.is_none() && limit > 0) {
                let objects = cache.list_at(call.kind, &selection.namespace, version).ok_or_else(expired)?;
                return Ok(Listed::of(objects.iter(), version, limit, selection));
            }
        }
    }
    Ok(match selection.only(call.kind) {
        Some(name) => {
            let mut listed = cache.list_one(call.kind, &selection.namespace, name);
            listed.objects.retain(|object| selection.matches(object));
            listed
        }
        None => cache.select(call.kind, selection, "", limit),
    })
}

/// The objects after the page that the token ends.
async fn following(
    call: &Call,
    options: &ListOptions,
    selection: &Selection,
    token: &Continue,
) -> Result<Listed, Status> {
    if options.resource_version.is_some_and(|v| v != 0) {
        return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
    }
    let Ok(revision) = u64::try_from(token.rv) else {
        // It goes on at whatever the newest state is.
        call.api.catch_up().await?;
        return Ok(call.api.cache.select(call.kind, selection, &token.start, options.limit));
    };
    let objects = call.api.cache.list_at(call.kind, &selection.namespace, revision);
    let objects = objects.ok_or_else(|| token.inconsistent())?;
    let objects = objects.iter().filter(|object| *object.key() > *token.start);
    Ok(Listed::of(objects, revision, options.limit, selection))
}

fn expired() -> Status {
    Status::expired("The resourceVersion for the provided list is too old.")
}

/// The refusal of a version that the server has not seen.
pub(crate) fn too_large(version: u64, current: u64) -> Status {
    let cause =
        Cause { reason: "ResourceVersionTooLarge", message: "Too large resource version".into(), ..Cause::default() };
    Status::timeout(format!("Too large resource version: {version}, current: {current}"), vec![cause], 1)
}

/// Where a list goes on: what Kubernetes encodes in its tokens.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Continue {
    #[serde(default)]
    v: String,
    /// The list's revision; less than 0 for the newest, whatever that is.
    #[serde(default)]
    rv: i64,
    /// The first key that may follow.
    #[serde(default)]
    start: String,
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

impl Continue {
    fn after(object: &Object, revision: u64) -> Self {
        let rv = i64::try_from(revision).unwrap_or(i64::MAX);
        Self { v: TOKEN_VERSION.to_owned(), rv, start: format!("{}\0", object.key()) }
    }

    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// 410, with a token that goes on where this one does, at the newest state.
    fn inconsistent(&self) -> Status {
        let newest = Self { v: TOKEN_VERSION.to_owned(), rv: -1, start: self.start.clone() };
        let mut status = Status::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list \
             without the continue parameter, or use the continue token in this response to retrieve the remainder of \
             the results. Continuing with the provided token results in an inconsistent list - objects that were \
             created, modified, or deleted between the time the first chunk was returned and now may show up in the \
             list.",
        );
        status.continue_token = newest.encode();
        status
    }

    fn decode(token: &str) -> Result<Self, Status> {
        let invalid =
            |why: String| Status::bad_request(format!("invalid continue token: continue key is not valid{why}"));
        let json = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid(format!(": {}", go_base64(token))))?;
        let token: Self = serde_json::from_slice(&json).map_err(|e| match json.first() {
            _ if e.is_eof() => invalid(": unexpected end of JSON input".to_owned()),
            Some(c) if !matches!(c, b'{' | b' ') => {
                invalid(format!(": invalid character '{}' looking for beginning of value", *c as char))
            }
            _ => invalid(format!(": {e}")),
        })?;
        if token.v != TOKEN_VERSION {
            return Err(invalid(format!(": server does not recognize this encoded version {}", token.v)));
        }
        if token.rv == 0 {
            return Err(invalid(": incorrect encoded start resourceVersion (version meta.k8s.io/v1)".to_owned()));
        }
        if token.start.is_empty() {
            return Err(invalid(": encoded start key empty (version meta.k8s.io/v1)".to_owned()));
        }
        let path = token.start.strip_prefix('/').unwrap_or(&token.start);
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(invalid(format!(": {}", token.start)));
        }
        Ok(token)
    }
}

/// What Go says of a text that is not base64.
fn go_base64(text: &str) -> String {
    let is_letter = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    let at = text.bytes().position(|c| !is_letter(c)).unwrap_or(text.len().saturating_sub(1));
    format!("illegal base64 data at input byte {at}")
}
