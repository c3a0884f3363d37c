//! `portolan up`: a cluster on this machine.
//!
//! In order: refuse what cannot work, claim the name, remove what a killed run left, write down what will be made, then
//! make it: cables, server, nodes, manifests. Whatever ends it, Ctrl-C ([`crate::ends`]) or an error at any point, everything is
//! removed by name ([`remains`]), the objects on disk apart.

mod detach;
mod nodes;
mod progress;
mod readiness;
pub mod remains;
mod routes;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use apiserver::audit::Audit;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::control::{self, Question, Request};
use crate::data_dir::{self, Owner};
use crate::ends::{Ends, ToldToEnd};
use crate::layout::{self, Layout, Wishes};
use crate::refusal::{Refusal, one_line};
use crate::run_dir::{Doing, RunDir};
use crate::server::{ControlPlane, Settings, open_audit};
use crate::stdio::{complain, say};
use crate::up::nodes::Nodes;
use crate::up::progress::Progress;
use crate::{cli, kubeconfig, manifest, netns, network, preflight};

/// How long nodes may take to be ready before `up` gives up.
const NODES_PATIENCE: Duration = Duration::from_secs(60);
/// How often a look is taken at whether a node's process has ended.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long the routes' task may take to hear that it is over.
const ROUTES_PATIENCE: Duration = Duration::from_secs(1);

/// Runs a cluster until it is told to end. `log` is what the nodes log, as `--log` has it.
///
/// # Errors
/// When it cannot be started; nothing is left behind.
pub async fn run(args: cli::Up, log: &str) -> Result<()> {
    let started = Instant::now();
    preflight::is_root()?;
    let layout = Layout::plan(&wishes(&args)?)?;
    layout::check_service_cidr_ipv6(args.ranges.service_cidr_ipv6)?;
    if args.detach && !args.background {
        return detach::start_in_background(&args).await;
    }
    let objects = manifest::read(&args.manifests)?;
    let audit = open_audit(&args.audit)?;
    let ends = Ends::listen()?;
    if args.background {
        detach::leave_the_terminal()?;
    }
    let mut cluster = Cluster::new(args, audit, layout, log)?;
    let run_dir = &cluster.run_dir;
    let mut claim = run_dir.claim(&cluster.layout.name, Doing::Up)?;
    let remains = run_dir.read_layout()?;
    if let Some(old) = &remains {
        remains::remove(old, run_dir).await.context("cannot remove what an earlier run left")?;
    }
    if let Err(refused) = prepare(&cluster.layout, run_dir).await {
        claim.remove()?;
        return Err(refused);
    }
    let ran = cluster.run(&objects, &ends, started, remains.is_some()).await;
    if let Err(error) = claim.now(Doing::Down) {
        tracing::warn!(error = one_line(&error), "other commands are not told that the cluster goes down");
    }
    let told = ran.as_ref().is_err_and(|error| error.is::<ToldToEnd>());
    let name = &cluster.layout.name;
    if told {
        say(format_args!("\ntaking the cluster {name} down"));
    }
    let again = format!("cannot remove everything; `portolan down --name {name}` tries it again");
    match cluster.take_down().await.context(again) {
        Ok(()) => claim.remove()?,
        Err(error) if told => return Err(error),
        Err(error) => complain(format_args!("portolan: {}", one_line(&error))),
    }
    if told { Ok(()) } else { ran }
}

/// Refuses what can be refused only by looking at the machine, and writes down what will be made.
async fn prepare(layout: &Layout, run_dir: &RunDir) -> Result<()> {
    preflight::has_nf_tables()?;
    if layout.api_address != layout.api_for_nodes() {
        preflight::port_is_free(layout.api_address)?;
    }
    preflight::port_will_be_free(layout.api_for_nodes())?;
    let handle = network::connect()?;
    preflight::ranges_are_free(&handle, layout).await?;
    preflight::names_are_free(&handle, layout).await?;
    if !layout.kubeconfig.starts_with(&layout.data_dir) {
        kubeconfig::is_free(&layout.kubeconfig, &layout.name)?;
    }
    run_dir.write_layout(layout)?;
    let owner = Owner::Cluster { name: layout.name.clone(), kubeconfig: layout.kubeconfig.clone() };
    data_dir::claim(&layout.data_dir, &owner)?;
    if let Err(error) = data_dir::remember(&layout.name, &layout.data_dir) {
        let folder = layout.data_dir.display();
        tracing::warn!(%error, %folder, "`down --purge` and `image` will not know where this cluster's objects are");
    }
    netns::pin_own(&run_dir.host())
}

/// A cluster that is made, runs, and is taken down.
struct Cluster {
    args: cli::Up,
    audit: Option<Arc<Audit>>,
    layout: Layout,
    run_dir: RunDir,
    nodes: Nodes,
    plane: Option<ControlPlane>,
    routes: Option<JoinHandle<Result<()>>>,
    stop: CancellationToken,
}

impl Cluster {
    fn new(args: cli::Up, audit: Option<Arc<Audit>>, layout: Layout, log: &str) -> Result<Self> {
        let run_dir = RunDir::at(&layout.run_dir);
        let nodes = Nodes::new(layout.clone(), run_dir.clone(), log)?;
        Ok(Self { args, audit, layout, run_dir, nodes, plane: None, routes: None, stop: CancellationToken::new() })
    }

    /// Makes the cluster and serves it, until it is told to end or an error ends it.
    async fn run(&mut self, objects: &[Value], ends: &Ends, started: Instant, cleaned: bool) -> Result<()> {
        let mut progress = Progress::start(&self.layout.name, started);
        if cleaned {
            progress.done("cleaned", "what an earlier run had left");
        }
        ends.check()?;
        network::make_bridge(&network::connect()?, &self.layout).await?;
        ends.check()?;
        self.nodes.plug_in_all().await?;
        let (bridge, range, count) = (&self.layout.bridge, self.layout.node_cidr, self.layout.nodes.len());
        progress.done("network", &format!("{bridge} {range}, {count} nodes"));

        let mut settings = Settings::of_cluster(&self.layout, &self.args.upstream_dns, self.audit.clone());
        settings.service_cidr_ipv6 = self.args.ranges.service_cidr_ipv6;
        let plane = ends.or(ControlPlane::start(settings)).await?;
        let (client, relay) = (plane.client(), plane.dns_relay());
        let clients = self.layout.api_for_clients();
        kubeconfig::write_admin(plane.authority(), &self.layout.name, clients, &self.layout.kubeconfig)?;
        self.nodes.admit(plane.authority())?;
        self.plane = Some(plane);
        progress.done("server", &format!("https://{clients}"));

        ends.or(readiness::forget(&client)).await?;
        self.nodes.start_all(relay)?;
        let (tell_ready, ready) = watch::channel(Vec::new());
        let routes = routes::keep(client.clone(), self.layout.service_cidr, tell_ready, self.stop.clone());
        self.routes = Some(tokio::spawn(routes));
        ends.or(self.wait_for_nodes(ready)).await?;
        let names: Vec<&str> = self.layout.nodes.iter().map(|n| n.name.as_str()).collect();
        progress.done("nodes", &names.join(" "));

        for object in objects {
            let line = ends.or(manifest::apply(&client, object)).await?;
            progress.done("applied", &line);
        }
        let questions = control::listen(&self.run_dir.control())?;
        progress.ready(&self.layout);
        if self.args.background {
            detach::leave_the_caller(&self.run_dir)?;
        }
        self.serve(questions, ends).await
    }

    async fn wait_for_nodes(&mut self, mut ready: watch::Receiver<Vec<String>>) -> Result<()> {
        let deadline = tokio::time::Instant::now() + NODES_PATIENCE;
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            let missing: Vec<String> = {
                let ready = ready.borrow_and_update();
                self.layout.nodes.iter().filter(|n| !ready.contains(&n.name)).map(|n| n.name.clone()).collect()
            };
            let Some(first) = missing.first() else { return Ok(()) };
            if let Some((node, how)) = self.nodes.ended().first() {
                bail!("{node} ended at its start ({how}): {}", self.last_words(node));
            }
            tokio::select! {
                changed = ready.changed() => changed.context("the routes' task died")?,
                _ = look.tick() => {}
                () = tokio::time::sleep_until(deadline) => {
                    let patience = NODES_PATIENCE.as_secs();
                    bail!("{} not ready after {patience} s: {}", missing.join(", "), self.last_words(first));
                }
            }
        }
    }

    /// The last line that a node wrote.
    fn last_words(&self, node: &str) -> String {
        let log = std::fs::read_to_string(self.run_dir.node_log(node)).unwrap_or_default();
        let last = log.lines().rev().find(|l| !l.trim().is_empty()).unwrap_or("it said nothing");
        last.strip_prefix("portolan: ").unwrap_or(last).to_owned()
    }

    /// Answers commands, and says when a node ends by itself.
    async fn serve(&mut self, mut questions: mpsc::Receiver<Question>, ends: &Ends) -> Result<()> {
        let (Some(plane), Some(routes)) = (&mut self.plane, &mut self.routes) else {
            bail!("the cluster was not started");
        };
        let mut look = tokio::time::interval(LOOK_EVERY);
        loop {
            tokio::select! {
                () = ends.told() => return Err(ToldToEnd.into()),
                question = questions.recv() => {
                    let Some((request, tell)) = question else { bail!("the control socket closed") };
                    let said = match request {
                        Request::StopNode { node } => self.nodes.stop(&node).await,
                        Request::StartNode { node } => self.nodes.start(&node).await,
                    };
                    // Who asked may have gone away meanwhile; what was asked for is done all the same.
                    let _ = tell.send(said);
                }
                _ = look.tick() => {
                    for (node, how) in self.nodes.ended() {
                        let name = &self.layout.name;
                        complain(format_args!(
                            "{node} ended by itself ({how}); start it again with `portolan start-node {node} --name {name}`"
                        ));
                    }
                }
                ended = plane.ended() => return ended,
                ended = &mut *routes => return ended.context("the routes' task died")?.and(Err(anyhow!("the routes' task ended"))),
            }
        }
    }

    /// Stops the control plane and removes what was made, everything within bounds of its own.
    async fn take_down(&mut self) -> Result<()> {
        self.stop.cancel();
        if let Some(routes) = self.routes.take() {
            // Its routes go with the bridge, whatever it says.
            let _ = tokio::time::timeout(ROUTES_PATIENCE, routes).await;
        }
        let plane = self.plane.take();
        let stopped = async {
            if let Some(plane) = plane {
                plane.shutdown().await;
            }
        };
        let ((), removed) = tokio::join!(stopped, remains::remove(&self.layout, &self.run_dir));
        removed
    }
}

fn wishes(args: &cli::Up) -> Result<Wishes> {
    // What is written down for later commands must not depend on where they are run.
    let absolute = |path: &Option<PathBuf>| path.as_deref().map(std::path::absolute).transpose();
    Ok(Wishes {
        name: args.name.clone(),
        mark: rand::random(),
        nodes: args.nodes,
        zones: args.zones.clone(),
        data_dir: absolute(&args.data_dir).map_err(|e| no_path("--data-dir", &e))?,
        kubeconfig: absolute(&args.kubeconfig).map_err(|e| no_path("--kubeconfig", &e))?,
        api_address: args.api_address,
        service_cidr: args.ranges.service_cidr,
        pod_cidr: args.ranges.pod_cidr,
        node_cidr: args.node_cidr,
        node_port_range: args.ranges.node_port_range,
        load_balancer_pool: args.ranges.load_balancer_pool.clone(),
    })
}

fn no_path(flag: &str, error: &std::io::Error) -> Refusal {
    Refusal::new(format!("{flag}: {error}; give a path"))
}

/// Asks a running cluster to stop or start a node.
///
/// # Errors
/// When none runs, or it cannot.
pub async fn ask(name: &cli::NodeName, request: Request) -> Result<()> {
    preflight::is_root()?;
    layout::check_name(&name.name)?;
    let run_dir = RunDir::at(&layout::run_dir(&name.name));
    say(control::ask(&name.name, &run_dir, &request).await?);
    Ok(())
}
