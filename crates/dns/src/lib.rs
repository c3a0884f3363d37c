//! The cluster's DNS: what Services and Pods are called, and who answers when they are asked for.
//!
//! One question travels through these modules, in reading order:
//!
//! 1. [`protocol`]: DNS' own numbers (types, classes, response codes).
//! 2. [`name`]: names in wire form, lower case, at most 255 octets.
//! 3. [`query`]: one question is read from a datagram into fixed buffers, or refused as the RFCs say.
//! 4. [`index`]: what the cluster knows. Told of Services, slices and namespaces; answers a question from memory.
//!    There is no cache of cluster names: the index *is* the newest event.
//! 5. [`reply`]: the answer is written into a fixed buffer, never larger than was asked for.
//! 6. [`forward`]: names outside the cluster are asked of upstream servers, and cached.
//! 7. [`rewrite`], [`hosts`]: names that are asked for under another name, and names from a file.
//! 8. [`querylog`]: a line of JSON for questions and their answers.
//! 9. [`server`]: UDP workers and TCP connections that carry questions to the index, the cache and the forwarder.
//! 10. [`config`]: what all of this is told together; [`corefile`]: told by CoreDNS' configuration file.
//! 11. [`service`]: what a Corefile asks for, made and kept over its changes.
//!
//! The index, the reader and the writer do no IO and allocate nothing for a question; hickory reads and writes the
//! messages that come from upstream servers.

pub mod config;
pub mod corefile;
pub mod forward;
pub mod hosts;
pub mod index;
pub mod name;
pub mod protocol;
pub mod query;
pub mod querylog;
pub mod reply;
pub mod rewrite;
pub mod server;
pub mod service;

pub use forward::Forwarder;
pub use index::{Index, IndexError, IndexOptions};
pub use server::{Config, Server, ServerError, Sources};

#[cfg(test)]
mod asking;
