//! A request about objects of a kind.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use kinds::Kind;

use crate::api::Api;
use crate::cache::selection::Selection;
use crate::clock;
use crate::identity::User;
use crate::negotiate::Accepted;
use crate::query::{ListOptions, Query, WriteOptions};
use crate::request::RequestInfo;
use crate::show::{IncludeObject, View};
use crate::status::Status;

/// A request about objects of a kind.
pub(crate) struct Call {
    pub api: Arc<Api>,
    pub kind: &'static Kind,
    pub info: RequestInfo,
    /// Who asks.
    pub user: Arc<User>,
    pub query: Query,
    pub headers: HeaderMap,
    pub accepted: Accepted,
    pub body: Bytes,
}

impl Call {
    /// How the client wants to see the answer.
    pub fn view(&self) -> Result<View, Status> {
        let include = IncludeObject::read(self.query.get("includeObject"))?;
        Ok(View { kind: self.kind, accepted: self.accepted, include, now: clock::now_seconds() })
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
        let read = WriteOptions::read(&self.query, options, self.agent())?;
        Ok(WriteOptions { user: Some(self.user.clone()), ..read })
    }

    /// Which objects are asked for.
    pub fn selection(&self, options: &ListOptions) -> Result<Selection, Status> {
        let mut fields = options.field_selector.clone();
        let name = &self.info.name;
        if !name.is_empty() && fields.is_empty() {
            // The path of a watch may name an object.
            fields = format!("metadata.name={name}");
        }
        let selection = Selection::parse(self.kind, &self.info.namespace, &options.label_selector, &fields);
        let selection = selection.map_err(|error| Status::bad_request(error.to_string()))?;
        if !name.is_empty() && selection.name() != Some(name) {
            return Err(Status::bad_request("fieldSelector metadata.name doesn't match requested name"));
        }
        Ok(selection)
    }
}
