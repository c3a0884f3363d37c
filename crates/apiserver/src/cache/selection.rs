//! Which objects a reader wants.

use super::object::Object;

/// The objects of a namespace (all, when it is empty) that selectors match.
#[derive(Clone, Debug, Default)]
pub(crate) struct Selection {
    pub namespace: String,
}

impl Selection {
    /// Whether `object` is wanted.
    pub fn matches(&self, object: &Object) -> bool {
        self.namespace.is_empty() || *object.namespace == *self.namespace
    }

    /// Whether it wants every object of its namespace.
    pub fn is_everything(&self) -> bool {
        true
    }
}
