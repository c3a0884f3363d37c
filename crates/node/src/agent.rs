//! The node agent put together.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use dataplane::backend::nftables;
use dataplane::model;
use dataplane::{Dataplane, Family};
use k8s_openapi::api::core::v1::Node;
use kube::{Api, Client};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::addresses::Addresses;
use crate::config::Config;
use crate::connections::Connections;
use crate::follow::reason;
use crate::health::{Health, Pulse};
use crate::health_check::{self, Checks, HealthChecks};
use crate::kubelet;
use crate::neighbours::{self, Neighbours};
use crate::node_local_dns::{self, ClusterDns, Followed, Shown};
use crate::programmed::Progress;
use crate::register::{self, Readiness};
use crate::resolver;
use crate::routes::Routes;
use crate::services::{self, Balanced, ForPods, Listener, Names, Outside};
use crate::sysctls;
use crate::{announce, events, lease, pods_of_node, programmed};

/// How long to wait before a server that refused or did not answer is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(200);
/// How often the node's status is written although nothing changed; kubelet's default.
const REPORT_EVERY: Duration = Duration::from_secs(300);

/// How long a node that ends may take to say that it gives load balancers' addresses up.
const LEAVING: Duration = Duration::from_secs(1);
/// How many events may wait to be written.
const UNTOLD: usize = 64;

/// Why a node cannot start, or go on.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The namespace cannot be prepared.
    #[error(transparent)]
    Sysctl(#[from] sysctls::SysctlError),
    /// The port for logs and exec cannot be opened.
    #[error(transparent)]
    Kubelet(#[from] kubelet::KubeletError),
    /// DNS cannot be answered.
    #[error(transparent)]
    Resolver(#[from] resolver::ResolverError),
    /// The data plane cannot reach the kernel.
    #[error("the data plane cannot start")]
    Dataplane(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The kernel gives no netlink socket.
    #[error("no netlink socket")]
    Netlink(#[source] io::Error),
    /// The kernel does not tell its routes.
    #[error("cannot read the routes")]
    Routes(#[source] rtnetlink::Error),
    /// Pods cannot be run.
    #[error("Pods cannot be run")]
    Pods(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A part of the node ended, which none does by itself.
    #[error("the node's {0} ended by itself")]
    Ended(&'static str),
}

/// Runs a node until told to stop. What it put into the kernel stays, and so do its Pods.
///
/// # Errors
/// When it cannot start, or a part of it dies.
pub async fn run(config: Config, client: Client, stop: CancellationToken) -> Result<(), AgentError> {
    sysctls::set()?;
    let listener = kubelet::listen(&config).await?;
    let index = resolver::index(&config)?;
    let sources = resolver::sources(&config, index.clone())?;
    let dns = resolver::start(&config, sources.clone())?;
    let routes = Routes::read(netlink()?).await.map_err(AgentError::Routes)?;
    let backend = nftables::Backend::new(dataplane::Config::default()).map_err(|e| AgentError::Dataplane(e.into()))?;
    let (tell_node, node) = watch::channel(model_node(&config, &Neighbours::default()));
    let tell_takers = tell_node.clone();
    let dataplane = Dataplane::new(backend, node.borrow().clone());

    let mut parts = JoinSet::new();
    let (tell_programmed, programmed) = watch::channel(false);
    let (tell_addresses, addresses) = watch::channel(Addresses::new());
    let (tell_neighbours, neighbours) = watch::channel(Neighbours::default());
    let (tell_checks, checks) = watch::channel(Checks::new());
    let (tell_held, held) = watch::channel(None);
    let (tell_dns, cluster_dns) = watch::channel(Followed::default());
    let (known, health) = (Arc::new(services::Known::default()), Arc::new(Health::default()));
    let listeners: Vec<Box<dyn Listener>> = vec![
        Box::new(Names(index.clone())),
        Box::new(ClusterDns::new(vec![config.address.into()], tell_dns)),
        Box::new(Balanced::new(tell_addresses)),
        Box::new(ForPods::new(known.clone(), config.name.clone())),
        Box::new(Pulse { health: health.clone(), families: vec![Family::V4] }),
        Box::new(HealthChecks::new(tell_checks)),
        Box::new(Progress::new(tell_held)),
    ];
    serve_health_checks(&mut parts, &client, &config.name, (checks, health), &stop);
    let connections = Connections::start(&mut parts, node.clone(), Arc::default(), stop.clone());
    let outside = Outside::unasked(tell_programmed);
    let part = services::keep(client.clone(), dataplane, listeners, connections, node, outside, stop.clone());
    parts.spawn(named("Services", part));
    let part = neighbours::keep(client.clone(), config.name.clone(), routes, tell_neighbours, stop.clone());
    parts.spawn(named("routes", part));

    if index.searches() {
        let part = crate::dns::watch::keep_pods(client.clone(), index.clone(), config.name.clone(), stop.clone());
        parts.spawn(named("Pods that ask", part));
    }
    let (_, sources) = watch::channel(sources);
    let part = node_local_dns::keep(sources, cluster_dns, netlink()?, Shown::default(), stop.clone());
    parts.spawn(named("local DNS", part));

    // The object first: without it there is neither a Pod range nor a lease that means anything.
    if !registered(&client, &config, &stop).await {
        return Ok(());
    }
    parts.spawn(named("report", programmed::keep(client.clone(), config.name.clone(), held, stop.clone())));
    parts.spawn(named("lease", lease::keep(client.clone(), config.name.clone(), config.lease_renewal, stop.clone())));
    let part = tell_dataplane(config.clone(), neighbours.clone(), tell_node, stop.clone());
    parts.spawn(named("data plane", part));
    let Some(pod_cidr) = pod_range(neighbours.clone(), &stop).await else { return Ok(()) };
    let running = pods_of_node::start(&client, &config, pod_cidr, known).map_err(|e| AgentError::Pods(e.into()))?;
    let handler = pods::server::Handler::new(running.runtime());
    parts.spawn(named("port", listener.serve(handler, stop.clone())));
    parts.spawn(named("Pods", running.keep(client.clone(), config.name.clone(), stop.clone())));
    let part = announce::keep(client.clone(), config.name.clone(), addresses, tell_takers, stop.clone());
    parts.spawn(named("announcements", part));
    parts.spawn(named("status", report(client, config, programmed, neighbours, stop.clone())));

    let ended = tokio::select! {
        () = stop.cancelled() => Ok(()),
        Some(ended) = parts.join_next() => Err(AgentError::Ended(ended.unwrap_or("task"))),
    };
    if stop.is_cancelled() {
        // Others need not wait for the lease of a node that says that it leaves.
        let left = async { while parts.join_next().await.is_some_and(|part| !matches!(part, Ok("announcements"))) {} };
        let _ = tokio::time::timeout(LEAVING, left).await;
    }
    dns.shutdown().await;
    match ended {
        // Told to stop: a part that ended first heard it first.
        Err(_) if stop.is_cancelled() => Ok(()),
        ended => ended,
    }
}

/// Starts to answer at health-check node ports: as node ports do, at every address of the machine.
fn serve_health_checks(
    parts: &mut JoinSet<&'static str>,
    client: &Client,
    node: &str,
    (checks, health): (watch::Receiver<Checks>, Arc<Health>),
    stop: &CancellationToken,
) {
    let (tell, told) = mpsc::channel(UNTOLD);
    let everywhere = Arc::new(|| vec![Ipv4Addr::UNSPECIFIED.into()]);
    parts.spawn(named("health checks", health_check::keep(checks, everywhere, health, tell, stop.clone())));
    parts.spawn(named("events", events::keep(client.clone(), node.to_owned(), told, stop.clone())));
}

async fn named(name: &'static str, part: impl Future<Output = ()>) -> &'static str {
    part.await;
    name
}

fn netlink() -> Result<rtnetlink::Handle, AgentError> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(AgentError::Netlink)?;
    tokio::spawn(connection);
    Ok(handle)
}

/// The node's object, made or brought up to date, however long the server is away; false when told to stop.
async fn registered(client: &Client, config: &Config, stop: &CancellationToken) -> bool {
    let nodes = Api::all(client.clone());
    let starting = Readiness::NotReady("the node is starting".to_owned());
    let mut said = String::new();
    loop {
        let tried = tokio::select! {
            () = stop.cancelled() => return false,
            tried = register::register(&nodes, config, &starting) => tried,
        };
        match tried {
            Ok(_) => return true,
            Err(error) => {
                let error = reason(&error);
                // Once for each reason: a server that is away for an hour is one line.
                if error != said {
                    tracing::warn!(error, "the node cannot register; it tries again");
                    said = error;
                }
            }
        }
        tokio::time::sleep(RETRY_AFTER).await;
    }
}

/// The range of the node's Pods, as soon as it has been given one; `None` when told to stop.
async fn pod_range(mut neighbours: watch::Receiver<Neighbours>, stop: &CancellationToken) -> Option<ipnet::Ipv4Net> {
    tokio::select! {
        () = stop.cancelled() => None,
        known = neighbours.wait_for(|n| n.pod_cidr.is_some()) => known.ok()?.pod_cidr,
    }
}

fn model_node(config: &Config, neighbours: &Neighbours) -> model::Node {
    let zone = neighbours.zone.as_deref().or(config.zone.as_deref());
    model::Node {
        name: config.name.as_str().into(),
        zone: zone.map(Into::into),
        addresses: vec![config.address.into()],
        pod_cidrs: vec![config.pod_cidr.into()],
        service_cidrs: vec![config.service_cidr.into()],
        ..model::Node::default()
    }
}

/// Tells the data plane when the node's zone changes.
async fn tell_dataplane(
    config: Config,
    mut neighbours: watch::Receiver<Neighbours>,
    tell: watch::Sender<model::Node>,
    stop: CancellationToken,
) {
    loop {
        let now = model_node(&config, &neighbours.borrow_and_update());
        tell.send_if_modified(|held| {
            let now = model::Node { takers: held.takers.clone(), ..now };
            let changed = *held != now;
            *held = now;
            changed
        });
        tokio::select! {
            () = stop.cancelled() => return,
            changed = neighbours.changed() => if changed.is_err() { return },
        }
    }
}

/// Says that the node is ready as soon as its Services are programmed, again from time to time, and at once when
/// somebody has said otherwise: a node that was silent for too long is called not ready until it says so itself.
async fn report(
    client: Client,
    config: Config,
    mut programmed: watch::Receiver<bool>,
    mut neighbours: watch::Receiver<Neighbours>,
    stop: CancellationToken,
) {
    let nodes: Api<Node> = Api::all(client);
    tokio::select! {
        () = stop.cancelled() => return,
        done = programmed.wait_for(|p| *p) => if done.is_err() { return },
    }
    // Where it may not be set, somebody else has decided.
    if let Err(error) = sysctls::set_tcp_be_liberal(true) {
        tracing::warn!(error = &error as &dyn std::error::Error, "packets out of a connection's window may reset it");
    }
    loop {
        let wait = match register::report(&nodes, &config, &Readiness::Ready).await {
            Ok(_) => REPORT_EVERY,
            Err(error) => {
                tracing::warn!(error = reason(&error), "the node's status cannot be written; it is tried again");
                RETRY_AFTER
            }
        };
        // What was just written is seen a moment later; not to see it for a while means that it does not hold.
        let denied = async {
            let ready = |known: &Neighbours| known.ready.contains(config.name.as_str());
            let _ = tokio::time::timeout(RETRY_AFTER, neighbours.wait_for(ready)).await;
            neighbours.wait_for(|known| !ready(known)).await.is_ok()
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
            known = denied => if !known { return },
        }
    }
}
