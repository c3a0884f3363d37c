//! `Status` objects: how a request is refused, in Kubernetes' words.

use std::fmt::Write as _;

use http::StatusCode;
use kinds::Kind;
use kinds::field;
use kinds::schema::quoted as quote;
use serde::Serialize;

/// A refusal (or, rarely, a success that has nothing else to show).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The HTTP status.
    pub code: StatusCode,
    /// The machine-readable reason; empty when Kubernetes gives none.
    pub reason: &'static str,
    /// What a person reads.
    pub message: String,
    /// What it is about.
    pub details: Option<Box<Details>>,
    /// With which token a list may go on all the same; mostly empty.
    pub continue_token: String,
    /// What the client is warned of beside it.
    pub warnings: Vec<String>,
}

/// What a `Status` is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// The object's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The object's group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The object's kind or, mostly, its resource.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// The object's uid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// The single faults.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
    /// When to try again.
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

/// One fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// `FieldValueInvalid`, …
    #[serde(skip_serializing_if = "str::is_empty")]
    pub reason: &'static str,
    /// What a person reads.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The field.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// `services` or `deployments.apps`
pub(crate) fn qualified(group: &str, name: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") }
}

impl Status {
    fn new(code: StatusCode, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            details: None,
            continue_token: String::new(),
            warnings: Vec::new(),
        }
    }

    /// The same, with warnings before those that it has.
    #[must_use]
    pub(crate) fn warned(mut self, warnings: &[String]) -> Self {
        self.warnings.splice(0..0, warnings.iter().cloned());
        self
    }

    /// The same, about an object; with empty names, about none.
    #[must_use]
    pub(crate) fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        let details = Details { name: name.into(), group: group.into(), kind: kind.into(), ..Details::default() };
        self.details = Some(Box::new(details));
        self
    }

    /// 404: there is no such object.
    pub fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {} not found", qualified(kind.group, kind.plural), quote(name));
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(kind.group, kind.plural, name)
    }

    /// 404: there is no such resource.
    pub fn no_such_resource() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about("", "", "")
    }

    /// 409: an object of this name is there.
    pub fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} {} already exists", qualified(kind.group, kind.plural), quote(name));
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(kind.group, kind.plural, name)
    }

    /// 409: the object is not as the writer saw it.
    pub fn modified(kind: &Kind, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(kind.group, kind.plural, name, why)
    }

    /// 409: `Operation cannot be fulfilled on KIND "NAME": WHY`. `resource` is a plural name or, where Kubernetes has it
    /// so, a kind.
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {}: {why}", qualified(group, resource), quote(name));
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(group, resource, name)
    }

    /// 409: others own what would be applied.
    pub(crate) fn apply_conflict(message: String, causes: Vec<Cause>) -> Self {
        let mut status = Self::new(StatusCode::CONFLICT, "Conflict", message);
        status.details = Some(Box::new(Details { causes, ..Details::default() }));
        status
    }

    /// 422: the object has faults. `kind` is a kind's name.
    pub fn invalid(group: &str, kind: &str, name: &str, faults: &[field::Error]) -> Self {
        let mut texts: Vec<String> = Vec::new();
        for text in faults.iter().map(ToString::to_string) {
            // Each text once, though each fault is a cause.
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let list = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let message = format!("{} {} is invalid: {list}", qualified(group, kind), quote(name));
        let mut status = Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).about(group, kind, name);
        if let Some(details) = &mut status.details {
            let cause =
                |f: &field::Error| Cause { reason: f.kind.reason(), message: f.body(), field: f.path.to_string() };
            details.causes = faults.iter().map(cause).collect();
        }
        status
    }

    /// 422 for the parameters of a request: `CreateOptions.meta.k8s.io "" is invalid: …`
    pub fn invalid_options(options: &str, faults: &[field::Error]) -> Self {
        Self::invalid("meta.k8s.io", options, "", faults)
    }

    /// 422 without a fault to name.
    pub fn rejected(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).about("", "", "")
    }

    /// 400
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    /// 401
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized")
    }

    /// 403 for an object: `services "x" is forbidden: WHY`
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let mut message = qualified(group, resource);
        if !name.is_empty() {
            // Writing to a String does not fail.
            let _ = write!(message, " {}", quote(name));
        }
        let message = format!("{message} is forbidden: {why}");
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(group, resource, name)
    }

    /// 403 for a path that is no resource: `forbidden: WHY`
    pub fn forbidden_path(why: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "Forbidden", format!("forbidden: {why}")).about("", "", "")
    }

    /// 405
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message).about("", "", "")
    }

    /// 405 for a resource that does not have the verb: `delete is not supported on resources of kind "x"`
    pub fn verb_not_supported(kind: &Kind, verb: &str) -> Self {
        let resource = qualified(kind.group, kind.plural);
        let message = format!("{verb} is not supported on resources of kind {resource:?}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", message).about(kind.group, kind.plural, "")
    }

    /// 406
    pub fn not_acceptable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "NotAcceptable", message)
    }

    /// 415
    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
    }

    /// 410: the events or the state of that revision are gone.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    /// 413
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message)
    }

    /// 429: later.
    pub fn too_many_requests(message: impl Into<String>, seconds: u32) -> Self {
        let mut status = Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message).about("", "", "");
        if let Some(details) = &mut status.details {
            details.retry_after_seconds = seconds;
        }
        status
    }

    /// 504: it took too long; `seconds` says when to try again.
    pub fn timeout(message: impl Into<String>, causes: Vec<Cause>, seconds: u32) -> Self {
        let mut status = Self::new(StatusCode::GATEWAY_TIMEOUT, "Timeout", format!("Timeout: {}", message.into()));
        status.details = Some(Box::new(Details { causes, retry_after_seconds: seconds, ..Details::default() }));
        status
    }

    /// 500: `Internal error occurred: WHY`, with the cause.
    pub fn internal(why: impl Into<String>) -> Self {
        let why = why.into();
        let message = format!("Internal error occurred: {why}");
        let mut status = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message);
        let cause = Cause { message: why, ..Cause::default() };
        status.details = Some(Box::new(Details { causes: vec![cause], ..Details::default() }));
        status
    }

    /// 500 without a reason: what Kubernetes makes of an error that it has no status for.
    pub fn plain(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "", message)
    }

    /// 503
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
    }

    /// 200: it is gone.
    pub fn deleted(kind: &Kind, name: &str, uid: &str) -> Self {
        let mut status = Self::new(StatusCode::OK, "", "").about(kind.group, kind.plural, name);
        if let Some(details) = &mut status.details {
            details.uid = uid.to_owned();
        }
        status
    }

    /// The same with a cause more.
    #[must_use]
    pub fn caused_by(mut self, cause: Cause) -> Self {
        self.details.get_or_insert_default().causes.push(cause);
        self
    }

    /// The object as JSON.
    pub fn encode(&self) -> Vec<u8> {
        let success = self.code.is_success();
        let body = Encoded {
            kind: "Status",
            api_version: "v1",
            metadata: ListMeta { continue_token: &self.continue_token },
            status: if success { "Success" } else { "Failure" },
            message: &self.message,
            reason: self.reason,
            details: self.details.as_deref(),
            code: if success { 0 } else { self.code.as_u16() },
        };
        // It has no maps with other than text keys and cannot fail.
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct ListMeta<'a> {
    #[serde(rename = "continue", skip_serializing_if = "str::is_empty")]
    continue_token: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Encoded<'a> {
    kind: &'a str,
    api_version: &'a str,
    metadata: ListMeta<'a>,
    status: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Details>,
    #[serde(skip_serializing_if = "is_zero_code")]
    code: u16,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero_code(n: &u16) -> bool {
    *n == 0
}
