//! What of Services is in this node's kernel, reported to the API: a lease of the node's agent carries the newest
//! versions of Services and slices that the kernel holds. A Service's condition `portolan.dev/Programmed` is made of
//! all nodes' reports.
//!
//! A report is written when something changed, and at most once a second, whatever the number of changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dataplane::model::{self, Model};
use dataplane::{SyncError, SyncReport};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::follow::{ObjectKey, reason};
use crate::services::Listener;
use crate::views::{EndpointSlice, Service};

/// Where reports are: beside the leases of nodes.
pub const NAMESPACE: &str = "kube-node-lease";
/// The annotation with the newest version of a Service that the kernel holds.
pub const SERVICES: &str = "portolan.dev/services";
/// The annotation with the newest version of an EndpointSlice that the kernel holds.
pub const SLICES: &str = "portolan.dev/endpointslices";
/// The annotation with the Services that the kernel refuses: `NAMESPACE/NAME`, with spaces between.
pub const REFUSED: &str = "portolan.dev/refused";

/// Reports are not written more often.
const EVERY: Duration = Duration::from_secs(1);
/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many refused Services are named, so that a lease stays small.
const MOST_REFUSED: usize = 100;

/// The name of a node's report.
pub fn lease_name(node: &str) -> String {
    format!("portolan.{node}")
}

/// What the kernel holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The newest version of a Service.
    pub services: u64,
    /// The newest version of a slice.
    pub slices: u64,
    /// Services that it refuses.
    pub refused: BTreeSet<String>,
}

impl Held {
    fn annotations(&self) -> BTreeMap<String, String> {
        let refused: Vec<&str> = self.refused.iter().take(MOST_REFUSED).map(String::as_str).collect();
        BTreeMap::from([
            (SERVICES.to_owned(), self.services.to_string()),
            (SLICES.to_owned(), self.slices.to_string()),
            (REFUSED.to_owned(), refused.join(" ")),
        ])
    }
}

/// Notes which versions went by, and which of them the kernel holds.
#[derive(Debug)]
pub struct Progress {
    seen: Held,
    tell: watch::Sender<Option<Held>>,
}

impl Progress {
    /// Tells this receiver; `None` until everything was programmed once.
    pub fn new(tell: watch::Sender<Option<Held>>) -> Self {
        Self { seen: Held::default(), tell }
    }
}

/// An object's version as a number: since Kubernetes 1.35 versions grow and can be compared (KEP-5504).
fn version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
}

impl Listener for Progress {
    fn set_service(&mut self, _: &ObjectKey, service: &Service, _: Option<&model::Service>) {
        self.seen.services = self.seen.services.max(version(&service.metadata));
    }

    fn set_slice(&mut self, _: &ObjectKey, slice: &EndpointSlice, _: Option<&model::EndpointSlice>) {
        self.seen.slices = self.seen.slices.max(version(&slice.metadata));
    }

    fn synced(&mut self, done: &Result<SyncReport, SyncError>, _: &Model) {
        if let Ok(report) = done {
            self.seen.refused = report.quarantined.iter().map(ToString::to_string).collect();
            let held = Some(self.seen.clone());
            self.tell.send_if_modified(|told| {
                let changed = *told != held;
                *told = held;
                changed
            });
        }
    }
}

/// Writes the node's report until told to stop. A server that is away is logged once, and tried again.
pub async fn keep(client: Client, node: String, mut held: watch::Receiver<Option<Held>>, stop: CancellationToken) {
    let mut said = String::new();
    loop {
        let now = tokio::select! {
            () = stop.cancelled() => return,
            now = held.wait_for(Option::is_some) => match now {
                Ok(now) => now.clone().unwrap_or_default(),
                Err(_) => return,
            },
        };
        held.mark_unchanged();
        let written = match tokio::time::timeout(PATIENCE, write(&client, &node, &now)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(reason(&error)),
            Err(_) => Err("the server does not answer".to_owned()),
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
        match written {
            Ok(()) => said.clear(),
            Err(error) => {
                // Once for each reason: a server that is away for an hour is one line.
                if error != said {
                    tracing::warn!(error, "what the kernel holds cannot be reported; it is tried again");
                    said = error;
                }
                continue;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = held.changed() => if changed.is_err() { return },
        }
    }
}

/// What makes an object go with its node. That is asked for by a list of one: agents may list nodes and not get them.
pub(crate) async fn owners(client: &Client, node: &str) -> Result<Vec<OwnerReference>, kube::Error> {
    let only = ListParams::default().fields(&format!("metadata.name={node}"));
    let nodes = Api::<Node>::all(client.clone()).list_metadata(&only).await?;
    let owner = |uid| OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: node.to_owned(),
        uid,
        ..OwnerReference::default()
    };
    Ok(nodes.items.into_iter().filter_map(|node| node.metadata.uid).map(owner).collect())
}

async fn write(client: &Client, node: &str, held: &Held) -> Result<(), kube::Error> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let name = lease_name(node);
    let now = MicroTime(Timestamp::now());
    let patch = json!({
        "metadata": { "annotations": held.annotations() }, "spec": { "renewTime": now, "holderIdentity": node },
    });
    match leases.patch(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => return Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => {}
        Err(error) => return Err(error),
    }
    let owners = owners(client, node).await?;
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(name),
            annotations: Some(held.annotations()),
            owner_references: Some(owners),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec { holder_identity: Some(node.to_owned()), renew_time: Some(now), ..LeaseSpec::default() }),
    };
    leases.create(&PostParams::default(), &lease).await.map(drop)
}

#[cfg(test)]
mod tests;
