//! Where the cluster's DNS is: the Service `kube-system/kube-dns`, whose name Kubernetes has kept, and its endpoints.

use std::collections::BTreeMap;
use std::net::IpAddr;

use dataplane::model::{self, Model};
use dataplane::{SyncError, SyncReport};
use tokio::sync::watch;

use crate::follow::ObjectKey;
use crate::services::Listener;
use crate::views::{EndpointSlice, Service};

const NAMESPACE: &str = "kube-system";
const NAME: &str = "kube-dns";
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// What is known of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// The Service's cluster IPs.
    pub addresses: Vec<IpAddr>,
    /// Ready endpoints elsewhere, in an order that begins behind this node: so not every node asks the same ones.
    pub others: Vec<IpAddr>,
}

/// Hears of Services and slices, and tells where the cluster's DNS is.
#[derive(Debug)]
pub struct ClusterDns {
    own: Vec<IpAddr>,
    addresses: Vec<IpAddr>,
    slices: BTreeMap<String, Vec<IpAddr>>,
    tell: watch::Sender<Followed>,
}

impl ClusterDns {
    /// Knows nothing yet; `own` are this node's addresses, which are not elsewhere.
    pub fn new(own: Vec<IpAddr>, tell: watch::Sender<Followed>) -> Self {
        Self { own, addresses: Vec::new(), slices: BTreeMap::new(), tell }
    }

    pub(super) fn followed(&self) -> Followed {
        let mut others: Vec<IpAddr> = self.slices.values().flatten().copied().collect();
        others.retain(|address| !self.own.contains(address));
        others.sort_unstable();
        others.dedup();
        let behind = self.own.first().map_or(0, |own| others.partition_point(|other| other < own));
        others.rotate_left(behind);
        Followed { addresses: self.addresses.clone(), others }
    }
}

fn is_ready(endpoint: &crate::views::Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
}

impl Listener for ClusterDns {
    fn set_service(&mut self, key: &ObjectKey, service: &Service, _: Option<&model::Service>) {
        if key.0 == NAMESPACE && key.1 == NAME {
            self.addresses = service.spec.cluster_ips.iter().filter_map(|address| address.parse().ok()).collect();
        }
    }

    fn remove_service(&mut self, key: &ObjectKey) {
        if key.0 == NAMESPACE && key.1 == NAME {
            self.addresses.clear();
        }
    }

    fn set_slice(&mut self, key: &ObjectKey, slice: &EndpointSlice, _: Option<&model::EndpointSlice>) {
        let service = slice.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME));
        if key.0 != NAMESPACE || service.is_none_or(|service| service != NAME) {
            return self.remove_slice(key);
        }
        // Questions keep their port.
        let fits =
            slice.ports.iter().flatten().any(|port| port.port == Some(53) && port.protocol.as_deref() == Some("UDP"));
        let ready = slice.endpoints.iter().flatten().filter(|endpoint| fits && is_ready(endpoint));
        let addresses = ready.filter_map(|endpoint| endpoint.addresses.first()?.parse().ok()).collect();
        self.slices.insert(key.1.clone(), addresses);
    }

    fn remove_slice(&mut self, key: &ObjectKey) {
        if key.0 == NAMESPACE {
            self.slices.remove(&key.1);
        }
    }

    fn synced(&mut self, _: &Result<SyncReport, SyncError>, _: &Model) {
        let now = self.followed();
        self.tell.send_if_modified(|held| {
            let changed = *held != now;
            if changed {
                *held = now;
            }
            changed
        });
    }
}
