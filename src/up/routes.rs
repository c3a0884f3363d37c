//! Routes from the namespace of `up` into the cluster, so that Pod IPs and cluster IPs answer there too.
//!
//! A Pod range goes by way of its node. The Service range goes by way of some node that is ready: any knows all
//! Services. When that node dies, another takes its place. Node ports and load-balancer addresses need no route: they
//! are neighbours on the bridge.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::Result;
use futures::StreamExt;
use ipnet::Ipv4Net;
use kube::{Api, Client};
use node::follow::{Change, follow};
use node::routes::Routes;
use node::views;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::network;

/// Follows the nodes and keeps the routes true. Tells which nodes are ready, each time after its routes are set.
///
/// # Errors
/// When the kernel gives no netlink socket.
pub async fn keep(
    client: Client,
    service_cidr: Ipv4Net,
    ready: watch::Sender<Vec<String>>,
    stop: CancellationToken,
) -> Result<()> {
    // The bridge by which they go was made by this process.
    let mut routes = Routes::new(network::connect()?);
    let mut changes = std::pin::pin!(follow(Api::<views::Node>::all(client), Default::default()));
    let mut nodes: BTreeMap<String, Place> = BTreeMap::new();
    let mut synced = false;
    loop {
        let change = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            change = changes.next() => change,
        };
        match change {
            None => return Ok(()),
            Some(Change::Set(node)) => {
                if let Some(name) = node.metadata.name.clone() {
                    nodes.insert(name, Place::of(&node));
                }
            }
            Some(Change::Gone((_, name))) => {
                nodes.remove(&name);
            }
            Some(Change::Synced) => synced = true,
        }
        if !synced {
            continue;
        }
        if let Err(error) = routes.set(&wanted(&nodes, service_cidr)).await {
            tracing::warn!(%error, "a route into the cluster could not be set");
        }
        let names = nodes.iter().filter(|(_, p)| p.ready).map(|(name, _)| name.clone()).collect();
        ready.send_replace(names);
    }
}

struct Place {
    address: Option<Ipv4Addr>,
    pod_cidr: Option<Ipv4Net>,
    ready: bool,
}

impl Place {
    fn of(node: &views::Node) -> Self {
        Self {
            address: node.internal_ip(),
            pod_cidr: node.spec.pod_cidr.as_ref().and_then(|c| c.parse().ok()),
            ready: node.is_ready(),
        }
    }
}

/// The routes wanted: each node's Pod range by the node, the Service range by the first node that is ready.
fn wanted(nodes: &BTreeMap<String, Place>, service_cidr: Ipv4Net) -> BTreeMap<Ipv4Net, Ipv4Addr> {
    let pods = nodes.values().filter_map(|n| Some((n.pod_cidr?, n.address?)));
    let services = nodes.values().filter(|n| n.ready).find_map(|n| n.address).map(|address| (service_cidr, address));
    pods.chain(services).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(address: &str, pods: &str, ready: bool) -> Place {
        Place { address: address.parse().ok(), pod_cidr: pods.parse().ok(), ready }
    }

    fn shown(nodes: &BTreeMap<String, Place>) -> Vec<String> {
        let services = "10.96.0.0/16".parse().unwrap();
        wanted(nodes, services).into_iter().map(|(to, by)| format!("{to} via {by}")).collect()
    }

    #[test]
    fn the_service_range_moves_to_another_node_when_its_node_is_not_ready() {
        let mut nodes = BTreeMap::from([
            ("node-1".to_owned(), place("172.30.0.2", "10.244.0.0/24", true)),
            ("node-2".to_owned(), place("172.30.0.3", "10.244.1.0/24", true)),
        ]);
        let pods = ["10.244.0.0/24 via 172.30.0.2", "10.244.1.0/24 via 172.30.0.3"];
        assert_eq!(shown(&nodes), ["10.96.0.0/16 via 172.30.0.2", pods[0], pods[1]]);
        nodes.get_mut("node-1").unwrap().ready = false;
        assert_eq!(shown(&nodes), ["10.96.0.0/16 via 172.30.0.3", pods[0], pods[1]]);
        nodes.get_mut("node-2").unwrap().ready = false;
        assert_eq!(shown(&nodes), pods);
    }

    #[test]
    fn a_node_without_a_pod_range_has_no_route() {
        let nodes = BTreeMap::from([("node-1".to_owned(), place("172.30.0.2", "", true))]);
        assert_eq!(shown(&nodes), ["10.96.0.0/16 via 172.30.0.2"]);
    }
}
