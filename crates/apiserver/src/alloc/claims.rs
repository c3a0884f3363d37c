//! What a Service takes and gives back, as part of the transaction that writes it.
//!
//! A cluster IP is taken by an `IPAddress` object, as in Kubernetes. A node port is taken by a record of our own, one
//! a protocol and port, whose value is the Service's `NAMESPACE/NAME`. Because the records must be absent when they are
//! written, nothing is given twice, however many servers write.

use bytes::Bytes;
use store::{Expect, Transaction};

use crate::metrics::Allocation;

/// A record that is changed together with an object: only if it is still at this revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Changed {
    pub key: String,
    pub revision: u64,
    pub value: Bytes,
}

/// Keys that a write takes and gives back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    pub taken: Vec<(String, Bytes)>,
    pub released: Vec<String>,
    /// What else becomes something else by it.
    pub changed: Vec<Changed>,
    /// What of it is counted.
    pub given: Vec<Allocation>,
}

impl Claims {
    /// The transaction with these claims. What is given back and taken again stays as it is.
    pub fn add_to(&self, mut transaction: Transaction) -> Transaction {
        for (key, value) in self.taken.iter().filter(|(key, _)| !self.released.contains(key)) {
            transaction = transaction.expect(key.as_str(), Expect::Absent).put(key.as_str(), value.clone());
        }
        for key in self.released.iter().filter(|key| !self.taken.iter().any(|(taken, _)| taken == *key)) {
            transaction = transaction.delete(key.as_str());
        }
        for Changed { key, revision, value } in &self.changed {
            transaction =
                transaction.expect(key.as_str(), Expect::Revision(*revision)).put(key.as_str(), value.clone());
        }
        transaction
    }
}
