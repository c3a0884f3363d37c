//! Slices for Endpoints that somebody made by hand (`endpointslicemirroring-controller.k8s.io`).

pub mod plan;

use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Endpoints;

use crate::cache::{Index, Key};
use crate::caches::SERVICE_NAME;
use crate::context::Context;
use crate::endpointslice::plan::MANAGED_BY;
use crate::objects::Meta;
use crate::queue::{Outcome, Queue, work};
use crate::write::WriteError;
use plan::CONTROLLER;

const COMPONENT: &str = "endpoint-slice-mirroring-controller";
const WORKERS: usize = 16;

/// Registers what the controller has to be told of; the future is its work.
pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let queue: Arc<Queue<Key>> = Arc::default();
    let caches = &context.caches;
    let add = queue.clone();
    caches.endpoints.on_change(move |delta| {
        // Those that are made from Pods say so; whether they are mirrored changes only when they say otherwise.
        let made = |endpoints: &Arc<Endpoints>| endpoints.label(crate::endpoints::plan::MANAGED_BY).is_some();
        if delta.new.is_none() || !delta.both().all(made) {
            add.add(Key::of(&**delta.latest));
        }
    });
    let add = queue.clone();
    caches.services.on_change(move |delta| add.add(Key::of(&**delta.latest)));
    let add = queue.clone();
    caches.slices.on_change(move |delta| {
        for slice in delta.both().filter(|slice| slice.label(MANAGED_BY) == Some(CONTROLLER)) {
            if let Some(service) = slice.label(SERVICE_NAME) {
                add.add(Key::new(slice.namespace(), service));
            }
        }
    });
    let stop = context.stop.clone();
    Box::pin(work("endpointslicemirroring", queue, WORKERS, stop, move |key| sync(context.clone(), key)))
}

async fn sync(context: Arc<Context>, key: Key) -> Result<Outcome, WriteError> {
    let caches = &context.caches;
    let endpoints = caches.endpoints.get(&key.namespace, &key.name);
    let service = caches.services.get(&key.namespace, &key.name);
    let mut slices = caches.slices.by(Index::Service, &key.to_string());
    slices.retain(|slice| slice.label(MANAGED_BY) == Some(CONTROLLER) && !slice.deleting());
    let plan = plan::plan(endpoints.as_deref(), service.as_deref(), &slices);
    if !plan.changes.is_empty() {
        context.tell(COMPONENT, plan.notes);
    }
    match context.apply_all(&plan.changes).await {
        Ok(()) | Err(WriteError::NamespaceTerminating(_)) => Ok(Outcome::Done),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
