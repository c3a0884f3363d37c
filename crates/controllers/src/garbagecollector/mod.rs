//! Deletes what nobody owns any more, and sees to it that owners go before, after or without what they own, as asked
//! (`metadata.ownerReferences`, `propagationPolicy`).

mod feed;
pub mod graph;
pub mod plan;

use std::sync::Arc;

use futures::future::BoxFuture;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kinds::{Kind, Scope, registry};
use kube::Client;

use crate::change::Resource;
use crate::context::Context;
use crate::queue::{Outcome, work};
use crate::write::WriteError;
use feed::{Feeds, Shared};
use graph::{FOREGROUND, ORPHAN, Object, OwnerState, State, Uid};
use plan::Dependents;

const WORKERS: usize = 32;

/// Registers what the controller has to be told of; the future is its work.
pub fn start(context: Arc<Context>, client: Client) -> BoxFuture<'static, ()> {
    let shared: Arc<Shared> = Arc::default();
    let feeds = feed::feed(&shared, &context.caches);
    Box::pin(run(context, client, shared, feeds))
}

async fn run(context: Arc<Context>, client: Client, shared: Arc<Shared>, mut feeds: Feeds) {
    let stop = context.stop.clone();
    let mut watches = tokio::task::JoinSet::new();
    for watch in std::mem::take(&mut feeds.watches) {
        watches.spawn(watch(&client, &stop));
    }
    tokio::select! {
        () = stop.cancelled() => return,
        // Before everything is known an owner may be there without being seen.
        () = feeds.synced() => {}
    }
    let queue = shared.queue.clone();
    work("garbagecollector", queue, WORKERS, stop, move |uid| sync(context.clone(), shared.clone(), uid)).await;
    watches.shutdown().await;
}

async fn sync(context: Arc<Context>, shared: Arc<Shared>, uid: Uid) -> Result<Outcome, WriteError> {
    let object = {
        let graph = shared.graph.lock();
        let Some(object) = graph.get(uid) else { return Ok(Outcome::Done) };
        let idle = match object.state {
            State::Ending => true,
            State::Living => !graph.is_doubtful(uid),
            State::Foreground | State::Orphaning => false,
        };
        if idle {
            return Ok(Outcome::Done);
        }
        object.clone()
    };
    let Some(kind) = registry::all().get(usize::from(object.kind)) else { return Ok(Outcome::Done) };
    let resource = Resource::of(kind);
    let found = context.writer.metadata(resource, &object.key.namespace, &object.key.name).await?;
    let Some(latest) = found.filter(|found| found.uid.as_deref().map(Uid::new) == Some(uid)) else {
        // The watch has not brought it yet.
        shared.forget(uid);
        return Ok(Outcome::Done);
    };
    let result = match graph::state(&latest) {
        State::Ending => Ok(()),
        State::Orphaning => orphan(&context, &shared, uid, resource, &latest).await,
        State::Foreground => wait_for_dependents(&context, &shared, uid, resource, &latest).await,
        State::Living => collect(&context, &shared, uid, &object, resource, &latest).await,
    };
    match result {
        Ok(()) => Ok(Outcome::Done),
        // It is gone, and what that means comes by the watch.
        Err(WriteError::NotFound(_)) => Ok(Outcome::Done),
        Err(error) => Err(error),
    }
}

/// Deletes an object if no owner wants it, or strikes out those that are gone.
async fn collect(
    context: &Context,
    shared: &Shared,
    uid: Uid,
    object: &Object,
    resource: Resource,
    latest: &ObjectMeta,
) -> Result<(), WriteError> {
    let mut states = Vec::new();
    for owner in latest.owner_references.iter().flatten() {
        let known = shared.graph.lock().owner_state(Uid::new(&owner.uid), &object.key.namespace);
        let state = if known == OwnerState::Unseen { ask(context, owner, &object.key.namespace).await? } else { known };
        states.push((owner.uid.clone(), state));
    }
    let dependents = {
        let graph = shared.graph.lock();
        let all = graph.dependents(uid);
        let waits = |uid: &Uid| graph.get(*uid).is_some_and(|dependent| dependent.state == State::Foreground);
        Dependents { any: !all.is_empty(), waiting: all.iter().any(waits) }
    };
    let state = |owner: &OwnerReference| {
        states.iter().find(|(uid, _)| *uid == owner.uid).map_or(OwnerState::Solid, |(_, state)| *state)
    };
    for change in plan::plan(resource, latest, dependents, state) {
        tracing::debug!(kind = resource.kind, object = %object.key, change = ?change.act, "an object has lost an owner");
        context.writer.apply(&change).await?;
    }
    Ok(())
}

/// What the server says of an owner that is not in the graph.
async fn ask(context: &Context, owner: &OwnerReference, namespace: &str) -> Result<OwnerState, WriteError> {
    let Some(kind) = registry::by_kind(&owner.api_version, &owner.kind) else {
        // Nobody here knows such objects: nobody can say that it is gone.
        return Ok(OwnerState::Solid);
    };
    let namespace = match kind.scope {
        Scope::Cluster => "",
        // An object of the cluster cannot be owned from within a namespace; Kubernetes leaves it alone too.
        Scope::Namespaced if namespace.is_empty() => return Ok(OwnerState::Solid),
        Scope::Namespaced => namespace,
    };
    let found = context.writer.metadata(Resource::of(kind), namespace, &owner.name).await?;
    Ok(match found.filter(|found| found.uid.as_deref() == Some(owner.uid.as_str())) {
        None => OwnerState::Dangling,
        Some(found) if graph::state(&found) == State::Foreground => OwnerState::Waiting,
        Some(_) => OwnerState::Solid,
    })
}

/// Lets an owner go when nothing blocks it any more; until then sees to it that what blocks it goes.
async fn wait_for_dependents(
    context: &Context,
    shared: &Shared,
    uid: Uid,
    resource: Resource,
    latest: &ObjectMeta,
) -> Result<(), WriteError> {
    let blocking = shared.graph.lock().blocking(uid);
    if blocking.is_empty() {
        if let Some(change) = plan::release(resource, latest, FOREGROUND) {
            context.writer.apply(&change).await?;
        }
        return Ok(());
    }
    for dependent in blocking {
        let waits = shared.graph.lock().get(dependent).is_some_and(|object| object.state == State::Foreground);
        if !waits {
            shared.queue.add(dependent);
        }
    }
    Ok(())
}

/// Takes an owner from all that it owns, then lets it go.
async fn orphan(
    context: &Context,
    shared: &Shared,
    uid: Uid,
    resource: Resource,
    latest: &ObjectMeta,
) -> Result<(), WriteError> {
    let dependents: Vec<(Uid, Object)> = {
        let graph = shared.graph.lock();
        let dependents = graph.dependents(uid);
        dependents.into_iter().filter_map(|uid| Some((uid, graph.get(uid)?.clone()))).collect()
    };
    let owner = latest.uid.as_deref().unwrap_or_default();
    for (uid, dependent) in dependents {
        let Some(kind) = kind(&dependent) else { continue };
        let found = context.writer.metadata(Resource::of(kind), &dependent.key.namespace, &dependent.key.name).await?;
        let same = found.filter(|found| found.uid.as_deref().map(Uid::new) == Some(uid));
        let Some(change) = same.and_then(|found| plan::disown(Resource::of(kind), &found, owner)) else { continue };
        match context.writer.apply(&change).await {
            Ok(_) | Err(WriteError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    if let Some(change) = plan::release(resource, latest, ORPHAN) {
        context.writer.apply(&change).await?;
    }
    Ok(())
}

fn kind(object: &Object) -> Option<&'static Kind> {
    registry::all().get(usize::from(object.kind)).copied()
}

#[cfg(test)]
mod tests;
