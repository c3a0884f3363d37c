//! What a write takes of ResourceQuotas.
//!
//! What a new object takes is written into its namespace's quotas in the transaction that writes the object: a quota is
//! never exceeded and never counts what is not there. Writes that take of a quota wait for one another by namespace, so
//! that not all but one of them are in vain. What objects give back that change or go, `recount` finds a moment later.

use kinds::pod::Amounts;
use kinds::quota as rules;
use kinds::{Kind, Scope, resource_quota};
use serde_json::{Map, Value, json};
use tokio::sync::MutexGuard;

use crate::alloc::claims::Changed;
use crate::api::Api;
use crate::cache::object::encode_stored;
use crate::clock;
use crate::keys;

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

/// Amounts as a status has them.
pub(crate) fn document(amounts: &Amounts) -> Value {
    let printed = amounts.iter().map(|(name, amount)| (name.clone(), json!(amount.to_string())));
    Value::Object(printed.collect::<Map<_, _>>())
}
