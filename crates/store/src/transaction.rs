//! What can be asked of the store, and how it is refused.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

/// What a key must be for a transaction to go ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// There is no record of this key.
    Absent,
    /// There is a record, whatever its revision.
    Present,
    /// There is a record, last written at this revision.
    Revision(u64),
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compare {
    /// The key that is looked at.
    pub key: String,
    /// What it must be.
    pub expect: Expect,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Writes a record, new or not.
    Put {
        /// The key that is written.
        key: String,
        /// Its new value.
        value: Bytes,
    },
    /// Removes a record. A key without one is passed over.
    Delete {
        /// The key that is removed.
        key: String,
    },
}

impl Operation {
    /// The key that it changes.
    pub fn key(&self) -> &str {
        match self {
            Self::Put { key, .. } | Self::Delete { key } => key,
        }
    }
}

/// Conditions and changes that hold together: all changes happen at one revision, if all conditions are met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    /// If given, nothing may have been written since this revision.
    pub at: Option<u64>,
    /// All must be met.
    pub compares: Vec<Compare>,
    /// All are made. A key may occur once.
    pub operations: Vec<Operation>,
}

impl Transaction {
    /// A transaction without conditions or changes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Only if nothing was written since this revision.
    #[must_use]
    pub fn at(mut self, revision: u64) -> Self {
        self.at = Some(revision);
        self
    }

    /// Adds a condition.
    #[must_use]
    pub fn expect(mut self, key: impl Into<String>, expect: Expect) -> Self {
        self.compares.push(Compare { key: key.into(), expect });
        self
    }

    /// Adds a put.
    #[must_use]
    pub fn put(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.operations.push(Operation::Put { key: key.into(), value: value.into() });
        self
    }

    /// Adds a delete.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.operations.push(Operation::Delete { key: key.into() });
        self
    }
}

/// A transaction that is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The revision of its changes; the current revision when it changed nothing.
    pub revision: u64,
}

/// Why a transaction changed nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CommitError {
    /// A condition is not met.
    #[error("{key} is at revision {actual:?}, which is not what the transaction expects")]
    Conflict {
        /// The key of the first condition that is not met; empty when something was written that was not to be.
        key: String,
        /// The revision of its last write; `None` when there is no record.
        actual: Option<u64>,
    },
    /// A key is changed twice.
    #[error("the transaction changes {key} twice")]
    DuplicateKey {
        /// That key.
        key: String,
    },
    /// The disk failed; none of the transactions that were being written happened, as far as this process will
    /// ever say. After such an error every commit fails until the store is opened again.
    #[error("the store cannot be written")]
    Storage(#[source] Arc<redb::Error>),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// Why a store cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be opened, or is not ours, or another process has it open.
    #[error("cannot open the store {path}: {source}")]
    Storage {
        /// The file.
        path: PathBuf,
        /// What redb says.
        source: Box<redb::Error>,
    },
    /// Another version of this program wrote it.
    #[error("the store {path} has format {found}, and this program reads format {expected}")]
    Format {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// Ours.
        expected: u64,
    },
    /// The thread that writes cannot be started.
    #[error("cannot start the store's thread: {0}")]
    Thread(#[source] std::io::Error),
}

/// Why the store cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk failed.
    #[error("the store cannot be read: {0}")]
    Storage(#[source] Box<redb::Error>),
    /// A record or a batch is not as it was written.
    #[error("the store's entry {entry} is damaged")]
    Damaged {
        /// The key or the revision.
        entry: String,
    },
}

impl<E: Into<redb::Error>> From<E> for ReadError {
    fn from(error: E) -> Self {
        Self::Storage(Box::new(error.into()))
    }
}
