//! `portolan agent`: kube-proxy's job on a node of a cluster that is somebody else's.

use std::path::Path;

use anyhow::{Context, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::ends::Ends;
use crate::refusal::{Refusal, one_line};
use crate::{cli, node_command, preflight};

/// Keeps this machine's rules true until it is told to end. The rules stay.
///
/// # Errors
/// When it cannot start.
pub async fn run(args: cli::Agent) -> Result<()> {
    let ends = Ends::listen()?;
    preflight::has_nf_tables()?;
    let node_name = node_command::name_or_hostname(args.node_name, "--node-name")?;
    let client = client(args.kubeconfig.as_deref()).await?;
    let config = node::proxy::Config::new(node_name);
    node::proxy::run(config, client, ends.token()).await.context("the agent cannot go on")
}

/// A client by a kubeconfig, or by what the surroundings say.
async fn client(kubeconfig: Option<&Path>) -> Result<kube::Client> {
    let config = match kubeconfig {
        Some(path) => read(path).await.map_err(|error| {
            Refusal::new(format!(
                "--kubeconfig {}: {}; give a kubeconfig of the cluster",
                path.display(),
                one_line(&error)
            ))
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

async fn read(path: &Path) -> Result<kube::Config> {
    let file = Kubeconfig::read_from(path).context("it cannot be read")?;
    kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.context("it cannot be used")
}
