//! What a namespace lets in: nothing when it is not there or on its way out.

use kinds::document::{given, text};
use kinds::{Kind, Scope};

use crate::api::Api;
use crate::resources;
use crate::status::{Cause, Status};

/// The namespaces that cannot be deleted.
const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public"];

/// Whether an object may be created in `namespace`.
pub(crate) fn check_create(api: &Api, kind: &'static Kind, namespace: &str, name: &str) -> Result<(), Status> {
    let (Scope::Namespaced, Some(namespaces)) = (kind.scope, resources::kind("", "namespaces")) else { return Ok(()) };
    let Some(found) = api.cache.get(namespaces, "", namespace) else {
        return Err(Status::not_found(namespaces, namespace));
    };
    let document = found.document();
    let terminating = given(&document["metadata"], "deletionTimestamp").is_some()
        || text(&document["status"], "phase") == "Terminating";
    if !terminating {
        return Ok(());
    }
    let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let cause = Cause {
        reason: "NamespaceTerminating",
        message: format!("namespace {namespace} is being terminated"),
        field: "metadata.namespace".to_owned(),
    };
    Err(Status::forbidden(kind.group, kind.plural, name, &why).caused_by(cause))
}

/// Whether an object may be deleted.
pub(crate) fn check_delete(kind: &'static Kind, name: &str) -> Result<(), Status> {
    let is_namespace = (kind.group, kind.plural) == ("", "namespaces");
    if is_namespace && IMMORTAL.contains(&name) {
        return Err(Status::forbidden("", kind.plural, name, "this namespace may not be deleted"));
    }
    Ok(())
}
