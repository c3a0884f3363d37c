//! The run folder of a cluster: what is there while it runs, and what tells a later command what a killed one left.
//!
//! | file | what |
//! |---|---|
//! | `lock` | held by the command that acts on the cluster; in it, which one |
//! | `layout.json` | everything that it may have made, by name; written before the first of it is made |
//! | `host.netns` | its network namespace: the bridge and the routes are there |
//! | `control.sock` | its door |
//! | `up.log` | what `up --detach` says once it is in the background |
//! | `nodes/NAME.json`, `nodes/NAME.log` | each node's process, and what it says |
//! | `nodes/NAME.netns` | the cookie of its network namespace |
//! | `nodes/NAME.kubeconfig` | with which it joins |
//! | `nodes/NAME.run/` | its Pods' namespaces and containers' parents |

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::layout::Layout;
use crate::process::ProcessId;
use crate::refusal::Refusal;

#[cfg(test)]
mod tests;

/// How often a folder is made again that another command removes at the same moment.
const ATTEMPTS: usize = 100;

/// The run folder of a cluster.
#[derive(Clone, Debug)]
pub struct RunDir(PathBuf);

/// What a command does to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doing {
    /// `up`: it starts, or runs.
    Up,
    /// It is being taken down.
    Down,
}

/// Who acts on a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// What it does.
    pub doing: Doing,
    /// The process.
    pub process: ProcessId,
}

/// That this process alone acts on the cluster; given back when dropped.
pub struct Claim {
    lock: Flock<File>,
    folder: RunDir,
}

impl RunDir {
    /// The folder at a path, whether it is there or not.
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Makes the folder and claims it.
    ///
    /// # Errors
    /// When another process has it.
    pub fn claim(&self, cluster: &str, doing: Doing) -> Result<Claim> {
        for _ in 0..ATTEMPTS {
            let Some(file) = self.open_lock()? else { continue };
            let Ok(lock) = Flock::lock(file, FlockArg::LockExclusiveNonblock) else {
                return Err(self.refuse(cluster).into());
            };
            // The one that had it may have removed the folder just before it gave the lock back.
            if !self.is_lock(&lock) {
                continue;
            }
            let mut claim = Claim { lock, folder: self.clone() };
            claim.now(doing)?;
            self.sweep();
            return Ok(claim);
        }
        Err(self.refuse(cluster).into())
    }

    /// Opens the lock in the folder; `None` when somebody removed the folder meanwhile.
    fn open_lock(&self) -> Result<Option<File>> {
        let path = self.0.join("lock");
        let open = || -> io::Result<File> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(self.0.join("nodes"))?;
            // What is in it tells the one that has it: it is not cut short before it is ours.
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)
        };
        match open() {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Refusal::new(format!("cannot make {}: {e}; /run must be writable", path.display())).into()),
        }
    }

    /// What the folder is called, but for a number, while it is being removed. No cluster's name begins with a dot.
    fn gone(&self) -> String {
        format!(".{}.gone-", self.0.file_name().unwrap_or_default().to_string_lossy())
    }

    /// Removes what is left of folders whose removal was cut short; what cannot be removed now is tried the next time.
    fn sweep(&self) {
        for entry in self.0.parent().and_then(|root| fs::read_dir(root).ok()).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(&self.gone()) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn is_lock(&self, file: &File) -> bool {
        let (held, named) = (file.metadata(), fs::metadata(self.0.join("lock")));
        matches!((held, named), (Ok(held), Ok(named)) if held.ino() == named.ino() && held.dev() == named.dev())
    }

    fn refuse(&self, cluster: &str) -> Refusal {
        Refusal::new(match self.holder() {
            Some(Holder { doing: Doing::Up, process }) => format!(
                "the cluster {cluster} runs already (process {}); take it down with `portolan down --name {cluster}`, or give another --name",
                process.pid()
            ),
            Some(Holder { doing: Doing::Down, process }) => format!(
                "the cluster {cluster} is being taken down (process {}); try again when that is done",
                process.pid()
            ),
            None => format!("another command acts on the cluster {cluster} at this moment; try again"),
        })
    }

    /// Who acts on the cluster now, as far as it has said so.
    pub fn holder(&self) -> Option<Holder> {
        // Empty or half written for a moment after the lock was taken: then nobody has said so yet.
        let bytes = fs::read(self.0.join("lock")).ok()?;
        serde_json::from_slice::<Holder>(&bytes).ok().filter(|holder| holder.process.is_alive())
    }

    /// Whether there is such a folder.
    pub fn exists(&self) -> bool {
        self.0.exists()
    }

    /// Where the network namespace of `up` is pinned.
    pub fn host(&self) -> PathBuf {
        self.0.join("host.netns")
    }

    /// The door of the running `up`.
    pub fn control(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    /// Where `up` writes when it runs in the background.
    pub fn up_log(&self) -> PathBuf {
        self.0.join("up.log")
    }

    /// Where a node's process is written down.
    pub fn node(&self, name: &str) -> PathBuf {
        self.of_node(name, "json")
    }

    /// Where a node writes what it has to say.
    pub fn node_log(&self, name: &str) -> PathBuf {
        self.of_node(name, "log")
    }

    /// Where a node keeps what a reboot makes worthless.
    pub fn node_run(&self, name: &str) -> PathBuf {
        self.of_node(name, "run")
    }

    /// The kubeconfig with which a node joins.
    pub fn node_kubeconfig(&self, name: &str) -> PathBuf {
        self.of_node(name, "kubeconfig")
    }

    fn of_node(&self, name: &str, what: &str) -> PathBuf {
        self.0.join("nodes").join(format!("{name}.{what}"))
    }

    /// Writes down the cookie of a node's network namespace.
    ///
    /// # Errors
    /// As the file system gives them.
    pub fn write_cookie(&self, node: &str, cookie: u64) -> Result<()> {
        let path = self.of_node(node, "netns");
        fs::write(&path, cookie.to_string()).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The cookie of a node's network namespace; `None` where none was made.
    ///
    /// # Errors
    /// When the file cannot be read. One without a number was being written when we were killed, before anything was made.
    pub fn read_cookie(&self, node: &str) -> Result<Option<u64>> {
        let path = self.of_node(node, "netns");
        match fs::read_to_string(&path) {
            Ok(text) => Ok(text.parse().ok()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
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
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| {
                Refusal::new(format!(
                    "{} is damaged ({e}), so that nobody knows what to remove; remove what is left by hand, and the folder {}",
                    path.display(),
                    self.0.display()
                ))
                .into()
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }
}

impl Claim {
    /// Says what is done to the cluster from now on.
    ///
    /// # Errors
    /// As the file system gives them.
    pub fn now(&mut self, doing: Doing) -> Result<()> {
        let holder = serde_json::to_vec(&Holder { doing, process: ProcessId::of(std::process::id())? })?;
        let write = || -> io::Result<()> {
            let mut file: &File = &self.lock;
            file.rewind()?;
            file.write_all(&holder)?;
            file.set_len(holder.len() as u64)
        };
        write().with_context(|| format!("cannot write {}", self.folder.0.join("lock").display()))
    }

    /// Removes the folder, and gives the lock back. The folder goes in one step: who claims it from now on makes a new one.
    ///
    /// # Errors
    /// As the file system gives them.
    pub fn remove(self) -> Result<()> {
        let folder = &self.folder.0;
        let remove = || -> io::Result<()> {
            let gone = folder.with_file_name(format!("{}{}", self.folder.gone(), self.lock.metadata()?.ino()));
            fs::rename(folder, &gone)?;
            match fs::remove_dir_all(&gone) {
                // The next one to have a folder of this name has swept it away already.
                Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed,
            }
        };
        remove().with_context(|| format!("cannot remove {}", folder.display()))?;
        if let Some(root) = folder.parent() {
            // Where another cluster runs, it is not empty and stays.
            let _ = fs::remove_dir(root);
        }
        Ok(())
    }
}
