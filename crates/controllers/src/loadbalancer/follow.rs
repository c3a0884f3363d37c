//! Keeps the condition `portolan.dev/LoadBalancerReady` of Services true while nodes and endpoints change.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use parking_lot::Mutex;
use serde_json::json;

use super::COMPONENT;
use super::condition::{self, ADDRESS, READY};
use super::plan::is_balanced;
use super::ready::Nodes;
use super::request::shown;
use crate::cache::{Index, Key};
use crate::caches::SERVICE_NAME;
use crate::change::{Change, Note, Part, Reference, SERVICES};
use crate::context::Context;
use crate::objects::Meta;
use crate::queue::{Outcome, Queue, work};
use crate::write::WriteError;

const WORKERS: usize = 4;
/// How long a Service that does not say True may be under way until it is said why.
const UNDER_WAY: Duration = Duration::from_secs(2);

struct State {
    context: Arc<Context>,
    nodes: Mutex<Nodes>,
    /// Since when each Service is not ready.
    since: Mutex<HashMap<Key, Instant>>,
    queue: Arc<Queue<Key>>,
}

/// Registers what it has to be told of; the future is its work.
pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let (nodes, since, queue) = (Mutex::default(), Mutex::default(), Arc::default());
    let state = Arc::new(State { context: context.clone(), nodes, since, queue });
    let told = state.clone();
    context.caches.services.on_change(move |delta| {
        if delta.both().any(|service| is_balanced(service) || condition::held(service, READY).is_some()) {
            told.queue.add(Key::of(&**delta.latest));
        }
    });
    let told = state.clone();
    context.caches.slices.on_change(move |delta| {
        let Some(service) = delta.latest.label(SERVICE_NAME) else { return };
        let found = told.context.caches.services.get(delta.latest.namespace(), service);
        if found.is_some_and(|service| is_local(&service)) {
            told.queue.add(Key::new(delta.latest.namespace(), service));
        }
    });
    let told = state.clone();
    context.caches.leases.on_change(move |delta| {
        let news = match delta.new {
            Some(lease) => told.nodes.lock().set(lease),
            None => told.nodes.lock().remove(delta.latest),
        };
        if news {
            told.all();
        }
    });
    Box::pin(async move {
        let (queue, stop) = (state.queue.clone(), state.context.stop.clone());
        work("loadbalancer-ready", queue, WORKERS, stop, move |key| sync(state.clone(), key)).await;
    })
}

/// Whether only nodes with endpoints of it may announce a Service.
fn is_local(service: &Service) -> bool {
    is_balanced(service)
        && service.spec.as_ref().is_some_and(|spec| spec.external_traffic_policy.as_deref() == Some("Local"))
}

impl State {
    fn all(&self) {
        for service in self.context.caches.services.all() {
            if is_balanced(&service) {
                self.queue.add(Key::of(&*service));
            }
        }
    }

    /// The nodes with ready endpoints of a Service, where only these may announce it.
    fn only(&self, service: &Service) -> Option<BTreeSet<String>> {
        if !is_local(service) {
            return None;
        }
        let slices = self.context.caches.slices.by(Index::Service, &Key::of(service).to_string());
        let ready = slices
            .iter()
            .flat_map(|slice| slice.endpoints.iter().flatten())
            .filter(|endpoint| endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true));
        Some(ready.filter_map(|endpoint| endpoint.node_name.clone()).collect())
    }
}

async fn sync(state: Arc<State>, key: Key) -> Result<Outcome, WriteError> {
    let Some(service) = state.context.caches.services.get(&key.namespace, &key.name) else {
        state.since.lock().remove(&key);
        return Ok(Outcome::Done);
    };
    let addresses = shown(&service);
    // What has its addresses from somebody else is announced by somebody else.
    let ours = is_balanced(&service) && !addresses.is_empty() && condition::held(&service, ADDRESS).is_some();
    if !ours || service.deleting() {
        state.since.lock().remove(&key);
        let gone = condition::gone(&service, READY).filter(|_| !service.deleting());
        return match gone {
            Some(gone) => write(&state, &service, &gone).await,
            None => Ok(Outcome::Done),
        };
    }
    let said = state.nodes.lock().said(&addresses, state.only(&service).as_ref());
    if said.status == "True" {
        state.since.lock().remove(&key);
    } else {
        let since = *state.since.lock().entry(key.clone()).or_insert_with(Instant::now);
        let was_true = condition::held(&service, READY).is_some_and(|held| held.status == "True");
        if let Some(wait) = UNDER_WAY.checked_sub(since.elapsed()).filter(|wait| !was_true && !wait.is_zero()) {
            return Ok(Outcome::After(wait));
        }
    }
    let Some(news) = said.news(&service, Timestamp::now()) else { return Ok(Outcome::Done) };
    let outcome = write(&state, &service, &news).await?;
    if matches!(said.reason, "NoNodeCanAnnounce" | "WrongAnswer" | "NotSeen") {
        let about = Reference::to(SERVICES, &*service);
        state.context.tell(COMPONENT, [Note::warning(about, said.reason, said.message)]);
    }
    Ok(outcome)
}

async fn write(state: &State, service: &Service, condition: &serde_json::Value) -> Result<Outcome, WriteError> {
    let patch = json!({"metadata": {"uid": service.uid()}, "status": {"conditions": [condition]}});
    match state.context.apply(&Change::strategic(SERVICES, service, Part::Status, patch)).await {
        Ok(_) | Err(WriteError::NotFound(_)) => Ok(Outcome::Done),
        Err(error) => Err(error),
    }
}
