//! A range of addresses for the Pods of every node.

pub mod plan;

use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::context::Context;
use crate::objects::Meta;
use crate::queue::{Outcome, Queue, work};
use crate::write::WriteError;
use plan::Parts;

const COMPONENT: &str = "cidrAllocator";

/// Registers what the controller has to be told of; the future is its work. Keys are names of nodes. Where nodes bring
/// their own ranges there is nothing to do.
pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let Some(range) = context.config.pod_cidr else { return Box::pin(async {}) };
    let queue: Arc<Queue<String>> = Arc::default();
    let add = queue.clone();
    context.caches.nodes.on_change(move |delta| {
        if delta.old.is_none() || delta.new.is_none() || plan::ranges(delta.latest).is_empty() {
            add.add(delta.latest.name().to_owned());
        }
    });
    Box::pin(async move {
        // What nodes have is noted before anything is given.
        let mut parts = Parts::new(range, context.config.node_mask);
        for node in context.caches.nodes.all() {
            parts.claim(node.name(), &plan::ranges(&node));
        }
        let parts = Arc::new(Mutex::new(parts));
        let stop = context.stop.clone();
        work("nodeipam", queue, 1, stop, move |node| sync(context.clone(), parts.clone(), node)).await;
    })
}

async fn sync(context: Arc<Context>, parts: Arc<Mutex<Parts>>, name: String) -> Result<Outcome, WriteError> {
    let Some(node) = context.caches.nodes.get("", &name) else {
        parts.lock().release(&name);
        return Ok(Outcome::Done);
    };
    let plan = plan::plan(&node, &mut parts.lock());
    match plan {
        None => Ok(Outcome::Done),
        Some(Err(note)) => {
            context.tell(COMPONENT, [note]);
            // Tried again until a node goes, which frees its part.
            Ok(Outcome::After(std::time::Duration::from_secs(10)))
        }
        Some(Ok(change)) => match context.apply(&change).await {
            Ok(_) => Ok(Outcome::Done),
            Err(error) => {
                parts.lock().release(&name);
                if matches!(error, WriteError::NotFound(_)) { Ok(Outcome::Done) } else { Err(error) }
            }
        },
    }
}

#[cfg(test)]
mod tests;
