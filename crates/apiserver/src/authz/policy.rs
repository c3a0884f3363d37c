//! Who may do what.
//!
//! | who | what |
//! |---|---|
//! | everybody | `/healthz`, `/livez`, `/readyz`, `/version` |
//! | group `system:authenticated` | discovery, OpenAPI; asking what they may do and who they are |
//! | group `system:nodes` | reading what a node needs; writing its Node, Lease, the status of Pods and Services, Events; removing Pods that ended; asking whether others may |
//! | user `system:kube-scheduler` | reading everything it places Pods by; binding Pods, their status, Leases, Events |
//! | user `system:kube-controller-manager` | every resource |
//! | user `system:kube-proxy` | reading Services, slices, Nodes; Events |
//! | group `system:masters` | everything (not in the table: nothing can take it away) |
//!
//! A node is trusted with all Pods, not only its own: the node authorizer that tells them apart comes with RBAC.

use super::{Binding, Rule, Subject};

const READ: &[&str] = &["get", "list", "watch"];
const WRITE: &[&str] = &["create", "update", "patch"];
const EVENT_GROUPS: &[&str] = &["", "events.k8s.io"];

const fn paths(verbs: &'static [&'static str], paths: &'static [&'static str]) -> Rule {
    Rule { verbs, groups: &[], resources: &[], paths }
}

const fn resources(
    verbs: &'static [&'static str],
    groups: &'static [&'static str],
    resources: &'static [&'static str],
) -> Rule {
    Rule { verbs, groups, resources, paths: &[] }
}

const fn group(name: &'static str, rules: &'static [Rule]) -> Binding {
    Binding { subject: Subject::Group(name), namespace: None, rules }
}

const fn user(name: &'static str, rules: &'static [Rule]) -> Binding {
    Binding { subject: Subject::User(name), namespace: None, rules }
}

const PUBLIC: &[Rule] = &[paths(
    &["get"],
    &["/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*", "/version", "/version/"],
)];

const DISCOVERY: &[Rule] = &[
    paths(&["get"], &["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"]),
    resources(&["create"], &["authorization.k8s.io"], &["selfsubjectaccessreviews", "selfsubjectrulesreviews"]),
    resources(&["create"], &["authentication.k8s.io"], &["selfsubjectreviews"]),
];

const NODE: &[Rule] = &[
    resources(
        READ,
        &[""],
        &["configmaps", "endpoints", "namespaces", "nodes", "pods", "secrets", "serviceaccounts", "services"],
    ),
    resources(READ, &["discovery.k8s.io"], &["endpointslices"]),
    resources(READ, &["networking.k8s.io"], &["servicecidrs"]),
    resources(WRITE, &[""], &["nodes", "nodes/status"]),
    resources(&["update", "patch"], &[""], &["pods/status", "services/status"]),
    resources(&["create", "delete"], &[""], &["pods"]),
    resources(&["create"], &[""], &["serviceaccounts/token"]),
    resources(WRITE, EVENT_GROUPS, &["events"]),
    resources(&["create"], &["authorization.k8s.io"], &["subjectaccessreviews"]),
];

const NODE_LEASES: &[Rule] = &[resources(
    &["get", "list", "watch", "create", "update", "patch", "delete"],
    &["coordination.k8s.io"],
    &["leases"],
)];

const SCHEDULER: &[Rule] = &[
    resources(READ, &["*"], &["namespaces", "nodes", "pods", "replicasets", "services"]),
    resources(&["create"], &[""], &["pods/binding"]),
    resources(&["update", "patch"], &[""], &["pods/status"]),
    resources(&["delete"], &[""], &["pods"]),
    resources(WRITE, EVENT_GROUPS, &["events"]),
    resources(&["get", "list", "watch", "create", "update", "patch"], &["coordination.k8s.io"], &["leases"]),
];

const CONTROLLER_MANAGER: &[Rule] = &[resources(&["*"], &["*"], &["*"])];

const PROXY: &[Rule] = &[
    resources(READ, &[""], &["endpoints", "nodes", "services"]),
    resources(READ, &["discovery.k8s.io"], &["endpointslices"]),
    resources(READ, &["networking.k8s.io"], &["servicecidrs"]),
    resources(WRITE, EVENT_GROUPS, &["events"]),
];

/// The table.
pub(crate) const BINDINGS: &[Binding] = &[
    group(crate::identity::UNAUTHENTICATED, PUBLIC),
    group(crate::identity::AUTHENTICATED, PUBLIC),
    group(crate::identity::AUTHENTICATED, DISCOVERY),
    group("system:nodes", NODE),
    Binding { subject: Subject::Group("system:nodes"), namespace: Some("kube-node-lease"), rules: NODE_LEASES },
    user("system:kube-scheduler", SCHEDULER),
    user("system:kube-controller-manager", CONTROLLER_MANAGER),
    user("system:kube-proxy", PROXY),
];
