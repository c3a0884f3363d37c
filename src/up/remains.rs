//! Removing what a cluster made, whether its `up` still lives or was killed: everything is found by name and known by
//! its mark.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use rtnetlink::Handle;

use crate::layout::{Layout, NodePlace};
use crate::process::{ProcessId, nodes_in};
use crate::run_dir::RunDir;
use crate::{netns, network};

/// How long a node may take to end before it is killed.
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
    let host = run_dir.host();
    // A run that was killed before it had pinned its namespace has made nothing in it.
    if netns::is_another(&host) {
        let (layout, run_dir) = (layout.clone(), run_dir.clone());
        first = first.and(netns::within(&host, move || async move { tear_down(&layout, &run_dir).await }).await);
    } else {
        first = first.and(tear_down(layout, run_dir).await);
    }
    first.and(netns::unpin(&host))
}

/// Removes the cables, the namespaces and the bridge, in the network namespace of the calling thread.
async fn tear_down(layout: &Layout, run_dir: &RunDir) -> Result<()> {
    let handle = network::connect()?;
    let mut first = Ok(());
    for node in &layout.nodes {
        first = first.and(unplug(&handle, run_dir, node).await);
    }
    first.and(network::remove_link(&handle, &layout.bridge, layout.bridge_mac).await)
}

/// Ends a node's process and its Pods'; its cable and namespace stay.
///
/// # Errors
/// When the kernel refuses.
pub async fn end_node(layout: &Layout, run_dir: &RunDir, node: &NodePlace, signal: Signal) -> Result<()> {
    let file = run_dir.node(&node.name);
    let mut processes: BTreeSet<ProcessId> = ProcessId::read(&file)?.into_iter().collect();
    // Until none is found: one may be on its way, from an `up` that was killed while it started it.
    loop {
        processes.extend(nodes_in(&netns::path(&node.netns))?);
        if processes.is_empty() {
            break;
        }
        for process in std::mem::take(&mut processes) {
            if !process.end(signal, PATIENCE).await {
                bail!("the process {} of {} does not end", process.pid(), node.name);
            }
        }
    }
    match std::fs::remove_file(&file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(e).with_context(|| format!("cannot remove {}", file.display()));
        }
        _ => {}
    }
    let folder = layout.node_dir(&node.name);
    tokio::task::spawn_blocking(move || pods::cleanup(&folder))
        .await?
        .with_context(|| format!("cannot remove the Pods of {}", node.name))
}

/// Removes a node's cable and namespace. What is not there is no error.
///
/// # Errors
/// When the kernel refuses.
pub async fn unplug(handle: &Handle, run_dir: &RunDir, node: &NodePlace) -> Result<()> {
    network::remove_link(handle, &node.link, node.link_mac).await?;
    match run_dir.read_cookie(&node.name)? {
        Some(cookie) => netns::remove(&node.netns, cookie),
        None => Ok(()),
    }
}
