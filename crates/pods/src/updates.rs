//! What the runtime tells the node agent: statuses, the latest of each Pod, and events.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::PodStatus;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// A Pod's status has changed.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusChange {
    /// The Pod's uid.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The whole status.
    pub status: PodStatus,
    /// Whether it was to be deleted and nothing of it is left on the node: the object can go, without grace.
    pub gone: bool,
}

/// Something happened to a Pod, for an Event object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEvent {
    /// The Pod's uid.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The field of the Pod that it is about, such as `spec.containers{web}`; empty for the whole of it.
    pub field: String,
    /// Whether somebody should look at it (`Warning`, not `Normal`).
    pub warning: bool,
    /// Such as `Started` or `BackOff`.
    pub reason: &'static str,
    /// In words.
    pub message: String,
}

/// Changes that nobody has taken yet: at most one a Pod, so that a slow taker is told the latest and nothing grows.
#[derive(Clone, Debug, Default)]
pub struct Statuses(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    changes: Mutex<BTreeMap<String, StatusChange>>,
    some: Notify,
}

impl Statuses {
    /// The next change; waits until there is one. Safe to drop while it waits.
    pub async fn next(&self) -> StatusChange {
        loop {
            let some = self.0.some.notified();
            if let Some((_, change)) = self.0.changes.lock().pop_first() {
                return change;
            }
            some.await;
        }
    }

    /// Puts a change that is told later back, unless a newer one has come.
    pub fn put_back(&self, change: StatusChange) {
        self.0.changes.lock().entry(change.uid.clone()).or_insert(change);
        self.0.some.notify_one();
    }

    pub(crate) fn push(&self, change: StatusChange) {
        self.0.changes.lock().insert(change.uid.clone(), change);
        self.0.some.notify_one();
    }

    pub(crate) fn forget(&self, uid: &str) {
        self.0.changes.lock().remove(uid);
    }
}
