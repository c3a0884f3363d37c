//! What all writes share: reading bodies, finishing documents, committing them with what they claim.

use http::{Response, StatusCode};
use kinds::Kind;
use kinds::document::{at, given, list, text};
use serde_json::Value;
use store::{Expect, Transaction};

use super::call::Call;
use crate::alloc::{self, claims::Claims};
use crate::api::{Api, Uncommitted};
use crate::cache::object::{Object, encode_stored};
use crate::keys;
use crate::resources;
use crate::response::{self, Body};
use crate::status::Status;

/// The largest object that is stored, in bytes; etcd's limit of a request.
const OBJECT_LIMIT: usize = 3 << 19;

/// An object as it is after a write.
pub(crate) struct Written {
    pub object: Object,
    /// Whether it is new.
    pub created: bool,
    /// What the client is warned of.
    pub warnings: Vec<String>,
}

impl Written {
    /// The answer that shows it.
    pub fn answer(&self, call: &Call) -> Result<Response<Body>, Status> {
        let code = if self.created { StatusCode::CREATED } else { StatusCode::OK };
        let mut response = call.view()?.object(code, &self.object)?;
        response::add_warnings(&mut response, &self.warnings);
        Ok(response)
    }
}

/// The kind whose objects take addresses and ports.
pub(crate) fn is_service(kind: &Kind) -> bool {
    (kind.group, kind.plural) == ("", "services")
}

/// Where an object is.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub kind: &'static Kind,
    pub namespace: &'a str,
    pub name: &'a str,
}

impl Place<'_> {
    fn key(&self) -> String {
        keys::object(self.kind, self.namespace, self.name)
    }

    /// 422 for the object that is here.
    pub fn invalid(&self, faults: &[kinds::field::Error]) -> Status {
        Status::invalid(self.kind.group, self.kind.kind, self.name, faults)
    }
}

/// What a commit came to.
pub(crate) enum Commit {
    /// It is written; this is the object.
    Done(Object),
    /// The object's record is not as expected.
    Changed,
    /// What was to be claimed has been taken meanwhile, or the namespace has gone.
    Taken,
}

/// Writes an object that was at `revision` (`None`: that was not there).
pub(crate) async fn commit(
    api: &Api,
    place: Place<'_>,
    document: &Value,
    revision: Option<u64>,
    claims: &Claims,
) -> Result<Commit, Status> {
    let value = encode_stored(place.kind, document);
    if value.len() > OBJECT_LIMIT {
        return Err(Status::plain("etcdserver: request is too large"));
    }
    let key = place.key();
    let sealed = api.config.authority.secret_keys().seal(place.kind, &key, value);
    let value = sealed.map_err(|error| Status::internal(error.to_string()))?;
    let expect = revision.map_or(Expect::Absent, Expect::Revision);
    let mut transaction = Transaction::new().expect(key.as_str(), expect).put(key.as_str(), value);
    if let (None, false, Some(namespaces)) = (revision, place.namespace.is_empty(), resources::kind("", "namespaces")) {
        // Nothing new appears in a namespace that went after it was looked at.
        transaction = transaction.expect(keys::object(namespaces, "", place.namespace), Expect::Present);
    }
    let begun = std::time::Instant::now();
    let committed = finish(api, place, document, claims.add_to(transaction)).await;
    if let Ok(Commit::Done(_)) = committed {
        claims.given.iter().for_each(|given| api.metrics.allocated(given, begun.elapsed()));
    }
    committed
}

/// Removes an object that was at `revision`; the answer is its last state, `document`.
pub(crate) async fn remove(
    api: &Api,
    place: Place<'_>,
    document: &Value,
    revision: u64,
    claims: &Claims,
) -> Result<Commit, Status> {
    let key = place.key();
    let transaction = Transaction::new().expect(key.as_str(), Expect::Revision(revision)).delete(key.as_str());
    finish(api, place, document, claims.add_to(transaction)).await
}

async fn finish(api: &Api, place: Place<'_>, document: &Value, transaction: Transaction) -> Result<Commit, Status> {
    match api.commit(transaction).await {
        Ok(commit) => Ok(Commit::Done(Object::new(place.kind, document, commit.revision))),
        Err(Uncommitted::Conflict { key }) if key == place.key() => Ok(Commit::Changed),
        Err(Uncommitted::Conflict { .. }) => Ok(Commit::Taken),
        Err(Uncommitted::Failed(status)) => Err(status),
    }
}

/// Whether an object that is being deleted has nothing left that holds it.
pub(crate) fn may_go(kind: &Kind, document: &Value) -> bool {
    let metadata = at(document, "metadata");
    let held_by_namespace =
        (kind.group, kind.plural) == ("", "namespaces") && !list(at(document, "spec"), "finalizers").is_empty();
    given(metadata, "deletionTimestamp").is_some()
        && list(metadata, "finalizers").is_empty()
        && at(metadata, "deletionGracePeriodSeconds").as_i64().unwrap_or_default() == 0
        && !held_by_namespace
}

/// The name that the body gives must be that of the path.
pub(crate) fn check_identity(call: &Call, document: &mut Value) -> Result<(), Status> {
    let info = &call.info;
    let (name, namespace) = {
        let metadata = at(document, "metadata");
        (text(metadata, "name").to_owned(), text(metadata, "namespace").to_owned())
    };
    if !info.name.is_empty() && name != info.name {
        if name.is_empty() {
            let why = format!("the name of the object (based on URL) was undeterminable: {}", "name must be provided");
            return Err(Status::bad_request(why));
        }
        let why = format!("the name of the object ({name}) does not match the name on the URL ({})", info.name);
        return Err(Status::bad_request(why));
    }
    check_namespace(info.namespace.as_str(), &namespace, document)
}

/// The namespace that the body gives must be that of the path; a body that gives none gets that.
pub(crate) fn check_namespace(asked: &str, given: &str, document: &mut Value) -> Result<(), Status> {
    if !given.is_empty() && !asked.is_empty() && given != asked {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(why));
    }
    if given.is_empty() && !asked.is_empty() {
        document["metadata"]["namespace"] = asked.into();
    }
    Ok(())
}

/// What an object that goes gives back.
pub(crate) fn released(api: &Api, kind: &Kind, document: &Value) -> Claims {
    if is_service(kind) { alloc::release(api, document) } else { Claims::default() }
}
