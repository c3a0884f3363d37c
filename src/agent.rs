//! `portolan agent`: kube-proxy's job on a node of a cluster that is somebody else's; and what remains of kube-proxy, or of the
//! agent, taken away ([`cleanup`]).

mod cleanup;
mod config_file;

use std::future::pending;
use std::path::Path;

use anyhow::{Context, Result};
use dns::IndexOptions;
use dns::config::{Cluster, Config};
use dns::forward::Settings;
use dns::forward::settings::search_domains;
use dns::index::SearchOptions;
use kube::config::{KubeConfigOptions, Kubeconfig};
use node::node_local_dns::Told;
use node::proxy;
use node::proxy::options::Options;

use crate::cli::Agent;
use crate::ends::Ends;
use crate::refusal::{Refusal, one_line};
use crate::{node_command, preflight, server};
use config_file::ConfigFile;

/// Keeps this machine's rules true until it is told to end. The rules stay. When the configuration file or the node's
/// families of addresses change, everything begins anew inside the process, which changes in the kernel what differs.
///
/// # Errors
/// When it cannot start.
pub async fn run(args: Agent) -> Result<()> {
    if args.cleanup || args.cleanup_kube_proxy {
        preflight::has_nf_tables()?;
        return if args.cleanup { cleanup::own().and(forget_dns().await) } else { cleanup::kube_proxy().await };
    }
    let ends = Ends::listen()?;
    let mut file = args.config.as_deref().map(ConfigFile::read).transpose()?;
    if let Some(mode) = args.proxy_mode.as_ref().filter(|mode| *mode != "nftables") {
        tracing::info!(mode, "--proxy-mode: rules are nftables' here, whatever the mode");
    }
    preflight::has_nf_tables()?;
    loop {
        let said = file.as_ref().map_or_else(Options::default, ConfigFile::options);
        let options = args.options().or(said);
        let kubeconfig = options.kubeconfig.clone();
        let node_name = node_command::name_or_hostname(options.node_name.clone(), "--node-name")?;
        let mut config = options.settle(node_name).map_err(Refusal::new)?;
        let said = if args.kubeconfig.is_some() { "--kubeconfig" } else { "clientConnection.kubeconfig of --config," };
        let client = client(kubeconfig.as_deref().map(|path| (said, path))).await?;
        let stop = ends.token().child_token();
        config.dns = args.dns.then(|| node_dns(&args)).transpose()?;
        config.load_balancer = args.load_balancer;
        let running = proxy::run(config, client, stop.clone());
        tokio::pin!(running);
        let ended = tokio::select! {
            ended = &mut running => ended,
            () = changed(&mut file) => {
                tracing::info!("the configuration file has changed: beginning anew");
                stop.cancel();
                running.await
            }
        };
        ended.context("the agent cannot go on")?;
        if ends.check().is_err() {
            return Ok(());
        }
    }
}

/// Waits until the file, if there is one, says something else.
async fn changed(file: &mut Option<ConfigFile>) {
    match file {
        Some(file) => file.changed().await,
        None => pending().await,
    }
}

/// Takes away what `--dns` may have left: an address of the loopback interface, and rules.
async fn forget_dns() -> Result<()> {
    let (connection, handle, _) = rtnetlink::new_connection().context("no netlink socket")?;
    tokio::spawn(connection);
    node::node_local_dns::forget(&handle).await.context("what DNS left behind cannot be removed")
}

/// How DNS is answered on the node.
fn node_dns(args: &Agent) -> Result<Told, Refusal> {
    let default = Config::default();
    let clients = default.clients.map(|private| private.into_iter().chain(args.dns_client.iter().copied()).collect());
    if let Some(path) = &args.corefile {
        let told = Told::by_file(path.clone(), clients);
        return told.map_err(|error| Refusal::new(format!("--corefile {}", one_line(&error.into()))));
    }
    let upstreams = if args.upstream_dns.is_empty() { server::machine_resolvers() } else { args.upstream_dns.clone() };
    let search = args.complete_searches.then(|| {
        let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        SearchOptions { further: search_domains(&text) }
    });
    let index = IndexOptions { zones: vec![args.cluster_domain.clone()], search, ..IndexOptions::default() };
    Ok(Told::by_flags(Config {
        cluster: Some(Cluster { index, ..Cluster::default() }),
        forward: (!upstreams.is_empty()).then(|| Settings::to(upstreams)),
        clients,
        ..Config::default()
    }))
}

/// A client by the kubeconfig that was named, and by what; or by what the surroundings say.
pub(crate) async fn client(kubeconfig: Option<(&str, &Path)>) -> Result<kube::Client> {
    client_as(kubeconfig, None).await
}

/// The same, by a certain context of the kubeconfig.
pub(crate) async fn client_as(kubeconfig: Option<(&str, &Path)>, context: Option<&str>) -> Result<kube::Client> {
    let config = match kubeconfig {
        Some((said, path)) => read_kubeconfig(path, context).await.map_err(|error| {
            let why = one_line(&error);
            Refusal::new(format!("{said} {}: {why}; give a kubeconfig of the cluster", path.display()))
        })?,
        None => kube::Config::infer().await.map_err(|error| {
            Refusal::new(format!(
                "there is no kubeconfig, and this is no Pod with a service account ({}); give --kubeconfig",
                one_line(&error.into())
            ))
        })?,
    };
    kube::Client::try_from(config).context("the credentials cannot be used")
}

async fn read_kubeconfig(path: &Path, context: Option<&str>) -> Result<kube::Config> {
    let file = Kubeconfig::read_from(path).context("it cannot be read")?;
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    kube::Config::from_custom_kubeconfig(file, &options).await.context("it cannot be used")
}
