//! `portolan controller`: what the controllers of a cluster that is somebody else's lack.

use anyhow::Result;

use crate::agent;
use crate::cli::Controller;
use crate::ends::Ends;

/// Runs until told to end. What was said of Services stays.
///
/// # Errors
/// When it cannot start.
pub async fn run(args: Controller) -> Result<()> {
    let ends = Ends::listen()?;
    let client = agent::client(args.kubeconfig.as_deref().map(|path| ("--kubeconfig", path))).await?;
    controllers::run_beside(client, ends.token()).await;
    Ok(())
}
