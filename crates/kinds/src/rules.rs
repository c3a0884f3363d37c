//! What roles allow (`rbac.authorization.k8s.io/v1` `PolicyRule`), and whom bindings give it to (`Subject`, `RoleRef`).

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde_json::{Value, json};

use crate::document::{at, list, list_mut, object_mut, same_field, set_zero_default, text, texts};
use crate::field::{Error, Path, marshal};
use crate::kind::{Column, age};
use crate::names;

#[cfg(test)]
mod tests;

/// The group of roles, bindings, users and groups.
pub(crate) const GROUP: &str = "rbac.authorization.k8s.io";
const SUBJECTS: [&str; 3] = ["ServiceAccount", "User", "Group"];

/// The columns of a kind that Kubernetes prints no table of its own for.
pub(crate) static NAME_AND_CREATED: LazyLock<Vec<Column>> = LazyLock::new(|| {
    let created = Column { kind: "date", ..Column::field::<ObjectMeta>("Created At", "creationTimestamp") };
    vec![Column::name(), created]
});

/// The cells of [`NAME_AND_CREATED`].
pub(crate) fn name_and_created(object: &Value) -> Vec<Value> {
    let metadata = at(object, "metadata");
    vec![json!(text(metadata, "name")), json!(text(metadata, "creationTimestamp"))]
}

/// The faults of the rules of a role.
pub(crate) fn validate(role: &Value, namespaced: bool) -> Vec<Error> {
    let path = Path::new("rules");
    let each = list(role, "rules").iter().enumerate();
    each.flat_map(|(i, rule)| validate_rule(&path.index(i), rule, namespaced)).collect()
}

fn validate_rule(path: &Path, rule: &Value, namespaced: bool) -> Vec<Error> {
    let mut faults = Vec::new();
    let has = |field: &str| !list(rule, field).is_empty();
    if !has("verbs") {
        faults.push(Error::required(&path.child("verbs"), "verbs must contain at least one value"));
    }
    if has("nonResourceURLs") {
        let (path, urls) = (path.child("nonResourceURLs"), at(rule, "nonResourceURLs"));
        if namespaced {
            faults.push(Error::invalid(&path, urls.clone(), "namespaced rules cannot apply to non-resource URLs"));
        }
        if has("apiGroups") || has("resources") || has("resourceNames") {
            let detail = "rules cannot apply to both regular resources and non-resource URLs";
            faults.push(Error::invalid(&path, urls.clone(), detail));
        }
        return faults;
    }
    if !has("apiGroups") {
        faults.push(Error::required(&path.child("apiGroups"), "resource rules must supply at least one api group"));
    }
    if !has("resources") {
        faults.push(Error::required(&path.child("resources"), "resource rules must supply at least one resource"));
    }
    faults
}

/// Fills in the groups of a binding's role and subjects.
pub(crate) fn default_binding(binding: &mut Value) {
    if let Some(role) = object_mut(binding, "roleRef") {
        set_zero_default(role, "apiGroup", GROUP);
    }
    for subject in list_mut(binding, "subjects") {
        if matches!(text(subject, "kind"), "User" | "Group") {
            set_zero_default(subject, "apiGroup", GROUP);
        }
    }
}

/// The faults of a binding: `roles` are the kinds of roles that it may name.
pub(crate) fn validate_binding(binding: &Value, roles: &[&str], namespaced: bool) -> Vec<Error> {
    let (path, role) = (Path::new("roleRef"), at(binding, "roleRef"));
    let mut faults = Vec::new();
    if text(role, "apiGroup") != GROUP {
        faults.push(Error::not_supported(&path.child("apiGroup"), text(role, "apiGroup"), &[GROUP]));
    }
    if !roles.contains(&text(role, "kind")) {
        faults.push(Error::not_supported(&path.child("kind"), text(role, "kind"), roles));
    }
    let name = text(role, "name");
    if name.is_empty() {
        faults.push(Error::required(&path.child("name"), ""));
    } else {
        faults.extend(Error::invalid_each(&path.child("name"), name, names::path_segment(name)));
    }
    let path = Path::new("subjects");
    for (i, subject) in list(binding, "subjects").iter().enumerate() {
        faults.extend(validate_subject(&path.index(i), subject, namespaced));
    }
    faults
}

fn validate_subject(path: &Path, subject: &Value, namespaced: bool) -> Vec<Error> {
    let (name, group, kind) = (text(subject, "name"), text(subject, "apiGroup"), text(subject, "kind"));
    let mut faults = Vec::new();
    if name.is_empty() {
        faults.push(Error::required(&path.child("name"), ""));
    }
    match kind {
        "ServiceAccount" => {
            if !name.is_empty() {
                faults.extend(names::subdomain_field(&path.child("name"), name));
            }
            if !group.is_empty() {
                faults.push(Error::not_supported(&path.child("apiGroup"), group, &[""]));
            }
            if !namespaced && text(subject, "namespace").is_empty() {
                faults.push(Error::required(&path.child("namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                faults.push(Error::not_supported(&path.child("apiGroup"), group, &[GROUP]));
            }
        }
        other => faults.push(Error::not_supported(&path.child("kind"), other, &SUBJECTS)),
    }
    faults
}

/// The fault of a binding whose role is not what it was: whoever was given one role is not to be given another.
pub(crate) fn validate_same_role(new: &Value, old: &Value) -> Option<Error> {
    if same_field(new, old, "roleRef") {
        return None;
    }
    let role = at(new, "roleRef");
    let part = |field: &str| marshal(&json!(text(role, field)));
    let printed = format!("{{\"APIGroup\":{},\"Kind\":{},\"Name\":{}}}", part("apiGroup"), part("kind"), part("name"));
    Some(Error::invalid(&Path::new("roleRef"), Value::Null, "cannot change roleRef").printed_as(printed))
}

/// The columns of bindings of type `T`; `of` is what the wide ones are described by.
pub(crate) fn binding_columns<T: JsonSchema>(of: [&'static str; 3]) -> Vec<Column> {
    let [users, groups, accounts] = of;
    let role = Column::field::<T>("Role", "roleRef");
    // Kubernetes' table has the words of the version before.
    let description = role.description.trim_end_matches(" This field is immutable.");
    vec![
        Column::name(),
        Column { description, ..role },
        Column::age(),
        Column::text("Users", users).wide(),
        Column::text("Groups", groups).wide(),
        Column::text("ServiceAccounts", accounts).wide(),
    ]
}

/// The cells of [`binding_columns`].
pub(crate) fn binding_row(binding: &Value, now: i64) -> Vec<Value> {
    let role = at(binding, "roleRef");
    let subjects = |kind: &str| {
        let found = list(binding, "subjects").iter().filter(|subject| text(subject, "kind") == kind);
        let printed: Vec<_> = found
            .map(|subject| match text(subject, "namespace") {
                namespace if kind == "ServiceAccount" => format!("{namespace}/{}", text(subject, "name")),
                _ => text(subject, "name").to_owned(),
            })
            .collect();
        json!(printed.join(", "))
    };
    vec![
        json!(text(at(binding, "metadata"), "name")),
        json!(format!("{}/{}", text(role, "kind"), text(role, "name"))),
        json!(age(binding, now)),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

/// What a rule allows.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// `get`, `*`
    pub verbs: Vec<String>,
    /// `apps`, `*`; empty text for the core group.
    pub groups: Vec<String>,
    /// `pods`, `pods/log`, `*/scale`, `*`
    pub resources: Vec<String>,
    /// The only names that it is for; all when there are none.
    pub names: Vec<String>,
    /// `/livez`, `/livez/*`: for what is no resource.
    pub paths: Vec<String>,
}

impl Rule {
    /// The rules of a Role or a ClusterRole.
    pub fn of_role(role: &Value) -> Vec<Self> {
        let owned = |rule: &Value, field: &str| texts(rule, field).into_iter().map(str::to_owned).collect();
        let read = |rule: &Value| Self {
            verbs: owned(rule, "verbs"),
            groups: owned(rule, "apiGroups"),
            resources: owned(rule, "resources"),
            names: owned(rule, "resourceNames"),
            paths: owned(rule, "nonResourceURLs"),
        };
        list(role, "rules").iter().map(read).collect()
    }

    /// The rule as roles write it: lists that are empty are left out.
    pub fn to_document(&self) -> Value {
        let mut rule = json!({});
        let fields = [
            ("verbs", &self.verbs),
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.paths),
        ];
        for (name, values) in fields {
            if !values.is_empty() || name == "verbs" {
                rule[name] = json!(values);
            }
        }
        rule
    }
}
