//! `portolan controller`: what the controllers of a cluster that is somebody else's lack.

use std::path::Path;

use anyhow::Result;
use loadbalancer::settings::Settings;

use crate::agent;
use crate::cli::Controller;
use crate::ends::Ends;
use crate::refusal::Refusal;

/// Runs until told to end. What was said of Services stays.
///
/// # Errors
/// When it cannot start.
pub async fn run(args: Controller) -> Result<()> {
    let ends = Ends::listen()?;
    let client = agent::client(args.kubeconfig.as_deref().map(|path| ("--kubeconfig", path))).await?;
    let load_balancer = args.load_balancer_config.as_deref().map(settings).transpose()?;
    let config = controllers::Config { load_balancer, ..controllers::Config::default() };
    controllers::run_beside(client, config, ends.token()).await;
    Ok(())
}

/// Reads the settings of load balancers from a file.
fn settings(path: &Path) -> Result<Settings, Refusal> {
    let refused = |why: String| Refusal::new(format!("--load-balancer-config {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| refused(format!("{e}; give a file that can be read")))?;
    Settings::parse(&text).map_err(|e| refused(e.to_string()))
}
