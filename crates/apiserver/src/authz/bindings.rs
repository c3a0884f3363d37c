//! Roles and bindings as authorization asks for them: which bindings a user has in a namespace, and which rules those give.

use std::collections::HashMap;
use std::sync::Arc;

use kinds::document::{at, list, text};
use kinds::rules::Rule;
use kinds::schema::quoted;
use serde_json::Value;

use crate::identity::User;

/// Whom a binding is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    User(Box<str>),
    Group(Box<str>),
    Account { namespace: Box<str>, name: Box<str> },
}

/// A role that a binding names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RoleRef {
    pub kind: Box<str>,
    pub name: Box<str>,
}

impl RoleRef {
    /// The role that a binding names.
    pub fn of_binding(binding: &Value) -> Self {
        let role = at(binding, "roleRef");
        Self { kind: text(role, "kind").into(), name: text(role, "name").into() }
    }
}

/// A role for somebody.
#[derive(Debug)]
pub(super) struct Binding {
    /// Empty for the whole cluster.
    namespace: Box<str>,
    name: Box<str>,
    role: RoleRef,
    subjects: Vec<Subject>,
}

impl Binding {
    fn read(namespace: &str, name: &str, binding: &Value) -> Self {
        let subjects = list(binding, "subjects").iter().filter_map(|subject| {
            let name: Box<str> = text(subject, "name").into();
            match (text(subject, "kind"), text(subject, "namespace")) {
                ("User", _) => Some(Subject::User(name)),
                ("Group", _) => Some(Subject::Group(name)),
                // In a namespace, an account without one is of that namespace.
                ("ServiceAccount", "") if namespace.is_empty() => None,
                ("ServiceAccount", "") => Some(Subject::Account { namespace: namespace.into(), name }),
                ("ServiceAccount", of) => Some(Subject::Account { namespace: of.into(), name }),
                _ => None,
            }
        });
        Self {
            namespace: namespace.into(),
            name: name.into(),
            role: RoleRef::of_binding(binding),
            subjects: subjects.collect(),
        }
    }

    /// `ClusterRoleBinding "b" of ClusterRole "view" to User "bob"`
    pub fn describe(&self, user: &User) -> String {
        let applies = |subject: &&Subject| match subject {
            Subject::User(name) => **name == user.name,
            Subject::Group(group) => user.is_in(group),
            Subject::Account { namespace, name } => user.name == account(namespace, name),
        };
        let subject = match self.subjects.iter().find(applies) {
            Some(Subject::User(name)) => format!("User {}", quoted(name)),
            Some(Subject::Group(name)) => format!("Group {}", quoted(name)),
            Some(Subject::Account { namespace, name }) => {
                format!("ServiceAccount {}", quoted(&format!("{name}/{namespace}")))
            }
            None => String::new(),
        };
        let (kind, name) = match &*self.namespace {
            "" => ("ClusterRoleBinding", self.name.to_string()),
            namespace => ("RoleBinding", format!("{}/{namespace}", self.name)),
        };
        format!("{kind} {} of {} {} to {subject}", quoted(&name), self.role.kind, quoted(&self.role.name))
    }
}

/// The name of a service account as a user.
fn account(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

/// Which of the four kinds an object is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    ClusterRole,
    Role,
    ClusterRoleBinding,
    RoleBinding,
}

/// All roles and bindings.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    cluster_roles: HashMap<Box<str>, Arc<[Rule]>>,
    /// By `NAMESPACE/NAME`.
    roles: HashMap<Box<str>, Arc<[Rule]>>,
    /// By `NAMESPACE/NAME`; those of the whole cluster by `/NAME`.
    all: HashMap<Box<str>, Arc<Binding>>,
    /// By namespace; those of the whole cluster by `""`.
    of_namespace: HashMap<Box<str>, Bound>,
}

/// The bindings of a namespace by who has them, in the order of their names.
#[derive(Debug, Default)]
struct Bound {
    users: HashMap<Box<str>, Vec<Arc<Binding>>>,
    groups: HashMap<Box<str>, Vec<Arc<Binding>>>,
}

impl Bound {
    fn of(&mut self, subject: &Subject) -> &mut Vec<Arc<Binding>> {
        match subject {
            Subject::User(name) => self.users.entry(name.clone()).or_default(),
            Subject::Group(name) => self.groups.entry(name.clone()).or_default(),
            Subject::Account { namespace, name } => self.users.entry(account(namespace, name).into()).or_default(),
        }
    }
}

/// What a visitor is told: a rule and the binding that gives it, or a role that is not there.
pub(super) enum Visited<'a> {
    Rule(&'a Binding, &'a Rule),
    Unknown(String),
}

impl Bindings {
    /// Takes in the newest state of an object; `None` when it is gone.
    pub fn set(&mut self, of: Of, namespace: &str, name: &str, object: Option<&Value>) {
        let key = format!("{namespace}/{name}");
        let rules = || object.map(|role| Rule::of_role(role).into());
        match of {
            Of::ClusterRole => replace(&mut self.cluster_roles, name, rules()),
            Of::Role => replace(&mut self.roles, &key, rules()),
            Of::ClusterRoleBinding | Of::RoleBinding => self.set_binding(namespace, name, &key, object),
        }
    }

    /// Forgets all objects of a kind.
    pub fn clear(&mut self, of: Of) {
        match of {
            Of::ClusterRole => self.cluster_roles.clear(),
            Of::Role => self.roles.clear(),
            Of::ClusterRoleBinding | Of::RoleBinding => {
                let cluster = of == Of::ClusterRoleBinding;
                self.all.retain(|_, binding| binding.namespace.is_empty() != cluster);
                self.of_namespace.retain(|namespace, _| namespace.is_empty() != cluster);
            }
        }
    }

    fn set_binding(&mut self, namespace: &str, name: &str, key: &str, object: Option<&Value>) {
        if let (Some(old), Some(bound)) = (self.all.remove(key), self.of_namespace.get_mut(namespace)) {
            for subject in &old.subjects {
                bound.of(subject).retain(|binding| !Arc::ptr_eq(binding, &old));
            }
            bound.users.retain(|_, bindings| !bindings.is_empty());
            bound.groups.retain(|_, bindings| !bindings.is_empty());
        }
        let Some(object) = object else { return };
        let binding = Arc::new(Binding::read(namespace, name, object));
        let bound = self.of_namespace.entry(namespace.into()).or_default();
        for subject in &binding.subjects {
            let bindings = bound.of(subject);
            let place = bindings.partition_point(|other| other.name < binding.name);
            if bindings.get(place).is_none_or(|other| !Arc::ptr_eq(other, &binding)) {
                bindings.insert(place, binding.clone());
            }
        }
        self.all.insert(key.into(), binding);
    }

    /// Tells `visitor` each rule that a user has in a namespace, those of the whole cluster first, until it answers true.
    pub fn visit<'a>(&'a self, user: &User, namespace: &str, mut visitor: impl FnMut(Visited<'a>) -> bool) {
        let in_namespace = (!namespace.is_empty()).then_some(namespace);
        for namespace in std::iter::once("").chain(in_namespace) {
            let Some(bound) = self.of_namespace.get(namespace) else { continue };
            let of_groups = user.groups.iter().filter_map(|group| bound.groups.get(group.as_str()));
            let mut bindings: Vec<&Arc<Binding>> =
                bound.users.get(user.name.as_str()).into_iter().chain(of_groups).flatten().collect();
            bindings.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            bindings.dedup_by(|a, b| Arc::ptr_eq(a, b));
            for binding in bindings {
                let done = match self.rules(&binding.role, namespace) {
                    Ok(rules) => rules.iter().any(|rule| visitor(Visited::Rule(binding, rule))),
                    Err(unknown) => visitor(Visited::Unknown(unknown)),
                };
                if done {
                    return;
                }
            }
        }
    }

    /// The rules of a role that a binding in a namespace names, or the words that it is not there.
    pub fn rules(&self, role: &RoleRef, namespace: &str) -> Result<&Arc<[Rule]>, String> {
        let found = match &*role.kind {
            "ClusterRole" => self.cluster_roles.get(&role.name),
            "Role" => self.roles.get(format!("{namespace}/{}", role.name).as_str()),
            other => return Err(format!("unsupported role reference kind: {}", quoted(other))),
        };
        let kind = role.kind.to_lowercase();
        found.ok_or_else(|| format!("{kind}.rbac.authorization.k8s.io {} not found", quoted(&role.name)))
    }
}

fn replace(roles: &mut HashMap<Box<str>, Arc<[Rule]>>, key: &str, rules: Option<Arc<[Rule]>>) {
    match rules {
        Some(rules) => roles.insert(key.into(), rules),
        None => roles.remove(key),
    };
}
