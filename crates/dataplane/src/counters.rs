//! What the kernel counts, Service by Service.

use std::collections::HashMap;
use std::num::NonZeroU16;

use nft::Value;

use crate::compile::Map;
use crate::model::{NamespacedName, Protocol};

/// What came to one port of a Service, at all its addresses and node ports, in all families, since it has them: also
/// while this program did not run. Never less than before, but when the table was made anew.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ServiceCounters {
    /// The Service.
    pub service: NamespacedName,
    /// The port of the Service's own addresses.
    pub port: NonZeroU16,
    /// Its protocol.
    pub protocol: Protocol,
    /// Connections that were given an endpoint; for UDP: flows.
    pub connections: u64,
    /// First packets that were rejected or dropped: nobody serves, or the source is not let in. A client that is not
    /// answered tries again, and each try counts. Other ports of the Service's addresses are not among them.
    pub refused: u64,
}

impl ServiceCounters {
    /// At zero.
    pub(crate) fn new(service: NamespacedName, port: NonZeroU16, protocol: Protocol) -> ServiceCounters {
        ServiceCounters { service, port, protocol, connections: 0, refused: 0 }
    }

    /// Whether both are of one port.
    fn is_of(&self, other: &ServiceCounters) -> bool {
        (&self.service, self.port, self.protocol) == (&other.service, other.port, other.protocol)
    }
}

/// Adds up what is of one port, and sorts by Service, port, protocol.
pub(crate) fn add_up(mut all: Vec<ServiceCounters>) -> Vec<ServiceCounters> {
    all.sort_unstable();
    all.dedup_by(|next, first| {
        let same = next.is_of(first);
        if same {
            first.connections += next.connections;
            first.refused += next.refused;
        }
        same
    });
    all
}

/// What a table counts, by the set that counts and its key, in packets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts(HashMap<(Map, Value), u64>);

impl Counts {
    /// What an element has counted. Of two answers for one (a dump may give one twice) the greater counts.
    pub fn set(&mut self, map: Map, key: Value, packets: u64) {
        let known = self.0.entry((map, key)).or_default();
        *known = packets.max(*known);
    }

    /// What an element has counted; zero if there is none.
    pub fn get(&self, map: Map, key: &Value) -> u64 {
        self.0.get(&(map, key.clone())).copied().unwrap_or_default()
    }

    /// What has counted something.
    pub fn keys(&self) -> impl Iterator<Item = &(Map, Value)> {
        self.0.keys()
    }

    /// An element is gone.
    pub fn remove(&mut self, map: Map, key: &Value) {
        self.0.remove(&(map, key.clone()));
    }

    /// A set is gone with all its elements.
    pub fn remove_all(&mut self, map: Map) {
        self.0.retain(|(counter, _), _| *counter != map);
    }
}
