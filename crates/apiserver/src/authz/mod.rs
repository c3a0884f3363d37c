//! Authorization: may they.
//!
//! Whoever is in [`MASTERS`] may. A node is asked about by the [`node`] authorizer, which knows what belongs to which node.
//! Everybody else, and a node for the rest, may what their roles say (RBAC).
//!
//! In reading order: [`attributes`] (what is wanted), [`rules`] (what a rule allows), `bindings` (which rules are whose),
//! `rbac` (those of the cluster, kept current), [`node`]; [`escalation`] (nobody gives away more than they have), and
//! [`defaults`], the roles that every cluster begins with.

pub(crate) mod attributes;
mod bindings;
pub(crate) mod defaults;
pub(crate) mod escalation;
pub(crate) mod node;
mod rbac;
pub(crate) mod rules;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use kinds::rules::Rule;
use kinds::schema::quoted;

pub(crate) use attributes::Attributes;
use bindings::{RoleRef, Visited};
use rbac::Rbac;

use crate::cache::Cache;
use crate::identity::{MASTERS, User};
use crate::status::Status;

/// Decides.
pub(crate) struct Authorizer {
    rbac: Rbac,
    cache: Arc<Cache>,
}

/// A decision and what it rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decision {
    pub allowed: bool,
    /// Why, in Kubernetes' words; may be empty.
    pub reason: String,
}

impl Authorizer {
    /// By the roles and bindings of this cache.
    pub fn new(cache: Arc<Cache>) -> Self {
        Self { rbac: Rbac::new(cache.clone()), cache }
    }

    /// Whether `user` may.
    pub fn allows(&self, user: &User, wanted: &Attributes<'_>) -> bool {
        if user.is_in(MASTERS) || node::decide(&self.cache, user, wanted).is_ok() {
            return true;
        }
        let mut allowed = false;
        self.rbac.now().bindings.visit(user, wanted.namespace, |visited| {
            allowed |= matches!(visited, Visited::Rule(_, rule) if rules::allows(rule, wanted));
            allowed
        });
        allowed
    }

    /// Whether `user` may, and why or why not.
    pub fn decide(&self, user: &User, wanted: &Attributes<'_>) -> Decision {
        let allowed = |reason| Decision { allowed: true, reason };
        if user.is_in(MASTERS) {
            return allowed(String::new());
        }
        let of_node = match node::decide(&self.cache, user, wanted) {
            Ok(()) => return allowed(String::new()),
            Err(reason) => reason,
        };
        let (mut because, mut unknown) = (None, Vec::new());
        self.rbac.now().bindings.visit(user, wanted.namespace, |visited| {
            match visited {
                Visited::Rule(binding, rule) if rules::allows(rule, wanted) => {
                    because = Some(format!("RBAC: allowed by {}", binding.describe(user)));
                }
                Visited::Rule(..) => {}
                Visited::Unknown(role) => unknown.push(role),
            }
            because.is_some()
        });
        if let Some(reason) = because {
            return allowed(reason);
        }
        let of_roles = aggregate(unknown).map(|unknown| format!("RBAC: {unknown}")).unwrap_or_default();
        let reasons: Vec<String> = [of_node, of_roles].into_iter().filter(|reason| !reason.is_empty()).collect();
        Decision { allowed: false, reason: reasons.join("\n") }
    }

    /// The rules that a user has in a namespace, and the words about roles that are not there.
    pub fn rules(&self, user: &User, namespace: &str) -> (Vec<Rule>, Option<String>) {
        let (mut found, mut unknown) = (Vec::new(), Vec::new());
        self.rbac.now().bindings.visit(user, namespace, |visited| {
            match visited {
                Visited::Rule(_, rule) => found.push(rule.clone()),
                Visited::Unknown(role) => unknown.push(role),
            }
            false
        });
        (found, aggregate(unknown))
    }

    /// The rules of a role that a binding in a namespace names, or the words that it is not there.
    fn rules_of_role(&self, role: &RoleRef, namespace: &str) -> Result<Vec<Rule>, String> {
        self.rbac.now().bindings.rules(role, namespace).map(|rules| rules.to_vec())
    }
}

/// Several reasons as Kubernetes prints them together.
fn aggregate(mut reasons: Vec<String>) -> Option<String> {
    let mut told = std::collections::HashSet::new();
    reasons.retain(|reason| told.insert(reason.clone()));
    match reasons.len() {
        0 => None,
        1 => reasons.pop(),
        _ => Some(format!("[{}]", reasons.join(", "))),
    }
}

/// The refusal, in Kubernetes' words.
pub(crate) fn refusal(authorizer: &Authorizer, user: &User, wanted: &Attributes<'_>) -> Status {
    let because = |why: String| match authorizer.decide(user, wanted).reason {
        reason if reason.is_empty() => why,
        reason => format!("{why}: {reason}"),
    };
    let who = quoted(&user.name);
    if !wanted.path.is_empty() {
        return Status::forbidden_path(&because(format!(
            "User {who} cannot {} path {}",
            wanted.verb,
            quoted(wanted.path)
        )));
    }
    let scope = if wanted.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace {}", quoted(wanted.namespace))
    };
    let why = format!(
        "User {who} cannot {} resource {} in API group {} {scope}",
        wanted.verb,
        quoted(&wanted.full_resource()),
        quoted(wanted.group),
    );
    Status::forbidden(wanted.group, wanted.resource, wanted.name, &because(why))
}
