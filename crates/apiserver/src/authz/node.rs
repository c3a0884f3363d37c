//! What nodes may do: what they need of all, and of Pods, Secrets, ConfigMaps and tokens only what belongs to Pods of theirs.
//!
//! A node is a user `system:node:NAME` in the group `system:nodes`. Which Secrets and ConfigMaps belong to a node is not
//! kept: it is found when a node asks, among the Pods that are bound to it.

use std::sync::LazyLock;

use kinds::document::{at, list, text};
use kinds::pod;
use kinds::rules::Rule;
use serde_json::Value;

use super::attributes::Attributes;
use super::{defaults, rules};
use crate::cache::Cache;
use crate::identity::User;

/// The group of nodes.
const GROUP: &str = "system:nodes";
/// What nodes' names as users begin with.
const PREFIX: &str = "system:node:";
/// The namespace of nodes' leases.
pub(crate) const LEASES: &str = "kube-node-lease";
/// The role whose rules are those of all nodes.
const ROLE: &str = "system:node";

/// The rules that every node has.
static RULES: LazyLock<Vec<Rule>> = LazyLock::new(|| defaults::rules_of_cluster_role(ROLE));

/// The node that a user is; `None` for who is none. A node without a name is one that nothing is known of.
pub(crate) fn name_of(user: &User) -> Option<&str> {
    user.name.strip_prefix(PREFIX).filter(|_| user.is_in(GROUP))
}

/// The names that a lease of a node may have: its own, that in which it says what it has programmed, and those in which
/// it says which load balancers' addresses it answers for.
pub(crate) fn is_lease_of(lease: &str, node: &str) -> bool {
    let prefixes = ["", "portolan.", LIFE, "portolan-lb-claims.", "portolan-lb-report."];
    prefixes.iter().any(|prefix| lease.strip_prefix(prefix) == Some(node))
}

/// What the lease is called by which a node says that it lives, as one that answers for addresses. Every node may end
/// another's when it is silent, so that the addresses have somebody who answers.
const LIFE: &str = "portolan-lb-life.";

/// Whether any node may change a lease.
pub(crate) fn is_shared(lease: &str) -> bool {
    lease.starts_with(LIFE)
}

/// Whether a node may; an error says why not, and is empty when there is nothing to say.
pub(super) fn decide(cache: &Cache, user: &User, wanted: &Attributes<'_>) -> Result<(), String> {
    let Some(node) = name_of(user) else { return Err(String::new()) };
    if node.is_empty() {
        return Err(format!("unknown node for user {}", kinds::schema::quoted(&user.name)));
    }
    if wanted.path.is_empty() {
        let question = Question { cache, node, wanted };
        match (wanted.group, wanted.resource) {
            ("", "secrets") => return question.read(|pod| pod::references(pod).secrets),
            ("", "configmaps") => return question.read(|pod| pod::references(pod).config_maps),
            ("", "persistentvolumeclaims" | "persistentvolumes") => return Err(question.stranger()),
            ("", "serviceaccounts") => return question.account(),
            ("coordination.k8s.io", "leases") => return question.lease(),
            ("", "nodes") => return question.node(),
            ("", "pods") => return question.pod(),
            _ => {}
        }
    }
    if RULES.iter().any(|rule| rules::allows(rule, wanted)) { Ok(()) } else { Err(String::new()) }
}

struct Question<'a> {
    cache: &'a Cache,
    node: &'a str,
    wanted: &'a Attributes<'a>,
}

impl Question<'_> {
    fn stranger(&self) -> String {
        format!("no relationship found between node '{}' and this object", self.node)
    }

    /// Whether a Pod of the node in the namespace names the object.
    fn belongs(&self, names: impl Fn(&Value) -> Vec<String>) -> Result<(), String> {
        let Attributes { namespace, name, .. } = *self.wanted;
        if name.is_empty() {
            return Err("No Object name found".to_owned());
        }
        let pods = self.cache.list(&pod::KIND, namespace).objects;
        let mut own = pods.iter().filter(|pod| pod.field("spec.nodeName") == Some(self.node));
        let found = own.any(|pod| names(&pod.document()).iter().any(|named| named == name));
        if found { Ok(()) } else { Err(self.stranger()) }
    }

    /// A Secret or a ConfigMap.
    fn read(&self, names: impl Fn(&Value) -> Vec<String>) -> Result<(), String> {
        let words = match self.wanted {
            Attributes { verb: "get" | "list" | "watch", subresource: "", namespace, .. } if !namespace.is_empty() => {
                return self.belongs(names);
            }
            Attributes { verb: "get" | "list" | "watch", subresource: "", .. } => {
                "can only read namespaced object of this type"
            }
            Attributes { verb: "get" | "list" | "watch", .. } => "cannot read subresource",
            _ => "can only read resources of this type",
        };
        Err(words.to_owned())
    }

    fn account(&self) -> Result<(), String> {
        let names = |pod: &Value| vec![text(at(pod, "spec"), "serviceAccountName").to_owned()];
        let words = match self.wanted {
            Attributes { verb: "get", subresource: "", .. } => return self.read(names),
            Attributes { verb: "create", name: "", .. } => "can only create tokens for individual service accounts",
            Attributes { verb: "create", subresource: "token", .. } => return self.belongs(names),
            Attributes { verb: "create", .. } => "can only create token subresource of serviceaccount",
            _ => "can only create tokens for individual service accounts",
        };
        Err(words.to_owned())
    }

    fn lease(&self) -> Result<(), String> {
        let Attributes { verb, namespace, name, .. } = *self.wanted;
        if !matches!(verb, "get" | "create" | "update" | "patch" | "delete") {
            return Err("can only get, create, update, patch, or delete a node lease".to_owned());
        }
        if namespace != LEASES {
            return Err(format!("can only access leases in the {LEASES:?} system namespace"));
        }
        // The name of one that is created is looked at when it is let in.
        let shared = is_shared(name) && matches!(verb, "get" | "update" | "patch");
        if verb != "create" && !shared && !is_lease_of(name, self.node) {
            return Err("can only access node lease with the same name as the requesting node".to_owned());
        }
        Ok(())
    }

    fn node(&self) -> Result<(), String> {
        match (self.wanted.subresource, self.wanted.verb) {
            // Which node it is is looked at when it is let in.
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
            ("", "get" | "list" | "watch") => match self.wanted.name {
                name if name == self.node => Ok(()),
                "" => Err(format!("node '{}' cannot read all nodes, only its own Node object", self.node)),
                other => Err(format!("node '{}' cannot read '{other}', only its own Node object", self.node)),
            },
            _ => Err(String::new()),
        }
    }

    fn pod(&self) -> Result<(), String> {
        let own = || self.belongs(|pod| vec![text(at(pod, "metadata"), "name").to_owned()]);
        match (self.wanted.subresource, self.wanted.verb) {
            ("", "get") => own(),
            ("", "list" | "watch") if self.wanted.selects("spec.nodeName", self.node) => Ok(()),
            ("", "list" | "watch") if !self.wanted.name.is_empty() => own(),
            ("", "list" | "watch") => Err("can only list/watch pods with spec.nodeName field selector".to_owned()),
            // Whose Pod it is is looked at when it is let in.
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            _ => Err(String::new()),
        }
    }
}

/// Whether a Pod has references to itself only: what a node may make of its own.
pub(crate) fn refers_to_nothing(pod: &Value) -> bool {
    let references = pod::references(pod);
    let account = text(at(pod, "spec"), "serviceAccountName");
    references.secrets.is_empty()
        && references.config_maps.is_empty()
        && account.is_empty()
        && list(at(pod, "spec"), "volumes").iter().all(|volume| {
            ["persistentVolumeClaim", "projected", "ephemeral"].iter().all(|source| at(volume, source).is_null())
        })
}
