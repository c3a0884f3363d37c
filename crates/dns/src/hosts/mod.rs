//! Names from a hosts(5) file and from lines beside it: CoreDNS' `hosts`.
//!
//! In reading order: [`table`] (lines become names and addresses), [`Hosts`] (the table that holds now, which follows the
//! file). Addresses (A, AAAA) and the way back (PTR) are answered, and nothing else.

mod following;
pub mod table;

pub use following::{Hosts, HostsCounts, Settings, Verdict};

#[cfg(test)]
mod tests;
