//! Names that are asked for under another name: CoreDNS' `rewrite name`.
//!
//! In reading order: `text` (names as they are written, because rules compare text), [`rule`] (one rule), [`Rewriter`]
//! (all of them: a question becomes another one, and its answer is turned back).
//!
//! A rewritten question is a whole message, so that whoever answers questions answers it like any other.

mod rewriter;
pub mod rule;
pub(crate) mod text;

pub use rewriter::{Rewriter, Rewritten, Unnameable};
pub use rule::{AnswerRule, Matching, Rule};

#[cfg(test)]
mod tests;
