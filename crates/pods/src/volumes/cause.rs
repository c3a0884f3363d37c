//! What is wrong with a volume.

use std::io;
use std::path::PathBuf;

use crate::environment::error::EnvironmentError;
use crate::layout::BadName;

/// What is wrong with a volume.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// It shows what is not there.
    #[error(transparent)]
    Content(#[from] EnvironmentError),
    /// A ConfigMap or Secret lacks a key, or a path leads out.
    #[error("references non-existent config key: {0}")]
    MissingKey(String),
    /// A path of an item that is none.
    #[error("{0:?} is not a path within the volume")]
    BadPath(String),
    /// A kind of volume that is not known here.
    #[error("volumes of the kind {0} are not supported by this node")]
    Unsupported(&'static str),
    /// What a hostPath has to be, it is not.
    #[error("hostPath type check failed: {0}")]
    HostPath(String),
    /// Its name cannot name a directory.
    #[error(transparent)]
    Name(#[from] BadName),
    /// The machine refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the machine said.
        source: io::Error,
    },
}
