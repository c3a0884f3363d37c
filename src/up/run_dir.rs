//! The run folder of a cluster: what is there while it runs, and what tells a later command what a killed one left.
//!
//! | file | what |
//! |---|---|
//! | `lock` | held by the running `up` |
//! | `up.json` | its process |
//! | `layout.json` | everything that it may have made, by name; written before the first of it is made |
//! | `control.sock` | its door |
//! | `nodes/NAME.json`, `nodes/NAME.log` | each node's process, and what it says |
//! | `nodes/NAME.run/` | its Pods' namespaces and containers' parents |

use std::fs::{self, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

use crate::layout::Layout;
use crate::process::ProcessId;
use crate::refusal::Refusal;

/// The run folder of a cluster.
#[derive(Clone, Debug)]
pub struct RunDir(PathBuf);

/// That this process alone acts on the cluster; given back when dropped.
pub struct Claim(#[expect(dead_code, reason = "held for its Drop, which gives the lock back")] Flock<File>);

impl RunDir {
    /// The folder at a path, whether it is there or not.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Makes the folder and claims it.
    ///
    /// # Errors
    /// When another process has it.
    pub fn claim(&self, cluster: &str) -> Result<Claim> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.0.join("nodes"))
            .with_context(|| format!("cannot make {}", self.0.display()))?;
        let path = self.0.join("lock");
        let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Flock::lock(file, FlockArg::LockExclusiveNonblock).map(Claim).map_err(|_| {
            Refusal::new(format!(
                "the cluster {cluster} runs already; take it down with `portolan down --name {cluster}`, or give another --name"
            ))
            .into()
        })
    }

    /// Whether there is such a folder.
    pub fn exists(&self) -> bool {
        self.0.exists()
    }

    /// The door of the running `up`.
    pub fn control(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    /// Where the process of `up` is written down.
    pub fn up(&self) -> PathBuf {
        self.0.join("up.json")
    }

    /// Where `up` writes when it runs in the background.
    pub fn up_log(&self) -> PathBuf {
        self.0.join("up.log")
    }

    /// Where a node's process is written down.
    pub fn node(&self, name: &str) -> PathBuf {
        self.0.join("nodes").join(format!("{name}.json"))
    }

    /// Where a node writes what it has to say.
    pub fn node_log(&self, name: &str) -> PathBuf {
        self.0.join("nodes").join(format!("{name}.log"))
    }

    /// Where a node keeps what a reboot makes worthless.
    pub fn node_run(&self, name: &str) -> PathBuf {
        self.0.join("nodes").join(format!("{name}.run"))
    }

    /// The kubeconfig with which a node joins.
    pub fn node_kubeconfig(&self, name: &str) -> PathBuf {
        self.0.join("nodes").join(format!("{name}.kubeconfig"))
    }

    /// Writes down what is about to be made.
    ///
    /// # Errors
    /// As the file system gives them.
    pub fn write_layout(&self, layout: &Layout) -> Result<()> {
        let path = self.0.join("layout.json");
        apiserver::pki::write_private(&path, &serde_json::to_string_pretty(layout)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads what may have been made; `None` where nothing was.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn read_layout(&self) -> Result<Option<Layout>> {
        let path = self.0.join("layout.json");
        match fs::read(&path) {
            Ok(bytes) => {
                Ok(Some(serde_json::from_slice(&bytes).with_context(|| format!("{} is damaged", path.display()))?))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// The process of the running `up`, if one runs.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn running(&self) -> Result<Option<ProcessId>> {
        Ok(ProcessId::read(&self.up())?.filter(|p| p.is_alive()))
    }

    /// Removes the folder.
    ///
    /// # Errors
    /// As the file system gives them.
    pub fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.0) {
            Ok(()) => Ok(()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e).with_context(|| format!("cannot remove {}", self.0.display())),
        }
    }
}
