//! DELETE of one object: at once, or after its grace period and when nothing holds it any more.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use kinds::Kind;
use kinds::document::{at, given, integer, remove, set, text, texts};
use kinds::field::{self, Path};
use serde_json::{Value, json};

use super::call::Call;
use super::decode;
use super::write::{self, Commit, Place};
use crate::admission;
use crate::api::Api;
use crate::cache::object::Object;
use crate::clock;
use crate::identity::User;
use crate::node_restriction::{self, Act};
use crate::query::{Query, dry_run};
use crate::response::{self, Body};
use crate::status::Status;

/// How often a delete is tried while others write the same object.
const ATTEMPTS: usize = 200;
/// Holds an object until its dependents are no longer owned by it.
const ORPHAN: &str = "orphan";
/// Holds an object until its dependents are gone.
const FOREGROUND: &str = "foregroundDeletion";

/// What a DELETE is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeleteOptions {
    pub grace: Option<i64>,
    pub propagation: Option<Propagation>,
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub dry_run: bool,
    /// Whether the answer says 202 when the object is not gone at once.
    pub accepted: bool,
    /// Who asks; `None` is the server itself.
    pub user: Option<Arc<User>>,
}

/// What happens to what an object owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Propagation {
    Orphan,
    Background,
    Foreground,
}

impl DeleteOptions {
    /// Reads them from the body, or else from the query.
    pub fn read(call: &Call) -> Result<Self, Status> {
        let query = &call.query;
        let of_type = decode::named("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions")?;
        let body = decode::json(&call.body, call.header(CONTENT_TYPE), of_type)?;
        let document: Value = if body.iter().all(u8::is_ascii_whitespace) {
            let text = |name: &str| query.get(name).map_or(Value::Null, Value::from);
            json!({
                "gracePeriodSeconds": query.integer("gracePeriodSeconds")?,
                "propagationPolicy": text("propagationPolicy"),
                "orphanDependents": query.flag("orphanDependents"),
                "dryRun": if query.has("dryRun") { Value::from(query.all("dryRun")) } else { Value::Null },
            })
        } else {
            serde_json::from_slice(&body).map_err(|e| {
                let why = format!("couldn't get version/kind; json parse error: {e}");
                Status::bad_request(format!(
                    "the object provided is unrecognized (must be of type DeleteOptions): {why}"
                ))
            })?
        };
        Ok(Self { user: Some(call.user.clone()), ..Self::of_document(query, &document)? })
    }

    /// Reads them from a document.
    pub fn of_document(query: &Query, document: &Value) -> Result<Self, Status> {
        let mut faults = Vec::new();
        let policy = text(document, "propagationPolicy");
        let orphan = given(document, "orphanDependents").and_then(Value::as_bool);
        let propagation = match (policy, orphan) {
            ("", None) => None,
            ("", Some(true)) | ("Orphan", None) => Some(Propagation::Orphan),
            ("", Some(false)) | ("Background", None) => Some(Propagation::Background),
            ("Foreground", None) => Some(Propagation::Foreground),
            (policy, Some(_)) => {
                let path = Path::new("propagationPolicy");
                let why = "orphanDependents and deletionPropagation cannot be both set";
                faults.push(field::Error::invalid(&path, policy, why));
                None
            }
            (other, None) => {
                let path = Path::new("propagationPolicy");
                let supported = &["Foreground", "Background", "Orphan", "nil"];
                faults.push(field::Error::not_supported(&path, other, supported));
                None
            }
        };
        let dry_run = match document.get("dryRun").and_then(Value::as_array) {
            Some(asked) => {
                if asked.iter().any(|d| d != "All") {
                    let value = Value::Array(asked.clone());
                    faults.push(field::Error::not_supported(&Path::new("dryRun"), value, &["All"]));
                }
                !asked.is_empty()
            }
            None => dry_run(query, &mut faults),
        };
        if !faults.is_empty() {
            return Err(Status::invalid_options("DeleteOptions", &faults));
        }
        let preconditions = at(document, "preconditions");
        let precondition = |name: &str| preconditions.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        Ok(Self {
            grace: given(document, "gracePeriodSeconds").and_then(Value::as_i64),
            propagation,
            uid: precondition("uid"),
            resource_version: precondition("resourceVersion"),
            dry_run,
            accepted: policy == "Foreground" || orphan == Some(false),
            user: None,
        })
    }

    /// Refuses an object that is not the one that was meant.
    fn check(&self, kind: &Kind, name: &str, metadata: &Value) -> Result<(), Status> {
        let (uid, version) = (text(metadata, "uid"), text(metadata, "resourceVersion"));
        let why = if let Some(wanted) = self.uid.as_deref().filter(|w| *w != uid) {
            format!(
                "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have \
                 been deleted and then recreated"
            )
        } else if let Some(wanted) = self.resource_version.as_deref().filter(|w| *w != version) {
            format!(
                "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record \
                 ({version}). The object might have been modified"
            )
        } else {
            return Ok(());
        };
        Err(Status::conflict(kind.group, kind.kind, name, &why))
    }
}

/// What a DELETE came to.
pub(crate) struct Deleted {
    /// The object's last state, or its state while it waits to go.
    pub object: Object,
    /// Whether it is gone.
    pub gone: bool,
}

/// Answers a DELETE.
pub(crate) async fn answer(call: &Call) -> Result<Response<Body>, Status> {
    let options = DeleteOptions::read(call)?;
    let info = &call.info;
    admission::check_delete(call.kind, &info.name)?;
    let deleted = delete(&call.api, call.kind, &info.namespace, &info.name, &options).await?;
    let code = if !deleted.gone && options.accepted { StatusCode::ACCEPTED } else { StatusCode::OK };
    if !deleted.gone || call.kind.strategy.returns_deleted_object() {
        return call.view()?.object(code, &deleted.object);
    }
    let document = deleted.object.document();
    let status = Status::deleted(call.kind, &info.name, text(at(&document, "metadata"), "uid"));
    Ok(response::status(code, &status, call.accepted.encoding))
}

/// Deletes an object, or marks it as one to be deleted.
pub(crate) async fn delete(
    api: &Api,
    kind: &'static Kind,
    namespace: &str,
    name: &str,
    options: &DeleteOptions,
) -> Result<Deleted, Status> {
    let place = Place { kind, namespace, name };
    for _ in 0..ATTEMPTS {
        let existing = api.cache.get(kind, namespace, name).ok_or_else(|| Status::not_found(kind, name))?;
        let old = existing.document();
        options.check(kind, name, at(&old, "metadata"))?;
        if let Some(user) = &options.user {
            node_restriction::check(api, user, kind, "", Act::Delete(&old))
                .map_err(|why| Status::forbidden(kind.group, kind.plural, name, &why))?;
        }
        let revision = existing.revision;
        let (document, gone) = match mark(kind, &old, options) {
            Marked::Pending => return Ok(Deleted { object: Object::new(kind, &old, revision), gone: false }),
            Marked::Waits(document) => (document, false),
            Marked::Goes(document) => (document, true),
        };
        if options.dry_run {
            return Ok(Deleted { object: Object::new(kind, &document, revision), gone });
        }
        let commit = if gone {
            write::remove(api, place, &document, revision, &write::released(api, kind, &old)).await?
        } else {
            write::commit(api, place, &document, Some(revision), &Default::default()).await?
        };
        if let Commit::Done(object) = commit {
            return Ok(Deleted { object, gone });
        }
    }
    Err(Status::too_many_requests("too many requests change the same object, try again", 1))
}

/// What a DELETE makes of an object.
enum Marked {
    /// It waits already, and nothing changes.
    Pending,
    /// It is marked and waits.
    Waits(Value),
    /// It goes now.
    Goes(Value),
}

fn mark(kind: &'static Kind, old: &Value, options: &DeleteOptions) -> Marked {
    let mut new = old.clone();
    let marked_before = given(at(old, "metadata"), "deletionTimestamp").is_some();
    let grace = match grace(kind, old, options) {
        Grace::Pending => return Marked::Pending,
        Grace::Of(seconds) => seconds,
    };
    let finalizers_changed = set_finalizers(&mut new["metadata"], options.propagation);
    let held = !texts(at(&new, "metadata"), "finalizers").is_empty();
    let is_namespace = (kind.group, kind.plural) == ("", "namespaces");
    let content_held = is_namespace && !texts(at(&new, "spec"), "finalizers").is_empty();
    if grace == 0 && !held && !content_held {
        return Marked::Goes(new);
    }
    let shortened = grace < integer(at(old, "metadata"), "deletionGracePeriodSeconds");
    if marked_before && !finalizers_changed && !shortened {
        return Marked::Pending;
    }
    set_deletion(&mut new, old, grace, is_namespace);
    if is_namespace {
        new["status"]["phase"] = "Terminating".into();
    }
    Marked::Waits(new)
}

/// Sets the time at which the object may go.
fn set_deletion(new: &mut Value, old: &Value, grace: i64, is_namespace: bool) {
    let had = at(old, "metadata");
    let metadata = &mut new["metadata"];
    let marked = text(had, "deletionTimestamp").parse::<jiff::Timestamp>().ok();
    // A shorter grace period counts from the first request.
    let began = marked.map(|t| t.as_second() - integer(had, "deletionGracePeriodSeconds"));
    let goes = began.unwrap_or_else(clock::now_seconds) + grace;
    set(metadata, "deletionTimestamp", clock::at(goes));
    if !is_namespace {
        set(metadata, "deletionGracePeriodSeconds", grace);
    }
    let generation = integer(metadata, "generation");
    if marked.is_none() && generation > 0 {
        set(metadata, "generation", generation + 1);
    }
}

enum Grace {
    /// A longer or equal period runs already.
    Pending,
    /// The object has this long, in seconds.
    Of(i64),
}

/// How long an object has. Only Pods have any time: what they ask for, or the request does, once they run on a node.
fn grace(kind: &Kind, object: &Value, options: &DeleteOptions) -> Grace {
    if (kind.group, kind.plural) != ("", "pods") {
        return Grace::Of(0);
    }
    let metadata = at(object, "metadata");
    let running = given(metadata, "deletionTimestamp").and_then(|_| metadata["deletionGracePeriodSeconds"].as_i64());
    if let Some(running) = running {
        return match options.grace {
            Some(asked) if asked < running => Grace::Of(asked.max(0)),
            _ => Grace::Pending,
        };
    }
    let (spec, phase) = (at(object, "spec"), text(at(object, "status"), "phase"));
    if text(spec, "nodeName").is_empty() || matches!(phase, "Succeeded" | "Failed") {
        return Grace::Of(0);
    }
    match options.grace.unwrap_or_else(|| integer(spec, "terminationGracePeriodSeconds")) {
        negative if negative < 0 => Grace::Of(1),
        seconds => Grace::Of(seconds),
    }
}

/// Sets the finalizers that the garbage collector works on. Answers whether any changed.
fn set_finalizers(metadata: &mut Value, propagation: Option<Propagation>) -> bool {
    let Some(propagation) = propagation else { return false };
    let before: Vec<String> = texts(metadata, "finalizers").into_iter().map(ToOwned::to_owned).collect();
    let mut after: Vec<String> = before.iter().filter(|f| *f != ORPHAN && *f != FOREGROUND).cloned().collect();
    match propagation {
        Propagation::Background => {}
        Propagation::Orphan => after.push(ORPHAN.to_owned()),
        Propagation::Foreground => after.push(FOREGROUND.to_owned()),
    }
    if after == before {
        return false;
    }
    if after.is_empty() {
        remove(metadata, "finalizers")
    } else {
        set(metadata, "finalizers", after)
    }
    true
}
