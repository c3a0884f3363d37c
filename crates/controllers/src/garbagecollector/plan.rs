//! What becomes of an object whose owners are gone or going, by its own latest metadata.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Value, json};

use super::graph::{FOREGROUND, ORPHAN, OwnerState};
use crate::change::{Act, Change, Deletion, Part, Propagation, Resource};

/// What is known beside the object itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Dependents {
    /// Whether it owns anything.
    pub any: bool,
    /// Whether something that it owns waits for what that owns in turn: then they may wait for each other.
    pub waiting: bool,
}

/// The writes, one after the other. `state` says what is known of each owner; one that cannot be known is solid.
pub fn plan(
    resource: Resource,
    object: &ObjectMeta,
    dependents: Dependents,
    state: impl Fn(&OwnerReference) -> OwnerState,
) -> Vec<Change> {
    let owners = object.owner_references.as_deref().unwrap_or_default();
    let wants = |owner: &&OwnerReference| matches!(state(owner), OwnerState::Solid | OwnerState::Unseen);
    let stay: Vec<&OwnerReference> = owners.iter().filter(wants).collect();
    if stay.len() == owners.len() {
        return Vec::new();
    }
    if !stay.is_empty() {
        // Somebody still wants it: only the others are struck out.
        return vec![set_owners(resource, object, &stay)];
    }
    let waiting = owners.iter().any(|owner| state(owner) == OwnerState::Waiting);
    let has = |finalizer: &str| object.finalizers.iter().flatten().any(|f| f == finalizer);
    let mut changes = Vec::new();
    let propagation = if waiting && dependents.any {
        if dependents.waiting {
            let unblocked: Vec<OwnerReference> = owners
                .iter()
                .map(|owner| OwnerReference { block_owner_deletion: Some(false), ..owner.clone() })
                .collect();
            changes.push(set_owners(resource, object, &unblocked.iter().collect::<Vec<_>>()));
        }
        Propagation::Foreground
    } else if has(ORPHAN) {
        Propagation::Orphan
    } else if has(FOREGROUND) {
        Propagation::Foreground
    } else {
        Propagation::Background
    };
    let deletion = Deletion {
        uid: object.uid.clone(),
        // Only as it is known here, unless it was changed here just now: somebody may have given it an owner meanwhile.
        resource_version: object.resource_version.clone().filter(|_| changes.is_empty()),
        propagation: Some(propagation),
        grace: None,
    };
    changes.push(on(resource, object, Act::Delete(deletion)));
    changes
}

/// The write that takes an owner from an object; `None`: it does not say that it has it.
pub fn disown(resource: Resource, object: &ObjectMeta, owner: &str) -> Option<Change> {
    let owners = object.owner_references.as_deref().unwrap_or_default();
    let stay: Vec<&OwnerReference> = owners.iter().filter(|reference| reference.uid != owner).collect();
    (stay.len() < owners.len()).then(|| set_owners(resource, object, &stay))
}

/// The write that takes a finalizer from an object; `None`: it does not have it.
pub fn release(resource: Resource, object: &ObjectMeta, finalizer: &str) -> Option<Change> {
    let finalizers = object.finalizers.as_deref().unwrap_or_default();
    let stay: Vec<&String> = finalizers.iter().filter(|f| *f != finalizer).collect();
    let value = if stay.is_empty() { Value::Null } else { json!(stay) };
    (stay.len() < finalizers.len()).then(|| patch(resource, object, "finalizers", value))
}

fn set_owners(resource: Resource, object: &ObjectMeta, owners: &[&OwnerReference]) -> Change {
    let value = if owners.is_empty() { Value::Null } else { json!(owners) };
    patch(resource, object, "ownerReferences", value)
}

/// Replaces a list of the metadata, if it is still the one that was read.
fn patch(resource: Resource, object: &ObjectMeta, field: &str, value: Value) -> Change {
    let patch = json!({"metadata": {"resourceVersion": object.resource_version, field: value}});
    on(resource, object, Act::Merge(Part::Main, patch))
}

fn on(resource: Resource, object: &ObjectMeta, act: Act) -> Change {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    Change { resource, namespace: text(&object.namespace), name: text(&object.name), act }
}
