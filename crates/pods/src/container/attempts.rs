//! The starts of a container that the disk tells of, and what is left of each.

use std::fs;
use std::io;

use crate::bundle::Record;
use crate::durable;
use crate::layout::{BadName, PodDir};
use crate::mounts;

/// What cannot be read or removed.
#[derive(Debug, thiserror::Error)]
pub enum AttemptsError {
    /// The container's name cannot name a directory.
    #[error(transparent)]
    Name(#[from] BadName),
    /// The machine refused.
    #[error("the starts of container {container}: {source}")]
    Io {
        /// The container.
        container: String,
        /// What the machine said.
        source: io::Error,
    },
}

/// One start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 0.
    pub number: u32,
    /// What is known of it; none where it never came to a process.
    pub record: Option<Record>,
}

/// Every start that is still on disk, the first one first.
///
/// # Errors
/// Reading.
pub fn list(dir: &PodDir, container: &str) -> Result<Vec<Attempt>, AttemptsError> {
    let failed = |source| AttemptsError::Io { container: container.to_owned(), source };
    let mut all = Vec::new();
    let entries = match fs::read_dir(dir.attempts(container)?) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(all),
        other => other.map_err(failed)?,
    };
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let Some(number) = name.to_str().and_then(|n| n.parse().ok()) else { continue };
        let record = durable::read_json(&dir.container(container, number)?.record()).map_err(failed)?;
        all.push(Attempt { number, record });
    }
    all.sort_by_key(|attempt| attempt.number);
    Ok(all)
}

/// Removes what the starts before `keep_from` left.
///
/// # Errors
/// Removing; a start that still runs is left.
pub fn remove_before(dir: &PodDir, container: &str, keep_from: u32) -> Result<(), AttemptsError> {
    let failed = |source| AttemptsError::Io { container: container.to_owned(), source };
    for attempt in list(dir, container)?.into_iter().filter(|a| a.number < keep_from) {
        if attempt.record.is_some_and(|r| r.process.is_alive()) {
            continue;
        }
        let start = dir.container(container, attempt.number)?;
        match fs::remove_file(&start.bundle) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
            _ => {}
        }
        mounts::remove_tree(&start.state).map_err(failed)?;
    }
    Ok(())
}
