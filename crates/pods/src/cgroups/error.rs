//! What the machine refused.

use std::io;
use std::path::PathBuf;

/// Why a group was not made.
#[derive(Debug, thiserror::Error)]
#[error("control group {}: {source}", path.display())]
pub struct CgroupError {
    /// The group's directory, or the file in it.
    pub path: PathBuf,
    /// What the machine said.
    pub source: io::Error,
}
