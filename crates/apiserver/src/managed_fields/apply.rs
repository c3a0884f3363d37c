//! Server-side apply: an applier says all that it wants of an object, and owns exactly that.

use kinds::schema::{Type, check};
use serde_json::{Value, json};

use super::Change;
use super::compare::{Comparison, compare, equal};
use super::element::Element;
use super::entries::{self, Entry, Operation};
use super::mentioned::field_set;
use super::merge::{merge, remove};
use super::set::FieldSet;
use super::typed::KeyError;
use super::update::{never_owned, take_from_others, updated};
use super::validate::{self, Duplicates};

/// Who owns what an object without owners had, before the first apply.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// kubectl's field manager, which also keeps an annotation of what it applied last without server-side apply.
const KUBECTL: &str = "kubectl";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What came of an apply.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The object with its owners. It must still be decoded as its kind and given its defaults, if it changed.
    pub document: Value,
    /// Whether anything but owners changed.
    pub changed: bool,
}

/// Why an apply is refused; the texts are Kubernetes' own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// 400: `invalid object type: /v1, Kind=Pod`, `metadata.managedFields must be nil`
    #[error("{0}")]
    Malformed(String),
    /// 500 without a reason, as Kubernetes answers:
    /// `failed to create typed patch object (/s; /v1, Kind=Service): .spec.nope: field not declared in schema`
    #[error("{0}")]
    Untyped(String),
    /// 409, reason `Conflict`, `details` with causes only: others own fields that would change.
    #[error("{}", conflict_message(.0))]
    Conflict(Vec<Conflict>),
}

/// A field that another manager owns. In a `Status` a cause with reason `FieldManagerConflict`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who: `"kubectl-create" using v1`.
    pub manager: String,
    /// Which field: `.spec.selector`.
    pub field: String,
    path: Vec<Element>,
}

impl Conflict {
    /// The message of the cause: `conflict with "kubectl-create" using v1`
    pub fn message(&self) -> String {
        format!("conflict with {}", self.manager)
    }
}

fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: {}: {}", one.message(), one.field);
    }
    let mut message = format!("Apply failed with {} conflicts: ", conflicts.len());
    for (at, conflict) in conflicts.iter().enumerate() {
        let newline = if at == 0 { "" } else { "\n" };
        if at == 0 || conflicts[at - 1].manager != conflict.manager {
            message.push_str(&format!("{newline}conflicts with {}:", conflict.manager));
        }
        message.push_str(&format!("\n- {}", conflict.field));
    }
    message
}

/// Applies `config`, the object as the applier wants it, to `live` (`None` if there is none yet).
/// With `force` the applier takes what others own.
///
/// # Errors
/// [`ApplyError`]
pub fn apply(change: &Change<'_>, live: Option<&Value>, config: &Value, force: bool) -> Result<Applied, ApplyError> {
    check_config(change, config)?;
    let mut live = match live {
        Some(live) => live.clone(),
        None => check(&Value::Null, change.kind).document,
    };
    let mut entries = entries::decode(entries::take(&mut live).as_ref())
        .map_err(|e| ApplyError::Untyped(format!("failed to decode managed fields: {e}")))?;
    check_live(change, &live, entries.is_empty())?;
    entries.retain(|entry| entry.api_version == change.api_version);
    if entries.is_empty() {
        let before = Change { manager: BEFORE_FIRST_APPLY, ..*change };
        let empty = check(&Value::Null, change.kind).document;
        entries = updated(&before, &empty, &live, entries).map_err(|e| unmerged(&e))?;
    }
    let attempt = Attempt { change, live: &live, config };
    let outcome = match attempt.run(entries.clone(), force) {
        Err(ApplyError::Conflict(conflicts)) if change.manager == KUBECTL => {
            let rest = attempt.not_applied_before(conflicts).map_err(ApplyError::Conflict)?;
            if rest.is_empty() { attempt.run(entries, true) } else { Err(ApplyError::Conflict(rest)) }
        }
        outcome => outcome,
    };
    let (merged, entries) = outcome?;
    let changed = merged.is_some();
    let mut document = merged.unwrap_or(live);
    if change.manager == KUBECTL {
        keep_last_applied(&mut document, config);
    }
    entries::store(&mut document, entries);
    Ok(Applied { document, changed })
}

fn unmerged(error: &KeyError) -> ApplyError {
    ApplyError::Untyped(format!("failed to merge config: {error}"))
}

/// How Kubernetes names an object in errors: `shop/s; /v1, Kind=Service`.
fn named(object: &Value, gvk: &str) -> String {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default();
    format!("{}/{}; {gvk}", text("namespace"), text("name"))
}

/// An object that is there already may have lists whose elements lack their keys; such one cannot be applied to.
fn check_live(change: &Change<'_>, live: &Value, unowned: bool) -> Result<(), ApplyError> {
    let Some(faults) = validate::faults(live, change.kind, Duplicates::Allowed) else { return Ok(()) };
    let gvk = change.kind.gvk().map(|g| format!("{}/{}, Kind={}", g.group, g.version, g.kind)).unwrap_or_default();
    let named = named(live, &gvk);
    Err(ApplyError::Untyped(if unowned {
        format!(
            "failed to create manager for existing fields: failed to convert new object ({named}) to smd typed: {faults}"
        )
    } else {
        format!("failed to create typed live object ({named}): {faults}")
    }))
}

fn check_config(change: &Change<'_>, config: &Value) -> Result<(), ApplyError> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let api_version = text(&config["apiVersion"]);
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let gvk = format!("{group}/{version}, Kind={}", text(&config["kind"]));
    let wanted = change.kind.gvk();
    if wanted.is_none_or(|w| (w.group, w.version) != (group, version) || config["kind"] != w.kind) {
        return Err(ApplyError::Malformed(format!("invalid object type: {gvk}")));
    }
    if config["metadata"]["managedFields"].is_array() {
        return Err(ApplyError::Malformed("metadata.managedFields must be nil".to_owned()));
    }
    match validate::faults(config, change.kind, Duplicates::Refused) {
        None => Ok(()),
        Some(faults) => {
            let named = named(config, &gvk);
            Err(ApplyError::Untyped(format!("failed to create typed patch object ({named}): {faults}")))
        }
    }
}

struct Attempt<'a> {
    change: &'a Change<'a>,
    live: &'a Value,
    config: &'a Value,
}

impl Attempt<'_> {
    /// The merged object (`None` if it is the live one) and its owners.
    fn run(&self, mut entries: Vec<Entry>, force: bool) -> Result<(Option<Value>, Vec<Entry>), ApplyError> {
        let Change { kind, manager, subresource, api_version, now } = *self.change;
        let ignored = self.change.ignored();
        let merged = merge(self.live, self.config, kind).map_err(|e| unmerged(&e))?;
        let mut own = Entry {
            manager: if manager.is_empty() { "unknown" } else { manager }.to_owned(),
            operation: Operation::Apply,
            api_version: api_version.to_owned(),
            subresource: subresource.to_owned(),
            time: None,
            fields: field_set(self.config, kind).recursive_difference(&ignored),
        };
        let last = entries::remove(&mut entries, &own);
        let merged = match &last {
            Some(last) => prune(merged, &last.fields, &own.fields, &entries, kind),
            None => merged,
        };
        let comparison = compare(self.live, &merged, kind).map_err(|e| unmerged(&e))?.without(&ignored);
        let conflicts = conflicts(&comparison, &entries);
        if !force && !conflicts.is_empty() {
            return Err(ApplyError::Conflict(conflicts));
        }
        take_from_others(&comparison, self.change, &mut entries);
        let merged = (!equal(self.live, &merged)).then_some(merged);
        own.time = if merged.is_some() { Some(now.to_owned()) } else { last.and_then(|l| l.time) };
        own.fields = own.fields.difference(&never_owned());
        if !own.fields.is_empty() {
            entries.push(own);
        }
        Ok((merged, entries))
    }

    /// The conflicts but for those about fields that kubectl applied before without server-side apply and that are still
    /// as it applied them. An error if nothing is known of that.
    fn not_applied_before(&self, conflicts: Vec<Conflict>) -> Result<Vec<Conflict>, Vec<Conflict>> {
        match self.applied_before() {
            Some(applied) => Ok(conflicts.into_iter().filter(|c| !has(&applied, &c.path)).collect()),
            None => Err(conflicts),
        }
    }

    fn applied_before(&self) -> Option<FieldSet> {
        let kind = self.change.kind;
        let text = self.live["metadata"]["annotations"][LAST_APPLIED].as_str()?;
        let last = crate::body::json::parse(text.as_bytes()).ok()?.value;
        if last["apiVersion"] != self.change.api_version || validate::faults(&last, kind, Duplicates::Refused).is_some()
        {
            return None;
        }
        let Comparison { removed, modified, added } = compare(&last, self.live, kind).ok()?;
        Some(field_set(&last, kind).difference(&modified).difference(&added).difference(&removed))
    }
}

fn has(set: &FieldSet, path: &[Element]) -> bool {
    match path {
        [] => false,
        [last] => set.has(last),
        [first, rest @ ..] => set.within(first).is_some_and(|within| has(within, rest)),
    }
}

/// Takes out what the applier applied last time, not this time, and nobody else owns.
fn prune(merged: Value, last: &FieldSet, own: &FieldSet, others: &[Entry], kind: &'static Type) -> Value {
    if last.is_empty() {
        return merged;
    }
    let named = |set: &FieldSet| set.with_named_fields(kind);
    let all = named(&field_set(&merged, kind));
    let pruned = remove(&merged, &named(last), kind);
    let owned = others.iter().fold(own.clone(), |all, entry| all.union(&entry.fields));
    // What was taken out with something else, but has an owner, comes back.
    let left = named(&field_set(&pruned, kind));
    let pruned = remove(&merged, &all.difference(&left.union(&named(&owned))), kind);
    // So does what the applier never owned.
    let left = named(&field_set(&pruned, kind));
    remove(&merged, &all.difference(&left).intersection(&named(last)), kind)
}

/// What of the change others own, by manager and field.
fn conflicts(comparison: &Comparison, entries: &[Entry]) -> Vec<Conflict> {
    let changed = comparison.changed();
    let mut ordered: Vec<&Entry> = entries.iter().collect();
    ordered.sort_by_cached_key(|e| e.identifier());
    let of = |entry: &&Entry| {
        let manager = entry.printed();
        let paths = entry.fields.intersection(&changed).paths().into_iter();
        let conflict = paths.map(move |path| {
            let field = path.iter().map(ToString::to_string).collect();
            Conflict { manager: manager.clone(), field, path }
        });
        conflict.collect::<Vec<_>>()
    };
    ordered.iter().flat_map(of).collect()
}

/// An object that has kubectl's annotation of what was applied last keeps it true.
fn keep_last_applied(document: &mut Value, config: &Value) {
    let Some(annotation) = document["metadata"]["annotations"].get_mut(LAST_APPLIED) else { return };
    if annotation.as_str().is_none_or(str::is_empty) {
        return;
    }
    let mut config = config.clone();
    if let Some(annotations) = config["metadata"].get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(LAST_APPLIED);
    }
    *annotation = json!(format!("{config}\n"));
}
