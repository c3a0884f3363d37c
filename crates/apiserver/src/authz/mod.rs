//! Authorization: may they.
//!
//! Rules are those of RBAC (verbs, groups, resources, names; or verbs and paths), bound to users and groups, in
//! every namespace or in one. Here they come from a table ([`policy`]); Roles and their bindings can take its
//! place without any other change: [`Authorizer`] asks for [`Binding`]s only.

pub(crate) mod policy;

use crate::identity::{MASTERS, User};
use crate::request::RequestInfo;

/// What a user wants to do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Attributes<'a> {
    pub verb: &'a str,
    pub group: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    /// The path, for what is no resource; empty otherwise.
    pub path: &'a str,
}

impl<'a> From<&'a RequestInfo> for Attributes<'a> {
    fn from(info: &'a RequestInfo) -> Self {
        let path = if info.is_resource { "" } else { info.path.as_str() };
        Self {
            verb: info.verb,
            group: &info.group,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
            path,
        }
    }
}

impl Attributes<'_> {
    /// `pods/log`
    pub fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// What may be done. Empty lists match nothing; `*` matches everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub verbs: &'static [&'static str],
    pub groups: &'static [&'static str],
    /// `pods`, `pods/log`, `*/scale`
    pub resources: &'static [&'static str],
    /// `/livez`, `/livez/*`
    pub paths: &'static [&'static str],
}

/// Whom a binding is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    Group(&'static str),
    User(&'static str),
}

/// Rules for somebody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding {
    pub subject: Subject,
    /// The only namespace that the rules are for; `None` for all and the cluster.
    pub namespace: Option<&'static str>,
    pub rules: &'static [Rule],
}

/// Decides.
pub(crate) struct Authorizer {
    pub bindings: &'static [Binding],
}

impl Authorizer {
    /// Whether `user` may.
    pub fn allows(&self, user: &User, wanted: &Attributes<'_>) -> bool {
        user.is_in(MASTERS) || self.rules(user, wanted.namespace).any(|rule| rule.covers(wanted))
    }

    /// The rules for a user in a namespace.
    pub fn rules<'a>(&'a self, user: &'a User, namespace: &'a str) -> impl Iterator<Item = &'a Rule> {
        let bound = move |binding: &&Binding| {
            let subject = match binding.subject {
                Subject::Group(group) => user.is_in(group),
                Subject::User(name) => user.name == name,
            };
            subject && binding.namespace.is_none_or(|n| n == namespace)
        };
        self.bindings.iter().filter(bound).flat_map(|binding| binding.rules)
    }
}

impl Rule {
    fn covers(&self, wanted: &Attributes<'_>) -> bool {
        let has = |list: &[&str], one: &str| list.iter().any(|item| *item == "*" || *item == one);
        if !has(self.verbs, wanted.verb) {
            return false;
        }
        if !wanted.path.is_empty() {
            return self.paths.iter().any(|path| match path.strip_suffix('*') {
                Some(prefix) => wanted.path.starts_with(prefix),
                None => *path == wanted.path,
            });
        }
        has(self.groups, wanted.group) && self.resources.iter().any(|r| covers_resource(r, wanted))
    }
}

fn covers_resource(rule: &str, wanted: &Attributes<'_>) -> bool {
    match rule.split_once('/') {
        _ if rule == "*" => true,
        Some(("*", subresource)) => subresource == wanted.subresource,
        _ => rule == wanted.full_resource(),
    }
}

/// The refusal, in Kubernetes' words.
pub(crate) fn refusal(user: &User, wanted: &Attributes<'_>) -> crate::status::Status {
    use crate::status::Status;
    use kinds::schema::quoted as quote;
    if !wanted.path.is_empty() {
        let why = format!("User {} cannot {} path {}", quote(&user.name), wanted.verb, quote(wanted.path));
        return Status::forbidden_path(&why);
    }
    let scope = if wanted.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {}", quote(wanted.namespace))
    };
    let why = format!(
        "User {} cannot {} resource {} in API group {} {scope}",
        quote(&user.name),
        wanted.verb,
        quote(&wanted.full_resource()),
        quote(wanted.group),
    );
    Status::forbidden(wanted.group, wanted.resource, wanted.name, &why)
}
