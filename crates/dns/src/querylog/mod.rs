//! A line of JSON for questions and their answers, with the fields that dnstap has for them.
//!
//! In reading order: [`entry`] (one question and its answer, and the line that it becomes), [`QueryLog`] (a bounded queue
//! and the thread that writes; what does not fit is counted and not written, so that a slow disk slows no answer).

pub mod entry;
mod writing;

pub use entry::{Classes, Entry};
pub use writing::{QueryLog, QueryLogCounts, QueryLogError, Settings, Sink};

#[cfg(test)]
mod tests;
