//! A `default` ServiceAccount in every namespace.

pub mod plan;

use std::sync::Arc;

use futures::future::BoxFuture;

use crate::context::Context;
use crate::objects::Meta;
use crate::queue::{Outcome, Queue, work};
use crate::write::WriteError;

const WORKERS: usize = 4;

/// Registers what the controller has to be told of; the future is its work. Keys are names of namespaces.
pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let queue: Arc<Queue<String>> = Arc::default();
    let add = queue.clone();
    context.caches.namespaces.on_change(move |delta| {
        if delta.new.is_some() {
            add.add(delta.latest.name().to_owned());
        }
    });
    let add = queue.clone();
    context.caches.service_accounts.on_change(move |delta| {
        if delta.new.is_none() && delta.latest.name() == plan::DEFAULT {
            add.add(delta.latest.namespace().to_owned());
        }
    });
    let stop = context.stop.clone();
    Box::pin(work("serviceaccount", queue, WORKERS, stop, move |namespace| sync(context.clone(), namespace)))
}

async fn sync(context: Arc<Context>, name: String) -> Result<Outcome, WriteError> {
    let Some(namespace) = context.caches.namespaces.get("", &name) else { return Ok(Outcome::Done) };
    let existing = context.caches.service_accounts.get(&name, plan::DEFAULT);
    let Some(change) = plan::plan(&namespace, existing.as_deref()) else { return Ok(Outcome::Done) };
    match context.apply(&change).await {
        Ok(_) | Err(WriteError::AlreadyExists(_) | WriteError::NamespaceTerminating(_) | WriteError::NotFound(_)) => {
            Ok(Outcome::Done)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
