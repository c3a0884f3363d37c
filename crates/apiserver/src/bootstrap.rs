//! What every cluster has, made at the start and kept: namespaces, the Service `kubernetes` and its endpoints.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api::{self, Api};
use crate::query::WriteOptions;
use crate::status::Status;
use crate::verbs::{create, decode};

/// The namespaces of every cluster.
const NAMESPACES: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease"];

/// Why what every cluster has cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make {what}: {why}")]
pub struct BootstrapError {
    /// What was to be made.
    what: String,
    /// The server's own refusal.
    why: String,
}

/// Makes what is not there.
pub(crate) async fn run(api: &Arc<Api>) -> Result<(), BootstrapError> {
    for name in NAMESPACES {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        ensure(api, "", "namespaces", "", name, &namespace).await?;
    }
    Ok(())
}

/// Creates an object that is not there.
async fn ensure(
    api: &Arc<Api>,
    group: &str,
    plural: &str,
    namespace: &str,
    name: &str,
    document: &Value,
) -> Result<(), BootstrapError> {
    let failed = |status: Status| BootstrapError { what: format!("{plural} {namespace}/{name}"), why: status.message };
    let Some(kind) = api::kind(group, plural) else { return Ok(()) };
    if api.cache.get(kind, namespace, name).is_some() {
        return Ok(());
    }
    let options = WriteOptions { manager: "kube-apiserver".to_owned(), ..WriteOptions::default() };
    let (document, _) = decode::document_of(kind, document, &options).map_err(failed)?;
    match create::create(api, kind, namespace, document, &options).await {
        Ok(_) => Ok(()),
        Err(status) if status.reason == "AlreadyExists" => Ok(()),
        Err(status) => Err(failed(status)),
    }
}
