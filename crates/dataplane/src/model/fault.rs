//! What is wrong with objects. Nothing of it keeps anything else from being programmed.

use std::fmt;

use crate::model::NamespacedName;

/// The sort of a fault. Its text is the reason of an event about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Something that should be an address is none: left out.
    InvalidAddress,
    /// An endpoint's address is not of the family that its slice says: left out.
    AddressFamilyMismatch,
    /// A port that is none (1 to 65,535): left out.
    InvalidPort,
    /// A protocol other than TCP, UDP and SCTP: the port is left out.
    InvalidProtocol,
    /// A range of sources that is none: left out.
    InvalidSourceRange,
    /// No range of sources is of the family of a load balancer's address: there everybody is let in.
    SourceRangeFamilyMismatch,
    /// One endpoint is described in several ways.
    ContradictoryEndpoints,
    /// More endpoints than a port may have: the others get nothing.
    TooManyEndpoints,
    /// An address and port that belong to another Service.
    AddressConflict,
    /// A node port that belongs to another Service.
    NodePortConflict,
    /// The kernel refuses the rules: it keeps those that it had.
    RefusedByKernel,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A fault of one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fault {
    /// The sort.
    pub reason: Reason,
    /// What exactly, in a sentence without its end.
    pub message: Box<str>,
}

impl Fault {
    /// A fault.
    pub fn new(reason: Reason, message: impl Into<Box<str>>) -> Fault {
        Fault { reason, message: message.into() }
    }
}

/// Why a Service is not served as it says: all faults of one sort.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// Whose.
    pub service: NamespacedName,
    /// The sort.
    pub reason: Reason,
    /// The first of the faults, and how many more there are.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.service, self.reason, self.message)
    }
}
