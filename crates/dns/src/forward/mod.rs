//! Names outside the cluster: asked of upstream servers, kept as long as they say.
//!
//! In reading order: [`wanted`] (a question as it is passed on), [`stored`] (an upstream's answer, checked and put into
//! a form that can be copied behind any equal question), [`cache`] (those answers, bounded by their octets),
//! `upstream` (one exchange with one server), [`Forwarder`] (which server is asked when, and who waits for whom) and
//! `chase` (an alias of the cluster's together with what its target stands for).

pub mod cache;
mod chase;
mod forwarder;
pub mod stored;
mod upstream;
pub mod wanted;

pub use chase::chase;
pub use forwarder::{ForwardCounts, ForwardError, Forwarder, ForwarderConfig, ForwarderConfigError};

#[cfg(test)]
mod tests;
