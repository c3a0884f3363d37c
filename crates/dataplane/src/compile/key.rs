//! The two sorts of destinations.

use crate::route::Destination;

/// By what a destination is found: its own address and port, or only a port of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Address, protocol and port.
    Address,
    /// Protocol and port.
    NodePort,
}

impl Key {
    /// How destinations of this sort are found.
    pub const fn of(destination: &Destination) -> Key {
        match destination {
            Destination::Address { .. } => Key::Address,
            Destination::NodePort { .. } => Key::NodePort,
        }
    }
}
