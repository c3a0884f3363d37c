//! One file a verb: from a request about objects to its answer.
//!
//! Reading: [`get`], [`list`], [`watch`]. Writing: [`create`], [`update`], [`patch`], [`delete`],
//! [`deletecollection`]; what those share is in [`write`].

pub(crate) mod apply;
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

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response};
use kinds::{Kind, Scope};

use crate::api::{self, Api};
use crate::cache::selection::Selection;
use crate::negotiate::Accepted;
use crate::patch::PatchType;
use crate::query::{ListOptions, Query, WriteOptions};
use crate::request::RequestInfo;
use crate::response::Body;
use crate::show::{IncludeObject, View};
use crate::status::Status;
use update::Part;

/// A request about objects of a kind.
pub(crate) struct Call {
    pub api: Arc<Api>,
    pub kind: &'static Kind,
    pub info: RequestInfo,
    pub query: Query,
    pub headers: HeaderMap,
    pub accepted: Accepted,
    pub body: Bytes,
}

impl Call {
    /// How the client wants to see the answer.
    pub fn view(&self) -> Result<View, Status> {
        let include = IncludeObject::read(self.query.get("includeObject"))?;
        Ok(View { kind: self.kind, accepted: self.accepted, include, now: api::now_seconds() })
    }

    /// What the client says of itself.
    pub fn agent(&self) -> &str {
        self.header(http::header::USER_AGENT)
    }

    /// A header's text; empty when it is not there.
    pub fn header(&self, name: http::HeaderName) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The options of a write of this kind.
    pub fn write_options(&self, options: &'static str) -> Result<WriteOptions, Status> {
        WriteOptions::read(&self.query, options, self.agent())
    }

    /// Which objects are asked for.
    pub fn selection(&self, options: &ListOptions) -> Result<Selection, Status> {
        let (labels, fields) = (&options.label_selector, &options.field_selector);
        let selection = Selection::parse(self.kind, &self.info.namespace, labels, fields);
        selection.map_err(|error| Status::bad_request(error.to_string()))
    }
}

/// Answers a request for an object itself or all objects of a kind.
pub(crate) async fn answer(call: Call) -> Result<Response<Body>, Status> {
    let cluster = call.kind.scope == Scope::Cluster;
    let all_namespaces = !cluster && call.info.namespace.is_empty();
    match call.info.verb {
        "get" => get::get(&call),
        "list" => list::list(&call).await,
        "watch" => watch::watch(&call).await,
        // A namespaced object is written in its namespace only.
        _ if all_namespaces => Err(Status::method_not_allowed()),
        "create" if call.info.name.is_empty() => create::answer(&call).await,
        "update" if !call.info.name.is_empty() => update::answer(&call, Part::Object).await,
        "patch" if !call.info.name.is_empty() => patched(&call, Part::Object).await,
        "delete" => delete::answer(&call).await,
        "deletecollection" => deletecollection::answer(&call).await,
        _ => Err(Status::method_not_allowed()),
    }
}

/// Answers a request for a part of an object.
pub(crate) async fn answer_part(call: Call, part: Part) -> Result<Response<Body>, Status> {
    match (call.info.verb, part) {
        ("get", Part::Status) => get::get(&call),
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
