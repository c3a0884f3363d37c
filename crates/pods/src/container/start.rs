//! From a bundle to a container that runs.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::bundle::{Bundle, Fault, FaultKind, Record, Report};
use crate::durable::{self, Lasting};
use crate::layout::ContainerDir;

/// Why a container does not run.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `portolan init` said so.
    #[error("{}", .0.message)]
    Fault(Fault),
    /// A file of the start's.
    #[error("{}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the machine said.
        source: io::Error,
    },
    /// `portolan init` could not be run, or gave no answer.
    #[error("running {}: {source}", program.display())]
    Init {
        /// The program.
        program: PathBuf,
        /// What the machine said.
        source: io::Error,
    },
    /// It took too long.
    #[error("the container did not start within {0:?}")]
    Late(Duration),
}

impl StartError {
    /// Whose fault it is.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::Fault(fault) => fault.kind,
            _ => FaultKind::Machine,
        }
    }
}

/// Makes the directories and files of a start, and its bundle's file.
///
/// # Errors
/// The machine refused.
pub fn lay_out(dir: &ContainerDir, bundle: &Bundle) -> Result<(), StartError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| StartError::File { path, source }
    };
    let make = |path: &Path| DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at(path));
    make(&dir.state)?;
    for path in [&bundle.root.upper, &bundle.root.work, &bundle.root.target] {
        make(path)?;
    }
    // The upper directory's rights are those of the container's root.
    let root = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&bundle.root.upper, root).map_err(at(&bundle.root.upper))?;
    let message = dir.termination_log();
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o666).open(&message);
    made.and_then(|f| f.set_permissions(fs::Permissions::from_mode(0o666))).map_err(at(&message))?;
    if let Some(parent) = dir.bundle.parent() {
        make(parent)?;
    }
    durable::write_json(&dir.bundle, bundle, 0o600, Lasting::Process).map_err(at(&dir.bundle))
}

/// Runs `portolan init run` and waits until the container's program is executed.
///
/// # Errors
/// It is not, within the time given or at all. Nothing of it runs then.
pub async fn run(program: &Path, dir: &ContainerDir, deadline: Duration) -> Result<Record, StartError> {
    let failed = |source| StartError::Init { program: program.to_owned(), source };
    let mut command = Command::new(program);
    command.arg("init").arg("run").arg(&dir.bundle);
    // What waits for output waits for the parent too, which answers on it and then lets go.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let output = match tokio::time::timeout(deadline, command.output()).await {
        Ok(output) => output.map_err(failed)?,
        Err(_) => {
            give_up(dir);
            return Err(StartError::Late(deadline));
        }
    };
    match serde_json::from_slice(&output.stdout) {
        Ok(Report::Started(record)) => Ok(*record),
        Ok(Report::Failed(fault)) => Err(StartError::Fault(fault)),
        Err(error) => Err(failed(io::Error::other(format!("no answer ({error}); it ended with {}", output.status)))),
    }
}

/// Ends a start that did not come to its end. What has no record yet has no container either.
fn give_up(dir: &ContainerDir) {
    let record = durable::read_json::<Record>(&dir.record()).ok().flatten();
    for process in record.iter().flat_map(|r| [&r.process, &r.parent]) {
        if let Err(error) = process.signal(libc::SIGKILL) {
            tracing::warn!(pid = process.pid, %error, "a container that did not start cannot be ended");
        }
    }
}
