//! The Endpoints of every Service with a selector (`endpoint-controller`), for those who do not read slices yet.

pub mod plan;
pub mod subsets;

use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Endpoints;
use parking_lot::Mutex;

use crate::cache::Key;
use crate::change::{Act, Change, Deletion, ENDPOINTS, Note, Reference, SERVICES};
use crate::context::Context;
use crate::objects::Meta;
use crate::queue::{Outcome, Queue, work};
use crate::services::{concerned, has_selector, selects};
use crate::trigger_time::TriggerTimes;
use crate::write::WriteError;

const COMPONENT: &str = "endpoint-controller";
const WORKERS: usize = 64;
/// The annotation of Endpoints that are really a lock: nobody's Service has them.
pub(crate) const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";

/// Registers what the controller has to be told of; the future is its work.
pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let queue: Arc<Queue<Key>> = Arc::default();
    let caches = &context.caches;
    let add = queue.clone();
    caches.services.on_change(move |delta| add.add(Key::of(&**delta.latest)));
    let add = queue.clone();
    caches.endpoints.on_change(move |delta| add.add(Key::of(&**delta.latest)));
    let (add, known) = (queue.clone(), context.clone());
    caches.pods.on_change(move |delta| {
        for service in concerned(&known.caches, delta) {
            add.add(service);
        }
    });
    let times: Arc<Mutex<TriggerTimes>> = Arc::default();
    let leftovers = Arc::new(Leftovers::default());
    let (add, gone) = (queue.clone(), leftovers.clone());
    caches.services.on_change(move |delta| {
        if delta.new.is_none() {
            gone.0.lock().insert(Key::of(&**delta.latest));
            add.add(Key::of(&**delta.latest));
        }
    });
    let stop = context.stop.clone();
    Box::pin(async move {
        leftovers.find(&context);
        let sync = move |key| sync(context.clone(), times.clone(), leftovers.clone(), key);
        work("endpoints", queue, WORKERS, stop, sync).await;
    })
}

/// Names of Services that are gone. Endpoints that never had a Service are somebody else's.
#[derive(Default)]
struct Leftovers(Mutex<std::collections::BTreeSet<Key>>);

impl Leftovers {
    /// At the start: Endpoints whose Service went while nobody looked.
    fn find(&self, context: &Context) {
        let orphaned = |endpoints: &Endpoints| {
            endpoints.annotation(LEADER).is_none()
                && context.caches.services.get(endpoints.namespace(), endpoints.name()).is_none()
        };
        let all = context.caches.endpoints.all();
        self.0.lock().extend(all.iter().filter(|endpoints| orphaned(endpoints)).map(|endpoints| Key::of(&**endpoints)));
    }
}

async fn sync(
    context: Arc<Context>,
    times: Arc<Mutex<TriggerTimes>>,
    leftovers: Arc<Leftovers>,
    key: Key,
) -> Result<Outcome, WriteError> {
    let caches = &context.caches;
    let existing = caches.endpoints.get(&key.namespace, &key.name);
    let Some(service) = caches.services.get(&key.namespace, &key.name) else {
        times.lock().forget(&key);
        if leftovers.0.lock().contains(&key) {
            if let Some(endpoints) = existing {
                let deletion = Deletion { uid: Some(endpoints.uid().to_owned()), ..Deletion::default() };
                context.apply(&Change::on(ENDPOINTS, &*endpoints, Act::Delete(deletion))).await?;
            }
            leftovers.0.lock().remove(&key);
        }
        return Ok(Outcome::Done);
    };
    leftovers.0.lock().remove(&key);
    if !has_selector(&service) {
        return Ok(Outcome::Done);
    }
    let pods = caches.pods.in_namespace(&key.namespace, |pod| selects(&service, pod));
    let trigger_time = times.lock().update(&service, &pods);
    let Some(change) = plan::plan(&service, &pods, existing.as_deref(), trigger_time) else { return Ok(Outcome::Done) };
    match context.apply(&change).await {
        Ok(_) | Err(WriteError::NamespaceTerminating(_)) => Ok(Outcome::Done),
        Err(error) => {
            if !matches!(error, WriteError::Conflict(_) | WriteError::AlreadyExists(_)) {
                let message = format!("Failed to update endpoint {key}: {error}");
                let about = Reference::to(SERVICES, &*service);
                context.tell(COMPONENT, [Note::warning(about, "FailedToUpdateEndpoint", message)]);
            }
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests;
