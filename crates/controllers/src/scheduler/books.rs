//! What the Pods of each node use up, kept current Pod by Pod. A Pod that was just bound is in the books before the
//! cache shows it there, so that the next one sees the room that is left.

use std::collections::{BTreeMap, HashMap};

use crate::objects::node::Resources;
use crate::objects::pod::{Port, Protocol};
use crate::objects::{Meta, Pod};

/// What the Pods of a node use up.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// Their requests.
    pub used: Resources,
    /// How many there are of each owner, by uid.
    pub owners: HashMap<Box<str>, usize>,
    /// Ports of the node that are taken.
    pub ports: BTreeMap<(Protocol, i32), usize>,
}

/// The loads of all nodes.
#[derive(Debug, Default)]
pub struct Books {
    loads: BTreeMap<Box<str>, Load>,
    pods: HashMap<Box<str>, Entry>,
}

#[derive(Debug)]
struct Entry {
    node: Box<str>,
    /// Whether the cache does not show it yet.
    assumed: bool,
    requests: Resources,
    owner: Option<Box<str>>,
    ports: Vec<(Protocol, i32)>,
}

/// The ports of the node that a Pod takes.
pub fn host_ports(pod: &Pod) -> impl Iterator<Item = (Protocol, i32)> + '_ {
    pod.spec.ports.iter().filter_map(|port: &Port| Some((port.protocol, port.host_port?)))
}

impl Books {
    /// The load of a node; `None`: it has no Pods.
    pub fn load(&self, node: &str) -> Option<&Load> {
        self.loads.get(node)
    }

    /// Notes a Pod as the cache shows it.
    pub fn see(&mut self, pod: &Pod) {
        match pod.node_name().filter(|_| !pod.terminal()) {
            Some(node) => self.enter(pod, node, false),
            // Its binding is on the way.
            None if !pod.terminal() && self.pods.get(pod.uid()).is_some_and(|entry| entry.assumed) => {}
            None => self.remove(pod.uid()),
        }
    }

    /// Notes a Pod as bound to a node, ahead of the cache.
    pub fn assume(&mut self, pod: &Pod, node: &str) {
        self.enter(pod, node, true);
    }

    /// Takes an assumption back, unless the cache has confirmed it.
    pub fn forget(&mut self, uid: &str) {
        if self.pods.get(uid).is_some_and(|entry| entry.assumed) {
            self.remove(uid);
        }
    }

    /// Strikes a Pod out.
    pub fn remove(&mut self, uid: &str) {
        let Some(entry) = self.pods.remove(uid) else { return };
        let Some(load) = self.loads.get_mut(&entry.node) else { return };
        load.used = std::mem::take(&mut load.used).minus(&entry.requests);
        if let Some(owner) = &entry.owner {
            take_one(&mut load.owners, owner);
        }
        for port in &entry.ports {
            if let Some(count) = load.ports.get_mut(port) {
                *count -= 1;
                if *count == 0 {
                    load.ports.remove(port);
                }
            }
        }
        if load.used.pods == 0 {
            self.loads.remove(&entry.node);
        }
    }

    fn enter(&mut self, pod: &Pod, node: &str, assumed: bool) {
        self.remove(pod.uid());
        let entry = Entry {
            node: node.into(),
            assumed,
            requests: pod.spec.requests.clone(),
            owner: pod.controller().map(|owner| owner.uid.as_str().into()),
            ports: host_ports(pod).collect(),
        };
        let load = self.loads.entry(node.into()).or_default();
        load.used = std::mem::take(&mut load.used).plus(&entry.requests);
        if let Some(owner) = &entry.owner {
            *load.owners.entry(owner.clone()).or_default() += 1;
        }
        for port in &entry.ports {
            *load.ports.entry(*port).or_default() += 1;
        }
        self.pods.insert(pod.uid().into(), entry);
    }
}

fn take_one(counts: &mut HashMap<Box<str>, usize>, key: &str) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
