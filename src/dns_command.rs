//! `portolan dns`: the cluster's DNS alone, in CoreDNS' place.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use dns::IndexOptions;
use dns::config::{Cluster, Config};
use dns::forward::settings::search_domains;
use dns::index::{SearchOptions, reverse_zones};
use dns::querylog::Sink;
use dns::service::CorefileOnDisk;
use node::dns::{Beside, Told};
use node::proxy::options::Bind;

use crate::ends::Ends;
use crate::refusal::{Refusal, one_line};
use crate::{agent, cli, server};

/// Answers DNS until it is told to end.
///
/// # Errors
/// When it cannot start.
pub async fn run(args: cli::Dns) -> Result<()> {
    let ends = Ends::listen()?;
    let told = told(&args)?;
    let client = match &told.whole.config.cluster {
        Some(cluster) => Some(client(&args, cluster).await?),
        None => None,
    };
    node::dns::run(told, client, ends.token()).await.context("DNS cannot be answered")
}

/// A client by the flag, or else by the Corefile, or else by the surroundings.
async fn client(args: &cli::Dns, cluster: &Cluster) -> Result<kube::Client> {
    match (&args.kubeconfig, &cluster.kubeconfig) {
        (None, Some(said)) => {
            agent::client_as(Some(("kubernetes kubeconfig", &said.path)), said.context.as_deref()).await
        }
        (flag, _) => agent::client(flag.as_deref().map(|path| ("--kubeconfig", path))).await,
    }
}

/// What the flags say, or the Corefile.
fn told(args: &cli::Dns) -> Result<Told, Refusal> {
    let query_log = args.query_log.as_ref().map(|path| (sink(path), args.query_log_one_in));
    let Some(path) = &args.corefile else {
        let told = Told::from(config(args)?);
        return Ok(Told { beside: Beside { query_log, ..told.beside }, ..told });
    };
    let (file, whole) =
        CorefileOnDisk::open(path).map_err(|error| Refusal::new(format!("--corefile {}", one_line(&error.into()))))?;
    let beside = Beside { listen: args.listen.clone(), clients: args.client.clone(), query_log };
    Ok(Told { whole, file: Some(file), beside })
}

fn sink(path: &Path) -> Sink {
    if path == Path::new("-") { Sink::Stdout } else { Sink::File(path.to_owned()) }
}

/// What the flags say.
fn config(args: &cli::Dns) -> Result<Config, Refusal> {
    let default = Config::default();
    let mut index = IndexOptions {
        zones: args.zone.clone(),
        ttl: args.ttl,
        negative_ttl: args.negative_ttl,
        fallthrough: args.reverse_fallthrough.into(),
        pods: args.pods.into(),
        endpoint_pod_names: args.endpoint_pod_names,
        ..IndexOptions::default()
    };
    if args.complete_searches {
        let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        index.search = Some(SearchOptions { further: search_domains(&text) });
    }
    if !args.reverse_range.is_empty() {
        index.reverse_zones = args.reverse_range.iter().flat_map(|range| reverse_zones(*range)).collect();
    }
    let upstreams = match args.upstream.as_slice() {
        [] if args.no_upstream => Vec::new(),
        [] => server::machine_resolvers(),
        given => given.to_vec(),
    };
    let mut server = default.server;
    server.listen = if args.listen.is_empty() { node::dns::everywhere(53) } else { args.listen.clone() };
    server.workers = args.workers;
    if let Some(itself) = upstreams.iter().find(|upstream| server.listen.contains(upstream)) {
        return Err(Refusal::new(format!(
            "{itself} is asked for other names and is this server itself; give --upstream, or --no-upstream"
        )));
    }
    Ok(Config {
        server,
        cluster: Some(Cluster { index, namespaces: args.namespace.clone(), ..Cluster::default() }),
        forward: (!upstreams.is_empty()).then(|| dns::forward::Settings::to(upstreams)),
        clients: if args.client.is_empty() { default.clients } else { Some(args.client.clone()) },
        transfer: args.allow_transfer.clone(),
        health: address(args.health_address, default.health),
        lameduck: args.lameduck,
        ready: address(args.ready_address, default.ready),
        metrics: address(args.metrics_address, default.metrics),
    })
}

fn address(said: Option<Bind>, default: Option<SocketAddr>) -> Option<SocketAddr> {
    match said {
        None => default,
        Some(Bind::Off) => None,
        Some(Bind::At(address)) => Some(address),
    }
}
