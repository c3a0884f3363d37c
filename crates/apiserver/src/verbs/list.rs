//! GET of many objects: at the newest revision, at one that the client knows, or page by page at one revision.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Response;
use serde::{Deserialize, Serialize};

use super::call::Call;
use crate::cache::object::Object;
use crate::cache::selection::Selection;
use crate::query::{ListOptions, VersionMatch};
use crate::response::Body;
use crate::show::{ListMetadata, View};
use crate::status::{Cause, Status};

/// How many objects are much work to show otherwise than they are kept.
const MUCH: usize = 64;
/// How long a list waits for a revision that the server has not seen yet.
const PATIENCE: Duration = Duration::from_secs(3);

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
    let (mut objects, revision) = if options.continue_token.is_empty() {
        first(call, options, selection).await?
    } else {
        following(call, options, selection)?
    };
    objects.retain(|object| selection.matches(object));
    let mut metadata = ListMetadata { revision, continue_token: String::new(), remaining: None };
    if options.limit > 0 && objects.len() > options.limit {
        // What is left can be counted only when everything is wanted, as in Kubernetes.
        metadata.remaining = selection.is_everything().then_some(objects.len() - options.limit);
        objects.truncate(options.limit);
        metadata.continue_token = objects.last().map(|o| Continue::after(o, revision).encode()).unwrap_or_default();
    }
    Ok(Page { objects, metadata })
}

/// The objects at the revision that the options ask for.
async fn first(call: &Call, options: &ListOptions, selection: &Selection) -> Result<(Vec<Arc<Object>>, u64), Status> {
    let cache = &call.api.cache;
    let exact = match (options.resource_version, options.version_match) {
        // Without a version: the newest state there is.
        (None, _) => {
            call.api.catch_up().await?;
            None
        }
        // 0: any state.
        (Some(0), _) => None,
        (Some(version), matching) => {
            if !cache.reach(version, PATIENCE).await {
                return Err(too_large(version, cache.revision()));
            }
            // A limit with a version means exactly that version, unless it says otherwise.
            let exact = matching == Some(VersionMatch::Exact) || (matching.is_none() && options.limit > 0);
            exact.then_some(version)
        }
    };
    match exact {
        None => {
            let listed = match selection.only(call.kind) {
                Some(name) => cache.list_one(call.kind, &selection.namespace, name),
                None => cache.list(call.kind, &selection.namespace),
            };
            Ok((listed.objects, listed.revision))
        }
        Some(version) => {
            let objects = cache.list_at(call.kind, &selection.namespace, version);
            Ok((objects.ok_or_else(expired)?, version))
        }
    }
}

/// The objects after the page that the token ends.
fn following(call: &Call, options: &ListOptions, selection: &Selection) -> Result<(Vec<Arc<Object>>, u64), Status> {
    if options.resource_version.is_some_and(|v| v != 0) {
        return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
    }
    let token = Continue::decode(&options.continue_token)?;
    let mut objects = call.api.cache.list_at(call.kind, &selection.namespace, token.rv).ok_or_else(|| {
        Status::expired(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list \
             without the continue parameter.",
        )
    })?;
    objects.retain(|object| *object.key() > *token.start);
    Ok((objects, token.rv))
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
#[derive(Serialize, Deserialize)]
struct Continue {
    v: String,
    rv: u64,
    /// The key of the last object that was listed.
    start: String,
}

const TOKEN_VERSION: &str = "meta.k8s.io/v1";

impl Continue {
    fn after(object: &Object, revision: u64) -> Self {
        Self { v: TOKEN_VERSION.to_owned(), rv: revision, start: object.key().into() }
    }

    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(token: &str) -> Result<Self, Status> {
        let invalid =
            |why: String| Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
        let json = URL_SAFE_NO_PAD.decode(token).map_err(|e| invalid(e.to_string()))?;
        let token: Self = serde_json::from_slice(&json).map_err(|e| match json.first() {
            Some(c) if *c != b'{' => {
                invalid(format!("invalid character '{}' looking for beginning of value", *c as char))
            }
            _ => invalid(e.to_string()),
        })?;
        if token.v != TOKEN_VERSION {
            return Err(invalid(format!("server does not recognize this encoded version {:?}", token.v)));
        }
        Ok(token)
    }
}
