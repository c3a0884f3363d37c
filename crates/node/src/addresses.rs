//! The load balancer's addresses, and which nodes may announce each.
//!
//! Any node may announce an address, unless a Service of that address keeps its clients' source
//! (`externalTrafficPolicy: Local`): then only nodes with a ready endpoint of it may.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use dataplane::model::{EndpointSlice, IpMode, Service, TrafficPolicy};
use loadbalancer::election::Claim;

use crate::follow::ObjectKey;

/// The addresses with who may announce each, in order.
pub type Addresses = Vec<Claim>;

#[derive(Debug)]
struct Balanced {
    addresses: Vec<IpAddr>,
    local: bool,
}

/// Keeps the addresses true while Services and slices change.
#[derive(Debug, Default)]
pub struct BalancedAddresses {
    services: BTreeMap<ObjectKey, Balanced>,
    /// Of each slice: its Service, and the nodes with ready endpoints in it.
    slices: BTreeMap<ObjectKey, (ObjectKey, BTreeSet<String>)>,
}

impl BalancedAddresses {
    /// A Service is there.
    pub fn set_service(&mut self, key: &ObjectKey, service: &Service) {
        let vips = service.load_balancer.iter().filter(|a| a.mode == IpMode::Vip);
        let addresses: Vec<IpAddr> = vips.map(|a| a.address).collect();
        if addresses.is_empty() {
            self.services.remove(key);
        } else {
            let local = service.external_policy == TrafficPolicy::Local;
            self.services.insert(key.clone(), Balanced { addresses, local });
        }
    }

    /// A Service is gone.
    pub fn remove_service(&mut self, key: &ObjectKey) {
        self.services.remove(key);
    }

    /// A slice is there.
    pub fn set_slice(&mut self, key: &ObjectKey, slice: &EndpointSlice) {
        let ready = slice.endpoints.iter().filter(|e| e.conditions.ready);
        let nodes = ready.filter_map(|e| e.node.as_deref().map(str::to_owned)).collect();
        let service = (slice.service.namespace().to_owned(), slice.service.name().to_owned());
        self.slices.insert(key.clone(), (service, nodes));
    }

    /// A slice is gone.
    pub fn remove_slice(&mut self, key: &ObjectKey) {
        self.slices.remove(key);
    }

    /// The addresses as they are now.
    pub fn snapshot(&self) -> Addresses {
        let mut found: BTreeMap<IpAddr, Option<BTreeSet<String>>> = BTreeMap::new();
        for (key, balanced) in &self.services {
            let only = balanced.local.then(|| self.nodes_of(key));
            for &address in &balanced.addresses {
                // Services that share an address: the nodes that can serve all of them.
                let held = found.entry(address).or_default();
                *held = match (held.take(), only.clone()) {
                    (Some(one), Some(other)) => Some(&one & &other),
                    (one, other) => one.or(other),
                };
            }
        }
        found.into_iter().map(|(address, only)| Claim { address, only }).collect()
    }

    fn nodes_of(&self, service: &ObjectKey) -> BTreeSet<String> {
        self.slices
            .values()
            .filter(|(owner, _)| owner == service)
            .flat_map(|(_, nodes)| nodes.iter().cloned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use dataplane::model::{LoadBalancerAddress, NamespacedName, SliceEndpoint};

    use super::*;

    fn key(name: &str) -> ObjectKey {
        ("shop".to_owned(), name.to_owned())
    }

    fn balanced(address: &str, local: bool) -> Service {
        Service {
            load_balancer: vec![LoadBalancerAddress { address: address.parse().unwrap(), mode: IpMode::Vip }],
            external_policy: if local { TrafficPolicy::Local } else { TrafficPolicy::Cluster },
            ..Service::default()
        }
    }

    fn slice(service: &str, nodes: &[&str]) -> EndpointSlice {
        let mut slice = EndpointSlice::new(NamespacedName::new("shop", service));
        for node in nodes {
            let mut endpoint = SliceEndpoint::new("10.244.0.7".parse().unwrap());
            endpoint.node = Some((*node).into());
            slice.endpoints.push(endpoint);
        }
        slice
    }

    fn shown(addresses: &BalancedAddresses) -> Vec<String> {
        let only = |c: &Claim| c.only.as_ref().map(|o| o.iter().cloned().collect::<Vec<_>>().join(","));
        addresses.snapshot().iter().map(|c| format!("{} {:?}", c.address, only(c))).collect()
    }

    #[test]
    fn with_local_policy_only_nodes_with_ready_endpoints_announce() {
        let mut addresses = BalancedAddresses::default();
        addresses.set_slice(&key("web-1"), &slice("web", &["a", "b"]));
        addresses.set_service(&key("web"), &balanced("172.30.0.200", true));
        assert_eq!(shown(&addresses), [r#"172.30.0.200 Some("a,b")"#]);
        addresses.set_service(&key("web"), &balanced("172.30.0.200", false));
        assert_eq!(shown(&addresses), ["172.30.0.200 None"]);
        addresses.remove_service(&key("web"));
        assert!(shown(&addresses).is_empty());
    }

    #[test]
    fn services_that_share_an_address_are_announced_where_all_can_be_served() {
        let mut addresses = BalancedAddresses::default();
        addresses.set_service(&key("one"), &balanced("172.30.0.200", true));
        addresses.set_service(&key("two"), &balanced("172.30.0.200", true));
        addresses.set_service(&key("three"), &balanced("172.30.0.200", false));
        addresses.set_slice(&key("one-1"), &slice("one", &["a", "b"]));
        addresses.set_slice(&key("two-1"), &slice("two", &["b", "c"]));
        assert_eq!(shown(&addresses), [r#"172.30.0.200 Some("b")"#]);
    }

    #[test]
    fn an_address_that_a_balancer_rewrites_is_not_announced() {
        let mut addresses = BalancedAddresses::default();
        let mut service = balanced("172.30.0.200", false);
        service.load_balancer[0].mode = IpMode::Proxy;
        addresses.set_service(&key("web"), &service);
        assert!(shown(&addresses).is_empty());
    }
}
