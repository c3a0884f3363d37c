//! Empties namespaces that are being deleted, then lets them go.

pub mod plan;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kinds::{Scope, registry};

use crate::cache::{Cache, Cached};
use crate::change::{Act, Change, Deletion, PODS, Propagation, Resource};
use crate::context::Context;
use crate::objects::Meta;
use crate::queue::{Outcome, Queue, work};
use crate::write::WriteError;
use plan::Remains;

const WORKERS: usize = 8;
/// How many objects of a namespace are deleted at a time.
const AT_ONCE: usize = 16;
/// After how long a namespace in which something is left is looked at again, if nothing is seen to go before.
const AGAIN: Duration = Duration::from_secs(2);

/// Registers what the controller has to be told of; the future is its work. Keys are names of namespaces.
pub fn start(context: Arc<Context>) -> BoxFuture<'static, ()> {
    let queue: Arc<Queue<String>> = Arc::default();
    let add = queue.clone();
    context.caches.namespaces.on_change(move |delta| {
        if delta.new.is_some_and(|namespace| plan::waits(namespace)) {
            add.add(delta.latest.name().to_owned());
        }
    });
    let caches = &context.caches;
    when_gone(&caches.pods, &context, &queue);
    when_gone(&caches.services, &context, &queue);
    when_gone(&caches.endpoints, &context, &queue);
    when_gone(&caches.slices, &context, &queue);
    when_gone(&caches.replica_sets, &context, &queue);
    when_gone(&caches.deployments, &context, &queue);
    let stop = context.stop.clone();
    Box::pin(work("namespace", queue, WORKERS, stop, move |name| sync(context.clone(), name)))
}

/// Looks at a namespace again when one of its objects has gone.
fn when_gone<K: Cached>(cache: &Cache<K>, context: &Arc<Context>, queue: &Arc<Queue<String>>) {
    let (known, add) = (context.clone(), queue.clone());
    cache.on_change(move |delta| {
        if delta.new.is_some() {
            return;
        }
        let namespace = delta.latest.namespace();
        if known.caches.namespaces.get("", namespace).is_some_and(|namespace| plan::waits(&namespace)) {
            add.add(namespace.to_owned());
        }
    });
}

async fn sync(context: Arc<Context>, name: String) -> Result<Outcome, WriteError> {
    let Some(namespace) = context.caches.namespaces.get("", &name).filter(|namespace| plan::waits(namespace)) else {
        return Ok(Outcome::Done);
    };
    let mut remains = Remains::default();
    // First the Pods: what they use (policies, secrets) must not go before them (KEP-5080).
    empty(&context, &name, PODS, &mut remains).await;
    if remains.is_nothing() {
        for kind in registry::all().iter().filter(|kind| kind.scope == Scope::Namespaced) {
            let resource = Resource::of(kind);
            if resource != PODS {
                empty(&context, &name, resource, &mut remains).await;
            }
        }
    }
    if let Some(change) = plan::status(&namespace, &remains, Timestamp::now()) {
        match context.apply(&change).await {
            Ok(_) => {}
            Err(WriteError::NotFound(_)) => return Ok(Outcome::Done),
            Err(error) => return Err(error),
        }
    }
    if !remains.is_nothing() {
        return Ok(Outcome::After(AGAIN));
    }
    let Some(namespace) = context.caches.namespaces.get("", &name).filter(|namespace| plan::waits(namespace)) else {
        return Ok(Outcome::Done);
    };
    match context.apply(&plan::finalize(&namespace)).await {
        Ok(_) | Err(WriteError::NotFound(_)) => Ok(Outcome::Done),
        Err(error) => Err(error),
    }
}

/// Deletes all objects of a resource, and notes what is left.
async fn empty(context: &Context, namespace: &str, resource: Resource, remains: &mut Remains) {
    match empty_once(context, namespace, resource).await {
        Ok(left) => remains.note(resource, &left),
        Err(error) => remains.fail(format!("{}.{}: {error}", resource.plural, resource.group)),
    }
}

async fn empty_once(context: &Context, namespace: &str, resource: Resource) -> Result<Vec<ObjectMeta>, WriteError> {
    let found = context.writer.list(resource, namespace).await?;
    let deletions: Vec<Change> = found
        .iter()
        .filter(|object| object.deletion_timestamp.is_none())
        .map(|object| Change {
            resource,
            namespace: namespace.to_owned(),
            name: object.name.clone().unwrap_or_default(),
            act: Act::Delete(Deletion {
                uid: object.uid.clone(),
                propagation: Some(Propagation::Background),
                ..Deletion::default()
            }),
        })
        .collect();
    if deletions.is_empty() {
        return Ok(found);
    }
    let writes: Vec<_> = deletions.iter().map(|change| context.writer.apply(change)).collect();
    let results: Vec<_> = futures::stream::iter(writes).buffered(AT_ONCE).collect().await;
    for result in results {
        match result {
            // Gone, or another by now: the list says.
            Ok(_) | Err(WriteError::NotFound(_) | WriteError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    context.writer.list(resource, namespace).await
}

#[cfg(test)]
mod tests;
