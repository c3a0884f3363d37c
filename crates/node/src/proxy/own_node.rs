//! The node's own object, as somebody else (a kubelet) keeps it.

use std::net::IpAddr;
use std::sync::Arc;

use futures::StreamExt;
use ipnet::IpNet;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::follow::{Change, follow};
use crate::health::{Health, TO_BE_DELETED};
use crate::views;

/// What is read of the node's object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnNode {
    /// Its internal addresses, or its external ones where it has no others; the first of each family, as kube-proxy
    /// has it.
    pub addresses: Vec<IpAddr>,
    /// Its zone.
    pub zone: Option<String>,
    /// The ranges of its Pods.
    pub pod_cidrs: Vec<IpNet>,
    /// Whether it may be given traffic: nobody is about to take it away.
    pub eligible: bool,
}

impl OwnNode {
    fn of(node: &views::Node) -> Self {
        let all = |kind: &'static str| node.status.addresses.iter().filter(move |a| a.kind == kind);
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in all("InternalIP").chain(all("ExternalIP")).filter_map(|a| a.address.parse().ok()) {
            let address: IpAddr = address;
            if !addresses.iter().any(|held| held.is_ipv4() == address.is_ipv4()) {
                addresses.push(address);
            }
        }
        let ranges =
            node.spec.pod_cidrs.iter().chain(node.spec.pod_cidr.iter().filter(|_| node.spec.pod_cidrs.is_empty()));
        Self {
            addresses,
            zone: node.zone().map(str::to_owned),
            pod_cidrs: ranges.filter_map(|range| range.parse().ok()).collect(),
            eligible: node.metadata.deletion_timestamp.is_none()
                && !node.spec.taints.iter().any(|taint| taint.key == TO_BE_DELETED),
        }
    }
}

/// Follows the node's object and tells what it says, until told to stop. Nothing is told before it has an address;
/// when it is gone, what was told stays, but the node is given no traffic.
pub(super) async fn keep(
    client: Client,
    name: String,
    health: Arc<Health>,
    tell: watch::Sender<Option<OwnNode>>,
    stop: CancellationToken,
) {
    let own = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut changes = std::pin::pin!(follow(Api::<views::Node>::all(client), own));
    let mut said = false;
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return,
            change = changes.next() => change,
        };
        match change {
            None => return,
            // A server that knows no selector would tell of every node.
            Some(Change::Set(node)) if node.metadata.name.as_deref() == Some(&name) => {
                let now = OwnNode::of(&node);
                health.set_eligible(now.eligible);
                if !now.addresses.is_empty() {
                    tell.send_if_modified(|held| {
                        let changed = held.as_ref() != Some(&now);
                        *held = Some(now);
                        changed
                    });
                }
            }
            Some(Change::Gone((_, gone))) if gone == name => health.set_eligible(false),
            Some(Change::Synced) if tell.borrow().is_none() && !said => {
                said = true;
                tracing::warn!(node = name, "the node has no object with an address yet; the agent waits for it");
            }
            Some(_) => {}
        }
    }
}

#[cfg(test)]
mod tests;
