//! What the node's Pods are told of Services: their addresses, as environment variables, and whether a Pod is still in
//! rotation, before it is asked to end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use dataplane::model;
use parking_lot::RwLock;
use pods::sources::{ServiceAddress, ServicePort};
use tokio::sync::watch;

use super::listener::Listener;
use crate::follow::ObjectKey;
use crate::views;

/// What is known, shared between the loop that follows Services and the Pods' runtime.
#[derive(Debug)]
pub struct Known {
    addresses: RwLock<BTreeMap<String, BTreeMap<String, ServiceAddress>>>,
    /// Of each slice with ready endpoints on this node, their addresses.
    rotation: watch::Sender<BTreeMap<ObjectKey, BTreeSet<IpAddr>>>,
}

impl Default for Known {
    fn default() -> Self {
        Self { addresses: RwLock::default(), rotation: watch::Sender::new(BTreeMap::new()) }
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

    /// Waits until no slice says any more that the Pod of this address is ready: no node gives it new connections then,
    /// but for those that have not heard yet.
    pub async fn out_of_rotation(&self, address: IpAddr) {
        let mut rotation = self.rotation.subscribe();
        // The sender lives as long as this does, so that waiting cannot fail.
        let _ = rotation.wait_for(|slices| !slices.values().any(|ready| ready.contains(&address))).await;
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

    fn set_slice(&self, key: &ObjectKey, slice: &model::EndpointSlice, node: &str) {
        let here = slice.endpoints.iter().filter(|e| e.conditions.ready && e.node.as_deref() == Some(node));
        let ready: BTreeSet<IpAddr> = here.map(|e| e.address).collect();
        self.rotation.send_if_modified(|slices| {
            if ready.is_empty() {
                slices.remove(key).is_some()
            } else {
                slices.insert(key.clone(), ready.clone()).as_ref() != Some(&ready)
            }
        });
    }

    fn remove_slice(&self, key: &ObjectKey) {
        self.rotation.send_if_modified(|slices| slices.remove(key).is_some());
    }
}

/// Keeps what Pods may know true.
#[derive(Debug)]
pub struct ForPods {
    /// What is known.
    pub known: Arc<Known>,
    /// The node's own name.
    pub node: String,
}

impl Listener for ForPods {
    fn set_service(&mut self, key: &ObjectKey, service: &views::Service, _: Option<&model::Service>) {
        self.known.set_service(key, service);
    }

    fn remove_service(&mut self, key: &ObjectKey) {
        self.known.remove_service(key);
    }

    fn set_slice(&mut self, key: &ObjectKey, _: &views::EndpointSlice, traffic: Option<&model::EndpointSlice>) {
        match traffic {
            Some(traffic) => self.known.set_slice(key, traffic, &self.node),
            None => self.known.remove_slice(key),
        }
    }

    fn remove_slice(&mut self, key: &ObjectKey) {
        self.known.remove_slice(key);
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

    #[test]
    fn a_pod_is_out_of_rotation_when_no_slice_calls_it_ready() {
        let known = Known::default();
        let address: IpAddr = "10.244.0.7".parse().unwrap();
        let out = |known: &Known| known.out_of_rotation(address).now_or_never().is_some();
        let (one, two) = (("shop".to_owned(), "one".to_owned()), ("shop".to_owned(), "two".to_owned()));
        assert!(out(&known), "nobody knows it");
        known.set_slice(&one, &slice("10.244.0.7", "here", true), "here");
        known.set_slice(&two, &slice("10.244.0.7", "here", true), "here");
        assert!(!out(&known));
        known.set_slice(&one, &slice("10.244.0.7", "here", false), "here");
        assert!(!out(&known), "another slice still has it");
        known.remove_slice(&two);
        assert!(out(&known));
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
