//! The list of all kinds, in the order in which discovery names them.

use crate::kind::Kind;
use crate::{
    config_map, deployment, endpoint_slice, endpoints, event, ip_address, lease, namespace, node, pod, replica_set,
    secret, service, service_account, service_cidr,
};

/// All kinds that are served.
pub fn all() -> &'static [&'static Kind] {
    KINDS
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
    &namespace::KIND,
    &node::KIND,
    &pod::KIND,
    &secret::KIND,
    &service_account::KIND,
    &service::KIND,
    &deployment::KIND,
    &replica_set::KIND,
    &lease::KIND,
    &endpoint_slice::KIND,
    &ip_address::KIND,
    &service_cidr::KIND,
];

#[cfg(test)]
mod tests;
