//! One watch of one kind: list, watch, and begin again when that breaks, for as long as the process lives.

use std::fmt::Debug;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Api;
use kube::runtime::watcher::{self, Event};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use crate::queue::backoff;

/// Who is told what a watch brings. `init`, any number of `init_apply`, `init_done` replace all that was known.
pub trait Sink<K>: Send + Sync {
    /// A list begins.
    fn init(&self);
    /// An object of the list.
    fn init_apply(&self, object: K);
    /// The list is complete: what it did not bring is gone.
    fn init_done(&self);
    /// An object was added or changed.
    fn apply(&self, object: K);
    /// An object is gone; this is its last state, with the revision of its end.
    fn delete(&self, object: K);
}

/// A list that brings nothing for this long is begun again.
const LIST_TIMEOUT: Duration = Duration::from_secs(60);

/// Watches until stopped.
pub async fn run<K>(api: Api<K>, config: watcher::Config, sink: Arc<dyn Sink<K>>, stop: CancellationToken)
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut failures = 0;
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            () = watch_once(&api, &config, &*sink, &mut failures) => {}
        }
        failures += 1;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(backoff(failures)) => {}
        }
    }
}

/// Lists and watches until something breaks that the same stream cannot mend.
async fn watch_once<K>(api: &Api<K>, config: &watcher::Config, sink: &dyn Sink<K>, failures: &mut u32)
where
    K: kube::Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut stream = pin!(watcher::watcher(api.clone(), config.clone()));
    let mut listing = true;
    loop {
        let next = if listing {
            match tokio::time::timeout(LIST_TIMEOUT, stream.next()).await {
                Ok(next) => next,
                Err(_) => {
                    tracing::warn!(path = api.resource_url(), "a list took too long and is begun again");
                    return;
                }
            }
        } else {
            stream.next().await
        };
        match next {
            Some(Ok(event)) => {
                listing = matches!(event, Event::Init | Event::InitApply(_));
                *failures = if listing { *failures } else { 0 };
                deliver(event, sink);
            }
            Some(Err(watcher::Error::WatchStartFailed(error))) if !is_gone(&error) => {
                // The server is away; what was seen last still holds, so the watch is resumed and nothing listed.
                *failures += 1;
                tracing::debug!(path = api.resource_url(), %error, "a watch did not start");
                tokio::time::sleep(backoff(*failures)).await;
            }
            // What is left has lost changes, or may have (an object that cannot be read, a revision that is gone).
            Some(Err(error)) => {
                tracing::warn!(path = api.resource_url(), %error, "a watch broke and everything is listed again");
                return;
            }
            None => return,
        }
    }
}

fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 410)
}

fn deliver<K>(event: Event<K>, sink: &dyn Sink<K>) {
    match event {
        Event::Init => sink.init(),
        Event::InitApply(object) => sink.init_apply(object),
        Event::InitDone => sink.init_done(),
        Event::Apply(object) => sink.apply(object),
        Event::Delete(object) => sink.delete(object),
    }
}
