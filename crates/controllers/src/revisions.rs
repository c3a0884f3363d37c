//! Which templates an owner has had: a ControllerRevision for each (DaemonSets, StatefulSets), by which `kubectl rollout`
//! shows and undoes what was changed.
//!
//! The newest revision is that of the present template. Who goes back to an older template has its revision again, with a
//! new number.

use std::sync::Arc;

use k8s_openapi::api::apps::v1::ControllerRevision;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::change::{Change, Part, REVISIONS, Resource, controller_reference};
use crate::objects::Meta;
use crate::objects::workload::Template;

/// What is used in names that must not make words.
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// How many templates are remembered beside those that are in use, where nothing else is said.
const LIMIT: i32 = 10;

/// A word for a template: another one for another template.
pub fn hash(template: &Template) -> String {
    let digest = Sha256::digest(template.document.text().as_bytes());
    digest.iter().take(10).map(|byte| char::from(SAFE[usize::from(*byte) % SAFE.len()])).collect()
}

/// The revision of the present template.
#[derive(Debug, PartialEq)]
pub struct Present {
    /// Its name.
    pub name: String,
    /// What makes it the newest, if it is not.
    pub change: Option<Change>,
}

/// The revisions of an owner, oldest first.
pub fn sorted(mut known: Vec<Arc<ControllerRevision>>) -> Vec<Arc<ControllerRevision>> {
    known.sort_by(|a, b| (a.revision, a.name()).cmp(&(b.revision, b.name())));
    known
}

/// Finds the revision of a template among those that are known, which are [`sorted`], or makes it.
pub fn present(
    owner: (Resource, &impl Meta),
    template: &Template,
    hash_label: &str,
    known: &[Arc<ControllerRevision>],
) -> Present {
    let data = data(template);
    let next = known.last().map_or(1, |last| last.revision + 1);
    match known.iter().rposition(|revision| revision.data.as_ref().is_some_and(|have| have.0 == data)) {
        Some(at) if at + 1 == known.len() => Present { name: known[at].name().to_owned(), change: None },
        Some(at) => {
            let patch = json!({ "metadata": { "uid": known[at].uid() }, "revision": next });
            let change = Change::merge(REVISIONS, &*known[at], Part::Main, patch);
            Present { name: known[at].name().to_owned(), change: Some(change) }
        }
        None => {
            let (resource, owner) = owner;
            let hash = hash(template);
            let name = format!("{}-{hash}", owner.name());
            let mut labels = json!(template.labels());
            labels[hash_label] = hash.into();
            let revision = json!({
                "apiVersion": REVISIONS.api_version(), "kind": REVISIONS.kind, "data": data, "revision": next,
                "metadata": {
                    "name": name, "namespace": owner.namespace(), "labels": labels,
                    "annotations": owner.metadata().annotations,
                    "ownerReferences": [controller_reference(resource, owner)],
                },
            });
            Present { name, change: Some(Change::create(REVISIONS, &revision)) }
        }
    }
}

/// Deletes the oldest of those that nobody uses any more, beyond the limit.
pub fn forget(known: &[Arc<ControllerRevision>], is_used: impl Fn(&str) -> bool, limit: Option<i32>) -> Vec<Change> {
    let limit = usize::try_from(limit.unwrap_or(LIMIT)).unwrap_or(0);
    let unused: Vec<_> = known.iter().filter(|revision| !is_used(revision.name())).collect();
    let surplus = unused.len().saturating_sub(limit);
    unused.into_iter().take(surplus).map(|revision| Change::delete(REVISIONS, &**revision)).collect()
}

/// The template of a revision.
pub fn template(revision: &ControllerRevision) -> Option<Template> {
    let mut template = revision.data.as_ref()?.0.pointer("/spec/template")?.clone();
    template.as_object_mut()?.remove("$patch");
    Some(Template::new(template))
}

/// What a revision keeps: a strategic merge patch that brings the template back.
fn data(template: &Template) -> Value {
    let mut template = template.value();
    if let Some(fields) = template.as_object_mut() {
        fields.insert("$patch".to_owned(), "replace".into());
    }
    json!({ "spec": { "template": template } })
}

#[cfg(test)]
mod tests;
