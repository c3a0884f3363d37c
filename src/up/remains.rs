//! Removing what a cluster made, whether its `up` still lives or was killed: everything is found by name.

use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;

use crate::layout::{Layout, NodePlace};
use crate::network;
use crate::process::ProcessId;
use crate::up::run_dir::RunDir;

/// How long a node may take to end before it is ended.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ends all nodes of a cluster and removes their Pods, cables and namespaces, and the bridge. What is not there is no
/// error; everything is tried, and the first error told.
///
/// # Errors
/// When the kernel refuses.
pub async fn remove(layout: &Layout, run_dir: &RunDir) -> Result<()> {
    let ends = layout.nodes.iter().map(|node| end_node(layout, run_dir, node, Signal::SIGTERM));
    let mut first = Ok(());
    for ended in futures::future::join_all(ends).await {
        first = first.and(ended);
    }
    let handle = network::connect()?;
    first.and(network::tear_down(&handle, layout).await)
}

/// Ends a node's process and its Pods'; its cable and namespace stay.
///
/// # Errors
/// When the kernel refuses.
pub async fn end_node(layout: &Layout, run_dir: &RunDir, node: &NodePlace, signal: Signal) -> Result<()> {
    let file = run_dir.node(&node.name);
    if let Some(process) = ProcessId::read(&file)? {
        process.signal(signal);
        if !process.gone_within(PATIENCE).await {
            process.end(Duration::ZERO).await;
        }
        std::fs::remove_file(&file)?;
    }
    let folder = layout.node_dir(&node.name);
    tokio::task::spawn_blocking(move || pods::cleanup(&folder)).await??;
    Ok(())
}
