//! Which part of the cluster's range a node gets for its Pods.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::json;

use crate::change::{Change, NODES, Note, Part, Reference};
use crate::objects::{Meta, Node};

/// The parts of a range, and who has which.
#[derive(Debug)]
pub struct Parts {
    range: IpNet,
    mask: u8,
    /// By number, the first is 0.
    taken: BTreeMap<u128, String>,
}

impl Parts {
    /// A range in parts of a prefix length, of which nothing is taken.
    pub fn new(range: IpNet, mask: u8) -> Self {
        Self { range: range.trunc(), mask, taken: BTreeMap::new() }
    }

    fn size(&self) -> u128 {
        1 << (self.range.max_prefix_len() - self.mask).min(127)
    }

    fn count(&self) -> u128 {
        1 << (self.mask - self.range.prefix_len()).min(127)
    }

    /// The parts that a network takes away, if it is within the range.
    fn numbers(&self, net: &IpNet) -> Option<std::ops::RangeInclusive<u128>> {
        let within = net.addr().is_ipv4() == self.range.addr().is_ipv4()
            && (self.range.contains(net) || net.contains(&self.range));
        let base = number(self.range.network());
        let first = number(net.network()).saturating_sub(base) / self.size();
        let last = number(net.broadcast()).saturating_sub(base) / self.size();
        within.then(|| first..=last.min(self.count() - 1))
    }

    /// Notes what a node has.
    pub fn claim(&mut self, node: &str, nets: &[IpNet]) {
        for net in nets {
            // A net as large as the range would be millions of parts: it is kept as those that are taken first.
            for number in self.numbers(net).into_iter().flatten().take(1 << 16) {
                self.taken.entry(number).or_insert_with(|| node.to_owned());
            }
        }
    }

    /// Gives a node the first free part.
    pub fn allocate(&mut self, node: &str) -> Option<IpNet> {
        let mut free = 0;
        for number in self.taken.keys() {
            if *number != free {
                break;
            }
            free += 1;
        }
        if free >= self.count() {
            return None;
        }
        self.taken.insert(free, node.to_owned());
        let address = number(self.range.network()) + free * self.size();
        let address: IpAddr = match self.range.network() {
            IpAddr::V4(_) => IpAddr::V4(u32::try_from(address).ok()?.into()),
            IpAddr::V6(_) => IpAddr::V6(address.into()),
        };
        IpNet::new(address, self.mask).ok()
    }

    /// Takes back all that a node has.
    pub fn release(&mut self, node: &str) {
        self.taken.retain(|_, owner| owner != node);
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The ranges that a node has.
pub fn ranges(node: &Node) -> Vec<IpNet> {
    let all = node.spec.pod_cidrs.iter().flatten().chain(&node.spec.pod_cidr);
    all.filter_map(|text| text.parse().ok()).collect()
}

/// What is to be done about a node without a range: the write, or what to say.
pub fn plan(node: &Node, parts: &mut Parts) -> Option<Result<Change, Note>> {
    let has = ranges(node);
    if !has.is_empty() {
        parts.claim(node.name(), &has);
        return None;
    }
    Some(match parts.allocate(node.name()) {
        Some(net) => {
            let spec = json!({"podCIDR": net.to_string(), "podCIDRs": [net.to_string()]});
            let patch = json!({"metadata": {"resourceVersion": node.resource_version()}, "spec": spec});
            Ok(Change::merge(NODES, node, Part::Main, patch))
        }
        None => {
            let message = format!("Node {} status is now: CIDRNotAvailable", node.name());
            Err(Note::normal(Reference::to(NODES, node), "CIDRNotAvailable", message))
        }
    })
}
