//! The names of resources, and how much of each there can be.

use serde_json::Value;

use crate::field::{Error, Path};
use crate::names;
use crate::quantity::Quantity;

#[cfg(test)]
mod tests;

/// Resources that are counted.
const COUNTED: &[&str] = &[
    "pods",
    "resourcequotas",
    "services",
    "replicationcontrollers",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
    "services.nodeports",
    "services.loadbalancers",
];

/// What else is known by name: what containers ask for, and quotas count.
const MEASURED: &[&str] = &[
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "storage",
    "requests.storage",
];

/// Whether Kubernetes knows it.
pub(crate) fn is_standard(name: &str) -> bool {
    COUNTED.contains(&name)
        || MEASURED.contains(&name)
        || is_huge_pages(name)
        || name.starts_with("requests.hugepages-")
}

/// Whether it is one of Kubernetes' own: without a domain, or of `kubernetes.io`.
pub(crate) fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Whether it is huge pages of some size.
pub(crate) fn is_huge_pages(name: &str) -> bool {
    name.starts_with("hugepages-")
}

/// Whether it is someone else's, as `example.com/gpu`.
pub(crate) fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.") && names::label_key(&format!("requests.{name}")).is_empty()
}

/// Whether there are only whole ones.
pub(crate) fn is_integer(name: &str) -> bool {
    COUNTED.contains(&name) || is_extended(name)
}

/// Whether limits and requests may name it.
pub(crate) fn is_of_containers(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || is_huge_pages(name)
}

/// The faults of an amount of a resource.
pub(crate) fn validate_amount(path: &Path, name: &str, value: &Value) -> Vec<Error> {
    let Ok(amount) = Quantity::from_value(value) else { return Vec::new() };
    let mut faults = Vec::new();
    if amount.nanos() < 0 {
        faults.push(Error::invalid(path, amount.to_string(), "must be greater than or equal to 0"));
    }
    if is_integer(name) && amount.millis() % 1000 != 0 {
        faults.push(Error::invalid(path, amount.to_string(), "must be an integer"));
    }
    faults
}
