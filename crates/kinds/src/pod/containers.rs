//! The faults of containers: those that run together, those that run before, and those that come later to look around.

use std::collections::BTreeSet;

use serde_json::Value;

use super::volumes::Volumes;
use super::{PULL_POLICIES, environment, is_sidecar, mounts, one_of, probes, security};
use crate::document::{at, entries, given, integer, is_zero, list, text};
use crate::field::{Error, Path};
use crate::quantity::Quantity;
use crate::{names, resources};

const MESSAGE_POLICIES: &[&str] = &["File", "FallbackToLogsOnError"];
const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const RESTART_POLICIES: &[&str] = &["Always", "Never", "OnFailure"];
const RESTART_ACTIONS: &[&str] = &["Restart", "RestartAllContainers"];
const RESIZE_POLICIES: &[&str] = &["NotRequired", "RestartContainer"];
const MOST_RULES: usize = 20;
const MOST_EXIT_CODES: usize = 255;
/// What a container that is added to a running Pod may not have, in the order of Kubernetes' type.
const NOT_EPHEMERAL: &[&str] = &[
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
];

/// What of a Pod its containers are judged by.
pub(super) struct Surroundings<'a> {
    pub(super) volumes: Volumes<'a>,
    pub(super) grace_period: Option<i64>,
    pub(super) host_users: bool,
    restart_policy: &'a str,
}

impl<'a> Surroundings<'a> {
    pub(super) fn of(spec: &'a Value, volumes: Volumes<'a>) -> Self {
        Self {
            volumes,
            grace_period: given(spec, "terminationGracePeriodSeconds").and_then(Value::as_i64),
            host_users: given(spec, "hostUsers").is_none_or(|users| users != &Value::Bool(false)),
            restart_policy: text(spec, "restartPolicy"),
        }
    }
}

/// The faults of `containers`.
pub(super) fn validate_regular(path: &Path, spec: &Value, surroundings: &Surroundings<'_>) -> Vec<Error> {
    let containers = list(spec, "containers");
    if containers.is_empty() {
        return vec![Error::required(path, "")];
    }
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, container) in containers.iter().enumerate() {
        let path = path.index(i);
        faults.extend(validate_common(&path, container, surroundings));
        if !seen.insert(text(container, "name")) {
            faults.push(Error::duplicate(&path.child("name"), text(container, "name")));
        }
        faults.extend(probes::validate_all(&path, container, surroundings.grace_period));
        faults.extend(validate_restart(&path, container));
    }
    faults.extend(validate_host_ports(path, containers));
    faults
}

/// The faults of `initContainers`.
pub(super) fn validate_initial(path: &Path, spec: &Value, surroundings: &Surroundings<'_>) -> Vec<Error> {
    let mut faults = Vec::new();
    let mut seen: BTreeSet<_> = list(spec, "containers").iter().map(|container| text(container, "name")).collect();
    for (i, container) in list(spec, "initContainers").iter().enumerate() {
        let list_path = path;
        let path = path.index(i);
        faults.extend(validate_common(&path, container, surroundings));
        faults.extend(validate_restart(&path, container));
        let name = text(container, "name");
        if seen.contains(name) {
            faults.push(Error::duplicate(&path.child("name"), name));
        } else if !name.is_empty() {
            seen.insert(name);
        }
        // They run one by one; Kubernetes counts each from the list's beginning.
        faults.extend(validate_host_ports(list_path, std::slice::from_ref(container)));
        if is_sidecar(container) {
            faults.extend(probes::validate_all(&path, container, surroundings.grace_period));
            continue;
        }
        for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            if given(container, field).is_some() {
                let detail = "may not be set for init containers without restartPolicy=Always";
                faults.push(Error::forbidden(&path.child(field), detail));
            }
        }
        for (j, policy) in list(container, "resizePolicy").iter().enumerate() {
            if text(policy, "restartPolicy") == "RestartContainer" {
                let path = path.child("resizePolicy").index(j).child("restartPolicy");
                let detail = "must not be set to 'RestartContainer' for non-sidecar initContainers";
                faults.push(Error::invalid(&path, "RestartContainer", detail));
            }
        }
    }
    faults
}

/// The faults of `ephemeralContainers`.
pub(super) fn validate_ephemeral(path: &Path, spec: &Value, surroundings: &Surroundings<'_>) -> Vec<Error> {
    const DETAIL: &str = "cannot be set for an Ephemeral Container";
    let others: BTreeSet<_> = ["containers", "initContainers"]
        .into_iter()
        .flat_map(|field| list(spec, field))
        .map(|container| text(container, "name"))
        .collect();
    let mut seen = others.clone();
    let mut faults = Vec::new();
    for (i, container) in list(spec, "ephemeralContainers").iter().enumerate() {
        let path = path.index(i);
        faults.extend(validate_common(&path, container, surroundings));
        let image = text(container, "image");
        if image.trim() != image {
            let detail = "must not have leading or trailing whitespace";
            faults.push(Error::invalid(&path.child("image"), image, detail));
        }
        if !seen.insert(text(container, "name")) {
            faults.push(Error::duplicate(&path.child("name"), text(container, "name")));
        }
        let target = text(container, "targetContainerName");
        if !target.is_empty() && !others.contains(target) {
            faults.push(Error::not_found(&path.child("targetContainerName"), target));
        }
        for field in NOT_EPHEMERAL.iter().filter(|field| given(container, field).is_some_and(|v| !is_zero(v))) {
            faults.push(Error::forbidden(&path.child(field), DETAIL));
        }
        for (j, mount) in list(container, "volumeMounts").iter().enumerate() {
            for field in ["subPath", "subPathExpr"] {
                if !text(mount, field).is_empty() {
                    faults.push(Error::forbidden(&path.child("volumeMounts").index(j).child(field), DETAIL));
                }
            }
        }
    }
    faults
}

fn validate_common(path: &Path, container: &Value, surroundings: &Surroundings<'_>) -> Vec<Error> {
    let mut faults = match text(container, "name") {
        "" => vec![Error::required(&path.child("name"), "")],
        name => names::label_field(&path.child("name"), name),
    };
    if text(container, "image").is_empty() {
        faults.push(Error::required(&path.child("image"), ""));
    }
    let policy = text(container, "terminationMessagePolicy");
    faults.extend(one_of(&path.child("terminationMessagePolicy"), policy, MESSAGE_POLICIES));
    faults.extend(validate_ports(&path.child("ports"), list(container, "ports")));
    faults.extend(environment::validate(&path.child("env"), list(container, "env")));
    faults.extend(environment::validate_from(&path.child("envFrom"), list(container, "envFrom")));
    faults.extend(mounts::validate(path, container, &surroundings.volumes));
    faults.extend(one_of(&path.child("imagePullPolicy"), text(container, "imagePullPolicy"), PULL_POLICIES));
    let wanted = at(container, "resources");
    faults.extend(validate_requirements(&path.child("resources"), wanted, container_resource));
    faults.extend(validate_resize(&path.child("resizePolicy"), container, surroundings.restart_policy));
    let context = at(container, "securityContext");
    faults.extend(security::validate_of_container(&path.child("securityContext"), context, surroundings.host_users));
    faults
}

fn validate_ports(path: &Path, ports: &[Value]) -> Vec<Error> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, port) in ports.iter().enumerate() {
        let path = path.index(i);
        let name = text(port, "name");
        if !name.is_empty() {
            let messages = names::port_name(name);
            if messages.is_empty() && !seen.insert(name) {
                faults.push(Error::duplicate(&path.child("name"), name));
            }
            faults.extend(Error::invalid_each(&path.child("name"), name, messages));
        }
        let in_range = |field: &str| {
            let (path, number) = (path.child(field), integer(port, field));
            let messages = names::port_number(number).into_iter();
            messages.map(move |message| Error::invalid(&path, number, message)).collect::<Vec<_>>()
        };
        if integer(port, "containerPort") == 0 {
            faults.push(Error::required(&path.child("containerPort"), ""));
        } else {
            faults.extend(in_range("containerPort"));
        }
        if integer(port, "hostPort") != 0 {
            faults.extend(in_range("hostPort"));
        }
        faults.extend(one_of(&path.child("protocol"), text(port, "protocol"), PROTOCOLS));
    }
    faults
}

fn validate_host_ports(path: &Path, containers: &[Value]) -> Vec<Error> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, container) in containers.iter().enumerate() {
        for (j, port) in list(container, "ports").iter().enumerate() {
            let number = integer(port, "hostPort");
            let taken = format!("{}/{}/{number}", text(port, "protocol"), text(port, "hostIP"));
            if number != 0 && !seen.insert(taken.clone()) {
                faults.push(Error::duplicate(&path.index(i).child("ports").index(j).child("hostPort"), taken));
            }
        }
    }
    faults
}

/// The faults of the name of a resource that a container may ask for.
pub(crate) fn container_resource(path: &Path, name: &str) -> Vec<Error> {
    let mut faults = resource_name(path, name);
    if !name.contains('/') {
        if !resources::is_of_containers(name) {
            faults.push(Error::invalid(path, name, "must be a standard resource for containers"));
        }
    } else if !resources::is_native(name) && !resources::is_extended(name) {
        faults.push(Error::invalid(path, name, "doesn't follow extended resource name standard"));
    }
    faults
}

/// The faults of the name of a resource that a whole Pod may ask for.
pub(super) fn pod_resource(path: &Path, name: &str) -> Vec<Error> {
    let faults = resource_name(path, name);
    if faults.is_empty() && !matches!(name, "cpu" | "memory") && !resources::is_huge_pages(name) {
        return vec![Error::not_supported(path, name, &["cpu", "hugepages-", "memory"])];
    }
    faults
}

/// The faults of the name of a resource.
pub(crate) fn resource_name(path: &Path, name: &str) -> Vec<Error> {
    let faults = names::label_key_field(path, name);
    if faults.is_empty() && !name.contains('/') && !resources::is_standard(name) {
        return vec![Error::invalid(path, name, "must be a standard resource type or fully qualified")];
    }
    faults
}

/// The faults of limits and requests; `rule` judges the names of resources.
pub(super) fn validate_requirements(path: &Path, wanted: &Value, rule: fn(&Path, &str) -> Vec<Error>) -> Vec<Error> {
    let mut faults = Vec::new();
    let (mut has_pages, mut has_compute) = (false, false);
    for field in ["limits", "requests"] {
        for (name, value) in entries(wanted, field) {
            let at = path.child(field).key(name);
            faults.extend(rule(&at, name));
            faults.extend(resources::validate_amount(&at, name, value));
            if field == "requests" {
                faults.extend(validate_request(path, wanted, name, value));
            }
            if resources::is_huge_pages(name) {
                has_pages = true;
                faults.extend(validate_pages(&at, name, value));
            }
            has_compute |= matches!(name, "cpu" | "memory");
        }
    }
    if has_pages && !has_compute {
        faults.push(Error::forbidden(path, "HugePages require cpu or memory"));
    }
    faults
}

/// A request is at most the limit, and just that of what cannot be given twice.
fn validate_request(path: &Path, wanted: &Value, name: &str, value: &Value) -> Option<Error> {
    let can_be_shared = resources::is_native(name) && !resources::is_huge_pages(name);
    let Some(limit) = given(at(wanted, "limits"), name) else {
        let detail = "Limit must be set for non overcommitable resources";
        return (!can_be_shared).then(|| Error::required(&path.child("limits"), detail));
    };
    let (request, limit) = (Quantity::from_value(value).ok()?, Quantity::from_value(limit).ok()?);
    let relation = if request != limit && !can_be_shared {
        "equal to"
    } else if request.nanos() > limit.nanos() {
        "less than or equal to"
    } else {
        return None;
    };
    let detail = format!("must be {relation} {name} limit of {limit}");
    Some(Error::invalid(&path.child("requests"), request.to_string(), detail))
}

fn validate_pages(path: &Path, name: &str, value: &Value) -> Option<Error> {
    let amount = Quantity::from_value(value).ok()?;
    let size = Quantity::parse(name.strip_prefix("hugepages-")?).ok().filter(|size| size.millis() % 1000 == 0);
    let divides = size.is_some_and(|size| size.units() > 0 && amount.units() % size.units() == 0);
    let detail = || format!("{amount} is not positive integer multiple of {name}");
    (!divides).then(|| Error::invalid(path, amount.to_string(), detail()))
}

fn validate_resize(path: &Path, container: &Value, restart_policy: &str) -> Vec<Error> {
    let mut faults = Vec::new();
    let policies = list(container, "resizePolicy");
    for (i, policy) in policies.iter().enumerate() {
        let (name, action) = (text(policy, "resourceName"), text(policy, "restartPolicy"));
        if policies[..i].iter().any(|other| text(other, "resourceName") == name) {
            faults.push(Error::duplicate(&path.index(i), name));
        }
        faults.extend(one_of(path, name, &["cpu", "memory"]));
        faults.extend(one_of(path, action, RESIZE_POLICIES));
        if restart_policy == "Never" && action != "NotRequired" {
            let detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'";
            faults.push(Error::invalid(path, action, detail));
        }
    }
    faults
}

/// The faults of a container's own restart policy and rules (KEP-5307).
fn validate_restart(path: &Path, container: &Value) -> Vec<Error> {
    let rules = list(container, "restartPolicyRules");
    let mut faults = Vec::new();
    match given(container, "restartPolicy").and_then(Value::as_str) {
        None if rules.is_empty() => return faults,
        None => {
            let detail = "must specify restartPolicy when restart rules are used";
            faults.push(Error::required(&path.child("restartPolicy"), detail));
            if path.to_string().contains("initContainers") {
                return faults;
            }
        }
        Some(policy) if !RESTART_POLICIES.contains(&policy) => {
            faults.push(Error::not_supported(&path.child("restartPolicy"), policy, RESTART_POLICIES));
        }
        Some(_) => {}
    }
    let path = path.child("restartPolicyRules");
    if rules.len() > MOST_RULES {
        faults.push(Error::too_many(&path, rules.len(), MOST_RULES));
    }
    for (i, rule) in rules.iter().enumerate() {
        let path = path.index(i);
        let action = text(rule, "action");
        if !RESTART_ACTIONS.contains(&action) {
            faults.push(Error::not_supported(&path.child("action"), action, RESTART_ACTIONS));
        }
        let path = path.child("exitCodes");
        let Some(codes) = given(rule, "exitCodes") else {
            faults.push(Error::required(&path, "must be specified"));
            continue;
        };
        let operator = text(codes, "operator");
        if !matches!(operator, "In" | "NotIn") {
            faults.push(Error::not_supported(&path.child("operator"), operator, &["In", "NotIn"]));
        }
        let count = list(codes, "values").len();
        if count > MOST_EXIT_CODES {
            faults.push(Error::too_many(&path.child("values"), count, MOST_EXIT_CODES));
        }
    }
    faults
}
