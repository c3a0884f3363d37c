//! ResourceQuota (`v1`): how much the objects of a namespace may take together. What counts how much is in [`crate::quota`].

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::document::{at, entries, given, list, set, set_or_remove, text, texts};
use crate::field::{Error, Path, marshal};
use crate::kind::{Column, Kind, Scope, Strategy, Subresource, age};
use crate::pod::{Amounts, amounts, resource_name};
use crate::resources;

#[cfg(test)]
mod tests;

/// ResourceQuota.
pub static KIND: Kind = Kind {
    group: "",
    version: "v1",
    kind: "ResourceQuota",
    plural: "resourcequotas",
    singular: "resourcequota",
    short_names: &["quota"],
    categories: &[],
    scope: Scope::Namespaced,
    subresources: &[Subresource::Status],
    schema: "io.k8s.api.core.v1.ResourceQuota",
    strategy: &ResourceQuota,
};

const SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
/// Scopes that no object is in both of.
const OPPOSITES: [[&str; 2]; 2] = [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];

struct ResourceQuota;

static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let request = "Request represents a minimum amount of cpu/memory that a container may consume.";
    let limit = "Limits control the maximum amount of cpu/memory that a container may use independent of contention on \
                 the node.";
    vec![Column::name(), Column::text("Request", request), Column::text("Limit", limit), Column::age()]
});

impl Strategy for ResourceQuota {
    fn prepare_for_create(&self, object: &mut Value) {
        set(object, "status", json!({}));
    }

    fn validate(&self, object: &Value) -> Vec<Error> {
        validate_spec(at(object, "spec"))
    }

    fn prepare_for_update(&self, new: &mut Value, old: &Value) {
        set_or_remove(new, "status", given(old, "status").cloned());
    }

    fn validate_update(&self, new: &Value, old: &Value) -> Vec<Error> {
        let mut faults = self.validate(new);
        let scopes = |object| texts(at(object, "spec"), "scopes").into_iter().collect::<BTreeSet<_>>();
        if scopes(new) != scopes(old) {
            let path = Path::new("spec").child("scopes");
            faults.push(Error::invalid(&path, at(at(new, "spec"), "scopes").clone(), "field is immutable"));
        }
        faults
    }

    fn prepare_for_status_update(&self, new: &mut Value, old: &Value) {
        set_or_remove(new, "spec", given(old, "spec").cloned());
    }

    fn validate_status_update(&self, new: &Value, _old: &Value) -> Vec<Error> {
        let (path, status) = (Path::new("status"), at(new, "status"));
        ["hard", "used"].iter().flat_map(|field| validate_amounts(&path.child(field), status, field)).collect()
    }

    fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        if old.is_some() {
            return Vec::new();
        }
        let hard = amounts(at(new, "spec"), "hard");
        let names = ["cpu", "memory", "storage", "ephemeral-storage"];
        names.into_iter().filter_map(|name| inverted(&hard, name)).collect()
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        let status = at(object, "status");
        let (hard, used) = (amounts(status, "hard"), amounts(status, "used"));
        let (mut requests, mut limits) = (Vec::new(), Vec::new());
        for (name, most) in hard {
            let used = used.get(&name).map_or("0".to_owned(), ToString::to_string);
            let of = if name.starts_with("limits.") { &mut limits } else { &mut requests };
            of.push(format!("{name}: {used}/{most}"));
        }
        vec![
            json!(text(at(object, "metadata"), "name")),
            json!(requests.join(", ")),
            json!(limits.join(", ")),
            json!(age(object, now)),
        ]
    }
}

/// The warning of a quota that lets more be asked for than be used.
fn inverted(hard: &Amounts, name: &str) -> Option<String> {
    let by_name = |name: String| hard.get_key_value(&name);
    let bare = || if matches!(name, "cpu" | "memory") { by_name(name.to_owned()) } else { None };
    let (asked, request) = by_name(format!("requests.{name}")).or_else(bare)?;
    let (limited, limit) = by_name(format!("limits.{name}"))?;
    let words = || format!("ResourceQuota {asked} ({request}) should be less than {limited} ({limit})");
    (request.nanos() > limit.nanos()).then(words)
}

fn validate_amounts(path: &Path, object: &Value, field: &str) -> Vec<Error> {
    let mut faults = Vec::new();
    for (name, value) in entries(object, field) {
        let path = path.key(name);
        let of_name = resource_name(&path, name);
        let known = name.contains('/') || is_standard(name);
        faults.extend(of_name);
        if !known {
            faults.push(Error::invalid(&path, name, "must be a standard resource for quota"));
        }
        faults.extend(resources::validate_amount(&path, name, value));
    }
    faults
}

/// Whether quotas know the resource.
fn is_standard(name: &str) -> bool {
    name != "storage" && resources::is_standard(name) || name.starts_with("requests.hugepages-")
}

fn validate_spec(spec: &Value) -> Vec<Error> {
    let path = Path::new("spec");
    let mut faults = validate_amounts(&path.child("hard"), spec, "hard");
    let scopes = texts(spec, "scopes");
    let printed = at(spec, "scopes").clone();
    let of_scopes = path.child("scopes");
    for scope in &scopes {
        if !SCOPES.contains(scope) {
            faults.push(Error::invalid(&of_scopes, printed.clone(), "unsupported scope"));
        }
        faults.extend(
            unfit(spec, scope)
                .map(|()| Error::invalid(&of_scopes, printed.clone(), "unsupported scope applied to resource")),
        );
    }
    faults.extend(conflicts(&of_scopes, &printed, &scopes));
    if let Some(selector) = given(spec, "scopeSelector") {
        faults.extend(validate_selector(&path.child("scopeSelector").child("matchExpressions"), spec, selector));
    }
    faults
}

/// The resources of a quota that a scope says nothing about, one by one.
fn unfit<'a>(spec: &'a Value, scope: &'a str) -> impl Iterator<Item = ()> + 'a {
    let compute = ["cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
    let fits = move |name: &str| match scope {
        "BestEffort" => name == "pods",
        "VolumeAttributesClass" => matches!(name, "persistentvolumeclaims" | "requests.storage"),
        scope if SCOPES.contains(&scope) => name == "pods" || compute.contains(&name),
        _ => true,
    };
    entries(spec, "hard").into_iter().filter(move |(name, _)| is_standard(name) && !fits(name)).map(|_| ())
}

fn conflicts(path: &Path, printed: &Value, scopes: &[&str]) -> Vec<Error> {
    let both = OPPOSITES.iter().filter(|pair| pair.iter().all(|scope| scopes.contains(scope)));
    both.map(|_| Error::invalid(path, printed.clone(), "conflicting scopes")).collect()
}

fn validate_selector(path: &Path, spec: &Value, selector: &Value) -> Vec<Error> {
    let terms = list(selector, "matchExpressions");
    let mut faults = Vec::new();
    for term in terms {
        let (scope, operator, values) = (text(term, "scopeName"), text(term, "operator"), texts(term, "values"));
        if !SCOPES.contains(&scope) {
            faults.push(Error::invalid(&path.child("scopeName"), scope, "unsupported scope"));
        }
        faults.extend(unfit(spec, scope).map(|()| {
            let detail = "unsupported scope applied to resource";
            Error::invalid(path, Value::Null, detail).printed_as(print_selector(terms))
        }));
        let of_values = matches!(scope, "PriorityClass" | "VolumeAttributesClass");
        if SCOPES.contains(&scope) && !of_values && operator != "Exists" {
            let detail = "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, \
                          ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, \
                          ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            faults.push(Error::invalid(&path.child("operator"), operator, detail));
        }
        match (operator, values.is_empty()) {
            ("In" | "NotIn", true) => {
                let detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                faults.push(Error::required(&path.child("values"), detail));
            }
            ("In" | "NotIn", false) | ("Exists" | "DoesNotExist", true) => {}
            ("Exists" | "DoesNotExist", false) => {
                let detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                faults.push(Error::invalid(&path.child("values"), at(term, "values").clone(), detail));
            }
            (other, _) => {
                faults.push(Error::invalid(&path.child("operator"), other, "not a valid selector operator"));
            }
        }
    }
    let named: Vec<&str> = terms.iter().map(|term| text(term, "scopeName")).collect();
    faults.extend(conflicts(path, at(spec, "scopes"), &named));
    faults
}

/// A selector as Kubernetes' own type prints it.
fn print_selector(terms: &[Value]) -> String {
    let part = |value: &Value| marshal(value);
    let term = |term: &Value| {
        let values = given(term, "values").map_or("null".to_owned(), part);
        let (scope, operator) = (json!(text(term, "scopeName")), json!(text(term, "operator")));
        format!("{{\"ScopeName\":{},\"Operator\":{},\"Values\":{values}}}", part(&scope), part(&operator))
    };
    let terms: Vec<String> = terms.iter().map(term).collect();
    format!("{{\"MatchExpressions\":[{}]}}", terms.join(","))
}
