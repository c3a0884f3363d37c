//! `portolan up`: a cluster on this machine.
//!
//! In order: refuse what cannot work, claim the name, remove what a killed run left, write down what will be made, then
//! make it: cables, server, nodes, manifests. Whatever ends it, Ctrl-C or an error at any point, everything is removed
//! by name ([`remains`]), the objects on disk apart.

mod detach;
mod nodes;
mod progress;
pub mod remains;
mod routes;
pub mod run_dir;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use nodes::admit;

use crate::cli;
use crate::control::{self, Question, Request};
use crate::layout::{Layout, Wishes};
use crate::process::ProcessId;
use crate::refusal::Refusal;
use crate::server::{ControlPlane, Settings};
use crate::up::nodes::Nodes;
use crate::up::progress::Progress;
use crate::up::run_dir::RunDir;
use crate::{kubeconfig, manifest, network, preflight};

/// How long nodes may take to be ready before `up` gives up.
const NODES_PATIENCE: Duration = Duration::from_secs(60);
/// How often a look is taken at whether a node's process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Runs a cluster until it is told to end.
///
/// # Errors
/// When it cannot be started; nothing is left behind.
pub async fn run(args: cli::Up) -> Result<()> {
    preflight::is_root()?;
    let layout = Layout::plan(&Wishes::from(&args))?;
    let objects = manifest::read(&args.manifests)?;
    if args.detach && !args.background {
        return detach::start_in_background(&args).await;
    }
    let run_dir = RunDir::at(&layout.run_dir);
    let claim = run_dir.claim(&layout.name)?;
    let mut ends = Ends::listen()?;
    let remains = run_dir.read_layout()?;
    if let Some(old) = &remains {
        remains::remove(old, &run_dir).await.context("cannot remove what an earlier run left")?;
    }
    let checked = check(&layout).await;
    if checked.is_err() {
        run_dir.remove()?;
    }
    checked?;
    run_dir.write_layout(&layout)?;
    ProcessId::of(std::process::id())?.write(&run_dir.up())?;
    if args.background {
        detach::leave_the_terminal()?;
    }
    let ran = tokio::select! {
        ran = cluster(&args, &layout, &run_dir, &objects, remains.is_some()) => ran,
        () = ends.wait() => Ok(()),
    };
    let removed = remains::remove(&layout, &run_dir).await.context("cannot remove everything that was made");
    if removed.is_ok() {
        run_dir.remove()?;
    }
    drop(claim);
    ran.and(removed)
}

/// What can be refused only by looking at the machine.
async fn check(layout: &Layout) -> Result<()> {
    preflight::has_nf_tables()?;
    preflight::port_is_free(layout.api_address)?;
    preflight::ranges_are_free(&network::connect()?, layout).await
}

/// Makes the cluster and serves it, until an error ends it.
async fn cluster(args: &cli::Up, layout: &Layout, run_dir: &RunDir, objects: &[Value], cleaned: bool) -> Result<()> {
    let mut progress = Progress::start(&layout.name);
    if cleaned {
        progress.done("cleaned", "what an earlier run had left");
    }
    let mut nodes = Nodes::new(layout.clone(), run_dir.clone(), upstream(layout))?;
    network::make_bridge(&network::connect()?, layout).await?;
    nodes.plug_in_all().await?;
    progress.done("network", &format!("{} {}, {} nodes", layout.bridge, layout.node_cidr, layout.nodes.len()));

    let plane = ControlPlane::start(Settings::of_cluster(layout, &args.upstream_dns)).await?;
    plane.write_admin_kubeconfig(&layout.name, layout.api_address, &layout.kubeconfig)?;
    progress.done("server", &format!("https://{}", layout.api_address));

    nodes.admit(plane.authority())?;
    nodes.start_all()?;
    let stop = CancellationToken::new();
    let guard = stop.clone().drop_guard();
    let (tell_ready, ready) = watch::channel(Vec::new());
    let routes = tokio::spawn(routes::keep(plane.client(), layout.service_cidr, tell_ready, stop));
    wait_for_nodes(&mut nodes, layout, run_dir, ready).await?;
    progress.done("nodes", &layout.nodes.iter().map(|n| n.name.as_str()).collect::<Vec<_>>().join(" "));

    for line in manifest::apply(&plane.client(), objects).await? {
        progress.done("applied", &line);
    }
    let questions = control::listen(&run_dir.control())?;
    progress.ready(layout);
    if args.background {
        detach::leave_the_caller(run_dir)?;
    }
    let ended = serve(&mut nodes, questions, plane, routes).await;
    drop(guard);
    ended
}

/// Answers commands, and says when a node ends by itself.
async fn serve(
    nodes: &mut Nodes,
    mut questions: mpsc::Receiver<Question>,
    mut plane: ControlPlane,
    mut routes: tokio::task::JoinHandle<Result<()>>,
) -> Result<()> {
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            question = questions.recv() => {
                let Some((request, tell)) = question else { bail!("the control socket closed") };
                let said = match request {
                    Request::StopNode { node } => nodes.stop(&node).await,
                    Request::StartNode { node } => nodes.start(&node).await,
                };
                // Who asked may have gone away meanwhile; what was asked for is done all the same.
                let _ = tell.send(said);
            }
            _ = look.tick() => {
                for (node, how) in nodes.ended() {
                    eprintln!("{node} ended by itself ({how}); start it again with `portolan start-node {node}`");
                }
            }
            ended = plane.ended() => return ended,
            ended = &mut routes => return ended.context("the routes' task died")?,
        }
    }
}

async fn wait_for_nodes(
    nodes: &mut Nodes,
    layout: &Layout,
    run_dir: &RunDir,
    mut ready: watch::Receiver<Vec<String>>,
) -> Result<()> {
    let deadline = tokio::time::Instant::now() + NODES_PATIENCE;
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        let missing: Vec<String> = {
            let ready = ready.borrow_and_update();
            layout.nodes.iter().filter(|n| !ready.contains(&n.name)).map(|n| n.name.clone()).collect()
        };
        let Some(first) = missing.first() else { return Ok(()) };
        if let Some((node, how)) = nodes.ended().first() {
            bail!("{node} ended at its start ({how}): {}", last_words(run_dir, node));
        }
        tokio::select! {
            changed = ready.changed() => changed.context("the routes' task died")?,
            _ = look.tick() => {}
            () = tokio::time::sleep_until(deadline) => {
                bail!("{} not ready after {} s: {}", missing.join(", "), NODES_PATIENCE.as_secs(), last_words(run_dir, first));
            }
        }
    }
}

/// The last line that a node wrote.
fn last_words(run_dir: &RunDir, node: &str) -> String {
    let log = std::fs::read_to_string(run_dir.node_log(node)).unwrap_or_default();
    log.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("it said nothing").to_owned()
}

/// Nodes ask the server's relay for names outside the cluster: it can reach what the machine can, and they may not.
fn upstream(layout: &Layout) -> Vec<SocketAddr> {
    vec![SocketAddr::new(layout.gateway.into(), 53)]
}

impl From<&cli::Up> for Wishes {
    fn from(args: &cli::Up) -> Self {
        Self {
            name: args.name.clone(),
            nodes: args.nodes,
            zones: args.zones.clone(),
            data_dir: args.data_dir.clone(),
            kubeconfig: args.kubeconfig.clone(),
            api_address: args.api_address,
            service_cidr: args.ranges.service_cidr,
            pod_cidr: args.ranges.pod_cidr,
            node_cidr: args.node_cidr,
            node_port_range: args.ranges.node_port_range,
            load_balancer_pool: args.ranges.load_balancer_pool.clone(),
        }
    }
}

/// The signals that end a cluster.
struct Ends {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

impl Ends {
    /// From here on these signals no longer kill the process.
    fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => println!("\ntaking the cluster down"),
            _ = self.terminate.recv() => {}
            _ = self.hang_up.recv() => {}
        }
    }
}

/// Asks a running cluster to stop or start a node.
///
/// # Errors
/// When none runs, or it cannot.
pub async fn ask(name: &cli::NodeName, request: Request) -> Result<()> {
    preflight::is_root()?;
    crate::layout::check_name(&name.name)?;
    let run_dir = RunDir::at(&crate::layout::run_dir(&name.name));
    println!("{}", control::ask(&name.name, &run_dir.control(), &request).await?);
    Ok(())
}

/// Refuses a data folder that another cluster's name owns.
///
/// # Errors
/// When it cannot be told.
pub fn data_dir_of(name: &str, given: Option<&std::path::Path>) -> Result<std::path::PathBuf> {
    crate::layout::check_name(name)?;
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let running = RunDir::at(&crate::layout::run_dir(name)).read_layout()?;
    Ok(running.map_or_else(|| crate::layout::default_data_dir(name), |layout| layout.data_dir))
}

/// A refusal when nothing of a cluster is there.
pub fn nothing_there(name: &str) -> Refusal {
    Refusal::new(format!("no cluster {name} here; `portolan up --name {name}` starts one"))
}
