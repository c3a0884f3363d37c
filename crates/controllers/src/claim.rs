//! Which objects an owner controls: those that it owns and still selects stay, those that it no longer selects are
//! released, and those that nobody controls are adopted.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;

use crate::change::{Change, Part, Resource, controller_reference};
use crate::objects::Meta;
use crate::selector;

/// The candidates, sorted out.
#[derive(Debug)]
pub struct Claims<T> {
    /// Those that the owner controls.
    pub owned: Vec<Arc<T>>,
    /// Those that it should control.
    pub adopt: Vec<Arc<T>>,
    /// Those that it should no longer control.
    pub release: Vec<Arc<T>>,
}

/// Sorts out the candidates. An owner that ends adopts and releases nothing: its finalizers decide what becomes of
/// its objects.
pub fn claim<T: Meta>(
    owner: &impl Meta,
    selector: &LabelSelector,
    candidates: impl IntoIterator<Item = Arc<T>>,
) -> Claims<T> {
    let mut claims = Claims { owned: Vec::new(), adopt: Vec::new(), release: Vec::new() };
    for candidate in candidates {
        let selected = selector::matches(selector, candidate.metadata().labels.as_ref());
        match candidate.controller().map(|controller| controller.uid.as_str()) {
            Some(uid) if uid != owner.uid() => {}
            Some(_) if selected => claims.owned.push(candidate),
            Some(_) if !owner.deleting() => claims.release.push(candidate),
            None if selected && !owner.deleting() && !candidate.deleting() => claims.adopt.push(candidate),
            _ => {}
        }
    }
    claims
}

/// The change that makes an owner the controller of an object.
pub fn adopt(owner: (Resource, &impl Meta), object: (Resource, &impl Meta)) -> Change {
    let reference = controller_reference(owner.0, owner.1);
    // The uid makes sure that it is still this object (and the server refuses a second controller).
    let patch = json!({"metadata": {"uid": object.1.uid(), "ownerReferences": [reference]}});
    Change::strategic(object.0, object.1, Part::Main, patch)
}

/// The change that takes an object from its controller.
pub fn release(owner: &impl Meta, object: (Resource, &impl Meta)) -> Change {
    let patch = json!({"metadata": {
        "uid": object.1.uid(),
        "ownerReferences": [{"$patch": "delete", "uid": owner.uid()}],
    }});
    Change::strategic(object.0, object.1, Part::Main, patch)
}

#[cfg(test)]
mod tests;
