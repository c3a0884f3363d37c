//! CoreDNS' configuration file: the common part of it, read into plain settings.
//!
//! In reading order: [`mistake`], [`surroundings`] (the files and variables that it may refer to), `words`, `blocks` (a text
//! becomes server blocks, their plugins and options), `arguments` (what words mean), `plugins` (a file for each), `site`
//! (one server block), [`parse`] (all of them together).
//!
//! Everything is understood or refused: a plugin or an option that means nothing here is named, with its line and what to
//! do instead. What CoreDNS' plugins do and this server does anyway (rotating addresses, answering ANY as RFC 8482 says)
//! is accepted.
//!
//! Where this server differs: the longest zone decides which `forward` is asked, whatever their order; above
//! `max_concurrent`, questions get SERVFAIL; `cache` is for names outside the cluster alone, because the index is never
//! old; `reload` and `health` are of the whole file.

mod arguments;
mod blocks;
pub mod mistake;
mod plugins;
mod site;
pub mod surroundings;
mod whole;
mod words;

pub use mistake::{Mistake, Wrong};
pub use plugins::serving::Reload;
pub use surroundings::{Machine, Surroundings};
pub use whole::{Corefile, parse, parse_with};

#[cfg(test)]
mod tests;
