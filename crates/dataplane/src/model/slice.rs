//! EndpointSlices.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::Arc;

use crate::model::fault::Fault;
use crate::model::name::{Interner, NamespacedName};
use crate::model::service::Protocol;

/// A slice as it is told to the model. Slices of type FQDN are not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSlice {
    /// The Service: the slice's own namespace and its label `kubernetes.io/service-name`.
    pub service: NamespacedName,
    /// Its ports; those without number are not told.
    pub ports: Vec<SlicePort>,
    /// Who serves.
    pub endpoints: Vec<SliceEndpoint>,
    /// Labelled `service.kubernetes.io/service-proxy-name`: not for us.
    pub other_proxy: bool,
    /// Labelled `service.kubernetes.io/headless`: not for us.
    pub headless_label: bool,
    /// What of the object could not be read, and is left out here.
    pub faults: Vec<Fault>,
}

impl EndpointSlice {
    /// A slice of `service` without ports and endpoints.
    pub fn new(service: NamespacedName) -> EndpointSlice {
        EndpointSlice {
            service,
            ports: Vec::new(),
            endpoints: Vec::new(),
            other_proxy: false,
            headless_label: false,
            faults: Vec::new(),
        }
    }
}

/// `ports[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlicePort {
    /// The Service port's name.
    pub name: Box<str>,
    /// The protocol.
    pub protocol: Protocol,
    /// The number on which the endpoints listen.
    pub port: NonZeroU16,
}

/// `endpoints[]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// The first of its addresses; the others are not used.
    pub address: IpAddr,
    /// Whether it serves.
    pub conditions: Conditions,
    /// Its node, if it has one.
    pub node: Option<Box<str>>,
    /// `hints.forZones`.
    pub zone_hints: Vec<Box<str>>,
    /// `hints.forNodes`.
    pub node_hints: Vec<Box<str>>,
}

impl SliceEndpoint {
    /// An endpoint that is ready, without node and hints.
    pub fn new(address: IpAddr) -> SliceEndpoint {
        let conditions = Conditions::from_api(None, None, None);
        SliceEndpoint { address, conditions, node: None, zone_hints: Vec::new(), node_hints: Vec::new() }
    }
}

/// `conditions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conditions {
    /// May be given new connections.
    pub ready: bool,
    /// Would answer, were it not for `terminating`.
    pub serving: bool,
    /// Is being deleted.
    pub terminating: bool,
}

impl Conditions {
    /// As the API means absent values: ready, serving, not terminating.
    pub fn from_api(ready: Option<bool>, serving: Option<bool>, terminating: Option<bool>) -> Conditions {
        Conditions {
            ready: ready.unwrap_or(true),
            serving: serving.unwrap_or(true),
            terminating: terminating.unwrap_or(false),
        }
    }
}

/// A slice as it is kept: each name once for all slices.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StoredSlice {
    pub(crate) name: NamespacedName,
    pub(crate) ignored: bool,
    pub(crate) ports: Box<[StoredPort]>,
    pub(crate) endpoints: Box<[StoredEndpoint]>,
    pub(crate) faults: Box<[Fault]>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StoredPort {
    pub(crate) name: Arc<str>,
    pub(crate) protocol: Protocol,
    pub(crate) port: NonZeroU16,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StoredEndpoint {
    pub(crate) address: IpAddr,
    pub(crate) conditions: Conditions,
    pub(crate) node: Option<Arc<str>>,
    pub(crate) hints: Option<Box<StoredHints>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StoredHints {
    pub(crate) zones: Box<[Arc<str>]>,
    pub(crate) nodes: Box<[Arc<str>]>,
}

impl StoredEndpoint {
    pub(crate) fn zone_hints(&self) -> &[Arc<str>] {
        self.hints.as_ref().map_or(&[], |hints| &hints.zones)
    }

    pub(crate) fn node_hints(&self) -> &[Arc<str>] {
        self.hints.as_ref().map_or(&[], |hints| &hints.nodes)
    }
}

impl StoredSlice {
    /// The addresses of its endpoints, if it has a port of TCP and is for us.
    pub(super) fn tcp_addresses(&self) -> impl Iterator<Item = IpAddr> {
        let tcp = !self.ignored && self.ports.iter().any(|port| port.protocol == Protocol::Tcp);
        self.endpoints.iter().filter(move |_| tcp).map(|endpoint| endpoint.address)
    }

    /// Those of them that are not so in what takes its place: they are gone, or so is a port.
    pub(super) fn lost_to(&self, new: &StoredSlice) -> BTreeSet<IpAddr> {
        let mut lost: BTreeSet<IpAddr> = self.tcp_addresses().collect();
        if new.ports == self.ports {
            for address in new.tcp_addresses() {
                lost.remove(&address);
            }
        }
        lost
    }

    pub(super) fn new(name: NamespacedName, slice: EndpointSlice, names: &mut Interner) -> StoredSlice {
        let ignored = slice.other_proxy || slice.headless_label;
        let mut all = |given: &[Box<str>]| given.iter().map(|name| names.intern(name)).collect::<Box<[_]>>();
        let endpoints = slice.endpoints.iter().map(|endpoint| {
            let SliceEndpoint { address, conditions, ref node, ref zone_hints, ref node_hints } = *endpoint;
            let node = node.as_ref().and_then(|node| all(std::slice::from_ref(node)).into_iter().next());
            let hinted = !zone_hints.is_empty() || !node_hints.is_empty();
            let hints = hinted.then(|| Box::new(StoredHints { zones: all(zone_hints), nodes: all(node_hints) }));
            StoredEndpoint { address: address.to_canonical(), conditions, node, hints }
        });
        let endpoints = endpoints.collect();
        let ports = slice.ports.iter().map(|SlicePort { name, protocol, port }| StoredPort {
            name: names.intern(name),
            protocol: *protocol,
            port: *port,
        });
        StoredSlice { name, ignored, ports: ports.collect(), endpoints, faults: slice.faults.into() }
    }
}
