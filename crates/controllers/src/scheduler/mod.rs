//! Binds Pods to nodes (`default-scheduler`).

pub mod books;
pub mod fit;
pub mod plan;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::json;

use crate::cache::{Delta, Key};
use crate::change::{Act, Change, Note, PODS, Part, Reference};
use crate::context::Context;
use crate::objects::{Meta, Node, Pod};
use crate::queue::{Outcome, Queue, work};
use crate::write::WriteError;
use books::Books;
use plan::Decision;

const COMPONENT: &str = "default-scheduler";
/// How many bindings are under way at a time. Decisions are made one after the other.
const WORKERS: usize = 64;

#[derive(Default)]
struct State {
    books: Mutex<Books>,
    /// Pods that fit nowhere.
    waiting: Mutex<BTreeSet<Key>>,
    /// How often something got better.
    wakes: AtomicU64,
    queue: Arc<Queue<Key>>,
}

impl State {
    /// Something got better somewhere: all that wait are tried again.
    fn wake(&self) {
        self.wakes.fetch_add(1, Ordering::SeqCst);
        for key in std::mem::take(&mut *self.waiting.lock()) {
            self.queue.add(key);
        }
    }
}

/// Registers what the scheduler has to be told of; the future is its work.
pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let state: Arc<State> = Arc::default();
    let known = state.clone();
    context.caches.pods.on_change(move |delta| pod_changed(&known, delta));
    let known = state.clone();
    context.caches.nodes.on_change(move |delta| {
        if node_changed(delta) {
            known.wake();
        }
    });
    let stop = context.stop.clone();
    let queue = state.queue.clone();
    Box::pin(work("scheduler", queue, WORKERS, stop, move |key| sync(context.clone(), state.clone(), key)))
}

fn pod_changed(state: &State, delta: &Delta<'_, Pod>) {
    match delta.new {
        Some(pod) => {
            state.books.lock().see(pod);
            if wants_node(pod) {
                state.queue.add(Key::of(&**pod));
            }
        }
        None => state.books.lock().remove(delta.latest.uid()),
    }
    let uses = |pod: Option<&Arc<Pod>>| pod.is_some_and(|pod| pod.node_name().is_some() && !pod.terminal());
    if uses(delta.old) && !uses(delta.new) {
        state.wake();
    }
}

/// Whether a change of a node can make a Pod fit.
fn node_changed(delta: &Delta<'_, Node>) -> bool {
    let (Some(old), Some(new)) = (delta.old, delta.new) else { return delta.new.is_some() };
    let seen = |node: &Node| (node.spec.unschedulable, node.spec.taints.clone(), fit::readiness_taint(node));
    seen(old) != seen(new)
        || old.metadata.labels != new.metadata.labels
        || old.status.allocatable != new.status.allocatable
}

/// Whether a Pod waits for this scheduler.
fn wants_node(pod: &Pod) -> bool {
    let ours = |name: Option<&str>| matches!(name, None | Some("" | COMPONENT));
    let scheduling = pod.spec.scheduling.as_ref();
    pod.active() && scheduling.is_some_and(|s| !s.gated && ours(s.scheduler.as_deref()))
}

async fn sync(context: Arc<Context>, state: Arc<State>, key: Key) -> Result<Outcome, WriteError> {
    let Some(pod) = context.caches.pods.get(&key.namespace, &key.name).filter(|pod| wants_node(pod)) else {
        return Ok(Outcome::Done);
    };
    let Some(scheduling) = &pod.spec.scheduling else { return Ok(Outcome::Done) };
    let wakes = state.wakes.load(Ordering::SeqCst);
    let nodes = context.caches.nodes.all();
    let decision = {
        let mut books = state.books.lock();
        let decision = plan::decide(&pod, scheduling, &nodes, &books);
        match &decision {
            Decision::Bind(node) => books.assume(&pod, node),
            Decision::Unschedulable(_) => {
                state.waiting.lock().insert(key.clone());
                // What got better while it was decided may have come too early to find it waiting.
                if state.wakes.load(Ordering::SeqCst) != wakes {
                    state.wake();
                }
            }
        }
        decision
    };
    match decision {
        Decision::Bind(node) => bind(&context, &state, &pod, &node).await,
        Decision::Unschedulable(message) => refuse(&context, &pod, message).await,
    }
}

async fn bind(context: &Context, state: &State, pod: &Pod, node: &str) -> Result<Outcome, WriteError> {
    let binding = json!({
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"namespace": pod.namespace(), "name": pod.name(), "uid": pod.uid()},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    });
    match context.apply(&Change::on(PODS, pod, Act::Post("binding", binding))).await {
        Ok(_) => {
            let message = format!("Successfully assigned {}/{} to {node}", pod.namespace(), pod.name());
            context.tell(COMPONENT, [Note::normal(Reference::to(PODS, pod), "Scheduled", message)]);
            Ok(Outcome::Done)
        }
        // The cache says sooner or later whether another has bound it, or whether the answer was lost.
        Err(error) => {
            state.books.lock().forget(pod.uid());
            match error {
                WriteError::NotFound(_) => Ok(Outcome::Done),
                error => {
                    let message = format!("binding rejected: {error}");
                    context.tell(COMPONENT, [Note::warning(Reference::to(PODS, pod), "FailedScheduling", message)]);
                    Err(error)
                }
            }
        }
    }
}

/// Says that a Pod fits nowhere, if that is news.
async fn refuse(context: &Context, pod: &Pod, message: String) -> Result<Outcome, WriteError> {
    let said = pod.status.scheduled.as_ref().and_then(|condition| condition.cause.as_ref());
    if said.is_some_and(|said| **said == ("Unschedulable".to_owned(), message.clone())) {
        return Ok(Outcome::Done);
    }
    let about = Reference::to(PODS, pod);
    context.tell(COMPONENT, [Note::warning(about, "FailedScheduling", message.clone())]);
    let known = pod.status.scheduled.as_ref().filter(|condition| !condition.is_true);
    let since = known.and_then(|condition| condition.since.clone());
    let since = since.map_or_else(jiff::Timestamp::now, |time| time.0);
    let condition = json!({
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastTransitionTime": since.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    });
    let patch = json!({"metadata": {"uid": pod.uid()}, "status": {"conditions": [condition]}});
    match context.apply(&Change::strategic(PODS, pod, Part::Status, patch)).await {
        Ok(_) | Err(WriteError::NotFound(_)) => Ok(Outcome::Done),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
