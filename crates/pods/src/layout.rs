//! Where everything of a node's Pods lies.
//!
//! ```text
//! STATE/node.json                                  where RUN is, for a cleanup that knows just STATE
//!       addresses.json                             which Pod has which address
//!       pods/UID/sandbox.json                      address and link
//!                etc/{hosts,hostname,resolv.conf}
//!                volumes/NAME/
//!                containers/NAME/N/{upper,work,root,log,record.json,termination-log}     the Nth start, from 0
//! RUN/pods/UID/{net,uts,ipc,shm}                   mounts
//!              volumes/NAME/                       what comes from the cluster, or is kept in memory
//!              NAME-N.json                         bundle of the Nth start of container NAME
//! ```

use std::path::{Path, PathBuf};

/// The two roots.
#[derive(Clone, Debug)]
pub struct Layout {
    state: PathBuf,
    run: PathBuf,
}

/// The directories of one Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodDir {
    /// Beneath the state directory.
    pub state: PathBuf,
    /// Beneath the run directory.
    pub run: PathBuf,
}

/// The files of one start of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerDir {
    /// Its directory beneath the state directory.
    pub state: PathBuf,
    /// The bundle.
    pub bundle: PathBuf,
}

/// A name that could lead out of its directory.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} cannot name a directory")]
pub struct BadName(pub String);

impl Layout {
    /// Of these roots.
    pub fn new(state: &Path, run: &Path) -> Self {
        Self { state: state.to_owned(), run: run.to_owned() }
    }

    /// Which address is whose.
    pub fn addresses(&self) -> PathBuf {
        self.state.join("addresses.json")
    }

    /// Beneath the state directory, a directory for each Pod.
    pub fn pods(&self) -> PathBuf {
        self.state.join("pods")
    }

    /// Beneath the run directory, a directory for each Pod.
    pub fn running_pods(&self) -> PathBuf {
        self.run.join("pods")
    }

    /// The directories of the Pod with this uid.
    pub fn pod(&self, uid: &str) -> Result<PodDir, BadName> {
        let uid = plain(uid)?;
        Ok(PodDir { state: self.pods().join(uid), run: self.running_pods().join(uid) })
    }
}

/// Where the run directory is noted beneath a state directory.
pub fn note(state: &Path) -> PathBuf {
    state.join("node.json")
}

impl PodDir {
    /// Address and link.
    pub fn sandbox(&self) -> PathBuf {
        self.state.join("sandbox.json")
    }

    /// A file of the Pod's own `/etc`.
    pub fn etc(&self, name: &str) -> PathBuf {
        self.state.join("etc").join(name)
    }

    /// A volume's directory.
    pub fn volume(&self, name: &str) -> Result<PathBuf, BadName> {
        Ok(self.state.join("volumes").join(plain(name)?))
    }

    /// The directory of a volume that ends with the machine's boot.
    pub fn running_volume(&self, name: &str) -> Result<PathBuf, BadName> {
        Ok(self.run.join("volumes").join(plain(name)?))
    }

    /// A namespace's pin: `net`, `uts` or `ipc`.
    pub fn namespace(&self, kind: &str) -> PathBuf {
        self.run.join(kind)
    }

    /// The Pod's shared memory.
    pub fn shm(&self) -> PathBuf {
        self.run.join("shm")
    }

    /// Beneath it, a directory for each container that was ever started.
    pub fn containers(&self) -> PathBuf {
        self.state.join("containers")
    }

    /// The starts of one container, each a directory named by its number.
    pub fn attempts(&self, container: &str) -> Result<PathBuf, BadName> {
        Ok(self.containers().join(plain(container)?))
    }

    /// One start of a container.
    pub fn container(&self, container: &str, attempt: u32) -> Result<ContainerDir, BadName> {
        let state = self.attempts(container)?.join(attempt.to_string());
        Ok(ContainerDir { state, bundle: self.run.join(format!("{container}-{attempt}.json")) })
    }
}

impl ContainerDir {
    /// What is known of it.
    pub fn record(&self) -> PathBuf {
        self.state.join("record.json")
    }

    /// Its output.
    pub fn log(&self) -> PathBuf {
        self.state.join("log")
    }

    /// What it says of its end.
    pub fn termination_log(&self) -> PathBuf {
        self.state.join("termination-log")
    }
}

fn plain(name: &str) -> Result<&str, BadName> {
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let fits = !name.is_empty() && name.len() <= 253 && !name.starts_with('.') && name.chars().all(letters);
    if fits { Ok(name) } else { Err(BadName(name.to_owned())) }
}

#[cfg(test)]
mod tests;
