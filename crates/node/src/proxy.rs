//! kube-proxy's job, and nothing else: the rules of one node of a cluster whose API, Pods, DNS and load balancer are
//! somebody else's.
//!
//! What it must know beside Services and slices it reads from the API: the node's own object ([`own_node`]) and the
//! ranges of cluster IPs ([`service_ranges`]). Nothing is programmed before both are known: after a restart, what the
//! kernel holds is compared with the whole truth. What is chosen is said in kube-proxy's words ([`options`]), on the
//! command line or in kube-proxy's own [`mod@file`]. What it does is counted ([`figures`] into [`metrics`]) and can be
//! asked for ([`status`]), as kube-proxy can.

mod beside;
pub mod config;
pub mod conntrack;
mod figures;
pub mod file;
mod kernel_counts;
mod metrics;
pub mod options;
mod own_node;
mod service_ranges;
mod status;
mod surroundings;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dataplane::backend::nftables;
use dataplane::{Dataplane, model};
use ipnet::IpNet;
use kube::Client;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use beside::Beside;
pub use config::{Config, NodePorts, Pods};
use figures::Figures;
use metrics::Metrics;
use own_node::OwnNode;

use crate::addresses::Addresses;
use crate::announce;
use crate::connections::Connections;
use crate::counters::Counters;
use crate::events;
use crate::health::{Health, Pulse};
use crate::health_check::{self, Checks, HealthChecks};
use crate::node_local_dns::{self, ClusterDns, Followed, Following, Shown};
use crate::programmed::{self, Progress};
use crate::services::{self, Asked, Balanced, Changes, Listener, Names, Outside};

/// How many events may wait to be written.
const UNTOLD: usize = 64;

/// Why kube-proxy's job cannot be done, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The data plane cannot reach the kernel.
    #[error("the data plane cannot start")]
    Dataplane(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// DNS cannot be answered.
    #[error("DNS cannot be answered")]
    Dns(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A port is taken, and that was said to be fatal.
    #[error("{address} cannot be listened on")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A part of it ended, which none does by itself.
    #[error("the agent's {0} ended by itself")]
    Ended(&'static str),
}

/// How long the parts may take to end when they are told to.
const ENDING: Duration = Duration::from_secs(5);

/// Keeps the rules of a node true until told to stop, or until the node has addresses of other families than it had at
/// the start: whoever started it then starts it again. What it put into the kernel stays.
///
/// # Errors
/// When it cannot start, or a part of it dies.
pub async fn run(config: Config, client: Client, stop: CancellationToken) -> Result<(), ProxyError> {
    let mut parts = JoinSet::new();
    let stop = stop.child_token();
    let ended = start_and_wait(&mut parts, config, client, stop.clone()).await;
    stop.cancel();
    // Until the last of them has ended, what it listens on is taken.
    let all = async { while parts.join_next().await.is_some() {} };
    if tokio::time::timeout(ENDING, all).await.is_err() {
        tracing::warn!("a part does not end in time, and is dropped");
        parts.shutdown().await;
    }
    ended
}

async fn start_and_wait(
    parts: &mut JoinSet<&'static str>,
    config: Config,
    client: Client,
    stop: CancellationToken,
) -> Result<(), ProxyError> {
    let (health, counters) = (Arc::new(Health::default()), Arc::new(Counters::default()));
    let (metrics, (asker, asked)) = (Metrics::new(counters.clone()), services::questions());
    let shown = Shown::default();
    config.oom_score_adj.inspect(|score| crate::process::set_oom_score_adj(*score));
    // First: whoever watches over the agent asks while it waits for the API.
    let servers = [
        ("health", config.health_address, status::health(health.clone(), metrics.clone())),
        ("metrics", config.metrics_address, status::metrics(metrics.clone(), asker, shown.clone())),
    ];
    for (what, address, responder) in servers {
        let Some(address) = address else { continue };
        if config.bind_hard_fail {
            let listener = status::listen(address).await.map_err(|source| ProxyError::Bind { address, source })?;
            parts.spawn(named(what, crate::http::serve(listener, responder, stop.clone())));
        } else {
            parts.spawn(named(what, status::serve(what, address, responder, stop.clone())));
        }
    }
    // The lists take longest: they are read while the node is asked for.
    let changes = Changes::follow(&client, config.dns.is_some());
    let (tell_own, mut own) = watch::channel(None);
    let (tell_ranges, mut ranges) = watch::channel(None);
    let part = own_node::keep(client.clone(), config.node_name.clone(), health.clone(), tell_own, stop.clone());
    parts.spawn(named("node", part));
    parts.spawn(named("Service ranges", service_ranges::keep(client.clone(), tell_ranges, stop.clone())));
    let Some(first) = known(&mut own, &stop).await else { return Ok(()) };
    let Some(first_ranges) = known(&mut ranges, &stop).await else { return Ok(()) };
    let node = surroundings::model_node(&config, &first, &first_ranges);
    let shared = Shared { health, metrics, counters, asked, changes, shown };
    program(parts, config, client, (own, ranges), node, shared, &stop)?;
    tokio::select! {
        () = stop.cancelled() => Ok(()),
        Some(ended) = parts.join_next() => match ended {
            _ if stop.is_cancelled() => Ok(()),
            ended => Err(ProxyError::Ended(ended.unwrap_or("task"))),
        },
    }
}

/// What is told of the node's object and of the ranges of cluster IPs.
type Told = (watch::Receiver<Option<OwnNode>>, watch::Receiver<Option<Vec<IpNet>>>);

/// What is there before the node is known.
struct Shared {
    health: Arc<Health>,
    metrics: Metrics,
    counters: Arc<Counters>,
    asked: Asked,
    changes: Changes,
    shown: Shown,
}

/// Starts what needs to know the node.
fn program(
    parts: &mut JoinSet<&'static str>,
    config: Config,
    client: Client,
    told: Told,
    node: model::Node,
    shared: Shared,
    stop: &CancellationToken,
) -> Result<(), ProxyError> {
    let Shared { health, metrics, counters, asked, changes, shown } = shared;
    let families = surroundings::families(&node.addresses);
    tracing::info!(?node, ?families, "the node is known");
    let chosen = dataplane::Config {
        families: families.clone(),
        masquerade_mark: config.masquerade_mark,
        node_port_range: config.node_port_range.clone(),
        comments: config.comments,
        counters: config.counters,
        ..dataplane::Config::default()
    };
    let backend = nftables::Backend::new(chosen).map_err(|e| ProxyError::Dataplane(e.into()))?;
    let dataplane = Dataplane::new(backend, node.clone());
    let (tell_node, node) = watch::channel(node);
    let (tell_checks, checks) = watch::channel(Checks::new());
    let (tell, told_events) = mpsc::channel(UNTOLD);
    let (tell_held, held) = watch::channel(None);
    let mut listeners: Vec<Box<dyn Listener>> = vec![
        Box::new(Pulse { health: health.clone(), families: families.clone() }),
        Box::new(Figures::new(metrics.clone(), families)),
        Box::new(HealthChecks::new(tell_checks)),
        Box::new(Beside { metrics, tell: tell.clone(), held: Arc::default() }),
        Box::new(Progress::new(tell_held)),
    ];
    match config.dns.clone() {
        Some(told) => {
            let (own, node_name) = (node.borrow().addresses.clone(), config.node_name.clone());
            local_dns(parts, told, OnNode { own, node_name, client: client.clone(), shown }, &mut listeners, stop)?;
        }
        None => forget_local_dns()?,
    }
    if config.load_balancer {
        let (tell_addresses, addresses) = watch::channel(Addresses::new());
        listeners.push(Box::new(Balanced::new(tell_addresses)));
        let part = announce::keep(client.clone(), config.node_name.clone(), addresses, tell_node.clone(), stop.clone());
        parts.spawn(named("announcements", part));
    }
    let (tell_programmed, programmed) = watch::channel(false);
    if let Some(chosen) = config.conntrack {
        parts.spawn(named("conntrack", conntrack::set(chosen, programmed, stop.clone())));
    }
    let part = programmed::keep(client.clone(), config.node_name.clone(), held, stop.clone());
    parts.spawn(named("report", part));
    let part = events::keep(client.clone(), config.node_name.clone(), told_events, stop.clone());
    parts.spawn(named("events", part));
    let addresses = surroundings::node_port_addresses(node.clone());
    parts.spawn(named("health checks", health_check::keep(checks, addresses, health, tell, stop.clone())));
    parts.spawn(named("data plane", surroundings::keep(config, told.0, told.1, tell_node, stop.clone())));
    let connections = Connections::start(parts, node.clone(), counters, stop.clone());
    let outside = Outside { programmed: tell_programmed, asked, changes: Some(changes) };
    let part = services::keep(client, dataplane, listeners, connections, node, outside, stop.clone());
    parts.spawn(named("Services", part));
    Ok(())
}

/// Takes away what an agent that did answer DNS left: nobody would keep it true.
fn forget_local_dns() -> Result<(), ProxyError> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|error| ProxyError::Dns(Box::new(error)))?;
    tokio::spawn(connection);
    tokio::spawn(async move {
        if let Err(error) = node_local_dns::forget(&handle).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "what an agent with --dns left behind cannot be removed");
        }
    });
    Ok(())
}

/// Where DNS is answered, and for whom.
struct OnNode {
    own: Vec<IpAddr>,
    node_name: String,
    client: Client,
    shown: Shown,
}

/// Answers the cluster's DNS address on this node.
fn local_dns(
    parts: &mut JoinSet<&'static str>,
    told: node_local_dns::Told,
    OnNode { own, node_name, client, shown }: OnNode,
    listeners: &mut Vec<Box<dyn Listener>>,
    stop: &CancellationToken,
) -> Result<(), ProxyError> {
    let (following, sources) = Following::start(told).map_err(|error| ProxyError::Dns(Box::new(error)))?;
    let (connection, handle, _) = rtnetlink::new_connection().map_err(|error| ProxyError::Dns(Box::new(error)))?;
    tokio::spawn(connection);
    let (tell, cluster) = watch::channel(Followed::default());
    listeners.push(Box::new(ClusterDns::new(own, tell)));
    let index = following.index().clone();
    if index.searches() {
        let part = crate::dns::watch::keep_pods(client, index.clone(), node_name, stop.clone());
        parts.spawn(named("Pods that ask", part));
    }
    listeners.push(Box::new(Names(index)));
    parts.spawn(named("Corefile", following.keep(stop.clone())));
    parts.spawn(named("local DNS", node_local_dns::keep(sources, cluster, handle, shown, stop.clone())));
    Ok(())
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
