//! What is let in: nothing into a namespace that is not there or on its way out, no Pod without a service account, beyond
//! the limits of its namespace or of a class that there is not.

use std::sync::Arc;
use std::time::Duration;

use kinds::document::{flag, given, integer, text, text_at};
use kinds::pod::{Classes, broken_limits, fill_in_limits, use_classes};
use kinds::{Kind, Scope, ingress, ingress_class, limit_range, priority_class, runtime_class, service_account};
use serde_json::Value;

use crate::api::Api;
use crate::cache::object::Object;
use crate::resources;
use crate::status::{Cause, Status};

/// The account of Pods that name none. A controller makes it, a moment after the namespace.
const DEFAULT_ACCOUNT: &str = "default";
/// How long a Pod waits for that: Kubernetes looks ten times, 100 to 200 ms apart.
const ACCOUNT_PATIENCE: Duration = Duration::from_millis(1500);
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
/// the account there is no Pod; the default one of a namespace is waited for a moment, as in Kubernetes.
pub(crate) async fn use_account(api: &Api, namespace: &str, pod: &mut Value, random: &str) -> Result<(), String> {
    let name = text(&pod["spec"], "serviceAccountName").to_owned();
    let patience = if name == DEFAULT_ACCOUNT { ACCOUNT_PATIENCE } else { Duration::ZERO };
    match tokio::time::timeout(patience, account(api, namespace, &name)).await {
        Ok(account) => {
            kinds::pod::use_account(pod, &account.document(), random);
            Ok(())
        }
        Err(_) => {
            Err(format!("error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"))
        }
    }
}

/// A service account, as soon as it is there.
async fn account(api: &Api, namespace: &str, name: &str) -> Arc<Object> {
    let mut changed = api.cache.subscribe(&service_account::KIND);
    loop {
        if let Some(account) = api.cache.get(&service_account::KIND, namespace, name) {
            return account;
        }
        if changed.changed().await.is_err() {
            // The cache lives as long as the server: it is never told of anything again.
            std::future::pending::<()>().await;
        }
    }
}

/// Gives a new Pod what the LimitRanges of its namespace say and what follows from its classes.
pub(crate) fn use_limits_and_classes(api: &Api, namespace: &str, pod: &mut Value) -> Result<(), String> {
    let ranges: Vec<Value> =
        api.cache.list(&limit_range::KIND, namespace).objects.iter().map(|range| range.document()).collect();
    fill_in_limits(pod, &ranges);
    for range in &ranges {
        match broken_limits(pod, range).as_slice() {
            [] => {}
            [one] => return Err(one.clone()),
            many => return Err(format!("[{}]", many.join(", "))),
        }
    }
    let class = |kind: &'static Kind, field: &str| {
        let name = text(&pod["spec"], field);
        let found = if name.is_empty() { None } else { api.cache.get(kind, "", name) };
        found.map(|class| class.document())
    };
    let (priority, runtime) =
        (class(&priority_class::KIND, "priorityClassName"), class(&runtime_class::KIND, "runtimeClassName"));
    let default_priority = default_priority(api);
    let classes =
        Classes { priority: priority.as_ref(), default_priority: default_priority.as_ref(), runtime: runtime.as_ref() };
    use_classes(pod, &classes)
}

/// The class of Pods that name none: of several, that of the lowest value.
fn default_priority(api: &Api) -> Option<Value> {
    let classes = api.cache.list(&priority_class::KIND, "").objects;
    let defaults = classes.iter().map(|class| class.document()).filter(|class| flag(class, "globalDefault"));
    defaults.min_by_key(|class| integer(class, "value"))
}

/// Gives a new Ingress that names no class the default one: of several, the newest.
pub(crate) fn use_ingress_class(api: &Api, kind: &'static Kind, object: &mut Value) {
    if !std::ptr::eq(kind, &ingress::KIND) || given(&object["spec"], "ingressClassName").is_some() {
        return;
    }
    if text_at(&object["metadata"], "annotations", "kubernetes.io/ingress.class").is_some() {
        return;
    }
    let classes = api.cache.list(&ingress_class::KIND, "").objects;
    let defaults = classes.iter().map(|class| class.document()).filter(ingress_class::is_default);
    let newest = defaults.max_by_key(|class| {
        let metadata = &class["metadata"];
        (text(metadata, "creationTimestamp").to_owned(), std::cmp::Reverse(text(metadata, "name").to_owned()))
    });
    if let Some(class) = newest {
        object["spec"]["ingressClassName"] = class["metadata"]["name"].clone();
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
