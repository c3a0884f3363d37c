//! What objects count against ResourceQuotas: which quotas an object counts against, and how much.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Kind;
use crate::document::{at, flag, given, integer, list, text, texts};
use crate::pod::{Amounts, amounts, quality_of_service, totals};
use crate::quantity::Quantity;
use crate::resources::is_extended;

#[cfg(test)]
mod tests;

/// Kinds that are counted under a name of their own, beside `count/PLURAL.GROUP`.
const COUNTED: [(&str, &str); 6] = [
    ("", "configmaps"),
    ("", "persistentvolumeclaims"),
    ("", "replicationcontrollers"),
    ("", "resourcequotas"),
    ("", "secrets"),
    ("", "services"),
];
/// What every container must say where a quota counts it.
const DEMANDED: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// What an object counts for, whatever quotas there are. `now`, in seconds since the epoch, tells Pods that should be gone.
pub fn usage(kind: &Kind, object: &Value, now: i64) -> Amounts {
    let dot = if kind.group.is_empty() { "" } else { "." };
    let mut used = Amounts::from([(format!("count/{}{dot}{}", kind.plural, kind.group), one())]);
    if COUNTED.contains(&(kind.group, kind.plural)) {
        used.insert(kind.plural.to_owned(), one());
    }
    match (kind.group, kind.plural) {
        ("", "pods") if is_running(object, now) => {
            used.insert("pods".to_owned(), one());
            used.extend(computed(&totals(object, "requests"), &totals(object, "limits")));
        }
        ("", "services") => used.extend(of_service(object)),
        _ => {}
    }
    used
}

fn one() -> Quantity {
    Quantity::of_units(1)
}

/// Whether a Pod takes anything: it has not ended, and is not long gone with its node.
fn is_running(pod: &Value, now: i64) -> bool {
    if matches!(text(at(pod, "status"), "phase"), "Failed" | "Succeeded") {
        return false;
    }
    let metadata = at(pod, "metadata");
    let marked = text(metadata, "deletionTimestamp").parse::<jiff::Timestamp>().ok();
    let grace = given(metadata, "deletionGracePeriodSeconds").and_then(Value::as_i64);
    match (marked, grace) {
        (Some(marked), Some(grace)) => now <= marked.as_second() + grace,
        _ => true,
    }
}

/// Requests and limits under the names by which quotas count them.
fn computed(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut used = Amounts::new();
    for (name, amount) in requests {
        let plain = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-");
        if plain {
            used.insert(name.clone(), *amount);
        }
        if plain || is_extended(name) {
            used.insert(format!("requests.{name}"), *amount);
        }
    }
    for (name, amount) in limits {
        if matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage") {
            used.insert(format!("limits.{name}"), *amount);
        }
    }
    used
}

fn of_service(service: &Value) -> Amounts {
    let spec = at(service, "spec");
    let ports = list(spec, "ports");
    let explicit = || ports.iter().filter(|port| integer(port, "nodePort") != 0).count();
    let allocates =
        given(spec, "allocateLoadBalancerNodePorts").is_none() || flag(spec, "allocateLoadBalancerNodePorts");
    let (node_ports, load_balancers) = match text(spec, "type") {
        "NodePort" => (ports.len(), 0),
        // Ports are not given yet when this is asked.
        "LoadBalancer" if allocates => (ports.len(), 1),
        "LoadBalancer" => (explicit(), 1),
        _ => (0, 0),
    };
    let count = |number: usize| Quantity::of_units(i64::try_from(number).unwrap_or(i64::MAX));
    Amounts::from([
        ("services.nodeports".to_owned(), count(node_ports)),
        ("services.loadbalancers".to_owned(), count(load_balancers)),
    ])
}

/// Whether an object counts against a quota: the quota counts such objects, and its scopes are the object's.
pub fn matches(quota: &Value, kind: &Kind, object: &Value) -> bool {
    let counted = hard(quota).into_keys().any(|name| counts(&name, kind));
    counted && scopes(at(quota, "spec")).iter().all(|scope| in_scope(scope, kind, object))
}

/// What a quota allows: as it has taken effect or, before that, as it is asked for.
fn hard(quota: &Value) -> Amounts {
    let effective = amounts(at(quota, "status"), "hard");
    if effective.is_empty() { amounts(at(quota, "spec"), "hard") } else { effective }
}

/// Whether a quota of this name counts objects of a kind.
pub fn counts(name: &str, kind: &Kind) -> bool {
    let dot = if kind.group.is_empty() { "" } else { "." };
    let measured = |name: &str| {
        let bare = name.strip_prefix("requests.").or_else(|| name.strip_prefix("limits.")).unwrap_or(name);
        matches!(bare, "cpu" | "memory" | "ephemeral-storage")
            || bare.starts_with("hugepages-")
            || (name.starts_with("requests.") && is_extended(bare))
    };
    match name.strip_prefix("count/") {
        Some(counted) => counted == format!("{}{dot}{}", kind.plural, kind.group),
        None if !kind.group.is_empty() => false,
        None => match kind.plural {
            "pods" => name == "pods" || measured(name),
            "services" => matches!(name, "services" | "services.nodeports" | "services.loadbalancers"),
            plural => name == plural && COUNTED.contains(&("", plural)),
        },
    }
}

struct Scope<'a> {
    name: &'a str,
    operator: &'a str,
    values: Vec<&'a str>,
}

fn scopes(spec: &Value) -> Vec<Scope<'_>> {
    let plain = texts(spec, "scopes").into_iter().map(|name| Scope { name, operator: "Exists", values: Vec::new() });
    let selected = list(at(spec, "scopeSelector"), "matchExpressions").iter().map(|term| Scope {
        name: text(term, "scopeName"),
        operator: text(term, "operator"),
        values: texts(term, "values"),
    });
    plain.chain(selected).collect()
}

fn in_scope(scope: &Scope<'_>, kind: &Kind, object: &Value) -> bool {
    if (kind.group, kind.plural) != ("", "pods") {
        return false;
    }
    let spec = at(object, "spec");
    let terminating = given(spec, "activeDeadlineSeconds").is_some_and(|_| integer(spec, "activeDeadlineSeconds") >= 0);
    let class = text(spec, "priorityClassName");
    match scope.name {
        "Terminating" => terminating,
        "NotTerminating" => !terminating,
        "BestEffort" => quality_of_service(object) == "BestEffort",
        "NotBestEffort" => quality_of_service(object) != "BestEffort",
        "PriorityClass" => match scope.operator {
            "In" => scope.values.contains(&class),
            "NotIn" => !scope.values.contains(&class),
            "DoesNotExist" => class.is_empty(),
            _ => !class.is_empty(),
        },
        "CrossNamespacePodAffinity" => crosses_namespaces(at(spec, "affinity")),
        _ => false,
    }
}

/// Whether an affinity looks at Pods of other namespaces.
fn crosses_namespaces(affinity: &Value) -> bool {
    let crosses = |term: &Value| !list(term, "namespaces").is_empty() || given(term, "namespaceSelector").is_some();
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let of = at(affinity, kind);
        let preferred = list(of, "preferredDuringSchedulingIgnoredDuringExecution");
        list(of, "requiredDuringSchedulingIgnoredDuringExecution").iter().any(crosses)
            || preferred.iter().any(|term| crosses(at(term, "podAffinityTerm")))
    })
}

/// What a new object takes of a quota, or what a changed one takes more.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    /// The quota's `status.used` with it.
    pub used: Amounts,
    /// Whether that is anything.
    pub anything: bool,
}

/// What an object takes of a quota that it counts against. An error is a refusal: the words after `forbidden: `.
pub fn take(quota: &Value, kind: &Kind, new: &Value, old: Option<&Value>, now: i64) -> Result<Taken, String> {
    let name = text(at(quota, "metadata"), "name");
    let status = at(quota, "status");
    let (hard, used) = (amounts(status, "hard"), amounts(status, "used"));
    let counted: Vec<&String> = hard.keys().filter(|name| counts(name, kind)).collect();
    if (kind.group, kind.plural) == ("", "pods")
        && let Some(missing) = undemanded(new, &counted)
    {
        return Err(format!("failed quota: {name}: must specify {missing}"));
    }
    let unknown = hard.is_empty() || counted.iter().any(|name| !used.contains_key(*name));
    if unknown {
        let counted: Vec<&str> = counted.iter().map(|name| name.as_str()).collect();
        return Err(format!("status unknown for quota: {name}, resources: {}", counted.join(",")));
    }
    let before = old.filter(|old| matches(quota, kind, old)).map(|old| usage(kind, old, now)).unwrap_or_default();
    let more = usage(kind, new, now).into_iter().filter_map(|(name, amount)| {
        let more = before.get(&name).map_or(amount, |before| amount.minus(*before));
        (hard.contains_key(&name) && more.nanos() > 0).then_some((name, more))
    });
    let more: Amounts = more.collect();
    let mut taken = used.clone();
    for (name, amount) in &more {
        let sum = used.get(name).map_or(*amount, |used| used.plus(*amount));
        taken.insert(name.clone(), sum);
    }
    let over =
        |name: &&String| matches!((taken.get(*name), hard.get(*name)), (Some(t), Some(h)) if t.nanos() > h.nanos());
    let exceeded: Vec<&String> = more.keys().filter(over).collect();
    if exceeded.is_empty() {
        return Ok(Taken { anything: !more.is_empty(), used: taken });
    }
    let print = |amounts: &Amounts| {
        let printed = exceeded.iter().filter_map(|name| Some(format!("{name}={}", amounts.get(*name)?)));
        printed.collect::<Vec<_>>().join(",")
    };
    let words = [("requested", &more), ("used", &used), ("limited", &hard)].map(|(w, a)| format!("{w}: {}", print(a)));
    Err(format!("exceeded quota: {name}, {}", words.join(", ")))
}

/// What containers of a Pod do not say that a quota counts; `limits.cpu for: a,b; requests.cpu for: a`.
fn undemanded(pod: &Value, counted: &[&String]) -> Option<String> {
    let spec = at(pod, "spec");
    let mut missing: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for container in list(spec, "containers").iter().chain(list(spec, "initContainers")) {
        let resources = at(container, "resources");
        let said = computed(&amounts(resources, "requests"), &amounts(resources, "limits"));
        for name in DEMANDED.into_iter().filter(|name| counted.iter().any(|counted| counted == name)) {
            if !said.contains_key(name) {
                missing.entry(name).or_default().push(text(container, "name"));
            }
        }
    }
    let printed = missing.into_iter().map(|(name, mut containers)| {
        containers.sort_unstable();
        format!("{name} for: {}", containers.join(","))
    });
    let printed: Vec<String> = printed.collect();
    (!printed.is_empty()).then(|| printed.join("; "))
}
