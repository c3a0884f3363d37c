//! What a Pod has come to, as the disk tells it: a node that was started again goes on with containers that run.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod};

use super::finish;
use super::state::{ContainerState, Ended, Now, Running, SandboxState, State};
use crate::bundle::Record;
use crate::container::attempts::{self, Attempt, AttemptsError};
use crate::layout::PodDir;
use crate::process::ProcessId;
use crate::sandbox::{SandboxError, Sandboxes};
use crate::spec::{self, RestartPolicy, Role};

/// Why it cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The sandbox's file.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The containers' files.
    #[error(transparent)]
    Attempts(#[from] AttemptsError),
    /// A container that has to end and does not.
    #[error("ending process {pid}: {source}")]
    Kill {
        /// Which.
        pid: i32,
        /// What the machine said.
        source: std::io::Error,
    },
}

/// Reads the state of a Pod. Containers whose sandbox is gone, or which never came to run, are killed. Blocks.
///
/// # Errors
/// A file that cannot be read.
pub fn recover(dir: &PodDir, pod: &Pod, now: Timestamp) -> Result<State, RecoverError> {
    let mut state = State::new(now);
    let known = pod.status.as_ref();
    state.started_at = known.and_then(|s| s.start_time.as_ref()).map_or(now, |t| t.0);
    let sandbox = Sandboxes::find(dir)?;
    let stands = sandbox.is_some();
    if let Some(sandbox) = sandbox {
        state.address = sandbox.address;
        state.sandbox = SandboxState::Ready(sandbox);
    } else if let Some(ip) = known.and_then(|s| s.pod_ip.as_ref()).and_then(|ip| ip.parse().ok()) {
        // One that has ended keeps the address that it had; one that goes on gets another.
        state.address = Some(ip).filter(|_| is_over(pod));
    }
    for (role, container) in spec::containers(pod) {
        let found = attempts::list(dir, &container.name)?;
        let mut recovered = one(dir, pod, container, &found, stands)?;
        recovered.begun = recovered.starts > 0;
        if !stands && !is_over(pod) {
            recovered = anew(role, spec::restart_policy(pod), recovered);
        }
        state.containers.insert(container.name.clone(), recovered);
    }
    if is_over(pod) && !stands {
        state.sandbox = SandboxState::Removed;
    }
    Ok(state)
}

fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|s| s.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// A container whose sandbox is gone runs again in the next one, init containers too, unless the Pod's policy lets it
/// rest.
fn anew(role: Role, policy: RestartPolicy, state: ContainerState) -> ContainerState {
    let Now::Ended(ended) = &state.now else { return state };
    let rests = match policy {
        RestartPolicy::Never => true,
        RestartPolicy::OnFailure => role == Role::App && ended.code == 0,
        RestartPolicy::Always => false,
    };
    if rests {
        return state;
    }
    let before = Some(ended.clone());
    ContainerState { starts: state.starts, before, ..ContainerState::default() }
}

fn one(
    dir: &PodDir,
    pod: &Pod,
    container: &Container,
    found: &[Attempt],
    stands: bool,
) -> Result<ContainerState, RecoverError> {
    let known = known_status(pod, &container.name);
    let mut state = ContainerState::default();
    for attempt in found {
        let (Some(record), Ok(start)) = (&attempt.record, dir.container(&container.name, attempt.number)) else {
            continue;
        };
        let running = running(container, attempt.number, record, known);
        let alive = record.exit.is_none() && record.started_at.is_some() && record.parent.is_alive();
        if alive && stands {
            state.starts = attempt.number + 1;
            state.now = Now::Running(Box::new(running));
            continue;
        }
        if record.exit.is_none() {
            kill(&record.process)?;
            kill(&record.parent)?;
        }
        if record.started_at.is_none() && record.exit.is_none() {
            // It never ran: its number is used again.
            continue;
        }
        state.starts = attempt.number + 1;
        let ended = finish::ended(container, &start, &running, Some(record));
        let before = match std::mem::replace(&mut state.now, Now::Ended(with_fault(ended, record))) {
            Now::Ended(before) => Some(before),
            _ => None,
        };
        state.before = before.or(state.before);
    }
    if found.is_empty() {
        return Ok(told(container, known).unwrap_or(state));
    }
    Ok(state)
}

/// A program that could not be executed says so instead of last words.
fn with_fault(mut ended: Ended, record: &Record) -> Ended {
    if let Some(fault) = record.exit.as_ref().and_then(|e| e.fault.as_ref()) {
        ended.reason = "StartError";
        ended.message.clone_from(&fault.message);
        ended.started_at = None;
    }
    ended
}

fn running(container: &Container, attempt: u32, record: &Record, known: Option<&ContainerStatus>) -> Running {
    let id = known.and_then(|s| s.container_id.as_deref()).and_then(|id| id.split_once("://")).map(|(_, id)| id);
    // What was said of this very container before still counts, until a probe says otherwise.
    let same = known.filter(|_| id == Some(record.container_id.as_str()));
    Running {
        attempt,
        id: record.container_id.clone(),
        image: record.image.clone(),
        image_id: record.image_id.clone(),
        stop_signal: record.stop_signal,
        process: record.process.clone(),
        parent: record.parent.clone(),
        started_at: record.started_at.unwrap_or(Timestamp::UNIX_EPOCH),
        hooking: false,
        probed: container.startup_probe.is_none() || same.is_some_and(|s| s.started == Some(true)),
        ready: container.readiness_probe.is_none() || same.is_some_and(|s| s.ready),
        stopping: false,
    }
}

/// Where the disk knows nothing, as after the loss of a node's files, the API server's word keeps a container that did
/// its work from doing it again, and one that ran then has ended in some way.
fn told(container: &Container, known: Option<&ContainerStatus>) -> Option<ContainerState> {
    let known = known?;
    let api = known.state.as_ref()?;
    let id = known.container_id.as_deref().and_then(|id| id.split_once("://")).map(|(_, id)| id.to_owned());
    let mut ended = Ended {
        id: id.unwrap_or_default(),
        image: container.image.clone().unwrap_or_default(),
        image_id: known.image_id.clone(),
        code: 137,
        signal: None,
        reason: "ContainerStatusUnknown",
        message: "the container was not found when the node was started again".to_owned(),
        started_at: None,
        finished_at: Timestamp::now(),
    };
    if let Some(terminated) = &api.terminated {
        ended.code = terminated.exit_code;
        ended.signal = terminated.signal;
        ended.reason = if terminated.exit_code == 0 { "Completed" } else { "Error" };
        ended.message = terminated.message.clone().unwrap_or_default();
        ended.started_at = terminated.started_at.as_ref().map(|t| t.0);
        ended.finished_at = terminated.finished_at.as_ref().map_or(Timestamp::UNIX_EPOCH, |t| t.0);
    } else if let Some(running) = &api.running {
        ended.started_at = running.started_at.as_ref().map(|t| t.0);
    } else {
        return None;
    }
    let starts = u32::try_from(known.restart_count).unwrap_or(0) + 1;
    Some(ContainerState { starts, now: Now::Ended(ended), ..ContainerState::default() })
}

fn known_status<'a>(pod: &'a Pod, name: &str) -> Option<&'a ContainerStatus> {
    let status = pod.status.as_ref()?;
    let all = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    all.into_iter().find(|s| s.name == name)
}

fn kill(process: &ProcessId) -> Result<(), RecoverError> {
    process.signal(libc::SIGKILL).map_err(|source| RecoverError::Kill { pid: process.pid, source })
}
