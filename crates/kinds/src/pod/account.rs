//! What a Pod gets of the account that it runs as: `ServiceAccount` of Kubernetes' admission.

use serde_json::{Value, json};

use crate::document::{at, given, given_mut, list, list_mut, set, text, text_at};

const VOLUME: &str = "kube-api-access-";
const DIRECTORY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// How long a token is good, in seconds. The seven are Kubernetes': by them it knows those that nobody asked for.
const TOKEN: i64 = 3607;

/// Gives a new Pod the token of its account, mounted where clients look for it, and the account's secrets for
/// registries. `random` ends the name of the volume. A mirror of a static Pod gets nothing.
pub fn use_account(pod: &mut Value, account: &Value, random: &str) {
    if text_at(at(pod, "metadata"), "annotations", super::validation::MIRROR).is_some() {
        return;
    }
    let Some(spec) = given_mut(pod, "spec") else { return };
    // The Pod's own word comes first.
    let wants_token = |of| given(of, "automountServiceAccountToken").and_then(Value::as_bool);
    if wants_token(spec).or(wants_token(account)).unwrap_or(true) {
        mount_token(spec, random);
    }
    if list(spec, "imagePullSecrets").is_empty() && !list(account, "imagePullSecrets").is_empty() {
        let secrets: Vec<_> =
            list(account, "imagePullSecrets").iter().map(|secret| json!({"name": text(secret, "name")})).collect();
        set(spec, "imagePullSecrets", secrets);
    }
}

fn mount_token(spec: &mut Value, random: &str) {
    let mut volumes = list(spec, "volumes").to_vec();
    let stated = volumes.iter().map(|volume| text(volume, "name")).find(|name| name.starts_with(VOLUME));
    let (name, is_new) = match stated {
        Some(name) => (name.to_owned(), false),
        None => (format!("{VOLUME}{random}"), true),
    };
    let mut is_mounted = false;
    for field in ["initContainers", "containers"] {
        for container in list_mut(spec, field) {
            let mut mounts = list(container, "volumeMounts").to_vec();
            if mounts.iter().all(|mount| text(mount, "mountPath") != DIRECTORY) {
                mounts.push(json!({"name": name, "readOnly": true, "mountPath": DIRECTORY}));
                set(container, "volumeMounts", mounts);
                is_mounted = true;
            }
        }
    }
    if is_new && is_mounted {
        let sources = json!([
            {"serviceAccountToken": {"expirationSeconds": TOKEN, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [
                {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}},
            ]}},
        ]);
        volumes.push(json!({"name": name, "projected": {"defaultMode": 0o644, "sources": sources}}));
        set(spec, "volumes", volumes);
    }
}
