//! The audit log: who asked for what, when, and what came of it, as JSON lines of `audit.k8s.io/v1` `Event`s.
//!
//! [`policy`] says of which requests how much is written, [`mod@log`] writes it. A [`Record`] goes with a request: it learns who
//! asks when that is known, what was sent, and what is answered.

mod log;
mod policy;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Response};
use http_body::Body as _;
use jiff::Timestamp;
use kinds::{registry, schema};
use serde_json::{Value, json};

use crate::body::{self, MediaType};
use crate::identity::User;
use crate::protobuf;
use crate::request::RequestInfo;
use crate::response::{Body, BodyError};
use log::Log;
use policy::{Level, Policy, Stage, Verdict};

#[cfg(test)]
mod tests;

/// The header that says under which number a request is written.
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
/// The longest number that a client may choose.
const LONGEST_ID: usize = 64;

/// Why there is no audit log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The policy cannot be read.
    #[error("the audit policy {path}: {why}")]
    Policy {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The log cannot be opened.
    #[error("the audit log {path} cannot be opened")]
    Log {
        /// Its file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The audit log and its policy.
pub struct Audit {
    policy: Policy,
    log: Log,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Audit { .. }")
    }
}

impl Audit {
    /// Reads the policy and opens the log, which only its owner can read.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub fn open(policy: &Path, log: &Path) -> Result<Self, AuditError> {
        let refused = |why: String| AuditError::Policy { path: policy.to_owned(), why };
        let text = std::fs::read_to_string(policy).map_err(|error| refused(error.to_string()))?;
        let policy = Policy::parse(&text).map_err(refused)?;
        let log = Log::open(log).map_err(|source| AuditError::Log { path: log.to_owned(), source })?;
        Ok(Self { policy, log })
    }

    /// Begins the record of a request.
    pub(crate) fn record(self: &Arc<Self>, parts: &Parts, info: &RequestInfo, address: Option<IpAddr>) -> Record {
        let header = |name: HeaderName| parts.headers.get(name).and_then(|value| value.to_str().ok());
        let given = header(AUDIT_ID).filter(|id| !id.is_empty() && id.len() <= LONGEST_ID);
        let id = given.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
        let mut event = json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "auditID": id,
            "requestURI": parts.uri.path_and_query().map_or("", |path| path.as_str()), "verb": info.verb,
            "requestReceivedTimestamp": now(),
        });
        if let Some(agent) = header(USER_AGENT) {
            event["userAgent"] = agent.into();
        }
        if let Some(address) = address {
            event["sourceIPs"] = json!([address]);
        }
        if info.is_resource {
            event["objectRef"] = reference(info);
        }
        let content_type = header(CONTENT_TYPE).unwrap_or_default().to_owned();
        Record { audit: self.clone(), id, event, verdict: Verdict::default(), content_type, info: info.clone() }
    }
}

/// What is written of one request.
pub(crate) struct Record {
    audit: Arc<Audit>,
    id: String,
    event: Value,
    verdict: Verdict,
    content_type: String,
    info: RequestInfo,
}

impl Record {
    /// Who asks, and as whom, is known: from here on the policy says what is written.
    pub async fn received(&mut self, user: &User, acts_as: &User) {
        self.verdict = self.audit.policy.judge(acts_as, &self.info);
        self.event["level"] = json!(self.verdict.level);
        self.event["user"] = person(user);
        if user != acts_as {
            self.event["impersonatedUser"] = person(acts_as);
        }
        self.write(Stage::RequestReceived).await;
    }

    /// Whether they may.
    pub fn decided(&mut self, may: bool) {
        let decision = if may { "allow" } else { "forbid" };
        self.event["annotations"] =
            json!({ "authorization.k8s.io/decision": decision, "authorization.k8s.io/reason": "" });
    }

    /// What was sent.
    pub fn sent(&mut self, body: &Bytes) {
        if self.verdict.level < Level::Request || body.is_empty() {
            return;
        }
        if let Some(object) = self.object(&self.content_type, body) {
            self.event["requestObject"] = object;
        }
    }

    /// It is answered. What lasts is written once more when it ends.
    pub async fn answered(mut self, mut response: Response<Body>, panicked: bool) -> Response<Body> {
        if let Ok(id) = HeaderValue::from_str(&self.id) {
            response.headers_mut().insert(AUDIT_ID, id);
        }
        self.event["responseStatus"] = json!({ "metadata": {}, "code": response.status().as_u16() });
        if panicked {
            self.write(Stage::Panic).await;
            return response;
        }
        if response.body().is_stream() {
            self.write(Stage::ResponseStarted).await;
            return response.map(|body| Body::stream(Lasting { body, record: self }));
        }
        let is_refusal = response.status().is_client_error() || response.status().is_server_error();
        if !is_refusal && self.verdict.level < Level::RequestResponse {
            self.write(Stage::ResponseComplete).await;
            return response;
        }
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = content_type.unwrap_or_default().to_owned();
        let (parts, body) = response.into_parts();
        let bytes = body.into_whole();
        if let Some(object) = self.object(&content_type, &bytes) {
            if is_refusal {
                for field in ["status", "message", "reason", "details"] {
                    if !object[field].is_null() {
                        self.event["responseStatus"][field] = object[field].clone();
                    }
                }
            }
            if self.verdict.level == Level::RequestResponse {
                self.event["responseObject"] = object;
            }
        }
        self.write(Stage::ResponseComplete).await;
        Response::from_parts(parts, Body::whole(bytes))
    }

    /// What a body holds, as JSON; `None` of what is no object.
    fn object(&self, content_type: &str, bytes: &Bytes) -> Option<Value> {
        let of_kind = || registry::by_plural(&self.info.group, &self.info.version, &self.info.resource);
        let mut object: Value = match content_type.split(';').next().unwrap_or_default().trim() {
            protobuf::MEDIA_TYPE => protobuf::read(bytes, schema::get(of_kind()?.schema)?).ok()?,
            "application/yaml" | "application/apply-patch+yaml" => body::read(bytes, MediaType::Yaml).ok()?.value,
            _ => serde_json::from_slice(bytes).ok()?,
        };
        if self.verdict.omit_managed_fields {
            forget_owners(&mut object);
            let items = object.get_mut("items").and_then(Value::as_array_mut);
            items.into_iter().flatten().for_each(forget_owners);
        }
        Some(object)
    }

    /// The line of a stage; `None` when it is not written.
    fn line(&mut self, stage: Stage) -> Option<String> {
        let is_left_out = self.verdict.level == Level::None || self.verdict.omit_stages.contains(&stage);
        self.event["stage"] = json!(stage);
        self.event["stageTimestamp"] = now().into();
        (!is_left_out).then(|| self.event.to_string())
    }

    async fn write(&mut self, stage: Stage) {
        if let Some(line) = self.line(stage) {
            self.audit.log.write(line).await;
        }
    }
}

fn forget_owners(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

/// A body that lasts; its end is written when it is let go.
struct Lasting {
    body: Body,
    record: Record,
}

impl Stream for Lasting {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        frame.map(|frame| frame.map(|frame| frame.map(|frame| frame.into_data().unwrap_or_default())))
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        if let Some(line) = self.record.line(Stage::ResponseComplete) {
            self.record.audit.log.write_now(line);
        }
    }
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

fn person(user: &User) -> Value {
    let mut person = json!({ "username": user.name, "groups": user.groups });
    if !user.uid.is_empty() {
        person["uid"] = user.uid.as_str().into();
    }
    if !user.extra.is_empty() {
        person["extra"] = json!(user.extra);
    }
    person
}

fn reference(info: &RequestInfo) -> Value {
    let mut reference = json!({ "resource": info.resource, "apiVersion": info.version });
    let parts = [
        ("namespace", &info.namespace),
        ("name", &info.name),
        ("apiGroup", &info.group),
        ("subresource", &info.subresource),
    ];
    for (field, value) in parts.into_iter().filter(|(_, value)| !value.is_empty()) {
        reference[field] = value.as_str().into();
    }
    reference
}
