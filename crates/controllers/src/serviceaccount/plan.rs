//! Whether a namespace lacks its `default` ServiceAccount.

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use serde_json::json;

use crate::change::{Change, SERVICE_ACCOUNTS};
use crate::objects::Meta;

/// The name of the ServiceAccount of Pods that name none.
pub const DEFAULT: &str = "default";

/// The change that gives a namespace what it lacks.
pub fn plan(namespace: &Namespace, existing: Option<&ServiceAccount>) -> Option<Change> {
    if existing.is_some() || !is_active(namespace) {
        return None;
    }
    let account = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"namespace": namespace.name(), "name": DEFAULT},
    });
    Some(Change::create(SERVICE_ACCOUNTS, &account))
}

/// Whether things can be made in a namespace.
pub fn is_active(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    !namespace.deleting() && phase != Some("Terminating")
}
