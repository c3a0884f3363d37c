//! The kinds that the server itself needs: namespaces, Services, addresses.

use kinds::{Kind, registry};

/// The kind that the server itself needs. Every one of those is in the registry.
pub(crate) fn kind(group: &str, plural: &str) -> Option<&'static Kind> {
    registry::all().iter().copied().find(|k| k.group == group && k.plural == plural)
}
