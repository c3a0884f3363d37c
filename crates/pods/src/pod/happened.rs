//! What comes back to a worker from the tasks that it started.

use std::collections::BTreeMap;

use super::begin::NotStarted;
use crate::bundle::Record;
use crate::sandbox::Sandbox;
use crate::volumes::Ready;

/// Something that happened, to the Pod or to one start of a container.
#[derive(Debug)]
pub struct Happened {
    /// The container's name; empty for the Pod.
    pub container: String,
    /// Which start of it.
    pub attempt: u32,
    /// What.
    pub outcome: Outcome,
}

/// What happened. Errors are in words: they are told, not decided upon.
#[derive(Debug)]
pub enum Outcome {
    /// The sandbox was made, or not.
    Sandbox(Result<Sandbox, String>),
    /// The sandbox was removed, or not.
    SandboxRemoved(Result<(), String>),
    /// The volumes were made, or not.
    Volumes(Result<BTreeMap<String, Ready>, String>),
    /// The volumes were brought up to date, or not.
    VolumesRefreshed(Result<BTreeMap<String, Ready>, String>),
    /// A container was started, or not.
    Started(Box<Result<Record, NotStarted>>),
    /// The postStart hook ended, well or not.
    Hooked(Result<(), String>),
    /// A container's parent has ended. Its record, if it can be read.
    Exited(Result<Option<Box<Record>>, String>),
    /// A container was asked to end and did; what went wrong with its hook.
    Stopped(Result<Option<String>, String>),
}

impl Happened {
    /// To the Pod.
    pub fn of(outcome: Outcome) -> Self {
        Self { container: String::new(), attempt: 0, outcome }
    }

    /// To a container.
    pub fn to(container: &str, attempt: u32, outcome: Outcome) -> Self {
        Self { container: container.to_owned(), attempt, outcome }
    }
}
