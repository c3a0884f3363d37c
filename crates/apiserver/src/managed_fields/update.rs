//! Updates: who changes a field owns it from then on.

use kinds::schema::check;
use serde_json::Value;

use super::Change;
use super::compare::{Comparison, compare};
use super::entries::{self, Entry, Operation};
use super::set::FieldSet;
use super::typed::KeyError;

/// Puts into `new` who owns its fields after a create (`old` is `None`) or an update that is no apply.
///
/// When it is called matters: after decoding and defaulting, before the kind's `prepare_for_*` and admission, because what
/// those add has no owner. Whatever `new` says of `managedFields` is taken as the wish of a client that knows them:
/// an empty list forgets all owners, entries that can be read replace those of `old`. Updates of a subresource have no
/// such wish. An existing object without owners stays without.
pub fn record_update(change: &Change<'_>, old: Option<&Value>, new: &mut Value) {
    let entries = entries_to_start_from(change, old, new);
    let is_new = old.is_none_or(|o| o["metadata"]["uid"].as_str().unwrap_or_default().is_empty());
    if entries.is_empty() && !is_new {
        entries::store(new, entries);
        return;
    }
    let empty;
    let old = match old {
        Some(old) => old,
        None => {
            empty = check(&Value::Null, change.kind).document;
            &empty
        }
    };
    // An object whose lists cannot be compared has no owners, as in Kubernetes.
    let entries = updated(change, old, new, entries).unwrap_or_default();
    entries::store(new, entries);
}

fn entries_to_start_from(change: &Change<'_>, old: Option<&Value>, new: &mut Value) -> Vec<Entry> {
    let live = || entries::decode(old.map(|o| &o["metadata"]["managedFields"])).unwrap_or_default();
    let sent = entries::take(new);
    if !change.subresource.is_empty() {
        return live();
    }
    if sent.as_ref().is_some_and(is_reset) {
        return Vec::new();
    }
    match entries::decode(sent.as_ref()) {
        Ok(entries) if !entries.is_empty() => entries,
        _ => live(),
    }
}

/// An empty list, or one with an empty entry.
fn is_reset(sent: &Value) -> bool {
    match sent.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([one]) => one.as_object().is_some_and(|entry| entry.values().all(Value::is_null)),
        _ => false,
    }
}

/// The owners after a change from `old` to `new` by an update.
pub(super) fn updated(
    change: &Change<'_>,
    old: &Value,
    new: &Value,
    mut entries: Vec<Entry>,
) -> Result<Vec<Entry>, KeyError> {
    let comparison = compare(old, new, change.kind)?.without(&change.ignored());
    take_from_others(&comparison, change, &mut entries);
    let mut own = Entry {
        manager: if change.manager.is_empty() { "unknown".to_owned() } else { change.manager.to_owned() },
        operation: Operation::Update,
        api_version: change.api_version.to_owned(),
        subresource: change.subresource.to_owned(),
        time: Some(change.now.to_owned()),
        fields: comparison.changed().difference(&never_owned()),
    };
    if !own.fields.is_empty() {
        if let Some(before) = entries::remove(&mut entries, &own) {
            own.fields = own.fields.union(&before.fields);
        }
        entries.push(own);
    }
    entries::cap(&mut entries);
    Ok(entries)
}

/// What changed belongs to nobody else any more; who is left with nothing is gone, and so is who wrote a version that
/// is not served.
pub(super) fn take_from_others(comparison: &Comparison, change: &Change<'_>, entries: &mut Vec<Entry>) {
    entries.retain(|entry| entry.api_version == change.api_version);
    for entry in entries.iter_mut() {
        let kept = entry.fields.difference(&comparison.modified).difference(&comparison.added);
        entry.fields = kept.difference(&comparison.removed);
    }
    entries.retain(|entry| !entry.fields.is_empty());
}

/// Fields that nobody owns.
pub(super) fn never_owned() -> FieldSet {
    FieldSet::of(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
}
