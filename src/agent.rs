//! `portolan agent`: kube-proxy's job on a node of a cluster that is somebody else's; and what remains of kube-proxy, or of the
//! agent, taken away ([`cleanup`]).

mod cleanup;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use node::proxy::file;
use node::proxy::options::Options;

use crate::cli::Agent;
use crate::ends::Ends;
use crate::refusal::{Refusal, one_line};
use crate::{node_command, preflight};

/// The largest configuration file that is read.
const LARGEST: u64 = 1024 * 1024;

/// Keeps this machine's rules true until it is told to end. The rules stay.
///
/// # Errors
/// When it cannot start.
pub async fn run(args: Agent) -> Result<()> {
    if args.cleanup || args.cleanup_kube_proxy {
        preflight::has_nf_tables()?;
        return if args.cleanup { cleanup::own() } else { cleanup::kube_proxy() };
    }
    let ends = Ends::listen()?;
    let said = match &args.config {
        Some(path) => read_config(path)?,
        None => Options::default(),
    };
    if let Some(mode) = args.proxy_mode.as_ref().filter(|mode| *mode != "nftables") {
        tracing::info!(mode, "--proxy-mode: rules are nftables' here, whatever the mode");
    }
    let options = args.options().or(said);
    preflight::has_nf_tables()?;
    let said = if args.kubeconfig.is_some() { "--kubeconfig" } else { "clientConnection.kubeconfig of --config," };
    let client = client(options.kubeconfig.as_deref().map(|path| (said, path))).await?;
    let node_name = node_command::name_or_hostname(options.node_name.clone(), "--node-name")?;
    node::proxy::run(options.settle(node_name), client, ends.token()).await.context("the agent cannot go on")
}

/// Reads a configuration file of kube-proxy's, and says what of it means nothing here.
fn read_config(path: &Path) -> Result<Options, Refusal> {
    let refused = |why: &dyn std::fmt::Display| Refusal::new(format!("--config {}: {why}", path.display()));
    let text = text(path).map_err(|e| refused(&format!("{e}; give a file that can be read")))?;
    let read = file::read(&text).map_err(|e| refused(&e))?;
    for field in &read.unknown {
        tracing::warn!(field, "--config: a field that nobody knows is left out");
    }
    for field in &read.ignored {
        tracing::debug!(field, "--config: a field means nothing here");
    }
    if let Some(mode) = &read.mode {
        tracing::info!(mode, "--config: rules are nftables' here, whatever the mode");
    }
    Ok(read.options)
}

fn text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it is larger than {} MB", LARGEST >> 20)));
    }
    Ok(text)
}

/// A client by the kubeconfig that was named, and by what; or by what the surroundings say.
pub(crate) async fn client(kubeconfig: Option<(&str, &Path)>) -> Result<kube::Client> {
    let config = match kubeconfig {
        Some((said, path)) => read_kubeconfig(path).await.map_err(|error| {
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

async fn read_kubeconfig(path: &Path) -> Result<kube::Config> {
    let file = Kubeconfig::read_from(path).context("it cannot be read")?;
    kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.context("it cannot be used")
}
