//! Statuses on their way to the server.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::{Api, Client};
use pods::updates::{StatusChange, Statuses};
use serde_json::{Value, json};

use crate::follow::reason;

/// How long to wait before a status that could not be written is written again.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How long the server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes every change, for ever. One that cannot be written is tried again, unless a newer one has come.
pub async fn tell(client: Client, statuses: Statuses) {
    let mut said = String::new();
    loop {
        let change = statuses.next().await;
        let written = tokio::time::timeout(PATIENCE, write(&client, &change)).await;
        let error = match written {
            Ok(Ok(())) => {
                said.clear();
                continue;
            }
            Ok(Err(error)) => reason(&error),
            Err(_) => "the server does not answer".to_owned(),
        };
        // Once for each reason: a server that is away for an hour is one line.
        if error != said {
            tracing::warn!(
                namespace = change.namespace,
                pod = change.name,
                error,
                "a status cannot be written; it is tried again"
            );
            said = error;
        }
        statuses.put_back(change);
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

async fn write(client: &Client, change: &StatusChange) -> Result<(), kube::Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &change.namespace);
    let patched = match patch(change) {
        Ok(patch) => pods.patch_status(&change.name, &PatchParams::default(), &Patch::Strategic(patch)).await,
        Err(error) => return Err(kube::Error::SerdeError(error)),
    };
    match patched {
        Ok(_) => {}
        Err(error) if is_of_another(&error) => return Ok(()),
        Err(error) => return Err(error),
    }
    if !change.gone {
        return Ok(());
    }
    let own = Preconditions { uid: Some(change.uid.clone()), resource_version: None };
    let at_once = DeleteParams { grace_period_seconds: Some(0), preconditions: Some(own), ..DeleteParams::default() };
    match pods.delete(&change.name, &at_once).await {
        Ok(_) => Ok(()),
        Err(error) if is_of_another(&error) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether the Pod is gone, or another has its name: then there is nothing left to say of it.
fn is_of_another(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found() || status.is_conflict())
}

/// A strategic merge: conditions of others (the scheduler's, readiness gates) stay, lists of containers are replaced.
fn patch(change: &StatusChange) -> Result<Value, serde_json::Error> {
    let mut status = serde_json::to_value(&change.status)?;
    // What is not said any more is taken away.
    be_silent(&mut status);
    let conditions = status.get_mut("conditions").and_then(Value::as_array_mut);
    conditions.into_iter().flatten().for_each(be_silent);
    // Of addresses, elements are told apart by the address itself: without this, those of a Pod's earlier sandbox would
    // stay beside those that it has now.
    for field in ["podIPs", "hostIPs"] {
        if let Some(addresses) = status.get_mut(field).and_then(Value::as_array_mut) {
            addresses.insert(0, json!({ "$patch": "replace" }));
        }
    }
    Ok(json!({ "metadata": { "uid": change.uid }, "status": status }))
}

/// Fields that an earlier status may have had, and that a merge would keep.
fn be_silent(of: &mut Value) {
    if let Some(fields) = of.as_object_mut() {
        for field in ["message", "reason"] {
            fields.entry(field).or_insert(Value::Null);
        }
    }
}

#[cfg(test)]
mod tests;
