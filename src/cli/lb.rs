//! `portolan lb`: looking at load balancers.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `portolan lb`
#[derive(Debug, Clone, Args)]
pub struct Lb {
    /// How to reach the API server, and as whom. Default: $KUBECONFIG, else the service account of the Pod that it runs in.
    #[arg(long, value_name = "FILE", global = true)]
    pub kubeconfig: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub action: LbAction,
}

/// What can be done with load balancers.
#[derive(Debug, Clone, Subcommand)]
pub enum LbAction {
    /// Show every address of a load balancer: whose it is, which node answers for it, since when, and whether another node
    /// sees it answer; and the nodes that announce.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}
