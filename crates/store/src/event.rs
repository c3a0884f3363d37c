//! What the store tells: records, and batches of events.

use bytes::Bytes;

/// A live record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: Bytes,
    /// The revision at which it was first written.
    pub create_revision: u64,
    /// The revision of the last write.
    pub mod_revision: u64,
    /// How many times it has been written since it was created; 1 for the first.
    pub version: u64,
}

/// What happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was written.
    Put {
        /// The new value.
        value: Bytes,
        /// The revision at which the record was first written.
        create_revision: u64,
        /// How many times it has been written.
        version: u64,
    },
    /// It was removed.
    Delete,
}

/// The state of a key before an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Previous {
    /// The value that was replaced or removed.
    pub value: Bytes,
    /// The revision at which that was written.
    pub mod_revision: u64,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The key.
    pub key: String,
    /// What happened to it.
    pub change: Change,
    /// What it was before; `None` when it was not there.
    pub previous: Option<Previous>,
}

/// Everything that one transaction changed, in the order of its operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventBatch {
    /// The revision of all its events.
    pub revision: u64,
    /// The events; never empty.
    pub events: Vec<Event>,
}

impl EventBatch {
    /// How much memory the values take, roughly, in bytes.
    pub(crate) fn weight(&self) -> usize {
        let of = |e: &Event| {
            let value = match &e.change {
                Change::Put { value, .. } => value.len(),
                Change::Delete => 0,
            };
            128 + e.key.len() + value + e.previous.as_ref().map_or(0, |p| p.value.len())
        };
        self.events.iter().map(of).sum()
    }
}
