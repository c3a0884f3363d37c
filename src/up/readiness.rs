//! What an earlier run left behind about nodes that do not run yet.

use anyhow::{Context, Result};
use futures::future::try_join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, Client};
use node::views;
use serde_json::json;

/// Says of nodes that are stored as ready that nothing is known of them, as is said of a node that is silent: whoever waits for
/// a node to be ready then waits until it says so itself.
///
/// # Errors
/// When the server does not carry it out.
pub async fn forget(client: &Client) -> Result<()> {
    let nodes = Api::<views::Node>::all(client.clone());
    let stored = nodes.list(&ListParams::default()).await.context("the stored nodes cannot be listed")?;
    let patch = json!({"status": {"conditions": [{
        "type": "Ready",
        "status": "Unknown",
        "reason": "NodeStatusUnknown",
        "message": "The cluster is starting.",
        "lastTransitionTime": Time(Timestamp::now()),
    }]}});
    let ready = stored.items.iter().filter(|node| node.is_ready());
    let forgotten = ready.filter_map(|node| node.metadata.name.as_deref()).map(|name| {
        let (nodes, patch) = (&nodes, &patch);
        async move { nodes.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await }
    });
    try_join_all(forgotten).await.context("the stored nodes cannot be marked as not known")?;
    Ok(())
}
