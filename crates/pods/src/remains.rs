//! What a node left behind: found by what is on disk alone, ended and removed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::bundle::Record;
use crate::cgroups::{CgroupError, Cgroups};
use crate::durable;
use crate::layout::{self, Layout};
use crate::mounts;
use crate::process::ProcessId;

/// As long is waited for killed processes to be gone, and for their control groups to be empty.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a cleanup has to know beside the state directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The run directory.
    pub run_dir: PathBuf,
    /// The node's control group.
    pub cgroup_parent: PathBuf,
}

/// Why something is left.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// A file, mount or process.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the machine said.
        source: io::Error,
    },
    /// A control group.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// A process that does not end although it was killed.
    #[error("process {0} does not end")]
    Process(i32),
}

/// Ends every container of a node whose process is gone, and removes its mounts, namespaces, control groups and files;
/// links go with the namespaces. Where nothing is left there is nothing to do.
/// Blocks for as long as processes take to die.
///
/// `state_dir` is that of the node's [`crate::config::Config`].
///
/// # Errors
/// What could not be ended or removed; what comes after it in that order is left.
pub fn cleanup(state_dir: &Path) -> Result<(), CleanupError> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |source| CleanupError::Io { what, source }
    };
    let note: Option<Note> = durable::read_json(&layout::note(state_dir)).map_err(failed("reading the node's note"))?;
    let Some(note) = note else { return Ok(()) };
    let layout = Layout::new(state_dir, &note.run_dir);
    let records = records(&layout.pods()).map_err(failed("looking for containers"))?;
    kill(&records)?;
    for path in [layout.running_pods(), layout.pods()] {
        mounts::unmount_beneath(&path).map_err(failed(&format!("unmounting what is in {}", path.display())))?;
        mounts::remove_tree(&path).map_err(failed(&format!("removing {}", path.display())))?;
    }
    remove_groups(&note.cgroup_parent)?;
    for path in [layout.addresses(), layout::note(state_dir)] {
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&format!("removing {}", path.display()))(e));
            }
            _ => {}
        }
    }
    // Left when somebody else keeps something there.
    let _not_empty = fs::remove_dir(&note.run_dir);
    Ok(())
}

/// The records of one Pod's containers, or of all Pods in a directory: every `record.json` beneath it at the place where
/// a start has one.
fn records(pods: &Path) -> io::Result<Vec<Record>> {
    let mut all = Vec::new();
    for pod in directories(pods)? {
        all.extend(pod_records(&pod)?);
    }
    Ok(all)
}

fn pod_records(pod: &Path) -> io::Result<Vec<Record>> {
    let mut all = Vec::new();
    for container in directories(&pod.join("containers"))? {
        for attempt in directories(&container)? {
            all.extend(durable::read_json::<Record>(&attempt.join("record.json"))?);
        }
    }
    Ok(all)
}

fn directories(path: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

/// Kills every container, waits until its parent has noted that and ended, and kills the parents that do not.
fn kill(records: &[Record]) -> Result<(), CleanupError> {
    let signal = |process: &ProcessId| {
        let failed = |source| CleanupError::Io { what: format!("killing process {}", process.pid), source };
        process.signal(libc::SIGKILL).map_err(failed)
    };
    for record in records {
        signal(&record.process)?;
    }
    let parents: Vec<&ProcessId> = records.iter().map(|r| &r.parent).collect();
    if wait_gone(&parents, Duration::from_secs(2)).is_err() {
        for parent in &parents {
            signal(parent)?;
        }
    }
    let all: Vec<&ProcessId> = records.iter().flat_map(|r| [&r.process, &r.parent]).collect();
    wait_gone(&all, PATIENCE)
}

fn wait_gone(processes: &[&ProcessId], patience: Duration) -> Result<(), CleanupError> {
    let deadline = Instant::now() + patience;
    loop {
        match processes.iter().find(|p| p.is_alive()) {
            None => return Ok(()),
            Some(process) if Instant::now() > deadline => return Err(CleanupError::Process(process.pid)),
            Some(_) => std::thread::sleep(Duration::from_millis(2)),
        }
    }
}

/// A group is busy for a moment after its last process has ended.
fn remove_groups(parent: &Path) -> Result<(), CleanupError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match Cgroups::remove_all(parent) {
            Err(e) if e.source.kind() == io::ErrorKind::ResourceBusy && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(2));
            }
            other => return other.map_err(CleanupError::from),
        }
    }
}

/// Kills what runs of one Pod that is not wanted any more and whose specification nobody knows.
///
/// # Errors
/// What could not be ended.
pub fn kill_pod(pod_state: &Path) -> Result<(), CleanupError> {
    let failed =
        |source| CleanupError::Io { what: format!("looking for containers in {}", pod_state.display()), source };
    kill(&pod_records(pod_state).map_err(failed)?)
}

/// The uids of the Pods that have left something.
///
/// # Errors
/// Reading the state directory.
pub fn pods(layout: &Layout) -> io::Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for root in [layout.pods(), layout.running_pods()] {
        let names = directories(&root)?.into_iter().filter_map(|p| p.file_name()?.to_str().map(str::to_owned));
        found.extend(names);
    }
    Ok(found)
}
