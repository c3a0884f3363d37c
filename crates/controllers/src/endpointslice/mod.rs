//! The slices of every Service with a selector (`endpointslice-controller.k8s.io`).

pub mod plan;
mod trigger;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Service;
use parking_lot::Mutex;

use crate::cache::{Delta, Index, Key};
use crate::caches::{SERVICE_NAME, selector_pair};
use crate::change::{Note, Reference, SERVICES};
use crate::context::Context;
use crate::objects::{Meta, Node, Pod};
use crate::queue::{Outcome, Queue, work};
use crate::selector;
use crate::write::WriteError;
use plan::{CONTROLLER, MANAGED_BY, Snapshot};
use trigger::TriggerTimes;

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
        for service in services_of(&known, delta) {
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
                selecting(&known, &pod).into_iter().for_each(|service| add.add(service));
            }
        }
    });

    let times: Arc<Mutex<TriggerTimes>> = Arc::default();
    let stop = context.stop.clone();
    Box::pin(work("endpointslice", queue, WORKERS, stop, move |key| sync(context.clone(), times.clone(), key)))
}

/// The Services whose slices a change of a Pod may change.
pub(crate) fn services_of(context: &Context, delta: &Delta<'_, Pod>) -> BTreeSet<Key> {
    if let (Some(old), Some(new)) = (delta.old, delta.new)
        && !endpoint_changed(old, new)
    {
        return BTreeSet::new();
    }
    delta.both().flat_map(|pod| selecting(context, pod)).collect()
}

/// Whether a change of a Pod can be seen in a slice.
fn endpoint_changed(old: &Pod, new: &Pod) -> bool {
    let seen = |pod: &Pod| (pod.ready(), pod.deleting(), pod.terminal());
    seen(old) != seen(new)
        || old.status.ips != new.status.ips
        || old.metadata.labels != new.metadata.labels
        || old.spec.node_name != new.spec.node_name
        || old.spec.hostname != new.spec.hostname
        || old.spec.subdomain != new.spec.subdomain
}

/// The Services that select a Pod.
fn selecting(context: &Context, pod: &Pod) -> BTreeSet<Key> {
    let labels = pod.metadata.labels.as_ref();
    let pairs = labels.into_iter().flatten().map(|(key, value)| selector_pair(pod.namespace(), key, value));
    let services = pairs.flat_map(|pair| context.caches.services.by(Index::Selector, &pair));
    services.filter(|service| selects(service, pod)).map(|service| Key::of(&*service)).collect()
}

/// Whether a Service selects a Pod.
pub(crate) fn selects(service: &Service, pod: &Pod) -> bool {
    let selector = service.spec.as_ref().and_then(|spec| spec.selector.as_ref());
    selector.is_some_and(|selector| selector::has_all(selector, pod.metadata.labels.as_ref()))
}

/// Whether a Service has its endpoints from its selector.
pub(crate) fn has_selector(service: &Service) -> bool {
    service.spec.as_ref().is_some_and(|spec| {
        spec.type_.as_deref() != Some("ExternalName") && spec.selector.as_ref().is_some_and(|s| !s.is_empty())
    })
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
