//! The list of all kinds, in the order in which discovery names them.

use crate::kind::Kind;
use crate::{
    cluster_role, cluster_role_binding, config_map, controller_revision, daemon_set, deployment, endpoint_slice,
    endpoints, event, ingress, ingress_class, ip_address, lease, limit_range, namespace, network_policy, node, pod,
    pod_disruption_budget, pod_template, priority_class, replica_set, replication_controller, resource_quota, role,
    role_binding, runtime_class, secret, service, service_account, service_cidr, stateful_set,
};

/// All kinds that are served.
pub fn all() -> &'static [&'static Kind] {
    KINDS
}

/// All kinds that are served, and beside them those that show other kinds' objects with names of their own.
pub fn shown() -> impl Iterator<Item = &'static Kind> {
    all().iter().copied().chain(std::iter::once(&event::view::KIND))
}

/// The kind with this group, version and plural name, as paths name it.
pub fn by_plural(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    all().iter().copied().find(|k| k.group == group && k.version == version && k.plural == plural)
}

/// The kind with this `apiVersion` and `kind`, as objects name it.
pub fn by_kind(api_version: &str, kind: &str) -> Option<&'static Kind> {
    all().iter().copied().find(|k| k.kind == kind && k.api_version() == api_version)
}

static KINDS: &[&Kind] = &[
    &config_map::KIND,
    &endpoints::KIND,
    &event::KIND,
    &limit_range::KIND,
    &namespace::KIND,
    &node::KIND,
    &pod_template::KIND,
    &pod::KIND,
    &replication_controller::KIND,
    &resource_quota::KIND,
    &secret::KIND,
    &service_account::KIND,
    &service::KIND,
    &controller_revision::KIND,
    &daemon_set::KIND,
    &deployment::KIND,
    &replica_set::KIND,
    &stateful_set::KIND,
    &ingress_class::KIND,
    &ingress::KIND,
    &ip_address::KIND,
    &network_policy::KIND,
    &service_cidr::KIND,
    &pod_disruption_budget::KIND,
    &cluster_role_binding::KIND,
    &cluster_role::KIND,
    &role_binding::KIND,
    &role::KIND,
    &priority_class::KIND,
    &lease::KIND,
    &runtime_class::KIND,
    &endpoint_slice::KIND,
];

#[cfg(test)]
mod tests;
