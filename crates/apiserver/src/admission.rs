//! What is let in: nothing into a namespace that is not there or on its way out, and no Pod without a service account.

use kinds::document::{given, text};
use kinds::{Kind, Scope};
use serde_json::Value;

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

/// Gives a new Pod what its service account has for it: a token, mounted where clients look, and pull secrets. Without
/// the account there is no Pod.
pub(crate) fn use_account(api: &Api, namespace: &str, pod: &mut Value, random: &str) -> Result<(), String> {
    let Some(accounts) = resources::kind("", "serviceaccounts") else { return Ok(()) };
    let name = text(&pod["spec"], "serviceAccountName").to_owned();
    match api.cache.get(accounts, namespace, &name) {
        Some(account) => {
            kinds::pod::use_account(pod, &account.document(), random);
            Ok(())
        }
        None => Err(format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found")),
    }
}

/// Whether an object may be deleted.
pub(crate) fn check_delete(kind: &'static Kind, name: &str) -> Result<(), Status> {
    let is_namespace = (kind.group, kind.plural) == ("", "namespaces");
    if is_namespace && IMMORTAL.contains(&name) {
        return Err(Status::forbidden("", kind.plural, name, "this namespace may not be deleted"));
    }
    Ok(())
}
