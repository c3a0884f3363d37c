//! The names that are there, so that a new list tells what is gone.

use std::collections::HashMap;

use dataplane::model::NamespacedName;

/// The names, each with the number of the list since which it is known to be there.
#[derive(Debug, Default)]
pub(super) struct Known {
    names: HashMap<NamespacedName, u32>,
    list: u32,
}

impl Known {
    /// A list begins; the one before may have broken off.
    pub(super) fn begin(&mut self) {
        self.list = self.list.wrapping_add(1);
    }

    /// An object is there.
    pub(super) fn set(&mut self, name: NamespacedName) {
        self.names.insert(name, self.list);
    }

    /// An object is gone.
    pub(super) fn gone(&mut self, name: &NamespacedName) {
        self.names.remove(name);
    }

    /// The list is complete: the names that were not in it, in order. They are known no longer.
    pub(super) fn end(&mut self) -> Vec<NamespacedName> {
        let list = self.list;
        let mut gone: Vec<_> = self.names.extract_if(|_, seen| *seen != list).map(|(name, _)| name).collect();
        gone.sort_unstable();
        gone
    }
}
