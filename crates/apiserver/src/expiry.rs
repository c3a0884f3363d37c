//! Events are forgotten an hour after they were last seen; nothing else expires.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kinds::document::{at, text};
use serde_json::Value;

use crate::api::Api;
use crate::clock;
use crate::resources;
use crate::verbs::delete::{self, DeleteOptions};

#[cfg(test)]
mod tests;

/// How long an event is kept; Kubernetes' `--event-ttl`.
const KEPT: Duration = Duration::from_secs(3600);
/// How often old ones are looked for.
const EVERY: Duration = Duration::from_secs(60);

/// Deletes old events until the server stops.
pub(crate) async fn run(api: Arc<Api>) {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + EVERY, EVERY);
    loop {
        tokio::select! {
            () = api.stopping.cancelled() => return,
            _ = ticks.tick() => expire(&api, clock::now_seconds()).await,
        }
    }
}

async fn expire(api: &Api, now: i64) {
    let Some(kind) = resources::kind("", "events") else { return };
    let kept = i64::try_from(KEPT.as_secs()).unwrap_or(i64::MAX);
    for object in api.cache.list(kind, "").objects {
        if last_seen(&object.document()).is_none_or(|seen| now - seen <= kept) {
            continue;
        }
        let options = DeleteOptions { resource_version: Some(object.revision.to_string()), ..DeleteOptions::default() };
        if let Err(status) = delete::delete(api, kind, &object.namespace, &object.name, &options).await
            && !matches!(status.reason, "NotFound" | "Conflict")
        {
            tracing::warn!(why = status.message, "an old event could not be deleted, it is tried again");
        }
    }
}

/// The latest of the times that an event bears, in seconds since the epoch.
fn last_seen(event: &Value) -> Option<i64> {
    let times = [
        text(at(event, "metadata"), "creationTimestamp"),
        text(event, "lastTimestamp"),
        text(event, "eventTime"),
        text(at(event, "series"), "lastObservedTime"),
    ];
    times.iter().filter_map(|time| time.parse::<Timestamp>().ok()).map(Timestamp::as_second).max()
}
