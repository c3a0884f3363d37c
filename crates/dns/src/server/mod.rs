//! Sockets: questions in, answers out.
//!
//! In reading order: `config`, [`counters`], `sources` (what is answered from), `fairness` (what one address may take), `respond` (one message becomes an answer, at once or later), `searching` (by a search path), `rewriting`
//! (in place of another), `socket` (how sockets are made), `datagram` (many datagrams in one system call), `udp` (threads, one for each of the sockets
//! that share an address), `tcp` (connections, pipelined and bounded), [`Server`].
//!
//! A question that the index or the cache can answer never leaves the thread that received it. One that has to wait
//! for an upstream server is copied and waits in a task of the runtime; so many may wait, and the next one fails at
//! once.

mod config;
pub mod counters;
mod datagram;
mod fairness;
mod respond;
mod rewriting;
mod running;
mod searching;
mod socket;
mod sources;
mod tcp;
mod udp;

pub use config::{Config, ServerError, TcpLimits};
pub use counters::{Counts, Figures};
pub use running::Server;
pub use sources::Sources;

#[cfg(test)]
mod tests;
