//! Keeps ResourceQuotas right: what a quota counts is counted again when it was changed or is gone.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kinds::document::{at, given, set};
use kinds::pod::{Amounts, amounts};
use kinds::quota as rules;
use kinds::{registry, resource_quota};
use serde_json::Value;

use crate::api::Api;
use crate::cache::Next;
use crate::clock;
use crate::ownership;
use crate::query::WriteOptions;
use crate::quota::document;
use crate::verbs::update::{Part, Update};

/// How long changes are gathered before quotas are counted again.
const GATHERED: Duration = Duration::from_millis(50);
/// How often it is looked whether the server stops, when nothing changes.
const EVERY: Duration = Duration::from_secs(2);
/// How many events are read at a time.
const EVENTS: usize = 512;

/// Counts again what quotas count, whenever they or what they count change, until the server stops.
pub(crate) async fn keep(api: Arc<Api>) {
    let mut places: Vec<u64> = registry::all().iter().map(|kind| api.cache.events_told(kind)).collect();
    let mut stale = namespaces(&api);
    let mut seen = api.cache.revision();
    loop {
        for namespace in std::mem::take(&mut stale) {
            count_again(&api, &namespace).await;
        }
        tokio::select! {
            () = api.stopping.cancelled() => return,
            _ = api.cache.reach(seen + 1, EVERY) => {}
        }
        tokio::select! {
            () = api.stopping.cancelled() => return,
            () = tokio::time::sleep(GATHERED) => {}
        }
        seen = api.cache.revision();
        stale = touched(&api, &mut places);
    }
}

/// The namespaces that have a quota.
fn namespaces(api: &Api) -> BTreeSet<String> {
    api.cache.list(&resource_quota::KIND, "").objects.iter().map(|quota| quota.namespace.to_string()).collect()
}

/// Namespaces with a quota in which something was changed or removed, or whose quota is new or another.
fn touched(api: &Api, places: &mut [u64]) -> BTreeSet<String> {
    let with_quota = namespaces(api);
    let mut found = BTreeSet::new();
    for (kind, place) in registry::all().iter().zip(places) {
        if with_quota.is_empty() {
            *place = api.cache.events_told(kind);
            continue;
        }
        let of_quotas = std::ptr::eq(*kind, &resource_quota::KIND);
        loop {
            let Next::Events { events, place: next, .. } = api.cache.next(kind, *place, EVENTS) else {
                // Too much has happened to tell what.
                *place = api.cache.events_told(kind);
                return with_quota;
            };
            if events.is_empty() {
                break;
            }
            *place = next;
            let counts = events.iter().filter(|event| of_quotas || event.previous.is_some() || event.current.is_none());
            found.extend(counts.filter_map(|event| {
                let object = event.current.as_ref().or(event.gone.as_ref())?;
                Some(object.namespace.to_string())
            }));
        }
    }
    found.intersection(&with_quota).cloned().collect()
}

/// Counts what the quotas of a namespace count, and writes down what is not as it was.
async fn count_again(api: &Api, namespace: &str) {
    for quota in api.cache.list(&resource_quota::KIND, namespace).objects {
        let kind = &resource_quota::KIND;
        let update = Update { kind, namespace, name: &quota.name, part: Part::Status };
        let options = WriteOptions { manager: ownership::SERVER.to_owned(), ..WriteOptions::default() };
        let written = update.run(api, &options, |old| Ok(counted(api, namespace, old))).await;
        if let Err(status) = written {
            tracing::warn!(namespace, quota = %quota.name, why = status.message, "a quota could not be counted again");
        }
    }
}

/// A quota with what its objects take now. Counted when the quota was read, so that what is written meanwhile makes this
/// write fail and be tried again.
fn counted(api: &Api, namespace: &str, quota: &Value) -> Value {
    let hard = amounts(at(quota, "spec"), "hard");
    let mut new = quota.clone();
    if given(at(quota, "metadata"), "deletionTimestamp").is_some() {
        return new;
    }
    set(&mut new["status"], "hard", document(&hard));
    let mut used: Amounts = hard.keys().map(|name| (name.clone(), kinds::quantity::Quantity::of_units(0))).collect();
    for kind in registry::all().iter().filter(|kind| hard.keys().any(|name| rules::counts(name, kind))) {
        for object in api.cache.list(kind, namespace).objects {
            let object = object.document();
            if !rules::matches(&new, kind, &object) {
                continue;
            }
            for (name, amount) in rules::usage(kind, &object, clock::now_seconds()) {
                if let Some(used) = used.get_mut(&name) {
                    *used = used.plus(amount);
                }
            }
        }
    }
    let before = at(quota, "status");
    let same = amounts(before, "hard") == hard && amounts(before, "used") == used;
    if same {
        return quota.clone();
    }
    set(&mut new["status"], "used", document(&used));
    new
}
