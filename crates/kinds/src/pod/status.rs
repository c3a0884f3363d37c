//! What is said of a running Pod, and who may say it: quality of service, conditions, states, addresses.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{security, update};
use crate::addresses;
use crate::document::{at, entries, given, given_mut, integer, list, list_mut, set, text};
use crate::field::{Error, Path};
use crate::quantity::Quantity;

const COMPUTE: [&str; 2] = ["cpu", "memory"];
/// Conditions that Kubernetes itself sets; all others have qualified names.
const SYSTEM_CONDITIONS: [&str; 3] = ["PodScheduled", "Ready", "Initialized"];

/// The status of a Pod that nothing happened to yet. It waits if it has gates, since the time of its creation.
pub(super) fn of_new_pod(pod: &Value) -> Value {
    let mut status = json!({"phase": "Pending", "qosClass": quality_of_service(pod)});
    if !list(at(pod, "spec"), "schedulingGates").is_empty() {
        let condition = json!({
            "type": "PodScheduled",
            "status": "False",
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
            "lastProbeTime": null,
            "lastTransitionTime": at(at(pod, "metadata"), "creationTimestamp"),
        });
        set(&mut status, "conditions", vec![condition]);
    }
    status
}

/// Who is put out first when a node runs short: Pods that ask for nothing, then those that may take more than they
/// asked for. Who says it is taken at his word, as in Kubernetes.
pub(crate) fn quality_of_service(pod: &Value) -> &str {
    let stated = text(at(pod, "status"), "qosClass");
    if !stated.is_empty() {
        return stated;
    }
    let spec = at(pod, "spec");
    let (mut requests, mut limits) = (BTreeMap::new(), BTreeMap::new());
    let mut is_guaranteed = true;
    let mut count = |resources: &Value| {
        add(&mut requests, resources, "requests");
        let limited = add(&mut limits, resources, "limits");
        is_guaranteed &= limited == COMPUTE.len();
    };
    match given(spec, "resources") {
        Some(resources) => count(resources),
        None => ["containers", "initContainers"]
            .into_iter()
            .flat_map(|field| list(spec, field))
            .for_each(|container| count(at(container, "resources"))),
    }
    if requests.is_empty() && limits.is_empty() {
        "BestEffort"
    } else if is_guaranteed && requests == limits {
        "Guaranteed"
    } else {
        "Burstable"
    }
}

/// Adds up; answers with how many resources there were.
fn add(totals: &mut BTreeMap<String, i128>, resources: &Value, field: &str) -> usize {
    let mut count = 0;
    for (name, amount) in entries(resources, field) {
        let amount = Quantity::from_value(amount).map_or(0, Quantity::nanos);
        if COMPUTE.contains(&name) && amount > 0 {
            let total = totals.entry(name.to_owned()).or_default();
            *total = total.saturating_add(amount);
            count += 1;
        }
    }
    count
}

/// What an update of the status leaves out that only Kubernetes knows is as it was.
pub(super) fn keep_generations(new: &mut Value, old: &Value) {
    let Some(status) = given_mut(new, "status") else { return };
    let old = at(old, "status");
    if text(status, "qosClass").is_empty() && !text(old, "qosClass").is_empty() {
        set(status, "qosClass", text(old, "qosClass"));
    }
    let keep = |of: &mut Value, generation: i64| {
        if integer(of, "observedGeneration") == 0 && generation != 0 {
            set(of, "observedGeneration", generation);
        }
    };
    keep(status, integer(old, "observedGeneration"));
    // There may be several of a type; each new one goes with one old one.
    let mut rest: Vec<_> = list(old, "conditions").iter().collect();
    for condition in list_mut(status, "conditions") {
        if let Some(i) = rest.iter().position(|old| text(old, "type") == text(condition, "type")) {
            keep(condition, integer(rest.remove(i), "observedGeneration"));
        }
    }
}

/// All faults of an update of the status.
pub(super) fn validate(new: &Value, old: &Value) -> Vec<Error> {
    let mut faults = update::validate_annotations(new, old);
    let path = Path::new("status");
    let (spec, status, old_spec, old_status) = (at(new, "spec"), at(new, "status"), at(old, "spec"), at(old, "status"));
    faults.extend(validate_conditions(&path.child("conditions"), list(status, "conditions")));
    let nominated = text(status, "nominatedNodeName");
    if !nominated.is_empty() && nominated != text(old_status, "nominatedNodeName") {
        let path = path.child("nominatedNodeName");
        faults.extend(crate::names::subdomain_field(&path, nominated));
        if !text(old_spec, "nodeName").is_empty() {
            faults.push(Error::forbidden(&path, "may not be set on pods that are already bound to a node"));
        }
    }
    faults.extend(validate_generation(&path, status));
    if text(status, "qosClass") != text(old_status, "qosClass") {
        faults.push(Error::invalid(&path.child("qosClass"), text(status, "qosClass"), "field is immutable"));
    }
    for (field, containers) in [
        ("containerStatuses", Some("containers")),
        ("initContainerStatuses", Some("initContainers")),
        ("ephemeralContainerStatuses", None),
    ] {
        let containers = containers.map(|field| list(old_spec, field));
        faults.extend(validate_states(
            &path.child(field),
            list(status, field),
            list(old_status, field),
            |name, code| containers.is_some_and(|containers| restarts(old_spec, containers, name, code)),
        ));
    }
    let stored = |field: &str| -> Vec<&str> { list(old_status, field).iter().map(|ip| text(ip, "ip")).collect() };
    faults.extend(validate_addresses(&path.child("podIPs"), list(status, "podIPs"), &stored("podIPs")));
    let host = list(status, "hostIPs");
    let of_host = path.child("hostIPs");
    if let Some(first) = host.first().map(|ip| text(ip, "ip"))
        && first != text(status, "hostIP")
    {
        let detail = "must be equal to `hostIP`";
        faults.push(Error::invalid(&of_host.index(0).child("ip"), first, detail));
    }
    faults.extend(validate_addresses(&of_host, host, &stored("hostIPs")));
    for field in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
        for (i, container) in list(status, field).iter().enumerate() {
            let user = path.child(field).index(i).child("user").child("linux");
            faults.extend(validate_user(&user, at(spec, "os"), at(at(container, "user"), "linux")));
        }
    }
    faults
}

fn validate_generation(path: &Path, of: &Value) -> Option<Error> {
    let generation = integer(of, "observedGeneration");
    let detail = "must be a non-negative integer";
    (generation < 0).then(|| Error::invalid(&path.child("observedGeneration"), generation, detail))
}

fn validate_conditions(path: &Path, conditions: &[Value]) -> Vec<Error> {
    let mut faults = Vec::new();
    for (i, condition) in conditions.iter().enumerate() {
        faults.extend(validate_generation(&path.index(i), condition));
        let kind = text(condition, "type");
        if !SYSTEM_CONDITIONS.contains(&kind) {
            // The capital is Kubernetes'.
            faults.extend(crate::names::label_key_field(&path.index(i).child("Type"), kind));
        }
    }
    faults
}

/// What has ended goes on only when it may.
fn validate_states(path: &Path, new: &[Value], old: &[Value], restarts: impl Fn(&str, i64) -> bool) -> Vec<Error> {
    let terminated = |status: &Value| given(at(status, "state"), "terminated").cloned();
    let mut faults = Vec::new();
    for (i, old) in old.iter().enumerate() {
        let Some(end) = terminated(old) else { continue };
        let name = text(old, "name");
        let goes_on = new.iter().any(|new| text(new, "name") == name && terminated(new).is_none());
        if goes_on && !restarts(name, integer(&end, "exitCode")) {
            let path = path.index(i).child("state");
            faults.push(Error::forbidden(&path, "may not be transitioned to non-terminated state"));
        }
    }
    faults
}

/// Whether a container that ended with this code is started again.
fn restarts(spec: &Value, containers: &[Value], name: &str, code: i64) -> bool {
    let rules = |container: &Value| list(container, "restartPolicyRules").to_vec();
    let restarts_all = ["initContainers", "containers"]
        .into_iter()
        .flat_map(|field| list(spec, field))
        .flat_map(rules)
        .any(|rule| text(&rule, "action") == "RestartAllContainers");
    if restarts_all {
        return true;
    }
    let Some(container) = containers.iter().find(|container| text(container, "name") == name) else { return false };
    let own = text(container, "restartPolicy");
    if !own.is_empty() {
        let matching = rules(container).into_iter().find(|rule| {
            let codes = at(rule, "exitCodes");
            let is_in = list(codes, "values").iter().any(|value| value.as_i64() == Some(code));
            match text(codes, "operator") {
                "In" => is_in,
                "NotIn" => !is_in,
                _ => false,
            }
        });
        if matching.is_some_and(|rule| text(&rule, "action") == "Restart") {
            return true;
        }
    }
    match if own.is_empty() { text(spec, "restartPolicy") } else { own } {
        "OnFailure" => code != 0,
        policy => policy != "Never",
    }
}

fn validate_addresses(path: &Path, ips: &[Value], stored: &[&str]) -> Vec<Error> {
    let mut faults = Vec::new();
    for (i, ip) in ips.iter().enumerate() {
        faults.extend(addresses::validate_legacy(&path.index(i), text(ip, "ip"), stored));
    }
    if ips.len() > 1 {
        let families: Vec<_> = ips.iter().map(|ip| addresses::family(text(ip, "ip"))).collect();
        if let Some(i) = families.iter().position(Option::is_none) {
            let detail = format!("failed to check for dual stack with error:invalid IP[{i}]: {}", text(&ips[i], "ip"));
            faults.push(Error::new(crate::field::ErrorType::Internal, path, "", detail));
        }
        let is_pair = families.len() == 2 && families[0] != families[1] && !families.contains(&None);
        if !is_pair {
            let printed: Vec<_> =
                ips.iter().map(|ip| format!("{{\"IP\":{}}}", crate::field::marshal(at(ip, "ip")))).collect();
            let fault = Error::invalid(path, Value::Null, "may specify no more than one IP for each IP family");
            faults.push(fault.printed_as(format!("[{}]", printed.join(","))));
        }
    }
    faults
}

fn validate_user(path: &Path, os: &Value, user: &Value) -> Vec<Error> {
    if !user.is_object() {
        return Vec::new();
    }
    if text(os, "name") == "windows" {
        return vec![Error::forbidden(path, "cannot be set for a windows pod")];
    }
    let mut faults = Vec::new();
    for field in ["uid", "gid"] {
        faults.extend(security::validate_id(&path.child(field), &Value::from(integer(user, field))));
    }
    for (i, group) in list(user, "supplementalGroups").iter().enumerate() {
        faults.extend(security::validate_id(&path.child("supplementalGroups").index(i), group));
    }
    faults
}

/// What the author of a status is warned of.
pub(super) fn warnings(pod: &Value) -> Vec<String> {
    let mut warnings = Vec::new();
    for field in ["podIPs", "hostIPs"] {
        for (i, ip) in list(at(pod, "status"), field).iter().enumerate() {
            let path = Path::new("status").child(field).index(i).child("ip");
            warnings.extend(addresses::warnings(&path, text(ip, "ip")));
        }
    }
    warnings
}
