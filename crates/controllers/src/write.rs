//! Changes applied to the server, and what only the server itself can say.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ListMeta, ObjectMeta};
use kube::Client;
use kube::api::{GetParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::Request;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::change::{Act, Change, Part, Resource};
use crate::objects::Meta;

/// A write that has no answer after this long is given up.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What the server said of the object that it wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Written {
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// Its version; empty when it is gone.
    pub resource_version: String,
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// There is no such object.
    #[error("{0}")]
    NotFound(String),
    /// The name is taken.
    #[error("{0}")]
    AlreadyExists(String),
    /// The object is no longer what the plan was made from.
    #[error("{0}")]
    Conflict(String),
    /// Nothing new is made in a namespace that is being deleted.
    #[error("{0}")]
    NamespaceTerminating(String),
    /// The server refused it for another reason.
    #[error("{message}")]
    Refused {
        /// The status code.
        code: u16,
        /// The server's message.
        message: String,
    },
    /// There was no answer in time; whether it was made is not known.
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    /// The request could not be made, or its answer not be read.
    #[error("the request failed")]
    Request(#[source] Box<kube::Error>),
}

/// How many requests are under way at a time, of all controllers: a server turns away who asks for too much at once.
const AT_ONCE: usize = 128;

/// Applies changes.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    turns: Arc<Semaphore>,
}

#[derive(Deserialize, Default)]
struct Answer {
    #[serde(default)]
    metadata: Written,
}

impl Writer {
    /// A writer that speaks through this client.
    pub fn new(client: Client) -> Self {
        Self { client, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The client, for what is no change.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Makes one change.
    pub async fn apply(&self, change: &Change) -> Result<Written, WriteError> {
        Ok(self.ask::<Answer>(request(change)).await?.metadata)
    }

    /// Whether an object still exists and is not being deleted, by the server's own word.
    pub async fn still_wanted(&self, resource: Resource, object: &impl Meta) -> Result<bool, WriteError> {
        let found = self.metadata(resource, object.namespace(), object.name()).await?;
        Ok(found.is_some_and(|found| found.uid.as_deref() == Some(object.uid()) && found.deletion_timestamp.is_none()))
    }

    /// The metadata of an object, by the server's own word; `None`: there is no such object.
    pub async fn metadata(
        &self,
        resource: Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<ObjectMeta>, WriteError> {
        let request = Request::new(resource.path(namespace)).get_metadata(name, &GetParams::default());
        match self.ask::<Found>(request).await {
            Ok(found) => Ok(Some(found.metadata)),
            Err(WriteError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The metadata of all objects of a kind in a namespace, by the server's own word.
    pub async fn list(&self, resource: Resource, namespace: &str) -> Result<Vec<ObjectMeta>, WriteError> {
        let mut all = Vec::new();
        let mut params = ListParams::default().limit(500);
        loop {
            let request = Request::new(resource.path(namespace)).list_metadata(&params);
            let page = self.ask::<Page>(request).await?;
            all.extend(page.items.into_iter().map(|found| found.metadata));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(all),
            }
        }
    }

    async fn ask<T: DeserializeOwned>(&self, request: BuiltRequest) -> Result<T, WriteError> {
        let request = request.map_err(|error| WriteError::Request(Box::new(kube::Error::BuildRequest(error))))?;
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await.ok();
        match tokio::time::timeout(TIMEOUT, self.client.request::<T>(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(classify(error)),
            Err(_) => Err(WriteError::TimedOut),
        }
    }
}

type BuiltRequest = Result<http::Request<Vec<u8>>, kube::core::request::Error>;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: ListMeta,
    items: Vec<Found>,
}

#[derive(Deserialize)]
struct Found {
    metadata: ObjectMeta,
}

fn classify(error: kube::Error) -> WriteError {
    let kube::Error::Api(status) = error else { return WriteError::Request(Box::new(error)) };
    let terminating = status
        .details
        .as_ref()
        .is_some_and(|details| details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating"));
    match (status.code, status.reason.as_str()) {
        (403, _) if terminating => WriteError::NamespaceTerminating(status.message),
        (404, _) => WriteError::NotFound(status.message),
        (409, "AlreadyExists") => WriteError::AlreadyExists(status.message),
        (409, _) => WriteError::Conflict(status.message),
        (code, _) => WriteError::Refused { code, message: status.message },
    }
}

fn request(change: &Change) -> BuiltRequest {
    let request = Request::new(change.resource.path(&change.namespace));
    let (post, patch) = (PostParams::default(), PatchParams::default());
    let name = &change.name;
    let bytes = |body: &Value| body.to_string().into_bytes();
    match &change.act {
        Act::Create(body) => request.create(&post, bytes(body)),
        Act::Replace(body) => request.replace(name, &post, bytes(body)),
        Act::Merge(Part::Main, body) => request.patch(name, &patch, &Patch::Merge(body)),
        Act::Merge(Part::Status, body) => request.patch_subresource("status", name, &patch, &Patch::Merge(body)),
        Act::Strategic(Part::Main, body) => request.patch(name, &patch, &Patch::Strategic(body)),
        Act::Strategic(Part::Status, body) => {
            request.patch_subresource("status", name, &patch, &Patch::Strategic(body))
        }
        Act::Post(subresource, body) => request.create_subresource(subresource, name, &post, bytes(body)),
        Act::Put(subresource, body) => request.replace_subresource(subresource, name, &post, bytes(body)),
        Act::Delete(deletion) => {
            // kube's own parameters have no room for a resource version without a uid, nor for negative seconds.
            let mut request = request.delete(name, &kube::api::DeleteParams::default())?;
            *request.body_mut() = bytes(&deletion.options());
            Ok(request)
        }
    }
}

#[cfg(test)]
mod tests;
