//! What Kubernetes' default admission plugins do with a Pod.

use serde_json::{Value, json};

use crate::document::{
    at, given, integer, is_zero, list, object_mut, same, set, set_default, set_or_remove, set_zero_default, text,
    text_at, text_entries,
};
use crate::priority_class::SYSTEM;
use crate::schema::quoted;

/// How long a Pod stays on a node that does not answer, in seconds.
const TOLERATED: i64 = 300;

/// `DefaultTolerationSeconds`, and of `ServiceAccount` the name (the token's volume needs more than that).
pub(super) fn admit(spec: &mut Value) {
    set_zero_default(spec, "serviceAccountName", "default");
    let account = text(spec, "serviceAccountName").to_owned();
    set(spec, "serviceAccount", account);
    tolerate_lost_nodes(spec);
}

/// What there is of the classes that a Pod may name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Classes<'a> {
    /// The PriorityClass that it names.
    pub priority: Option<&'a Value>,
    /// The PriorityClass of Pods that name none.
    pub default_priority: Option<&'a Value>,
    /// The RuntimeClass that it names.
    pub runtime: Option<&'a Value>,
}

/// Gives a new Pod what follows from its classes: `Priority` and `RuntimeClass` of Kubernetes' admission.
///
/// # Errors
/// When a class is not there, or the Pod says something else than its class: the words after `forbidden: `.
pub fn use_classes(pod: &mut Value, classes: &Classes<'_>) -> Result<(), String> {
    let Some(spec) = object_mut(pod, "spec") else { return Ok(()) };
    prioritize(spec, classes)?;
    let named = given(spec, "runtimeClassName").and_then(Value::as_str).map(str::to_owned);
    match (named, classes.runtime) {
        (Some(name), None) => Err(format!("pod rejected: RuntimeClass {} not found", quoted(&name))),
        (Some(_), Some(class)) => run_by(spec, class),
        (None, _) if !is_zero(at(spec, "overhead")) => {
            Err("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead".to_owned())
        }
        (None, _) => Ok(()),
    }
}

/// What a runtime costs, and on which nodes it is.
fn run_by(spec: &mut Value, class: &Value) -> Result<(), String> {
    let overhead = at(at(class, "overhead"), "podFixed");
    if !is_zero(at(spec, "overhead")) && !same(at(spec, "overhead"), overhead) {
        return Err("pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead".to_owned());
    }
    if !is_zero(overhead) {
        set(spec, "overhead", overhead.clone());
    }
    let scheduling = at(class, "scheduling");
    for (key, value) in text_entries(scheduling, "nodeSelector") {
        let own = text_at(spec, "nodeSelector", key).map(str::to_owned);
        match own {
            Some(own) if own != value => {
                return Err(format!(
                    "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = {own}"
                ));
            }
            Some(_) => {}
            None => {
                if let Some(selector) = object_mut(spec, "nodeSelector") {
                    set(selector, key, value);
                }
            }
        }
    }
    let own = list(spec, "tolerations");
    let more: Vec<_> = list(scheduling, "tolerations").iter().filter(|one| !own.contains(one)).cloned().collect();
    if !more.is_empty() {
        let all: Vec<Value> = own.iter().cloned().chain(more).collect();
        set(spec, "tolerations", all);
    }
    Ok(())
}

/// What an update does not name is as it was.
pub(super) fn keep(spec: &mut Value, old_spec: &Value) {
    for field in ["priority", "preemptionPolicy"] {
        if given(spec, field).is_none() {
            set_or_remove(spec, field, given(old_spec, field).cloned());
        }
    }
    tolerate_lost_nodes(spec);
}

fn prioritize(spec: &mut Value, classes: &Classes<'_>) -> Result<(), String> {
    let class = text(spec, "priorityClassName").to_owned();
    let of_system = SYSTEM.iter().find(|(name, _, _)| *name == class).map(|(_, value, _)| *value);
    let object = if class.is_empty() { classes.default_priority } else { classes.priority };
    let (priority, policy) = match (object, of_system) {
        (Some(object), _) => (integer(object, "value"), text(object, "preemptionPolicy").to_owned()),
        (None, Some(value)) => (value, String::new()),
        (None, None) if class.is_empty() => (0, String::new()),
        (None, None) => return Err(format!("no PriorityClass with name {class} was found")),
    };
    if let (true, Some(default)) = (class.is_empty(), classes.default_priority) {
        set(spec, "priorityClassName", text(at(default, "metadata"), "name"));
    }
    if given(spec, "priority").is_some() && integer(spec, "priority") != priority {
        return Err(format!(
            "the integer value of priority ({}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name",
            at(spec, "priority")
        ));
    }
    set(spec, "priority", priority);
    let policy = if policy.is_empty() { "PreemptLowerPriority".to_owned() } else { policy };
    let own = text(spec, "preemptionPolicy");
    if given(spec, "preemptionPolicy").is_some() && own != policy {
        return Err(format!(
            "the string value of PreemptionPolicy ({own}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        ));
    }
    set_default(spec, "preemptionPolicy", policy);
    Ok(())
}

fn tolerate_lost_nodes(spec: &mut Value) {
    let mut tolerations = list(spec, "tolerations").to_vec();
    let stated = tolerations.len();
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        let is_there = tolerations.iter().take(stated).any(|toleration| {
            (text(toleration, "key").is_empty() || text(toleration, "key") == key)
                && matches!(text(toleration, "effect"), "" | "NoExecute")
        });
        if !is_there {
            tolerations
                .push(json!({"effect": "NoExecute", "key": key, "operator": "Exists", "tolerationSeconds": TOLERATED}));
        }
    }
    if tolerations.len() > stated {
        set(spec, "tolerations", tolerations);
    }
}
