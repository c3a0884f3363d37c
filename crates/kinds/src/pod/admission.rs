//! What Kubernetes' default admission plugins do with a Pod, without asking for other objects.

use serde_json::{Value, json};

use crate::document::{at, given, integer, is_zero, list, set, set_default, set_or_remove, set_zero_default, text};
use crate::schema::quoted;

/// How long a Pod stays on a node that does not answer, in seconds.
const TOLERATED: i64 = 300;
/// The two classes that every cluster has.
const CLASSES: [(&str, i64); 2] = [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)];

/// `DefaultTolerationSeconds`, `Priority`, `RuntimeClass` (there are none), and of `ServiceAccount` the name (the
/// token's volume needs more than that).
pub(super) fn admit(spec: &mut Value) -> Result<(), String> {
    set_zero_default(spec, "serviceAccountName", "default");
    let account = text(spec, "serviceAccountName").to_owned();
    set(spec, "serviceAccount", account);
    prioritize(spec)?;
    tolerate_lost_nodes(spec);
    if let Some(class) = given(spec, "runtimeClassName").and_then(Value::as_str) {
        return Err(format!("pod rejected: RuntimeClass {} not found", quoted(class)));
    }
    if !is_zero(at(spec, "overhead")) {
        return Err("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead".to_owned());
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

fn prioritize(spec: &mut Value) -> Result<(), String> {
    let class = text(spec, "priorityClassName");
    let priority = match class {
        "" => 0,
        class => match CLASSES.into_iter().find(|(name, _)| *name == class) {
            Some((_, priority)) => priority,
            None => return Err(format!("no PriorityClass with name {class} was found")),
        },
    };
    if given(spec, "priority").is_some() && integer(spec, "priority") != priority {
        return Err(format!(
            "the integer value of priority ({}) must not be provided in pod spec; priority admission controller computed {priority} from the given PriorityClass name",
            at(spec, "priority")
        ));
    }
    set(spec, "priority", priority);
    let policy = text(spec, "preemptionPolicy");
    if given(spec, "preemptionPolicy").is_some() && policy != "PreemptLowerPriority" {
        return Err(format!(
            "the string value of PreemptionPolicy ({policy}) must not be provided in pod spec; priority admission controller computed PreemptLowerPriority from the given PriorityClass name"
        ));
    }
    set_default(spec, "preemptionPolicy", "PreemptLowerPriority");
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
