//! Node (`v1`): a machine that runs Pods.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use k8s_openapi::api::core::v1 as api;
use serde_json::{Value, json};

use crate::addresses;
use crate::document::{at, entries, flag, given, given_mut, list, object_mut, remove, set, set_default, set_or_remove};
use crate::document::{text, text_entries, texts};
use crate::field::{Error, ErrorType, Path, marshal};
use crate::kind::{Column, Kind, Scope, Strategy, Subresource, age};
use crate::{names, quantity, resources, schema};

#[cfg(test)]
mod tests;

/// Node.
pub static KIND: Kind = Kind {
    group: "",
    version: "v1",
    kind: "Node",
    plural: "nodes",
    singular: "node",
    short_names: &["no"],
    categories: &[],
    scope: Scope::Cluster,
    subresources: &[Subresource::Status],
    schema: "io.k8s.api.core.v1.Node",
    strategy: &Node,
};

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
const NOT_READY: &str = "node.kubernetes.io/not-ready";
const POD_CIDR_SET: &str = "node updates may not change podCIDR except from \"\" to valid";

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    vec![
        Column::name(),
        Column::text("Status", "The status of the node"),
        Column::text("Roles", "The roles of the node"),
        Column::age(),
        Column::field::<api::NodeSystemInfo>("Version", "kubeletVersion"),
        Column::field::<api::NodeStatus>("Internal-IP", "addresses").wide(),
        Column::field::<api::NodeStatus>("External-IP", "addresses").wide(),
        Column::field::<api::NodeSystemInfo>("OS-Image", "osImage").wide(),
        Column::field::<api::NodeSystemInfo>("Kernel-Version", "kernelVersion").wide(),
        Column::field::<api::NodeSystemInfo>("Container-Runtime", "containerRuntimeVersion").wide(),
    ]
});

struct Node;

impl Strategy for Node {
    fn default(&self, object: &mut Value) {
        if let Some(spec) = given_mut(object, "spec") {
            sync_pod_cidrs(spec);
        }
        let Some(status) = given_mut(object, "status") else { return };
        quantity::canonicalize_resources(status.get_mut("capacity"));
        quantity::canonicalize_resources(status.get_mut("allocatable"));
        if let Some(capacity) = given(status, "capacity").cloned() {
            set_default(status, "allocatable", capacity);
        }
    }

    fn admit(&self, object: &mut Value) -> Result<(), String> {
        if let Some(spec) = object_mut(object, "spec") {
            taint_until_ready(spec);
        }
        Ok(())
    }

    fn prepare_for_create(&self, object: &mut Value) {
        if let Some(spec) = given_mut(object, "spec") {
            remove(spec, "configSource");
        }
        if let Some(status) = given_mut(object, "status") {
            remove(status, "config");
        }
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        let mut faults = validate_taints(object);
        faults.extend(validate_resources(object));
        faults.extend(validate_swap(object));
        faults.extend(validate_features(object));
        faults.extend(validate_pod_cidrs(&texts(at(object, "spec"), "podCIDRs"), at(object, "spec")));
        faults
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        set_or_remove(new, "status", given(old, "status").cloned());
        if given(at(old, "spec"), "configSource").is_none()
            && let Some(spec) = given_mut(new, "spec")
        {
            remove(spec, "configSource");
        }
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let mut faults = self.validate(new);
        faults.extend(validate_change(new, old));
        faults
    }

    fn validate_status_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        validate_change(new, old)
    }

    fn warnings(&self, new: &Value, _old: Option<&Value>) -> Vec<String> {
        let spec = at(new, "spec");
        let mut warnings = Vec::new();
        if given(spec, "configSource").is_some() {
            warnings.push("spec.configSource: the feature is removed".to_owned());
        }
        if !text(spec, "externalID").is_empty() {
            warnings.push("spec.externalID: this field is deprecated, and is unused by Kubernetes".to_owned());
        }
        let path = Path::new("spec").child("podCIDRs");
        for (i, range) in texts(spec, "podCIDRs").into_iter().enumerate() {
            warnings.extend(addresses::range_warnings(&path.index(i), range));
        }
        warnings
    }

    fn fields(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("spec.unschedulable", flag(at(object, "spec"), "unschedulable").to_string())]
    }

    fn field_names(&self) -> &'static [&'static str] {
        &["spec.unschedulable"]
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        let info = at(at(object, "status"), "nodeInfo");
        let known = |field| match text(info, field) {
            "" => "<unknown>".to_owned(),
            value => value.to_owned(),
        };
        let kernel = match text(info, "architecture") {
            "" => known("kernelVersion"),
            architecture => format!("{} ({architecture})", known("kernelVersion")),
        };
        vec![
            text(at(object, "metadata"), "name").into(),
            print_status(object).into(),
            print_roles(object).into(),
            age(object, now).into(),
            text(info, "kubeletVersion").into(),
            address_of(object, "InternalIP").into(),
            address_of(object, "ExternalIP").into(),
            known("osImage").into(),
            kernel.into(),
            known("containerRuntimeVersion").into(),
        ]
    }
}

fn print_status(node: &Value) -> String {
    let conditions = list(at(node, "status"), "conditions");
    let ready = conditions.iter().rev().find(|condition| text(condition, "type") == "Ready");
    let status = match ready.map(|condition| text(condition, "status")) {
        None => "Unknown",
        Some("True") => "Ready",
        Some(_) => "NotReady",
    };
    let unschedulable = if flag(at(node, "spec"), "unschedulable") { ",SchedulingDisabled" } else { "" };
    format!("{status}{unschedulable}")
}

fn print_roles(node: &Value) -> String {
    let labels = text_entries(at(node, "metadata"), "labels");
    let roles = labels.into_iter().filter_map(|(key, value)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some(role) => Some(role),
        None if key == "kubernetes.io/role" => Some(value),
        None => None,
    });
    let roles: BTreeSet<_> = roles.filter(|role| !role.is_empty()).collect();
    if roles.is_empty() { "<none>".to_owned() } else { roles.into_iter().collect::<Vec<_>>().join(",") }
}

fn address_of<'a>(node: &'a Value, kind: &str) -> &'a str {
    let addresses = list(at(node, "status"), "addresses");
    addresses.iter().find(|address| text(address, "type") == kind).map_or("<none>", |address| text(address, "address"))
}

/// A new node takes no Pods before it has said that it is ready.
fn taint_until_ready(spec: &mut Value) {
    let mut taints = list(spec, "taints").to_vec();
    let is_there = taints.iter().any(|taint| text(taint, "key") == NOT_READY && text(taint, "effect") == "NoSchedule");
    if !is_there {
        taints.push(json!({"effect": "NoSchedule", "key": NOT_READY}));
        set(spec, "taints", taints);
    }
}

/// `podCIDR` is the first of `podCIDRs`; who names only the one, or another one, means the one.
fn sync_pod_cidrs(spec: &mut Value) {
    let one = text(spec, "podCIDR").to_owned();
    let first = texts(spec, "podCIDRs").first().map(|first| (*first).to_owned());
    match first {
        Some(first) if one.is_empty() => set(spec, "podCIDR", first),
        first if !one.is_empty() && first.as_ref() != Some(&one) => set(spec, "podCIDRs", json!([one])),
        _ => {}
    }
}

fn validate_taints(node: &Value) -> Vec<Error> {
    // The path is Kubernetes'; taints are in the spec.
    let path = Path::new("metadata").child("taints");
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    for (i, taint) in list(at(node, "spec"), "taints").iter().enumerate() {
        let path = path.index(i);
        let (key, value, effect) = (text(taint, "key"), text(taint, "value"), text(taint, "effect"));
        faults.extend(names::label_key_field(&path.child("key"), key));
        let messages = names::label_value(value);
        if !messages.is_empty() {
            faults.push(Error::invalid(&path.child("value"), value, messages.join(";")));
        }
        if effect.is_empty() {
            faults.push(Error::required(&path.child("effect"), ""));
        } else if !EFFECTS.contains(&effect) {
            faults.push(Error::not_supported(&path.child("effect"), effect, EFFECTS));
        }
        if !seen.insert((effect, key)) {
            let fault = Error::duplicate(&path, Value::Null).printed_as(marshal_taint(taint));
            faults.push(Error { detail: "taints must be unique by key and effect pair".to_owned(), ..fault });
        }
    }
    faults
}

/// A taint as Kubernetes' own type prints it.
fn marshal_taint(taint: &Value) -> String {
    let field = |name: &str| marshal(&Value::from(text(taint, name)));
    let added = marshal(at(taint, "timeAdded"));
    format!(
        "{{\"Key\":{},\"Value\":{},\"Effect\":{},\"TimeAdded\":{added}}}",
        field("key"),
        field("value"),
        field("effect")
    )
}

fn validate_resources(node: &Value) -> Vec<Error> {
    let mut faults = Vec::new();
    for field in ["capacity", "allocatable"] {
        let path = Path::new("status").child(field);
        for (name, amount) in entries(at(node, "status"), field) {
            faults.extend(resources::validate_amount(&path.child(name), name, amount));
        }
    }
    faults
}

fn validate_swap(node: &Value) -> Option<Error> {
    let swap = given(at(at(node, "status"), "nodeInfo"), "swap")?;
    let capacity = given(swap, "capacity")?.as_i64()?;
    let path = Path::new("metadata").child("nodeSwapStatus").child("capacity");
    (capacity <= 0).then(|| Error::invalid(&path, capacity, "must be greater than zero"))
}

fn validate_features(node: &Value) -> Vec<Error> {
    let path = Path::new("status").child("declaredFeatures");
    let features = texts(at(node, "status"), "declaredFeatures");
    let mut faults = Vec::new();
    for (i, feature) in features.iter().enumerate() {
        if let Some(message) = feature_fault(feature) {
            let quoted = schema::quoted(feature);
            faults.push(Error::invalid(&path.index(i), *feature, format!("invalid feature name {quoted}: {message}")));
        }
        match features.get(i + 1) {
            Some(next) if next == feature => faults.push(Error::duplicate(&path.index(i + 1), *next)),
            Some(next) if next < feature => {
                faults.push(Error::invalid(&path.index(i + 1), *next, "list must be sorted alphabetically"));
            }
            _ => {}
        }
    }
    faults
}

fn feature_fault(feature: &str) -> Option<&'static str> {
    if feature.len() > 253 {
        return Some("must be no more than 253 characters");
    }
    let well_formed = feature.split('/').enumerate().all(|(i, part)| {
        part.bytes().all(|b| b.is_ascii_alphanumeric())
            && part.starts_with(|c: char| c.is_ascii_uppercase() || (i > 0 && c.is_ascii_lowercase()))
    });
    (!well_formed).then_some(
        "must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes",
    )
}

fn validate_pod_cidrs(ranges: &[&str], spec: &Value) -> Vec<Error> {
    let path = Path::new("spec").child("podCIDRs");
    let mut faults: Vec<_> = ranges
        .iter()
        .enumerate()
        .flat_map(|(i, range)| addresses::validate_legacy_range(&path.index(i), range, &[]))
        .collect();
    if ranges.len() > 1 {
        let families: Vec<_> = ranges.iter().map(|range| addresses::range_family(range)).collect();
        let unreadable = families.iter().position(Option::is_none);
        if let Some(i) = unreadable {
            let detail = format!(
                "invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[{i}]: <nil> (invalid CIDR address: {})",
                ranges[i]
            );
            faults.push(Error::new(ErrorType::Internal, &path, "", detail));
        }
        if unreadable.is_some() || ranges.len() > 2 || families[0] == families[1] {
            let detail = "may specify no more than one CIDR for each IP family";
            faults.push(Error::invalid(&path, at(spec, "podCIDRs").clone(), detail));
        }
    }
    faults
}

/// The faults of a change, of the node or of its status only.
fn validate_change(new: &Value, old: &Value) -> Vec<Error> {
    let mut faults = validate_resources(new);
    faults.extend(validate_features(new));
    let addresses = list(at(new, "status"), "addresses");
    for (i, address) in addresses.iter().enumerate().filter(|(i, address)| addresses[..*i].contains(address)) {
        let field = |name: &str| marshal(&Value::from(text(address, name)));
        let printed = format!("{{\"Type\":{},\"Address\":{}}}", field("type"), field("address"));
        let path = Path::new("status").child("addresses").index(i);
        faults.push(Error::duplicate(&path, Value::Null).printed_as(printed));
    }
    let path = Path::new("spec");
    let (spec, old_spec) = (at(new, "spec"), at(old, "spec"));
    let (ranges, stored) = (texts(spec, "podCIDRs"), texts(old_spec, "podCIDRs"));
    let changed = match stored.len() {
        0 => 0,
        count if count != ranges.len() => 1,
        _ => stored.iter().zip(&ranges).filter(|(stored, range)| stored != range).count(),
    };
    faults.extend((0..changed).map(|_| Error::forbidden(&path.child("podCIDRs"), POD_CIDR_SET)));
    let provider = text(old_spec, "providerID");
    if !provider.is_empty() && provider != text(spec, "providerID") {
        let detail = "node updates may not change providerID except from \"\" to valid";
        faults.push(Error::forbidden(&path.child("providerID"), detail));
    }
    faults.extend(validate_taints(new));
    if text(spec, "externalID") != text(old_spec, "externalID") {
        faults.push(Error::forbidden(&path.child("externalID"), "may not be updated"));
    }
    faults
}
