//! What the conditions of a namespace that is being deleted say.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, NamespaceCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::json;

use crate::change::{Act, Change, NAMESPACES, Part, Resource};
use crate::objects::Meta;
use crate::replicaset::plan::whole_seconds;

/// The finalizer in `spec.finalizers` that is taken away when a namespace is empty.
pub const KUBERNETES: &str = "kubernetes";

/// What is left in a namespace.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// How many objects of each resource: `pods.`, `deployments.apps`.
    objects: BTreeMap<String, usize>,
    /// How many objects each finalizer holds.
    finalizers: BTreeMap<String, usize>,
    /// What could not be deleted, and why.
    errors: Vec<String>,
}

impl Remains {
    /// Notes what is left of a resource.
    pub fn note(&mut self, resource: Resource, objects: &[ObjectMeta]) {
        if !objects.is_empty() {
            self.objects.insert(format!("{}.{}", resource.plural, resource.group), objects.len());
        }
        for finalizer in objects.iter().flat_map(|object| object.finalizers.iter().flatten()) {
            *self.finalizers.entry(finalizer.clone()).or_default() += 1;
        }
    }

    /// Notes that something could not be deleted or listed.
    pub fn fail(&mut self, error: String) {
        self.errors.push(error);
    }

    /// Whether nothing is left.
    pub fn is_nothing(&self) -> bool {
        self.objects.is_empty() && self.errors.is_empty()
    }

    /// Type, whether it holds, reason and message of each condition, in Kubernetes' order.
    fn conditions(&self) -> [(&'static str, bool, &'static str, String); 5] {
        let list = |counts: &BTreeMap<String, usize>, words: &str| {
            counts.iter().map(|(name, count)| format!("{name} {words} {count} resource instances")).collect::<Vec<_>>()
        };
        let mut errors = self.errors.clone();
        errors.sort();
        let failure = match errors.len() {
            0 => {
                (false, "ContentDeleted", "All content successfully deleted, may be waiting on finalization".to_owned())
            }
            n => {
                let message = format!("Failed to delete all resource types, {n} remaining: {}", errors.join(", "));
                (true, "ContentDeletionFailed", message)
            }
        };
        let content = if self.objects.is_empty() {
            (false, "ContentRemoved", "All content successfully removed".to_owned())
        } else {
            let message = format!("Some resources are remaining: {}", list(&self.objects, "has").join(", "));
            (true, "SomeResourcesRemain", message)
        };
        let finalizers = if self.finalizers.is_empty() {
            (false, "ContentHasNoFinalizers", "All content-preserving finalizers finished".to_owned())
        } else {
            let held = list(&self.finalizers, "in").join(", ");
            (true, "SomeFinalizersRemain", format!("Some content in the namespace has finalizers remaining: {held}"))
        };
        [
            // Kinds are listed in the program and need no discovery.
            (
                "NamespaceDeletionDiscoveryFailure",
                false,
                "ResourcesDiscovered",
                "All resources successfully discovered".to_owned(),
            ),
            (
                "NamespaceDeletionGroupVersionParsingFailure",
                false,
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed".to_owned(),
            ),
            ("NamespaceDeletionContentFailure", failure.0, failure.1, failure.2),
            ("NamespaceContentRemaining", content.0, content.1, content.2),
            ("NamespaceFinalizersRemaining", finalizers.0, finalizers.1, finalizers.2),
        ]
    }
}

/// The change of the status that says what is left, if that is news.
pub fn status(namespace: &Namespace, remains: &Remains, now: Timestamp) -> Option<Change> {
    let before = namespace.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let mut conditions = before.clone();
    for (kind, holds, reason, message) in remains.conditions() {
        let status = if holds { "True" } else { "False" };
        let known = conditions.iter().position(|condition| condition.type_ == kind);
        let old = known.and_then(|at| conditions.get(at));
        let since = old.filter(|old| old.status == status).and_then(|old| old.last_transition_time.clone());
        let new = NamespaceCondition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message),
            last_transition_time: since.or(Some(Time(whole_seconds(now)))),
        };
        match known.and_then(|at| conditions.get_mut(at)) {
            Some(old) => *old = new,
            None => conditions.push(new),
        }
    }
    (conditions != before).then(|| {
        let status = json!({"phase": "Terminating", "conditions": conditions});
        let patch = json!({"metadata": {"uid": namespace.uid()}, "status": status});
        Change::merge(NAMESPACES, namespace, Part::Status, patch)
    })
}

/// Whether a namespace waits for this controller to empty it.
pub fn waits(namespace: &Namespace) -> bool {
    namespace.deleting() && finalizers(namespace).any(|finalizer| finalizer == KUBERNETES)
}

fn finalizers(namespace: &Namespace) -> impl Iterator<Item = &String> {
    namespace.spec.iter().flat_map(|spec| spec.finalizers.iter().flatten())
}

/// The change that lets an empty namespace go.
pub fn finalize(namespace: &Namespace) -> Change {
    let mut object = namespace.clone();
    let others: Vec<String> = finalizers(namespace).filter(|finalizer| *finalizer != KUBERNETES).cloned().collect();
    object.spec.get_or_insert_default().finalizers = Some(others);
    Change::on(NAMESPACES, namespace, Act::Put("finalize", crate::change::document(&object)))
}
