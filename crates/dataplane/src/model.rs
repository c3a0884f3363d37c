//! What the node must know: Services, slices and the node itself, changed in place. Only what traffic depends on is
//! kept; each change marks the Service that it concerns, so that a sync costs what changed.
//!
//! Slices may come before their Service and outlive it: both orders end in the same state.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

mod family;
mod fault;
mod name;
mod node;
mod service;
mod slice;

pub use family::Family;
pub use fault::{Fault, Problem, Reason};
pub use name::NamespacedName;
pub use node::{InterfaceName, Node, PodInterface};
pub use service::{
    ANNOTATION_CONSISTENT, ANNOTATION_RESET_DEPARTED, IpMode, LABEL_HEADLESS, LABEL_PROXY_NAME, LoadBalancerAddress,
    Protocol, Service, ServicePort, TrafficPolicy,
};
pub use slice::{Conditions, EndpointSlice, SliceEndpoint, SlicePort};
pub(crate) use slice::{StoredEndpoint, StoredSlice};

use name::Interner;

/// A Service's number while it, or a slice of it, is known. Numbers are used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ServiceId(u32);

/// A Service together with its slices.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: NamespacedName,
    pub(crate) service: Option<Service>,
    pub(crate) slices: Vec<StoredSlice>,
}

/// All that is known.
#[derive(Debug, Default)]
pub struct Model {
    node: Node,
    node_changed: bool,
    names: Interner,
    ids: HashMap<NamespacedName, ServiceId>,
    /// By number; boxed, as a vector that grows has room to spare.
    entries: Vec<Option<Box<Entry>>>,
    free: Vec<ServiceId>,
    /// Which Service a slice belongs to.
    slices: HashMap<NamespacedName, ServiceId>,
    dirty: BTreeSet<ServiceId>,
    /// Addresses that left a slice, whatever other slices say of them.
    left: BTreeSet<IpAddr>,
}

impl Model {
    /// Nothing but the node.
    pub fn new(node: Node) -> Model {
        Model { node, node_changed: true, ..Model::default() }
    }

    /// The node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Replaces what is known of the node. Costs a look at every Service when something changed (of the nodes that take
    /// what is passed on, only if there is a Service for which that is done).
    pub fn set_node(&mut self, node: Node) {
        let is_as_before = |takers: &Node| Node { takers: takers.takers.clone(), ..node.clone() } == *takers;
        if self.node != node {
            self.node_changed |= !is_as_before(&self.node) || self.has_consistent();
            self.node = node;
        }
    }

    fn has_consistent(&self) -> bool {
        let mut services = self.entries.iter().flatten().filter_map(|entry| entry.service.as_ref());
        services.any(|service| service.consistent)
    }

    /// Adds or replaces a Service.
    pub fn set_service(&mut self, name: NamespacedName, service: Service) {
        let id = self.id(name);
        let Some(entry) = self.entry_mut(id) else { return };
        if entry.service.as_ref() != Some(&service) {
            let was_consistent = entry.service.as_ref().is_some_and(|service| service.consistent);
            // What is known of other nodes was of no use before.
            let begins = service.consistent && !was_consistent;
            entry.service = Some(service.shrink());
            self.dirty.insert(id);
            self.node_changed |= begins;
        }
    }

    /// Forgets a Service. One that is not known is no error.
    pub fn remove_service(&mut self, name: &NamespacedName) {
        let Some(&id) = self.ids.get(name) else { return };
        if self.entry_mut(id).is_some_and(|entry| entry.service.take().is_some()) {
            self.dirty.insert(id);
        }
    }

    /// Adds or replaces the slice `name`; it may have gone over to another Service.
    pub fn set_slice(&mut self, name: NamespacedName, slice: EndpointSlice) {
        let id = self.id(slice.service.clone());
        if self.slices.get(&name).is_some_and(|owner| *owner != id) {
            self.remove_slice(&name);
        }
        let new = StoredSlice::new(name.clone(), slice, &mut self.names);
        let Some(entry) = self.entry_mut(id) else { return };
        match entry.slices.binary_search_by(|old| old.name.cmp(&name)) {
            Ok(at) if entry.slices[at] == new => return,
            Ok(at) => {
                let old = std::mem::replace(&mut entry.slices[at], new);
                let left = old.lost_to(&entry.slices[at]);
                self.left.extend(left);
            }
            Err(at) => entry.slices.insert(at, new),
        }
        self.slices.insert(name, id);
        self.dirty.insert(id);
    }

    /// Forgets a slice. One that is not known is no error.
    pub fn remove_slice(&mut self, name: &NamespacedName) {
        let Some(id) = self.slices.remove(name) else { return };
        let Some(entry) = self.entry_mut(id) else { return };
        let Ok(at) = entry.slices.binary_search_by(|old| old.name.cmp(name)) else { return };
        let old = entry.slices.remove(at);
        self.left.extend(old.tcp_addresses());
        self.dirty.insert(id);
    }

    /// The addresses that left a slice with a TCP port since the last call: perhaps for another slice.
    pub(crate) fn take_left(&mut self) -> BTreeSet<IpAddr> {
        std::mem::take(&mut self.left)
    }

    /// The Service that a slice belongs to, which may not be known itself; `None`: there is no such slice.
    pub fn service_of_slice(&self, slice: &NamespacedName) -> Option<&NamespacedName> {
        Some(&self.entry(*self.slices.get(slice)?)?.name)
    }

    /// Whether a Service is known.
    pub fn has_service(&self, name: &NamespacedName) -> bool {
        self.ids.get(name).and_then(|id| self.entry(*id)).is_some_and(|entry| entry.service.is_some())
    }

    /// How many Services are known.
    pub fn service_count(&self) -> usize {
        self.entries.iter().flatten().filter(|entry| entry.service.is_some()).count()
    }

    /// All names of Services and slices that are known: what a list did not hold any more is to be removed.
    pub fn known(&self) -> (Vec<NamespacedName>, Vec<NamespacedName>) {
        let services = self.entries.iter().flatten().filter(|entry| entry.service.is_some());
        let mut services: Vec<_> = services.map(|entry| entry.name.clone()).collect();
        let mut slices: Vec<_> = self.slices.keys().cloned().collect();
        services.sort_unstable();
        slices.sort_unstable();
        (services, slices)
    }

    /// Whether a sync would have something to do.
    pub fn is_dirty(&self) -> bool {
        self.node_changed || !self.dirty.is_empty()
    }

    /// A Service's number, if it or a slice of it is known.
    pub(crate) fn find(&self, name: &NamespacedName) -> Option<ServiceId> {
        self.ids.get(name).copied()
    }

    pub(crate) fn entry(&self, id: ServiceId) -> Option<&Entry> {
        self.entries.get(id.0 as usize)?.as_deref()
    }

    /// Every Service's number, ordered by name.
    pub(crate) fn all(&self) -> Vec<ServiceId> {
        self.in_order((0..self.entries.len() as u32).map(ServiceId).collect())
    }

    /// What changed since the last call, ordered by name; and whether the node did.
    pub(crate) fn take_dirty(&mut self) -> (Vec<ServiceId>, bool) {
        let dirty = std::mem::take(&mut self.dirty).into_iter().collect();
        (self.in_order(dirty), std::mem::take(&mut self.node_changed))
    }

    /// Gives back the numbers of these Services if nothing is known of them any more. To be called when no rules are
    /// held for them.
    pub(crate) fn release(&mut self, ids: &[ServiceId]) {
        for id in ids {
            let Some(slot) = self.entries.get_mut(id.0 as usize) else { continue };
            if let Some(entry) = slot.take_if(|entry| entry.service.is_none() && entry.slices.is_empty()) {
                self.ids.remove(&entry.name);
                self.dirty.remove(id);
                self.free.push(*id);
            }
        }
    }

    fn in_order(&self, mut ids: Vec<ServiceId>) -> Vec<ServiceId> {
        ids.retain(|id| self.entry(*id).is_some());
        ids.sort_unstable_by_key(|id| self.entry(*id).map(|entry| &entry.name));
        ids
    }

    fn entry_mut(&mut self, id: ServiceId) -> Option<&mut Entry> {
        self.entries.get_mut(id.0 as usize)?.as_deref_mut()
    }

    fn id(&mut self, name: NamespacedName) -> ServiceId {
        if let Some(id) = self.ids.get(&name) {
            return *id;
        }
        let entry = Box::new(Entry { name: name.clone(), service: None, slices: Vec::new() });
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id.0 as usize] = Some(entry);
                id
            }
            None => {
                self.entries.push(Some(entry));
                ServiceId((self.entries.len() - 1) as u32)
            }
        };
        self.ids.insert(name, id);
        id
    }
}

#[cfg(test)]
mod tests;
