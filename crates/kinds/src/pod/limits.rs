//! What the LimitRanges of its namespace make of a Pod: defaults for what containers do not say, and bounds.

use serde_json::{Value, json};

use super::totals::{Amounts, amounts, totals};
use crate::document::{at, list, list_mut, object_mut, set, text};

/// Where it is told what was filled in.
const TOLD: &str = "kubernetes.io/limit-ranger";

/// Fills in the requests and limits that containers do not say, of all LimitRanges.
pub fn fill_in_limits(pod: &mut Value, ranges: &[Value]) {
    for range in ranges {
        let of_containers = || list(at(range, "spec"), "limits").iter().filter(|l| text(l, "type") == "Container");
        let merged = |field: &str| of_containers().flat_map(|limit| amounts(limit, field)).collect::<Amounts>();
        let (requests, limits) = (merged("defaultRequest"), merged("default"));
        let mut told = Vec::new();
        for (containers, named) in [("containers", "container"), ("initContainers", "init container")] {
            for container in list_mut(&mut pod["spec"], containers) {
                let name = text(container, "name").to_owned();
                let Some(resources) = object_mut(container, "resources") else { continue };
                let set_limits = fill(resources, "limits", &limits);
                let set_requests = fill(resources, "requests", &requests);
                for (set, what) in [(set_requests, "request"), (set_limits, "limit")] {
                    if !set.is_empty() {
                        told.push(format!("{} {what} for {named} {name}", set.join(", ")));
                    }
                }
            }
        }
        if !told.is_empty()
            && let Some(metadata) = object_mut(pod, "metadata")
            && let Some(annotations) = object_mut(metadata, "annotations")
        {
            set(annotations, TOLD, format!("LimitRanger plugin set: {}", told.join("; ")));
        }
    }
}

/// Fills in what is not there; answers its names.
fn fill(resources: &mut Value, field: &str, defaults: &Amounts) -> Vec<String> {
    let missing: Vec<_> = defaults.iter().filter(|(name, _)| at(at(resources, field), name).is_null()).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let names = missing.iter().map(|(name, _)| (*name).clone()).collect();
    if let Some(map) = object_mut(resources, field) {
        for (name, amount) in missing {
            set(map, name, json!(amount.to_string()));
        }
    }
    names
}

/// How a Pod breaks the bounds of a LimitRange, in Kubernetes' words.
pub fn broken_limits(pod: &Value, range: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    for limit in list(at(range, "spec"), "limits") {
        match text(limit, "type") {
            "Container" => {
                let spec = at(pod, "spec");
                for container in list(spec, "containers").iter().chain(list(spec, "initContainers")) {
                    let resources = at(container, "resources");
                    let asked = (amounts(resources, "requests"), amounts(resources, "limits"));
                    broken.extend(check(limit, "Container", &asked.0, &asked.1));
                }
            }
            "Pod" => broken.extend(check(limit, "Pod", &totals(pod, "requests"), &totals(pod, "limits"))),
            _ => {}
        }
    }
    broken
}

fn check(limit: &Value, of: &str, requests: &Amounts, limits: &Amounts) -> Vec<String> {
    let mut broken = Vec::new();
    for (name, least) in amounts(limit, "min") {
        let head = format!("minimum {name} usage per {of} is {least}");
        match (requests.get(&name), limits.get(&name)) {
            (None, _) => broken.push(format!("{head}.  No request is specified")),
            (Some(request), _) if request.nanos() < least.nanos() => {
                broken.push(format!("{head}, but request is {request}"));
            }
            (_, Some(limit)) if limit.nanos() < least.nanos() => broken.push(format!("{head}, but limit is {limit}")),
            _ => {}
        }
    }
    for (name, most) in amounts(limit, "max") {
        let head = format!("maximum {name} usage per {of} is {most}");
        match (requests.get(&name), limits.get(&name)) {
            (_, None) => broken.push(format!("{head}.  No limit is specified")),
            (_, Some(limit)) if limit.nanos() > most.nanos() => broken.push(format!("{head}, but limit is {limit}")),
            (Some(request), _) if request.nanos() > most.nanos() => {
                broken.push(format!("{head}, but request is {request}"));
            }
            _ => {}
        }
    }
    for (name, most) in amounts(limit, "maxLimitRequestRatio") {
        let head = format!("{name} max limit to request ratio per {of} is {most}, but");
        let of_name = |amounts: &Amounts| amounts.get(&name).map(|amount| amount.nanos()).filter(|n| *n != 0);
        match (of_name(requests), of_name(limits)) {
            (None, _) => broken.push(format!("{head} no request is specified or request is 0")),
            (_, None) => broken.push(format!("{head} no limit is specified or limit is 0")),
            (Some(request), Some(limit)) => {
                // Only for the eye and for a bound that people write with a few digits.
                #[expect(clippy::cast_precision_loss, reason = "a ratio of two amounts")]
                let (ratio, most) = (limit as f64 / request as f64, most.nanos() as f64 / 1e9);
                if ratio > most {
                    broken.push(format!("{head} provided ratio is {ratio:.6}"));
                }
            }
        }
    }
    broken
}
