//! The slices of every Service with a selector (`endpointslice-controller.k8s.io`).

pub mod plan;

use std::sync::Arc;

use futures::future::BoxFuture;
use parking_lot::Mutex;

use crate::cache::{Index, Key};
use crate::caches::SERVICE_NAME;
use crate::change::{Note, Reference, SERVICES};
use crate::context::Context;
use crate::objects::{Meta, Node};
use crate::queue::{Outcome, Queue, work};
use crate::services::{concerned, has_selector, selecting, selects};
use crate::trigger_time::TriggerTimes;
use crate::write::WriteError;
use plan::{CONTROLLER, MANAGED_BY, Snapshot};

const COMPONENT: &str = "endpoint-slice-controller";
const WORKERS: usize = 64;

/// Registers what the controller has to be told of; the future is its work.
pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let queue: Arc<Queue<Key>> = Arc::default();
    let caches = &context.caches;

    let add = queue.clone();
    caches.services.on_change(move |delta| add.add(Key::of(&**delta.latest)));
    let (add, known) = (queue.clone(), context.clone());
    caches.pods.on_change(move |delta| {
        for service in concerned(&known.caches, delta) {
            add.add(service);
        }
    });
    let add = queue.clone();
    caches.slices.on_change(move |delta| {
        for slice in delta.both().filter(|slice| slice.label(MANAGED_BY) == Some(CONTROLLER)) {
            if let Some(service) = slice.label(SERVICE_NAME) {
                add.add(Key::new(slice.namespace(), service));
            }
        }
    });
    let (add, known) = (queue.clone(), context.clone());
    caches.nodes.on_change(move |delta| {
        let zone = |node: Option<&Arc<Node>>| node.map(|node| node.zone().map(str::to_owned));
        if zone(delta.old) != zone(delta.new) {
            for pod in known.caches.pods.by(Index::Node, delta.latest.name()) {
                selecting(&known.caches, &pod).into_iter().for_each(|service| add.add(service));
            }
        }
    });

    let times: Arc<Mutex<TriggerTimes>> = Arc::default();
    let stop = context.stop.clone();
    Box::pin(work("endpointslice", queue, WORKERS, stop, move |key| sync(context.clone(), times.clone(), key)))
}

async fn sync(context: Arc<Context>, times: Arc<Mutex<TriggerTimes>>, key: Key) -> Result<Outcome, WriteError> {
    let caches = &context.caches;
    let Some(service) = caches.services.get(&key.namespace, &key.name) else {
        // The garbage collector deletes the slices.
        times.lock().forget(&key);
        return Ok(Outcome::Done);
    };
    if !has_selector(&service) {
        return Ok(Outcome::Done);
    }
    let pods = caches.pods.in_namespace(&key.namespace, |pod| selects(&service, pod));
    let mut slices = caches.slices.by(Index::Service, &key.to_string());
    slices.retain(|slice| slice.label(MANAGED_BY) == Some(CONTROLLER) && !slice.deleting());
    let trigger_time = times.lock().update(&service, &pods);
    let plan = plan::plan(&Snapshot {
        service: &service,
        pods: &pods,
        node: &|name| caches.nodes.get("", name),
        slices: &slices,
        trigger_time,
        endpoints_per_slice: context.config.endpoints_per_slice,
    });
    match context.apply_all(&plan.changes).await {
        // Nothing can be made any more where everything is being deleted.
        Ok(()) | Err(WriteError::NamespaceTerminating(_)) => {}
        Err(error) => {
            // A conflict is mended by the next try and is no news to anyone.
            if !matches!(error, WriteError::Conflict(_)) {
                let about = Reference::to(SERVICES, &*service);
                let message = format!("Error updating Endpoint Slices for Service {key}: {error}");
                context.tell(COMPONENT, [Note::warning(about, "FailedToUpdateEndpointSlices", message)]);
            }
            return Err(error);
        }
    }
    if !plan.missing_nodes.is_empty() {
        // They come in when their node does: its handler adds the Service again.
        tracing::debug!(service = %key, nodes = ?plan.missing_nodes, "Pods were left out: their nodes do not exist");
    }
    Ok(Outcome::Done)
}

#[cfg(test)]
mod tests;
