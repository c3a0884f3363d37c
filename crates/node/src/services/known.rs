//! What the node's Pods are told of Services: their addresses, as environment variables, and whether a Pod is still in
//! rotation, before it is asked to end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataplane::model::{self, Model};
use dataplane::{SyncError, SyncReport};
use parking_lot::RwLock;
use pods::sources::{ServiceAddress, ServicePort};
use tokio::sync::watch;

use super::listener::Listener;
use crate::follow::ObjectKey;
use crate::views;

/// What it takes the kernels of the other nodes to be told what this node's kernel was told.
const OTHERS: Duration = Duration::from_millis(500);

/// What is known, shared between the loop that follows Services and the Pods' runtime.
#[derive(Debug, Default)]
pub struct Known {
    addresses: RwLock<BTreeMap<String, BTreeMap<String, ServiceAddress>>>,
    rotation: watch::Sender<Rotation>,
}

/// Which of this node's endpoints are given new connections.
#[derive(Debug, Default)]
struct Rotation {
    /// Of each slice with ready endpoints on this node, their addresses.
    ready: BTreeMap<ObjectKey, BTreeSet<IpAddr>>,
    /// Those that were ready not long ago, and when they ceased to be.
    left: BTreeMap<IpAddr, Instant>,
}

impl Rotation {
    fn has(&self, address: &IpAddr) -> bool {
        self.ready.values().any(|ready| ready.contains(address))
    }

    /// Whether something changed.
    fn set(&mut self, slice: &ObjectKey, ready: BTreeSet<IpAddr>, now: Instant) -> bool {
        let old = self.ready.remove(slice).unwrap_or_default();
        let changed = old != ready;
        if !ready.is_empty() {
            self.ready.insert(slice.clone(), ready);
        }
        self.left.retain(|_, since| now.duration_since(*since) < OTHERS);
        let left: Vec<IpAddr> = old.into_iter().filter(|address| !self.has(address)).collect();
        self.left.extend(left.into_iter().map(|address| (address, now)));
        changed
    }
}

impl Known {
    /// The Services of a namespace, and `default/kubernetes`, which every Pod is told of.
    pub fn services(&self, namespace: &str) -> Vec<ServiceAddress> {
        let addresses = self.addresses.read();
        let own = addresses.get(namespace).into_iter().flat_map(BTreeMap::values).cloned();
        let api = addresses.get("default").and_then(|d| d.get("kubernetes")).filter(|_| namespace != "default");
        own.chain(api.cloned()).collect()
    }

    /// Waits until no slice says any more that the Pod of this address is ready, this node's kernel has heard of it, and
    /// the others had the time to: no node gives it new connections then. The slice may have changed before this is
    /// asked, for the Pod's deletion is what changes it.
    pub async fn out_of_rotation(&self, address: IpAddr) {
        let mut rotation = self.rotation.subscribe();
        // The sender lives as long as this does, so that waiting cannot fail.
        let left = match rotation.wait_for(|rotation| !rotation.has(&address)).await {
            Ok(rotation) => rotation.left.get(&address).copied(),
            Err(_) => None,
        };
        if let Some(since) = left {
            tokio::time::sleep_until((since + OTHERS).into()).await;
        }
    }

    fn set_service(&self, key: &ObjectKey, service: &views::Service) {
        let first = service.spec.cluster_ips.first().and_then(|ip| ip.parse().ok());
        let Some(cluster_ip) = first.filter(|_| service.spec.kind != "ExternalName") else {
            return self.remove_service(key);
        };
        let port = |port: &views::ServicePort| {
            Some(ServicePort {
                name: port.name.clone().unwrap_or_default(),
                protocol: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                port: u16::try_from(port.port).ok()?,
            })
        };
        let ports = service.spec.ports.iter().filter_map(port).collect();
        let address = ServiceAddress { namespace: key.0.clone(), name: key.1.clone(), cluster_ip, ports };
        self.addresses.write().entry(key.0.clone()).or_default().insert(key.1.clone(), address);
    }

    fn remove_service(&self, key: &ObjectKey) {
        let mut addresses = self.addresses.write();
        if let Some(namespace) = addresses.get_mut(&key.0) {
            namespace.remove(&key.1);
            if namespace.is_empty() {
                addresses.remove(&key.0);
            }
        }
    }

    fn set_ready(&self, slice: &ObjectKey, ready: BTreeSet<IpAddr>) {
        self.rotation.send_if_modified(|rotation| rotation.set(slice, ready, Instant::now()));
    }
}

/// A slice's ready endpoints on a node.
fn ready_on(node: &str, slice: &model::EndpointSlice) -> BTreeSet<IpAddr> {
    let here = slice.endpoints.iter().filter(|e| e.conditions.ready && e.node.as_deref() == Some(node));
    here.map(|e| e.address).collect()
}

/// Keeps what Pods may know true.
#[derive(Debug)]
pub struct ForPods {
    known: Arc<Known>,
    node: String,
    /// Of each slice that changed since the kernel was told last, the ready endpoints here.
    untold: BTreeMap<ObjectKey, BTreeSet<IpAddr>>,
}

impl ForPods {
    /// For the Pods of the node of this name.
    pub fn new(known: Arc<Known>, node: String) -> Self {
        Self { known, node, untold: BTreeMap::new() }
    }
}

impl Listener for ForPods {
    fn set_service(&mut self, key: &ObjectKey, service: &views::Service, _: Option<&model::Service>) {
        self.known.set_service(key, service);
    }

    fn remove_service(&mut self, key: &ObjectKey) {
        self.known.remove_service(key);
    }

    fn set_slice(&mut self, key: &ObjectKey, _: &views::EndpointSlice, traffic: Option<&model::EndpointSlice>) {
        let ready = traffic.map(|slice| ready_on(&self.node, slice)).unwrap_or_default();
        self.untold.insert(key.clone(), ready);
    }

    fn remove_slice(&mut self, key: &ObjectKey) {
        self.untold.insert(key.clone(), BTreeSet::new());
    }

    fn synced(&mut self, done: &Result<SyncReport, SyncError>, _: &Model) {
        if done.is_ok() {
            for (slice, ready) in std::mem::take(&mut self.untold) {
                self.known.set_ready(&slice, ready);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use model::{Conditions, EndpointSlice, NamespacedName, SliceEndpoint};

    use super::*;

    fn slice(address: &str, node: &str, ready: bool) -> EndpointSlice {
        let mut slice = EndpointSlice::new(NamespacedName::new("shop", "web"));
        let mut endpoint = SliceEndpoint::new(address.parse().unwrap());
        endpoint.node = Some(node.into());
        endpoint.conditions = Conditions { ready, serving: true, terminating: !ready };
        slice.endpoints.push(endpoint);
        slice
    }

    #[tokio::test]
    async fn a_pod_is_out_of_rotation_when_no_slice_calls_it_ready_and_all_have_heard() {
        let known = Arc::new(Known::default());
        let mut listener = ForPods::new(known.clone(), "here".to_owned());
        let address: IpAddr = "10.244.0.7".parse().unwrap();
        let out = |known: &Known| known.out_of_rotation(address).now_or_never().is_some();
        let view = views::EndpointSlice::default();
        let (one, two) = (("shop".to_owned(), "one".to_owned()), ("shop".to_owned(), "two".to_owned()));
        assert!(out(&known), "nobody knows it");
        listener.set_slice(&one, &view, Some(&slice("10.244.0.7", "here", true)));
        listener.set_slice(&two, &view, Some(&slice("10.244.0.7", "here", true)));
        listener.synced(&Ok(SyncReport::default()), &Model::default());
        assert!(!out(&known));
        listener.set_slice(&one, &view, Some(&slice("10.244.0.7", "here", false)));
        listener.synced(&Ok(SyncReport::default()), &Model::default());
        assert!(!out(&known), "another slice still has it");
        listener.remove_slice(&two);
        assert!(
            tokio::time::timeout(OTHERS, known.out_of_rotation(address)).await.is_err(),
            "the kernel has not heard"
        );
        listener.synced(&Ok(SyncReport::default()), &Model::default());
        assert!(!out(&known), "the other nodes may not have heard");
        known.out_of_rotation(address).await;
    }

    #[test]
    fn a_pod_is_told_of_its_namespace_and_of_the_api() {
        let known = Known::default();
        let service = |name: &str| {
            let object = serde_json::json!({
                "metadata": { "name": name }, "spec": { "clusterIPs": ["10.96.0.9"], "ports": [{ "port": 80 }] }
            });
            serde_json::from_value::<views::Service>(object).unwrap()
        };
        for (namespace, name) in [("default", "kubernetes"), ("default", "other"), ("shop", "web")] {
            known.set_service(&(namespace.to_owned(), name.to_owned()), &service(name));
        }
        let names = |namespace: &str| known.services(namespace).into_iter().map(|s| s.name).collect::<Vec<_>>();
        assert_eq!(names("shop"), ["web", "kubernetes"]);
        assert_eq!(names("default"), ["kubernetes", "other"]);
        known.remove_service(&("shop".to_owned(), "web".to_owned()));
        assert_eq!(names("shop"), ["kubernetes"]);
    }
}
