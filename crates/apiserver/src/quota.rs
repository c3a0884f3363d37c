//! ResourceQuotas: what a write takes of them, and keeping them right.
//!
//! What a new object takes is written into its namespace's quotas in the transaction that writes the object: a quota is
//! never exceeded and never counts what is not there. Writes that take of a quota wait for one another by namespace, so
//! that not all but one of them are in vain. What objects give back that change or go, [`keep`] finds a moment later, by
//! counting again what such a quota counts.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use kinds::document::{at, given, set, text};
use kinds::pod::{Amounts, amounts};
use kinds::quota as rules;
use kinds::{Kind, Scope, registry, resource_quota};
use serde_json::{Map, Value, json};
use tokio::sync::{Mutex, MutexGuard};

use crate::alloc::claims::Changed;
use crate::api::Api;
use crate::cache::Next;
use crate::cache::object::encode_stored;
use crate::clock;
use crate::keys;
use crate::ownership;
use crate::query::WriteOptions;
use crate::verbs::update::{Part, Update};

/// How many namespaces may wait for themselves alone.
const TURNS: usize = 64;
/// How long changes are gathered before quotas are counted again.
const GATHERED: Duration = Duration::from_millis(50);
/// How often it is looked whether the server stops, when nothing changes.
const EVERY: Duration = Duration::from_secs(2);
/// How many events are read at a time.
const EVENTS: usize = 512;

/// Whose turn it is to take of the quotas of a namespace.
pub(crate) struct Turns([Mutex<()>; TURNS]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Turns {
    async fn of(&self, namespace: &str) -> MutexGuard<'_, ()> {
        let sum = namespace.bytes().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
        self.0[sum % TURNS].lock().await
    }
}

/// What a write takes, and the turn in which it does.
#[derive(Default)]
pub(crate) struct Charge<'a> {
    pub changed: Vec<Changed>,
    _turn: Option<MutexGuard<'a, ()>>,
}

/// What a new object, or a changed one, takes of the quotas of its namespace. An error is a refusal: the words after
/// `forbidden: `.
pub(crate) async fn charge<'a>(
    api: &'a Api,
    kind: &'static Kind,
    namespace: &str,
    new: &Value,
    old: Option<&Value>,
) -> Result<Charge<'a>, String> {
    let quotas = || api.cache.list(&resource_quota::KIND, namespace).objects;
    if kind.scope == Scope::Cluster || quotas().is_empty() {
        return Ok(Charge::default());
    }
    let turn = api.quota_turns.of(namespace).await;
    let mut changed = Vec::new();
    for object in quotas() {
        let mut quota = object.document();
        if !rules::matches(&quota, kind, new) {
            continue;
        }
        let taken = rules::take(&quota, kind, new, old, clock::now_seconds())?;
        if taken.anything {
            quota["status"]["used"] = document(&taken.used);
            let key = keys::object(&resource_quota::KIND, namespace, &object.name);
            let value = encode_stored(&resource_quota::KIND, &quota);
            changed.push(Changed { key, revision: object.revision, value });
        }
    }
    Ok(Charge { changed, _turn: Some(turn) })
}

fn document(amounts: &Amounts) -> Value {
    let printed = amounts.iter().map(|(name, amount)| (name.clone(), json!(amount.to_string())));
    Value::Object(printed.collect::<Map<_, _>>())
}

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
    if same && !text(at(quota, "metadata"), "name").is_empty() {
        return quota.clone();
    }
    set(&mut new["status"], "used", document(&used));
    new
}
