//! The node's lease: as long as it is renewed, the node lives (KEP-589).

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Where nodes' leases are.
const NAMESPACE: &str = "kube-node-lease";

/// Renews the lease of a node until told to stop. A server that does not answer is logged once, and asked again.
pub async fn keep(client: Client, node: String, every: Duration, stop: CancellationToken) {
    let leases: Api<Lease> = Api::namespaced(client, NAMESPACE);
    let mut lost = false;
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        // A renewal that hangs must not stand in the way of the next.
        let renewed = tokio::time::timeout(every.max(Duration::from_secs(1)), renew(&leases, &node, every)).await;
        match renewed {
            Ok(Ok(())) if lost => {
                lost = false;
                tracing::info!(node, "the server is back; the lease is renewed");
            }
            Ok(Ok(())) => {}
            Ok(Err(error)) if !lost => {
                lost = true;
                tracing::warn!(
                    node,
                    error = crate::follow::reason(&error),
                    "the lease cannot be renewed; it is tried again"
                );
            }
            Err(_) if !lost => {
                lost = true;
                tracing::warn!(node, "the server does not answer; the lease is tried again");
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

async fn renew(leases: &Api<Lease>, node: &str, every: Duration) -> Result<(), kube::Error> {
    let now = MicroTime(Timestamp::now());
    let patch = json!({ "spec": { "renewTime": now, "holderIdentity": node } });
    match leases.patch(node, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => {
            let seconds = i32::try_from(every.as_secs().max(1) * 4).unwrap_or(40);
            let lease = Lease {
                metadata: ObjectMeta { name: Some(node.to_owned()), ..ObjectMeta::default() },
                spec: Some(LeaseSpec {
                    holder_identity: Some(node.to_owned()),
                    lease_duration_seconds: Some(seconds),
                    renew_time: Some(now),
                    ..LeaseSpec::default()
                }),
            };
            leases.create(&PostParams::default(), &lease).await.map(drop)
        }
        Err(e) => Err(e),
    }
}
