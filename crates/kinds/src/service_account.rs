//! ServiceAccount (`v1`): whom a Pod's processes are to the API.

use serde_json::{Value, json};

use crate::document::{at, list_mut, text, text_at};
use crate::kind::{Kind, Scope, Strategy};

#[cfg(test)]
mod tests;

/// ServiceAccount.
pub static KIND: Kind = Kind {
    group: "",
    version: "v1",
    kind: "ServiceAccount",
    plural: "serviceaccounts",
    singular: "serviceaccount",
    short_names: &["sa"],
    categories: &[],
    scope: Scope::Namespaced,
    subresources: &[],
    schema: "io.k8s.api.core.v1.ServiceAccount",
    strategy: &ServiceAccount,
};

const ENFORCE_MOUNTABLE_SECRETS: &str = "kubernetes.io/enforce-mountable-secrets";

struct ServiceAccount;

impl Strategy for ServiceAccount {
    fn prepare_for_create(&self, object: &mut Value) {
        keep_names_of_secrets(object);
    }

    fn prepare_for_update(&self, new: &mut Value, _old: &Value) {
        keep_names_of_secrets(new);
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        let annotated =
            |object: &Value| text_at(at(object, "metadata"), "annotations", ENFORCE_MOUNTABLE_SECRETS).is_some();
        if old.is_some_and(annotated) || !annotated(new) {
            return Vec::new();
        }
        vec![format!(
            "metadata.annotations[{ENFORCE_MOUNTABLE_SECRETS}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
        )]
    }

    fn returns_deleted_object(&self) -> bool {
        true
    }
}

/// Of a reference to a secret only the name counts: it is one of the same namespace.
fn keep_names_of_secrets(object: &mut Value) {
    for secret in list_mut(object, "secrets") {
        let name = text(secret, "name");
        *secret = if name.is_empty() { json!({}) } else { json!({ "name": name }) };
    }
}
