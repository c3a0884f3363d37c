//! What nodes may write: their own Node, their own leases, and of Pods the status of those that are bound to them, their
//! deletion and eviction. Whoever is no node is not restricted here.

use std::collections::BTreeSet;

use kinds::Kind;
use kinds::document::{at, flag, given, list, same_field, text, text_entries};
use serde_json::Value;

use crate::api::Api;
use crate::authz::node::{is_lease_of, is_shared, name_of, refers_to_nothing};
use crate::identity::User;

/// What a Pod carries that a node made itself.
const MIRROR: &str = "kubernetes.io/config.mirror";
/// The labels of Kubernetes' own that a node may say of itself.
const OWN_LABELS: &[&str] = &[
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];
/// The domains all of whose labels it may.
const OWN_DOMAINS: &[&str] = &["kubelet.kubernetes.io", "node.kubernetes.io"];

/// What a request does to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act<'a> {
    /// Makes it.
    Create(&'a Value),
    /// Changes it, or the part of it that its subresource is: first the new, then the old document.
    Update(&'a Value, &'a Value),
    /// Removes it.
    Delete(&'a Value),
    /// Evicts it.
    Evict(&'a Value),
}

/// Whether `user` may do that to the object; an error says why a node may not.
pub(crate) fn check(api: &Api, user: &User, kind: &Kind, subresource: &str, act: Act<'_>) -> Result<(), String> {
    let Some(node) = name_of(user) else { return Ok(()) };
    if node.is_empty() {
        return Err(format!("could not determine node from user {}", quoted(&user.name)));
    }
    match (kind.group, kind.plural, subresource) {
        ("", "pods", "") => pod(api, node, act),
        ("", "pods", "status") => pod_status(node, act),
        ("", "pods", "eviction") => match act {
            Act::Evict(pod) if !is_on(pod, node) => {
                Err(format!("node {node} can only evict pods with spec.nodeName set to itself"))
            }
            _ => Ok(()),
        },
        ("", "pods", other) => {
            Err(format!("unexpected pod subresource {}, only 'status' and 'eviction' are allowed", quoted(other)))
        }
        ("", "nodes", _) => own_node(node, act),
        ("coordination.k8s.io", "leases", _) => lease(node, act),
        _ => Ok(()),
    }
}

/// Whether `user` may have a token with this `spec`.
pub(crate) fn check_token(api: &Api, user: &User, namespace: &str, spec: &Value) -> Result<(), String> {
    let Some(node) = name_of(user) else { return Ok(()) };
    let reference = at(spec, "boundObjectRef");
    let (name, uid) = (text(reference, "name"), text(reference, "uid"));
    if (text(reference, "apiVersion"), text(reference, "kind")) != ("v1", "Pod") || name.is_empty() {
        return Err("node requested token not bound to a pod".to_owned());
    }
    if uid.is_empty() {
        return Err("node requested token with a pod binding without a uid".to_owned());
    }
    // A Pod that is not there is refused when the token is bound to it.
    let Some(pod) = api.cache.get(&kinds::pod::KIND, namespace, name).map(|pod| pod.document()) else { return Ok(()) };
    if text(at(&pod, "metadata"), "uid") != uid {
        return Err(format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been \
             deleted and then recreated"
        ));
    }
    if !is_on(&pod, node) {
        return Err("node requested token bound to a pod scheduled on a different node".to_owned());
    }
    audience(user, spec, &pod)
}

/// A token is for whom one of the Pod's volumes says, and for nobody else.
fn audience(user: &User, spec: &Value, pod: &Value) -> Result<(), String> {
    let asked = kinds::document::texts(spec, "audiences");
    let audience = match asked.as_slice() {
        [] => "",
        [one] => *one,
        _ => return Err("node may only request 0 or 1 audiences".to_owned()),
    };
    let sources = list(at(pod, "spec"), "volumes").iter().flat_map(|volume| list(at(volume, "projected"), "sources"));
    let mut tokens = sources.filter_map(|source| given(source, "serviceAccountToken"));
    if tokens.any(|token| text(token, "audience") == audience) {
        return Ok(());
    }
    Err(format!(
        "audience {} not found in pod spec volume, {} is not authorized to request tokens for this audience",
        quoted(audience),
        user.name
    ))
}

fn quoted(text: &str) -> String {
    kinds::schema::quoted(text)
}

fn is_on(pod: &Value, node: &str) -> bool {
    text(at(pod, "spec"), "nodeName") == node
}

fn pod(api: &Api, node: &str, act: Act<'_>) -> Result<(), String> {
    match act {
        Act::Create(pod) => mirror_pod(api, node, pod),
        Act::Delete(pod) if !is_on(pod, node) => {
            Err(format!("node {} can only delete pods with spec.nodeName set to itself", quoted(node)))
        }
        Act::Delete(_) | Act::Evict(_) => Ok(()),
        Act::Update(..) => {
            let node = quoted(node);
            Err(format!("unexpected operation \"UPDATE\", node {node} can only create and delete mirror pods"))
        }
    }
}

/// A Pod that a node makes is one that it runs already, belongs to the Node, and refers to nothing.
fn mirror_pod(api: &Api, node: &str, pod: &Value) -> Result<(), String> {
    let (metadata, who) = (at(pod, "metadata"), quoted(node));
    if at(metadata, "annotations").get(MIRROR).is_none() {
        return Err(format!("pod does not have {MIRROR:?} annotation, node {who} can only create mirror pods"));
    }
    if !is_on(pod, node) {
        return Err(format!("node {who} can only create pods with spec.nodeName set to itself"));
    }
    let owner = match list(metadata, "ownerReferences") {
        [owner] => owner,
        [] => return Err(format!("node {who} can only create pods with an owner reference set to itself")),
        _ => return Err(format!("node {who} can only create pods with a single owner reference set to itself")),
    };
    if (text(owner, "apiVersion"), text(owner, "kind"), text(owner, "name")) != ("v1", "Node", node) {
        return Err(format!("node {who} can only create pods with an owner reference set to itself"));
    }
    if !flag(owner, "controller") {
        return Err(format!("node {who} can only create pods with a controller owner reference set to itself"));
    }
    if flag(owner, "blockOwnerDeletion") {
        return Err(format!("node {who} must not set blockOwnerDeletion on an owner reference"));
    }
    let found = api.cache.get(&kinds::node::KIND, "", node).map(|node| node.document()).unwrap_or_default();
    let (uid, claimed) = (text(at(&found, "metadata"), "uid"), text(owner, "uid"));
    if uid != claimed {
        return Err(format!("node {node} UID mismatch: expected {claimed} got {uid}"));
    }
    if !refers_to_nothing(pod) {
        return Err(format!("node {who} can not create pods that reference other objects"));
    }
    Ok(())
}

fn pod_status(node: &str, act: Act<'_>) -> Result<(), String> {
    let Act::Update(new, old) = act else { return Ok(()) };
    let who = quoted(node);
    if !is_on(old, node) {
        return Err(format!("node {who} can only update pod status for pods with spec.nodeName set to itself"));
    }
    if !same_field(at(new, "metadata"), at(old, "metadata"), "labels") {
        return Err(format!("node {who} cannot update labels through pod status"));
    }
    if !same_field(at(new, "status"), at(old, "status"), "resourceClaimStatuses") {
        return Err(format!("node {who} cannot update resource claim statues"));
    }
    Ok(())
}

fn own_node(node: &str, act: Act<'_>) -> Result<(), String> {
    let (Act::Create(document) | Act::Update(_, document) | Act::Delete(document) | Act::Evict(document)) = act;
    let name = text(at(document, "metadata"), "name");
    if name != node {
        return Err(format!("node {} is not allowed to modify node {}", quoted(node), quoted(name)));
    }
    let who = quoted(node);
    match act {
        Act::Create(new) => {
            if given(at(new, "spec"), "configSource").is_some() {
                return Err(format!("node {who} is not allowed to create pods with a non-nil configSource"));
            }
            match forbidden_labels(new, &Value::Null).as_str() {
                "" => Ok(()),
                labels => Err(format!("node {who} is not allowed to set the following labels: {labels}")),
            }
        }
        Act::Update(new, old) => {
            let (spec, old_spec) = (at(new, "spec"), at(old, "spec"));
            if given(spec, "configSource").is_some() && !same_field(spec, old_spec, "configSource") {
                return Err(format!("node {who} is not allowed to update configSource to a new non-nil configSource"));
            }
            if !same_field(spec, old_spec, "taints") {
                return Err(format!("node {who} is not allowed to modify taints"));
            }
            if !same_field(at(new, "metadata"), at(old, "metadata"), "ownerReferences") {
                return Err(format!("node {who} is not allowed to modify ownerReferences"));
            }
            match forbidden_labels(new, old).as_str() {
                "" => Ok(()),
                labels => Err(format!("is not allowed to modify labels: {labels}")),
            }
        }
        Act::Delete(_) | Act::Evict(_) => Ok(()),
    }
}

/// The labels that differ and that no node may set: those by which work is steered to it.
fn forbidden_labels(new: &Value, old: &Value) -> String {
    let labels = |node| -> BTreeSet<(String, String)> {
        let entries = text_entries(at(node, "metadata"), "labels");
        entries.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    let (new, old) = (labels(new), labels(old));
    let changed: BTreeSet<&str> = new.symmetric_difference(&old).map(|(key, _)| key.as_str()).collect();
    changed.into_iter().filter(|key| is_forbidden(key)).collect::<Vec<_>>().join(", ")
}

fn is_forbidden(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let is_of = |wanted: &str| domain == wanted || domain.strip_suffix(wanted).is_some_and(|d| d.ends_with('.'));
    let own = OWN_LABELS.contains(&label) || OWN_DOMAINS.iter().any(|domain| is_of(domain));
    is_of("node-restriction.kubernetes.io") || ((is_of("kubernetes.io") || is_of("k8s.io")) && !own)
}

fn lease(node: &str, act: Act<'_>) -> Result<(), String> {
    let (Act::Create(lease) | Act::Update(_, lease) | Act::Delete(lease) | Act::Evict(lease)) = act;
    let name = text(at(lease, "metadata"), "name");
    if is_lease_of(name, node) || (matches!(act, Act::Update(..)) && is_shared(name)) {
        return Ok(());
    }
    Err("can only access node lease with the same name as the requesting node".to_owned())
}
