//! The folder of a cluster's objects: whose it is, where it is, and forgetting it.
//!
//! | file | what |
//! |---|---|
//! | `owner.json` | whose folder it is; written before anything else |
//! | `objects.redb`, `pki/` | objects and keys |
//! | `images/` | images |
//! | `nodes/NAME/` | what the Pods of a node keep |
//! | `kubeconfig` | the administrator's, unless `--kubeconfig` says otherwise |
//!
//! Nothing else in it is ever removed, and a folder that holds something and is nobody's is not taken. Where a cluster's
//! folder is not the default one, `/var/lib/portolan/NAME.data-dir` remembers it after the cluster is down.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::kubeconfig;
use crate::layout;
use crate::refusal::Refusal;
use crate::run_dir::RunDir;

#[cfg(test)]
mod tests;

/// What is ours in a data folder, the owner's mark last: as long as it is there, the rest may be removed.
const OURS: [&str; 6] = ["objects.redb", "pki", "images", "nodes", "kubeconfig", OWNER];
const OWNER: &str = "owner.json";
const PROBE: &str = ".probe";
/// What a claim that was killed may leave, before there is an owner.
const UNFINISHED: [&str; 2] = [PROBE, "owner.new"];
/// The least that a cluster needs on disk at its start, in bytes: keys, objects, what its first Pods write.
const LEAST_FREE: u64 = 8 << 20;

/// Who keeps objects in a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// A cluster of `up`.
    Cluster {
        /// Its name.
        name: String,
        /// Where its administrator's kubeconfig is.
        kubeconfig: PathBuf,
    },
    /// A control plane of `portolan server`.
    Server,
}

impl Owner {
    fn shown(&self) -> String {
        match self {
            Self::Cluster { name, .. } => format!("the cluster {name}"),
            Self::Server => "`portolan server`".to_owned(),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cluster { name, .. }, Self::Cluster { name: other, .. }) => name == other,
            (Self::Server, Self::Server) => true,
            _ => false,
        }
    }
}

/// Where the objects of a cluster are: as it runs, as it last ran, or by default.
///
/// # Errors
/// When its name is none, or a file that would tell is damaged.
pub fn find(name: &str) -> Result<PathBuf> {
    layout::check_name(name)?;
    if let Some(running) = RunDir::at(&layout::run_dir(name)).read_layout()? {
        return Ok(running.data_dir);
    }
    match fs::read_to_string(memory(name)) {
        Ok(path) => Ok(PathBuf::from(path.trim_end_matches('\n'))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(layout::default_data_dir(name)),
        Err(e) => Err(e).with_context(|| format!("cannot read {}", memory(name).display())),
    }
}

/// Whether a folder is somebody's.
pub fn is_kept(path: &Path) -> bool {
    path.join(OWNER).exists()
}

/// Makes a folder its owner's, or sees that it is, and that it can be written.
///
/// # Errors
/// When it is somebody else's, or cannot be written; a folder that was made for this is removed again.
pub fn claim(path: &Path, owner: &Owner) -> Result<()> {
    let refused = |why: String| anyhow::Error::from(Refusal::new(format!("--data-dir {}: {why}", path.display())));
    match read_owner(path)? {
        Some(held) if !held.is_same(owner) => {
            return Err(refused(format!("it is {}'s; give another folder", held.shown())));
        }
        Some(_) => {}
        None if !is_empty(path).map_err(|e| refused(format!("{e}; give a folder")))? => {
            return Err(refused("it holds files of somebody else; give an empty folder, or a new one".to_owned()));
        }
        None => {}
    }
    let made = first_missing(path);
    let usable = make(path).and_then(|()| has_room(path)).and_then(|()| write_owner(path, owner));
    usable.map_err(|error| {
        match made {
            Some(made) => {
                // What cannot be written cannot be removed either, maybe; that it cannot be written is what matters.
                let _ = fs::remove_dir_all(made);
            }
            None if read_owner(path).is_ok_and(|held| held.is_none()) => {
                let _ = fs::remove_file(path.join(OWNER));
            }
            None => {}
        }
        refused(match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                format!("the disk is full ({error}); make room, or give a folder on another one")
            }
            _ => format!("cannot be written ({error}); give a folder that can"),
        })
    })
}

/// Remembers a folder that is not the default one, for commands after the cluster is down.
///
/// # Errors
/// As the file system gives them.
pub fn remember(name: &str, path: &Path) -> io::Result<()> {
    let memory = memory(name);
    if path == layout::default_data_dir(name) {
        return match fs::remove_file(&memory) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        };
    }
    if let Some(folder) = memory.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut line = path.as_os_str().as_encoded_bytes().to_vec();
    line.push(b'\n');
    let new = memory.with_extension("data-dir.new");
    fs::write(&new, line)?;
    fs::rename(new, memory)
}

/// Removes what is a cluster's in a folder, and the folder if nothing else is in it; whether it is gone.
///
/// # Errors
/// When the folder is somebody else's, or something cannot be removed.
pub fn forget(name: &str, path: &Path) -> Result<bool> {
    match read_owner(path)? {
        Some(Owner::Cluster { name: owner, kubeconfig }) if owner == name => kubeconfig::remove(&kubeconfig, name)?,
        Some(owner) => {
            return Err(Refusal::new(format!("{} is {}'s; it is left as it is", path.display(), owner.shown())).into());
        }
        None => {}
    }
    for entry in UNFINISHED.into_iter().chain(OURS) {
        let entry = path.join(entry);
        let removed = match fs::symlink_metadata(&entry) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&entry),
            Ok(_) => fs::remove_file(&entry),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(e) => Err(e),
        };
        removed.with_context(|| format!("cannot remove {}", entry.display()))?;
    }
    let is_gone = fs::remove_dir(path).is_ok();
    match fs::remove_file(memory(name)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e).context("cannot forget where the objects were")?,
        _ => {}
    }
    if let Some(root) = memory(name).parent() {
        // Where another cluster's objects are, it is not empty and stays.
        let _ = fs::remove_dir(root);
    }
    Ok(is_gone)
}

fn memory(name: &str) -> PathBuf {
    layout::default_data_dir(name).with_extension("data-dir")
}

fn read_owner(path: &Path) -> Result<Option<Owner>> {
    let file = path.join(OWNER);
    match fs::read(&file) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| Refusal::new(format!("{} is damaged ({e}); give another --data-dir", file.display())).into()),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(Refusal::new(format!("cannot read {}: {e}; give another --data-dir", file.display())).into()),
    }
}

fn write_owner(path: &Path, owner: &Owner) -> io::Result<()> {
    // Written anew at each start: that is the proof that the folder can be written.
    apiserver::pki::write_private(&path.join(OWNER), &serde_json::to_string(owner)?)
}

fn is_empty(path: &Path) -> io::Result<bool> {
    let entries = match fs::read_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
        entries => entries?,
    };
    for entry in entries {
        if !UNFINISHED.iter().any(|name| entry.as_ref().is_ok_and(|e| e.file_name() == *name)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The uppermost folder of a path that is not there.
fn first_missing(path: &Path) -> Option<&Path> {
    path.ancestors().take_while(|p| !p.as_os_str().is_empty() && !p.exists()).last()
}

fn make(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn has_room(path: &Path) -> io::Result<()> {
    let room = nix::sys::statvfs::statvfs(path)?;
    let free = room.blocks_available().saturating_mul(room.fragment_size());
    if free < LEAST_FREE {
        let text = format!("{} kB are free, {} kB are needed", free >> 10, LEAST_FREE >> 10);
        return Err(io::Error::new(io::ErrorKind::StorageFull, text));
    }
    // A quota is seen only by writing.
    let probe = path.join(PROBE);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&probe)?;
    let written = file.write_all(&[0; 64 << 10]).and_then(|()| file.sync_all());
    fs::remove_file(&probe)?;
    written
}
