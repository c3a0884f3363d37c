//! What the cluster knows, and the answers that follow from it.
//!
//! The index is told of Services, EndpointSlices and namespaces as the watch tells of them, and answers from memory.
//! Everything is kept as it stands on the wire: names are lower-case labels with their lengths, so the part of a
//! question that names a Service (`\x03web\x04shop`) is the key under which that Service is found, without decoding.
//!
//! Tables are split into shards, each behind its own lock that is held while one Service is swapped or read. A change
//! compiles the new Service outside of any lock and then replaces a pointer, so a question never waits for more than
//! that, and a change costs what the changed Service costs, whatever else there is.
//!
//! In reading order: [`records`] (what goes in), `zones` (whose names these are), `service` (one Service, compiled),
//! `sharded` and `tables` (where they are kept), `change` (how they get there), `place` (what a name can mean),
//! `compose` (records of one Service), `lookup` (a question becomes an answer), `search` (or the next one of a search path does), [`transfer`](Transfer) (a whole zone), and [`Index`], the handle of it all.

mod change;
mod compose;
mod handle;
mod lookup;
mod place;
pub mod records;
mod reverse;
mod search;
mod service;
mod sharded;
mod tables;
mod transfer;
mod zones;

pub use handle::{Index, IndexStats};
pub use lookup::Verdict;
pub use records::{EndpointRecord, IndexError, PodRecord, PortRecord, Protocol, ServiceRecord, Shape, SliceRecord};
pub use reverse::reverse_zones;
pub use transfer::Transfer;
pub use zones::{Fallthrough, IndexOptions, PodNames, SearchOptions};

#[cfg(test)]
mod tests;
