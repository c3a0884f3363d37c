//! Sweeps up Pods that nobody else would: of nodes that do not exist, never bound and told to end, and ended ones when
//! there are too many.

pub mod plan;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::cache::{Index, Key};
use crate::change::NODES;
use crate::context::Context;
use crate::objects::{Meta, Pod};
use crate::queue::{Outcome, Queue, work};
use crate::write::WriteError;

const WORKERS: usize = 8;
/// How long after a Pod ended it is counted how many have.
const COUNT_AFTER: Duration = Duration::from_secs(20);

/// What there is to do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Task {
    /// Sweep up the Pods of a node that seems not to exist.
    Node(String),
    /// Sweep up a Pod that was never bound.
    Unbound(Key),
    /// Count the ended Pods.
    Count,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "node {node}"),
            Self::Unbound(pod) => write!(f, "pod {pod}"),
            Self::Count => f.write_str("ended pods"),
        }
    }
}

/// Registers what the controller has to be told of; the future is its work.
pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let queue: Arc<Queue<Task>> = Arc::default();
    // A node that is registered again soon has not gone.
    let quarantine = context.config.node_grace;
    let (add, known) = (queue.clone(), context.clone());
    context.caches.pods.on_change(move |delta| {
        let Some(pod) = delta.new else { return };
        match pod.node_name() {
            None if pod.deleting() => add.add(Task::Unbound(Key::of(&**pod))),
            Some(node) if known.caches.nodes.get("", node).is_none() => {
                add.add_after(Task::Node(node.to_owned()), quarantine);
            }
            _ => {}
        }
        if pod.terminal() && !delta.old.is_some_and(|old| old.terminal()) {
            add.add_after(Task::Count, COUNT_AFTER);
        }
    });
    let add = queue.clone();
    context.caches.nodes.on_change(move |delta| {
        if delta.new.is_none() {
            add.add_after(Task::Node(delta.latest.name().to_owned()), quarantine);
        }
    });
    let stop = context.stop.clone();
    Box::pin(work("podgc", queue, WORKERS, stop, move |task| sync(context.clone(), task)))
}

async fn sync(context: Arc<Context>, task: Task) -> Result<Outcome, WriteError> {
    let caches = &context.caches;
    match task {
        Task::Unbound(key) => {
            let pod = caches.pods.get(&key.namespace, &key.name);
            let unbound = pod.into_iter().filter(|pod| pod.deleting() && pod.node_name().is_none());
            end_all(&context, unbound, false).await
        }
        Task::Count => {
            let surplus = plan::surplus(caches.pods.all(), context.config.terminated_pods);
            end_all(&context, surplus, false).await
        }
        Task::Node(name) => {
            let pods = caches.pods.by(Index::Node, &name);
            // The cache may be behind, so the server is asked.
            let known = caches.nodes.get("", &name).is_some();
            if pods.is_empty() || known || context.writer.metadata(NODES, "", &name).await?.is_some() {
                return Ok(Outcome::Done);
            }
            tracing::info!(node = name, pods = pods.len(), "the Pods of a node that does not exist are deleted");
            end_all(&context, pods, true).await
        }
    }
}

async fn end_all(
    context: &Context,
    pods: impl IntoIterator<Item = Arc<Pod>>,
    node_is_gone: bool,
) -> Result<Outcome, WriteError> {
    for pod in pods {
        for change in plan::end(&pod, node_is_gone, Timestamp::now()) {
            match context.apply(&change).await {
                Ok(_) => {}
                Err(WriteError::NotFound(_)) => break,
                Err(error) => return Err(error),
            }
        }
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests;
