//! What a Pod has come to.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use jiff::Timestamp;

use super::backoff::BackOff;
use crate::process::ProcessId;
use crate::sandbox::Sandbox;
use crate::volumes::Ready;

/// The whole of it.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// What its containers share.
    pub sandbox: SandboxState,
    /// Its volumes.
    pub volumes: VolumesState,
    /// Its containers, by name.
    pub containers: BTreeMap<String, ContainerState>,
    /// When the node took it on.
    pub started_at: Timestamp,
    /// Its own address, also after its network is gone.
    pub address: Option<Ipv4Addr>,
    /// Set once it is to end.
    pub ending: Option<Ending>,
    /// Why all of it has failed, apart from its containers.
    pub failure: Option<Failure>,
}

/// Why a Pod ends, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// When what still runs is killed.
    pub deadline: Timestamp,
    /// The whole time that it has.
    pub grace: Duration,
}

/// Why all of a Pod has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Such as `DeadlineExceeded`.
    pub reason: &'static str,
    /// In words.
    pub message: String,
}

/// What the containers share.
#[derive(Clone, Debug, PartialEq)]
pub enum SandboxState {
    /// Nothing yet.
    Absent,
    /// It is being made.
    Creating,
    /// It stands.
    Ready(Sandbox),
    /// It could not be made; when to try again.
    Failed(String, Timestamp),
    /// It is being removed.
    Removing,
    /// It could not be removed; when to try again.
    Stuck(Timestamp),
    /// It was removed, as the Pod has ended.
    Removed,
}

/// The volumes.
#[derive(Clone, Debug, PartialEq)]
pub enum VolumesState {
    /// Nothing yet.
    Absent,
    /// They are being made.
    Preparing,
    /// All can be shown.
    Ready(BTreeMap<String, Ready>),
    /// One cannot; when to try again.
    Failed(String, Timestamp),
}

/// One container.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerState {
    /// How often it came to run, or to fail at that.
    pub starts: u32,
    /// Whether it did so in the sandbox that stands.
    pub begun: bool,
    /// What it is at.
    pub now: Now,
    /// How it ended before that.
    pub before: Option<Ended>,
    /// The wait before it is started again.
    pub backoff: BackOff,
}

/// What a container is at.
#[derive(Clone, Debug, PartialEq)]
pub enum Now {
    /// Nothing: it has not been started, or could not be.
    Waiting(Waiting),
    /// It is being started.
    Starting,
    /// It runs.
    Running(Box<Running>),
    /// It has ended.
    Ended(Ended),
}

/// Why a container does not run yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Such as `ErrImagePull`; empty while nothing went wrong.
    pub reason: String,
    /// In words.
    pub message: String,
    /// When to try again; none for at once.
    pub retry: Option<Timestamp>,
    /// How often it was tried in vain for the machine's sake.
    pub failures: u32,
}

/// A container that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// Which start it is, from 0.
    pub attempt: u32,
    /// Its id.
    pub id: String,
    /// The image as the specification named it.
    pub image: String,
    /// The image's id.
    pub image_id: String,
    /// What asks it to end.
    pub stop_signal: i32,
    /// Its first process.
    pub process: ProcessId,
    /// That process' parent.
    pub parent: ProcessId,
    /// When it was started.
    pub started_at: Timestamp,
    /// Whether its postStart hook has still to end.
    pub hooking: bool,
    /// What its startup probe says; true without one.
    pub probed: bool,
    /// What its readiness probe says; true without one.
    pub ready: bool,
    /// Whether it was asked to end.
    pub stopping: bool,
}

impl Running {
    /// Whether it has come up: hook and startup probe are through.
    #[must_use]
    pub fn is_started(&self) -> bool {
        !self.hooking && self.probed
    }
}

/// A container that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its id.
    pub id: String,
    /// The image as the specification named it.
    pub image: String,
    /// The image's id.
    pub image_id: String,
    /// The exit code.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// `Completed`, `Error`, `OOMKilled`, `StartError` or `ContainerStatusUnknown`.
    pub reason: &'static str,
    /// What it said of its end.
    pub message: String,
    /// When it was started; none when it could not be.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
}

impl State {
    /// Of a Pod that is new.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            sandbox: SandboxState::Absent,
            volumes: VolumesState::Absent,
            containers: BTreeMap::new(),
            started_at: now,
            address: None,
            ending: None,
            failure: None,
        }
    }

    /// A container's state; one that nothing is known of waits.
    #[must_use]
    pub fn container(&self, name: &str) -> ContainerState {
        self.containers.get(name).cloned().unwrap_or_default()
    }

    /// The container's state, to change.
    pub fn container_mut(&mut self, name: &str) -> &mut ContainerState {
        self.containers.entry(name.to_owned()).or_default()
    }

    /// Whether nothing of it runs or is about to.
    #[must_use]
    pub fn is_still(&self) -> bool {
        !self.containers.values().any(|c| matches!(c.now, Now::Starting | Now::Running(_)))
    }
}

impl Default for ContainerState {
    fn default() -> Self {
        let now = Now::Waiting(Waiting::default());
        Self { starts: 0, begun: false, now, before: None, backoff: BackOff::default() }
    }
}
