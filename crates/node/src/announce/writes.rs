//! The writes that a node's seat asks for.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use loadbalancer::report::{CLAIMS, EPOCH, LABEL, LIFE, NAMESPACE, name};
use loadbalancer::seat::{Outcome, Write};
use serde_json::{Value, json};

use super::records;
use crate::programmed::owners;

/// How long a write may take that is no renewal: however late it is made, it is what it was.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a node that leaves tries to say so, against its own last renewals.
const TRIES: usize = 4;

/// Makes writes.
#[derive(Clone)]
pub(super) struct Writer {
    pub client: Client,
    pub own: String,
    /// The node's own addresses.
    pub addresses: Vec<IpAddr>,
    /// How long a renewal lasts; one that takes longer is worth nothing.
    pub lasts: Duration,
}

impl Writer {
    /// Makes one, or gives it up after a while.
    pub(super) async fn perform(&self, write: &Write) -> Outcome {
        let patience = if matches!(write, Write::Renew | Write::Leave { .. }) { self.lasts } else { PATIENCE };
        let made = tokio::time::timeout(patience, self.make(write)).await;
        let lease = match made {
            Ok(Ok(lease)) => lease,
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409 | 422) => return Outcome::Conflict,
            Ok(Err(error)) => {
                tracing::debug!(?write, error = crate::follow::reason(&error), "not written");
                return Outcome::Unknown;
            }
            Err(_) => {
                tracing::debug!(?write, "no answer in time");
                return Outcome::Unknown;
            }
        };
        records::read(&lease).map_or(Outcome::Unknown, Outcome::Written)
    }

    async fn make(&self, write: &Write) -> Result<Lease, kube::Error> {
        match write {
            Write::Join { version, epoch, lease } => {
                self.put(LIFE, version.as_deref(), records::life(epoch, *lease, &self.addresses)).await
            }
            Write::Renew => {
                let patch = json!({"spec": {"renewTime": now(), "holderIdentity": self.own}});
                self.patch(&name(LIFE, &self.own), &patch).await
            }
            Write::Leave { epoch } => self.leave(epoch).await,
            Write::Fence { node, version } => {
                let ended = self.end(node, version).await?;
                tracing::warn!(
                    node,
                    "a node that announces load-balancer addresses has gone silent: others take them over"
                );
                Ok(ended)
            }
            Write::Claim { version, epoch, sequence, addresses } => {
                self.put(CLAIMS, version.as_deref(), records::claims(epoch, *sequence, addresses)).await
            }
        }
    }

    /// Ends the own epoch, unless it is another by now.
    async fn leave(&self, epoch: &str) -> Result<Lease, kube::Error> {
        let mut tries = 0;
        loop {
            let found = self.leases().get(&name(LIFE, &self.own)).await?;
            if found.annotations().get(EPOCH).is_none_or(|found| found != epoch) {
                return Ok(found);
            }
            tries += 1;
            match self.end(&self.own, &found.resource_version().unwrap_or_default()).await {
                Err(kube::Error::Api(status)) if status.code == 409 && tries < TRIES => {}
                done => return done,
            }
        }
    }

    /// Ends a node's epoch, if its life is still at a version.
    async fn end(&self, node: &str, version: &str) -> Result<Lease, kube::Error> {
        let patch = json!({
            "metadata": {"resourceVersion": version, "annotations": {EPOCH: ""}}, "spec": {"holderIdentity": null},
        });
        self.patch(&name(LIFE, node), &patch).await
    }

    /// Writes an own record, if it is still at a version, or still is not there.
    async fn put(
        &self,
        which: &str,
        version: Option<&str>,
        annotations: BTreeMap<String, String>,
    ) -> Result<Lease, kube::Error> {
        let record = name(which, &self.own);
        if let Some(version) = version {
            let patch = json!({
                "metadata": {"resourceVersion": version, "annotations": annotations},
                "spec": {"renewTime": now(), "holderIdentity": self.own},
            });
            return self.patch(&record, &patch).await;
        }
        let owners: Vec<OwnerReference> = owners(&self.client, &self.own).await?;
        let lease = Lease {
            metadata: ObjectMeta {
                name: Some(record),
                labels: Some(BTreeMap::from([(LABEL.to_owned(), which.to_owned())])),
                annotations: Some(annotations),
                owner_references: Some(owners),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.own.clone()),
                renew_time: Some(now()),
                ..LeaseSpec::default()
            }),
        };
        self.leases().create(&PostParams::default(), &lease).await
    }

    /// Writes the own report, whatever it was.
    pub(super) async fn report(&self, which: &str, annotations: BTreeMap<String, String>) -> Result<(), kube::Error> {
        let patch = json!({
            "metadata": {"annotations": annotations}, "spec": {"renewTime": now(), "holderIdentity": self.own},
        });
        match self.patch(&name(which, &self.own), &patch).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {
                self.put(which, None, annotations).await.map(drop)
            }
            done => done.map(drop),
        }
    }

    async fn patch(&self, name: &str, patch: &Value) -> Result<Lease, kube::Error> {
        self.leases().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), NAMESPACE)
    }
}

fn now() -> MicroTime {
    MicroTime(Timestamp::now())
}
