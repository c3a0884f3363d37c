//! Nodes that are silent or not ready, and their Pods (`node-controller`, `taint-eviction-controller`).

pub mod plan;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::cache::{Delta, Index};
use crate::caches::NODE_LEASES;
use crate::change::{NODES, Note, Reference};
use crate::context::Context;
use crate::objects::{Meta, Node};
use crate::queue::{Outcome, Queue, work};
use crate::write::WriteError;
use plan::Snapshot;

const COMPONENT: &str = "node-controller";
const WORKERS: usize = 16;

/// What is known of a node by this process's clock.
struct Health {
    heard: Instant,
    /// Since when each `NoExecute` taint is seen, by key.
    tainted: BTreeMap<String, Instant>,
}

impl Health {
    fn new(now: Instant) -> Self {
        Self { heard: now, tainted: BTreeMap::new() }
    }
}

#[derive(Default)]
struct State {
    nodes: Mutex<HashMap<String, Health>>,
}

/// Registers what the controller has to be told of; the future is its work. Keys are names of nodes.
pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let queue: Arc<Queue<String>> = Arc::default();
    let state: Arc<State> = Arc::default();

    let (add, health, grace) = (queue.clone(), state.clone(), context.config.node_grace);
    context.caches.leases.on_change(move |delta| {
        let renewed = delta.old.map(|old| &old.spec.renew_time) != delta.new.map(|new| &new.spec.renew_time);
        if delta.latest.namespace() == NODE_LEASES && delta.new.is_some() && renewed {
            hear(&health, &add, delta.latest.name(), grace);
        }
    });
    let (add, health, known) = (queue.clone(), state.clone(), context.clone());
    context.caches.nodes.on_change(move |delta| node_changed(&known, &health, &add, delta));
    let (add, known) = (queue.clone(), context.clone());
    context.caches.pods.on_change(move |delta| {
        // On a healthy node nothing is to be done about a Pod.
        if let Some(node) = delta.new.and_then(|pod| known.caches.nodes.get("", pod.node_name()?))
            && node.taints().iter().any(|taint| taint.effect == "NoExecute")
        {
            add.add(node.name().to_owned());
        }
    });
    let stop = context.stop.clone();
    Box::pin(async move {
        // Whatever was heard of when is forgotten: the server may have been away for long.
        let now = Instant::now();
        state.nodes.lock().values_mut().for_each(|health| health.heard = now);
        work("nodelifecycle", queue, WORKERS, stop, move |node| sync(context.clone(), state.clone(), node)).await;
    })
}

/// A node has said that it lives.
fn hear(state: &State, queue: &Queue<String>, node: &str, grace: Duration) {
    let now = Instant::now();
    let mut nodes = state.nodes.lock();
    let health = nodes.entry(node.to_owned()).or_insert_with(|| Health::new(now));
    let was_silent = now.duration_since(health.heard) >= grace;
    health.heard = now;
    if was_silent {
        queue.add(node.to_owned());
    }
}

fn node_changed(context: &Context, state: &State, queue: &Queue<String>, delta: &Delta<'_, Node>) {
    let name = delta.latest.name();
    let about = || Reference::to(NODES, &**delta.latest);
    let Some(new) = delta.new else {
        state.nodes.lock().remove(name);
        let message = format!("Removing Node {name} from Controller");
        context.tell(COMPONENT, [Note::normal(about(), "RemovingNode", message)]);
        return;
    };
    {
        let mut nodes = state.nodes.lock();
        let now = Instant::now();
        let health = nodes.entry(name.to_owned()).or_insert_with(|| Health::new(now));
        let taints = new.taints().iter().filter(|taint| taint.effect == "NoExecute");
        let tainted = taints.map(|taint| (taint.key.clone(), health.tainted.get(&taint.key).copied().unwrap_or(now)));
        health.tainted = tainted.collect();
    }
    let Some(old) = delta.old else {
        let message = format!("Registered Node {name} in Controller");
        context.tell(COMPONENT, [Note::normal(about(), "RegisteredNode", message)]);
        return queue.add(name.to_owned());
    };
    // Whoever says `True` or `False` is the node itself: here only `Unknown` is said.
    let said = |node: &Node| node.ready().map(|ready| (ready.status.clone(), ready.last_heartbeat_time.clone()));
    let spoken = new.ready().is_some_and(|ready| ready.status != "Unknown");
    if spoken && said(old) != said(new) {
        hear(state, queue, name, context.config.node_grace);
    }
    let seen = |node: &Node| {
        let conditions: Vec<_> = node.status.conditions.iter().map(|c| (c.kind.clone(), c.status.clone())).collect();
        (conditions, node.spec.unschedulable, node.spec.taints.clone())
    };
    if seen(old) != seen(new) {
        queue.add(name.to_owned());
    }
}

async fn sync(context: Arc<Context>, state: Arc<State>, name: String) -> Result<Outcome, WriteError> {
    let Some(node) = context.caches.nodes.get("", &name) else { return Ok(Outcome::Done) };
    let pods = context.caches.pods.by(Index::Node, &name);
    let plan = {
        let mut nodes = state.nodes.lock();
        let (now, grace) = (Instant::now(), context.config.node_grace);
        nodes.entry(name).or_insert_with(|| Health::new(now));
        let silent = |health: &Health| now.duration_since(health.heard);
        let all_silent = nodes.values().all(|health| silent(health) >= grace);
        let Some(health) = nodes.get(node.name()) else { return Ok(Outcome::Done) };
        let tainted = health.tainted.iter().map(|(key, since)| (key.clone(), now.duration_since(*since))).collect();
        plan::plan(&Snapshot {
            node: &node,
            pods: &pods,
            silent: silent(health),
            tainted: &tainted,
            all_silent,
            grace,
            eviction_after: context.config.eviction_after,
            now: Timestamp::now(),
        })
    };
    match context.apply_all(&plan.changes).await {
        // A Pod has gone meanwhile: the rest is looked at again.
        Ok(()) => {}
        Err(WriteError::NotFound(_)) => return Ok(Outcome::After(Duration::from_millis(5))),
        Err(error) => return Err(error),
    }
    for (component, note) in plan.notes {
        context.recorder.note(component, note);
    }
    Ok(plan.again.map_or(Outcome::Done, Outcome::After))
}

#[cfg(test)]
mod tests;
