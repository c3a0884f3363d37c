//! Names outside the cluster: asked of upstream servers, kept as long as they say.
//!
//! In reading order: [`settings`] (who is asked for which names, and how), [`keep`] (for how long answers are kept),
//! [`wanted`] (a question as it is passed on), [`stored`] (an upstream's answer, checked and put into a form that can be
//! copied behind any equal question), [`cache`] (those answers, bounded by their octets), `matching`, [`tls`], `stream`
//! and `exchange` (one exchange with one server), `upstream` (a server that is probed when it was of no help), `way` (the
//! servers for a zone, in their order), `loops` (whether a server sends our questions back), [`counts`],
//! [`exposition`] (under CoreDNS' names), [`Forwarder`] (who waits for whom) and `chase` (an alias of the cluster's together with what its target stands for).

pub mod cache;
mod chase;
pub mod counts;
mod exchange;
pub mod exposition;
mod forwarder;
pub mod keep;
mod loops;
mod matching;
pub mod settings;
pub mod stored;
mod stream;
pub mod tls;
mod upstream;
pub mod wanted;
mod way;

pub use chase::chase;
pub(crate) use chase::fit;
pub use counts::ForwardCounts;
pub use forwarder::{ForwardError, Forwarder, ForwarderConfigError, LookedUp};
pub(crate) use keep::lies_in;
pub use loops::LoopFound;
pub use settings::Settings;

#[cfg(test)]
mod tests;
