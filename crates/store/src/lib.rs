//! Revisions, compare-and-swap over several keys, watch from a revision, compaction; on disk in redb.
//!
//! A [`Store`] maps keys to values. A [`Transaction`] compares, puts and deletes several keys at once: all of it
//! happens at one new revision or none of it does, and when [`Store::commit`] answers, it is on disk. One thread
//! writes: it takes every transaction that is queued, checks and appends each in turn, syncs once and answers all
//! (group commit). Values are not kept in memory: the API server holds every object already. What happened after a
//! revision is read from a log, which is compacted by count and by age: [`Store::watch`].
//!
//! On disk are three tables of one redb file: the live records, the log of event batches by revision, and the
//! numbers (format, revision, compacted revision). All three change in one redb transaction, so a crash at any
//! point leaves the state of some revision, whole.
//!
//! In reading order: [`transaction`] (what can be asked), [`event`] (what is told), `disk` (tables and their
//! encoding), `recent` (the newest batches, in memory), `committer` (the thread that writes), [`watcher`], [`store`].

mod committer;
mod disk;
pub mod event;
mod recent;
pub mod store;
pub mod transaction;
pub mod watcher;

pub use event::{Change, Event, EventBatch, Record};
pub use store::{Options, Store};
pub use transaction::{Commit, CommitError, Compare, Expect, OpenError, Operation, ReadError, Transaction};
pub use watcher::{WatchError, Watcher};
