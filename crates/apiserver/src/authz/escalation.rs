//! Nobody gives away rights that they do not have: who writes a role must have all that it allows, or may `escalate`; who
//! binds one must have all that it allows, or may `bind` it.

use kinds::Kind;
use kinds::document::{at, same, set_or_remove};
use kinds::rules::Rule;
use kinds::schema::quoted;
use serde_json::Value;

use super::attributes::Attributes;
use super::bindings::RoleRef;
use super::{Authorizer, rules};
use crate::identity::{MASTERS, User};
use crate::status::Status;

/// The group of roles and bindings.
const GROUP: &str = "rbac.authorization.k8s.io";

/// A write of a role or a binding.
pub(crate) struct Written<'a> {
    pub kind: &'static Kind,
    pub namespace: &'a str,
    /// The name in the path; empty for one that is created.
    pub asked: &'a str,
    pub new: &'a Value,
    pub old: Option<&'a Value>,
}

impl Written<'_> {
    /// Refuses a write by which somebody would give away more than they have.
    pub fn check(&self, authorizer: &Authorizer, user: &User) -> Result<(), Status> {
        let is_role = match (self.kind.group, self.kind.plural) {
            (GROUP, "roles" | "clusterroles") => true,
            (GROUP, "rolebindings" | "clusterrolebindings") => false,
            _ => return Ok(()),
        };
        if user.is_in(MASTERS) || self.may(authorizer, user, is_role) || self.old.is_some_and(|old| self.frees(old)) {
            return Ok(());
        }
        let given = if is_role {
            Rule::of_role(self.new)
        } else {
            let role = RoleRef::of_binding(self.new);
            authorizer.rules_of_role(&role, self.namespace).map_err(|_| not_found(&role))?
        };
        let (owned, unknown) = authorizer.rules(user, self.namespace);
        let missing = rules::missing(&owned, &given);
        if missing.is_empty() {
            return Ok(());
        }
        let mut why = format!(
            "user {} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            quoted(&user.name),
            rules::print_list(&user.groups),
            rules::print_missing(&missing).join("\n"),
        );
        if let Some(unknown) = unknown {
            why.push_str(&format!("; resolution errors: [{unknown}]"));
        }
        let name = at(at(self.new, "metadata"), "name").as_str().unwrap_or_default();
        Err(Status::forbidden(self.kind.group, self.kind.plural, name, &why))
    }

    /// Whether the user was given the right to do what others may not.
    fn may(&self, authorizer: &Authorizer, user: &User, is_role: bool) -> bool {
        let role = RoleRef::of_binding(self.new);
        let (verb, resource, name) = match (is_role, &*role.kind) {
            (true, _) => ("escalate", self.kind.plural, self.asked),
            (false, "ClusterRole") => ("bind", "clusterroles", &*role.name),
            (false, "Role") => ("bind", "roles", &*role.name),
            (false, _) => return false,
        };
        let group = self.kind.group;
        let wanted = Attributes { verb, group, resource, namespace: self.namespace, name, ..Attributes::default() };
        authorizer.allows(user, &wanted)
    }

    /// Whether only what holds the object back from deletion changes.
    fn frees(&self, old: &Value) -> bool {
        let mut new = self.new.clone();
        for field in ["ownerReferences", "finalizers", "selfLink", "managedFields", "resourceVersion"] {
            set_or_remove(&mut new["metadata"], field, at(old, "metadata").get(field).cloned());
        }
        same(&new, old)
    }
}

/// 404 for a role that a binding names; Kubernetes says its kind there, and not its plural name.
fn not_found(role: &RoleRef) -> Status {
    let kind = if &*role.kind == "Role" { &kinds::role::KIND } else { &kinds::cluster_role::KIND };
    let mut status = Status::not_found(kind, &role.name);
    status.message = status.message.replacen(kind.plural, kind.singular, 1);
    status.about(kind.group, kind.singular, &role.name)
}
