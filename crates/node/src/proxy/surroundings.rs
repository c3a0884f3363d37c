//! What the data plane must know of the node, put together from the node's object, the ranges of cluster IPs, and what
//! was chosen.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use dataplane::{Family, model};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::config::{Config, NodePorts, Pods};
use super::own_node::OwnNode;
use crate::health_check::Addresses;

/// The families that the node has addresses of, as far as the machine has them too: each is a table of its own.
pub(super) fn families(addresses: &[IpAddr]) -> Vec<Family> {
    let has = |family| addresses.iter().any(|address| Family::of(*address) == family);
    let mut families: Vec<Family> = [Family::V4, Family::V6].into_iter().filter(|family| has(*family)).collect();
    // The kernel may have been started with ipv6.disable=1.
    if families.len() > 1 && !Path::new("/proc/net/if_inet6").exists() {
        tracing::warn!("the node has an IPv6 address, but this machine has no IPv6: Services are served by IPv4 alone");
        families.retain(|family| *family == Family::V4);
    }
    families
}

pub(super) fn model_node(config: &Config, own: &OwnNode, service_cidrs: &[IpNet]) -> model::Node {
    let mut addresses = own.addresses.clone();
    if let Some(chosen) = config.address {
        addresses.retain(|address| address.is_ipv4() != chosen.is_ipv4());
        addresses.insert(0, chosen);
    }
    model::Node {
        name: config.node_name.as_str().into(),
        zone: own.zone.as_deref().map(Into::into),
        node_port_addresses: node_port_ranges(&config.node_ports, &addresses),
        addresses,
        pod_cidrs: match &config.pods {
            Pods::OfNode => own.pod_cidrs.clone(),
            Pods::Ranges(ranges) => ranges.clone(),
            Pods::Interface(_) => Vec::new(),
        },
        pod_interfaces: match &config.pods {
            Pods::Interface(interface) => vec![*interface],
            Pods::OfNode | Pods::Ranges(_) => Vec::new(),
        },
        service_cidrs: service_cidrs.to_vec(),
        masquerade_all: config.masquerade_all,
        loopback_relay: None,
        takers: BTreeMap::new(),
    }
}

/// The ranges in which node ports answer, every family with at least one.
fn node_port_ranges(chosen: &NodePorts, addresses: &[IpAddr]) -> Vec<IpNet> {
    let mut ranges = chosen.ranges.clone();
    if chosen.primary {
        ranges.extend(addresses.iter().map(|address| IpNet::from(*address)));
    }
    for (family, everything) in
        [(Family::V4, IpNet::V4(Ipv4Net::default())), (Family::V6, IpNet::V6(Ipv6Net::default()))]
    {
        if !chosen.primary && !ranges.iter().any(|range| Family::of_net(range) == family) {
            ranges.push(everything);
        }
    }
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}

/// Which of the machine's addresses node ports answer at, at the moment of the question.
pub(super) fn node_port_addresses(node: watch::Receiver<model::Node>) -> Addresses {
    Arc::new(move || {
        let node = node.borrow();
        match crate::machine::addresses() {
            Ok(here) => here
                .into_iter()
                .filter(|address| !address.is_loopback())
                .filter(|address| node.node_port_addresses.iter().any(|range| range.contains(address)))
                .collect(),
            Err(error) => {
                tracing::warn!(%error, "the machine's addresses cannot be read; the node's own are taken");
                node.addresses.clone()
            }
        }
    })
}

/// Tells the data plane when the node or the ranges change. When the node has addresses of another family, which would be
/// another table, everything is told to stop.
pub(super) async fn keep(
    config: Config,
    mut own: watch::Receiver<Option<OwnNode>>,
    mut ranges: watch::Receiver<Option<Vec<IpNet>>>,
    tell: watch::Sender<model::Node>,
    stop: CancellationToken,
) {
    loop {
        let now = match (&*own.borrow_and_update(), &*ranges.borrow_and_update()) {
            (Some(own), Some(ranges)) => Some(model_node(&config, own, ranges)),
            _ => None,
        };
        if let Some(now) = now {
            let had = families(&tell.borrow().addresses);
            let has = families(&now.addresses);
            if had != has {
                tracing::info!(?had, ?has, "the node has addresses of other families: beginning anew");
                stop.cancel();
                return;
            }
            tell.send_if_modified(|held| {
                let now = model::Node { takers: held.takers.clone(), ..now };
                let changed = *held != now;
                *held = now;
                changed
            });
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = own.changed() => if changed.is_err() { return },
            changed = ranges.changed() => if changed.is_err() { return },
        }
    }
}

#[cfg(test)]
mod tests;
