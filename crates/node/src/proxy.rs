//! kube-proxy's job, and nothing else: the rules of one node of a cluster whose API, Pods, DNS and load balancer are
//! somebody else's.
//!
//! What it must know beside Services and slices it reads from the API: the node's own object ([`own_node`]) and the
//! ranges of cluster IPs ([`service_ranges`]). Nothing is programmed before both are known: after a restart, what the
//! kernel holds is compared with the whole truth.

pub mod config;
mod own_node;
mod service_ranges;

use dataplane::backend::nftables;
use dataplane::{Dataplane, Family, model};
use ipnet::IpNet;
use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use config::Config;
use own_node::OwnNode;

use crate::services;

/// Why kube-proxy's job cannot be done, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The data plane cannot reach the kernel.
    #[error("the data plane cannot start")]
    Dataplane(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A part of it ended, which none does by itself.
    #[error("the agent's {0} ended by itself")]
    Ended(&'static str),
}

/// Keeps the rules of a node true until told to stop. What it put into the kernel stays.
///
/// # Errors
/// When it cannot start, or a part of it dies.
pub async fn run(config: Config, client: Client, stop: CancellationToken) -> Result<(), ProxyError> {
    let mut parts = JoinSet::new();
    let (tell_own, mut own) = watch::channel(None);
    let (tell_ranges, mut ranges) = watch::channel(None);
    let part = own_node::keep(client.clone(), config.node_name.clone(), tell_own, stop.clone());
    parts.spawn(named("node", part));
    parts.spawn(named("Service ranges", service_ranges::keep(client.clone(), tell_ranges, stop.clone())));

    let Some(first) = known(&mut own, &stop).await else { return Ok(()) };
    let Some(first_ranges) = known(&mut ranges, &stop).await else { return Ok(()) };
    let families = families(&first);
    tracing::info!(
        node = config.node_name,
        addresses = ?first.addresses,
        pod_cidrs = ?first.pod_cidrs,
        service_cidrs = ?first_ranges,
        ?families,
        "the node is known"
    );
    let chosen = dataplane::Config { families, ..dataplane::Config::default() };
    let backend = nftables::Backend::new(chosen).map_err(|e| ProxyError::Dataplane(e.into()))?;
    let (tell_node, node) = watch::channel(model_node(&config, &first, &first_ranges));
    let dataplane = Dataplane::new(backend, node.borrow().clone());
    let (tell_programmed, _programmed) = watch::channel(false);
    let part = services::keep(client, dataplane, Vec::new(), node, tell_programmed, stop.clone());
    parts.spawn(named("Services", part));
    parts.spawn(named("data plane", tell_dataplane(config, own, ranges, tell_node, stop.clone())));

    tokio::select! {
        () = stop.cancelled() => Ok(()),
        Some(ended) = parts.join_next() => match ended {
            _ if stop.is_cancelled() => Ok(()),
            ended => Err(ProxyError::Ended(ended.unwrap_or("task"))),
        },
    }
}

async fn named(name: &'static str, part: impl Future<Output = ()>) -> &'static str {
    part.await;
    name
}

/// What is known first; `None` when told to stop, or when nobody is left who could tell.
async fn known<T: Clone>(told: &mut watch::Receiver<Option<T>>, stop: &CancellationToken) -> Option<T> {
    tokio::select! {
        () = stop.cancelled() => None,
        known = told.wait_for(Option::is_some) => known.ok()?.clone(),
    }
}

/// The families that the node has addresses of, as far as the machine has them too: each is a table of its own.
fn families(own: &OwnNode) -> Vec<Family> {
    let has = |family| own.addresses.iter().any(|address| Family::of(*address) == family);
    let mut families: Vec<Family> = [Family::V4, Family::V6].into_iter().filter(|family| has(*family)).collect();
    // The kernel may have been started with ipv6.disable=1.
    if families.len() > 1 && !std::path::Path::new("/proc/net/if_inet6").exists() {
        tracing::warn!("the node has an IPv6 address, but this machine has no IPv6: Services are served by IPv4 alone");
        families.retain(|family| *family == Family::V4);
    }
    families
}

fn model_node(config: &Config, own: &OwnNode, service_cidrs: &[IpNet]) -> model::Node {
    model::Node {
        name: config.node_name.as_str().into(),
        zone: own.zone.as_deref().map(Into::into),
        addresses: own.addresses.clone(),
        // As kube-proxy has it in nftables mode: node ports answer at the node's own addresses.
        node_port_addresses: own.addresses.iter().map(|address| IpNet::from(*address)).collect(),
        pod_cidrs: own.pod_cidrs.clone(),
        service_cidrs: service_cidrs.to_vec(),
        masquerade_all: false,
        loopback_relay: None,
    }
}

/// Tells the data plane when the node or the ranges change.
async fn tell_dataplane(
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
            tell.send_if_modified(|held| {
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
