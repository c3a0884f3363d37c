//! Addresses for Services of type LoadBalancer, from the cluster's pool (`service-controller`).

pub mod plan;

use std::collections::BTreeSet;
use std::sync::Arc;

use ::loadbalancer::pool::{Allocator, Pool};
use futures::future::BoxFuture;
use k8s_openapi::api::core::v1::Service;
use parking_lot::Mutex;

use crate::cache::Key;
use crate::context::Context;
use crate::objects::Meta;
use crate::queue::{Outcome, Queue, work};
use crate::write::WriteError;
use plan::{shown, wants_address};

const COMPONENT: &str = "service-controller";
const WORKERS: usize = 16;

struct State {
    /// `None`: the cluster has no pool.
    allocator: Mutex<Option<Allocator<Key>>>,
    /// Services that wait for an address to become free.
    waiting: Mutex<BTreeSet<Key>>,
    queue: Arc<Queue<Key>>,
}

/// Registers what the controller has to be told of; the future is its work. It begins by noting what all Services have,
/// so that nothing is given twice.
pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let queue: Arc<Queue<Key>> = Arc::default();
    let add = queue.clone();
    context.caches.services.on_change(move |delta| {
        let concerned = |service: &Service| {
            wants_address(service) || service.has_finalizer(plan::FINALIZER) || !shown(service).is_empty()
        };
        if delta.both().any(|service| concerned(service)) {
            add.add(Key::of(&**delta.latest));
        }
    });
    Box::pin(async move {
        let services = context.caches.services.all();
        let allocator = context.config.load_balancer_pool.clone().map(|pool| known(pool, &services));
        let state =
            Arc::new(State { allocator: Mutex::new(allocator), waiting: Mutex::default(), queue: queue.clone() });
        let stop = context.stop.clone();
        work("loadbalancer", queue, WORKERS, stop, move |key| sync(context.clone(), state.clone(), key)).await;
    })
}

/// An allocator that knows what the Services have, those too that do not want it any more and still show it. Of two that
/// show one address the older one has it.
pub fn known(pool: Pool, services: &[Arc<Service>]) -> Allocator<Key> {
    let mut allocator = Allocator::new(pool);
    let ours = |service: &&Arc<Service>| service.spec.as_ref().is_none_or(|spec| spec.load_balancer_class.is_none());
    let mut owners: Vec<&Arc<Service>> = services.iter().filter(ours).collect();
    owners
        .sort_by_key(|service| (service.metadata.creation_timestamp.as_ref().map(|time| time.0), Key::of(&***service)));
    for service in owners {
        for address in shown(service) {
            if let Err(error) = allocator.claim(address, &Key::of(&**service)) {
                tracing::info!(service = %Key::of(&**service), %error, "a Service will get another address");
            }
        }
    }
    allocator
}

async fn sync(context: Arc<Context>, state: Arc<State>, key: Key) -> Result<Outcome, WriteError> {
    state.waiting.lock().remove(&key);
    let Some(service) = context.caches.services.get(&key.namespace, &key.name) else {
        release(&state, &key, &[]);
        return Ok(Outcome::Done);
    };
    let plan = plan::plan(&service, state.allocator.lock().as_mut());
    if plan.waits {
        state.waiting.lock().insert(key.clone());
    }
    context.tell(COMPONENT, plan.before);
    for change in &plan.changes {
        match context.apply(change).await {
            Ok(_) => {}
            Err(WriteError::NotFound(_)) => {
                release(&state, &key, &[]);
                return Ok(Outcome::Done);
            }
            Err(error) => return Err(error),
        }
    }
    context.tell(COMPONENT, plan.after);
    if let Some(keep) = plan.keep {
        release(&state, &key, &keep);
    }
    Ok(Outcome::Done)
}

/// Takes back what a Service has beyond what it keeps, and tries again those that wait.
fn release(state: &State, key: &Key, keep: &[std::net::IpAddr]) {
    let freed = state.allocator.lock().as_mut().map(|allocator| allocator.release(key, keep)).unwrap_or_default();
    if !freed.is_empty() {
        for waiting in std::mem::take(&mut *state.waiting.lock()) {
            state.queue.add(waiting);
        }
    }
}

#[cfg(test)]
mod tests;
