//! Which Pods are swept up.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::change::{Act, Change, Deletion, PODS, Part};
use crate::objects::{Meta, Pod};

/// The writes that end a Pod for good though its node does not say that it has ended: first it failed, then it goes.
pub fn end(pod: &Pod, node_is_gone: bool, now: Timestamp) -> Vec<Change> {
    let mut changes = Vec::new();
    if !pod.terminal() {
        let mut status: Value = json!({"phase": "Failed"});
        if node_is_gone {
            status["conditions"] = json!([{
                "type": "DisruptionTarget",
                "status": "True",
                "reason": "DeletionByPodGC",
                "message": "PodGC: node no longer exists",
                "lastTransitionTime": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            }]);
        }
        let patch = json!({"metadata": {"uid": pod.uid()}, "status": status});
        changes.push(Change::strategic(PODS, pod, Part::Status, patch));
    }
    let deletion = Deletion { uid: Some(pod.uid().to_owned()), grace: Some(0), ..Deletion::default() };
    changes.push(Change::on(PODS, pod, Act::Delete(deletion)));
    changes
}

/// The ended Pods beyond as many as are kept, the oldest first; 0 keeps all.
pub fn surplus(pods: Vec<Arc<Pod>>, kept: usize) -> Vec<Arc<Pod>> {
    if kept == 0 {
        return Vec::new();
    }
    let mut ended: Vec<Arc<Pod>> = pods.into_iter().filter(|pod| pod.terminal()).collect();
    ended.sort_by(|a, b| {
        let age = |pod: &Pod| pod.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (age(a), a.name(), a.namespace()).cmp(&(age(b), b.name(), b.namespace()))
    });
    let surplus = ended.len().saturating_sub(kept);
    ended.truncate(surplus);
    ended
}
