//! Where objects lie in the store: as Kubernetes lays them out in etcd.

use kinds::{Kind, Scope, registry};

/// The resources whose folder is not their plural name.
const SPECIAL: &[(&str, &str, &str)] = &[
    ("", "services", "services/specs"),
    ("", "endpoints", "services/endpoints"),
    ("", "nodes", "minions"),
    ("", "replicationcontrollers", "controllers"),
    ("networking.k8s.io", "ingresses", "ingress"),
];

/// The folder of a kind: `/registry/services/specs/`.
pub(crate) fn folder(kind: &Kind) -> String {
    let special = SPECIAL.iter().find(|(group, plural, _)| (*group, *plural) == (kind.group, kind.plural));
    format!("/registry/{}/", special.map_or(kind.plural, |(_, _, folder)| folder))
}

/// The key of an object: `/registry/services/specs/NAMESPACE/NAME`.
pub(crate) fn object(kind: &Kind, namespace: &str, name: &str) -> String {
    folder(kind) + &inside(namespace, name)
}

/// The part of the key below the folder: `NAMESPACE/NAME`, or `NAME` for what is in no namespace.
pub(crate) fn inside(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// Finds the kind of a key.
pub(crate) struct Folders(Vec<(String, usize)>);

impl Folders {
    /// Of all kinds that are served.
    pub fn of_registry() -> Self {
        Self(registry::all().iter().enumerate().map(|(i, kind)| (folder(kind), i)).collect())
    }

    /// The kind's place in the registry, the namespace and the name. `None` for keys that are no objects.
    pub fn locate<'k>(&self, key: &'k str) -> Option<(usize, &'k str, &'k str)> {
        let (folder, index) = self.0.iter().find(|(folder, _)| key.starts_with(folder.as_str()))?;
        let inside = &key[folder.len()..];
        match registry::all()[*index].scope {
            Scope::Cluster => Some((*index, "", inside)),
            Scope::Namespaced => inside.split_once('/').map(|(namespace, name)| (*index, namespace, name)),
        }
    }
}
