//! Control groups: of version 1, 2 or both, as the machine has them.
//!
//! ```text
//! HIERARCHY/PARENT/podUID/NAME-N      PARENT is the node's; a container's Nth start has a group of its own
//! ```

mod error;
mod hierarchy;
pub mod limits;

use std::io;
use std::path::{Path, PathBuf};

pub use error::CgroupError;
pub use hierarchy::Hierarchy;

use self::limits::{Limits, Setting};
use crate::bundle::Cgroup;
use crate::mounts;

/// The hierarchies that a node may use, and its place in them.
#[derive(Clone, Debug, Default)]
pub struct Cgroups {
    parent: PathBuf,
    hierarchies: Vec<Hierarchy>,
}

impl Cgroups {
    /// Those of the machine in which the node may make groups. With each that it may not, comes why.
    ///
    /// # Errors
    /// The mount table cannot be read.
    pub fn find(parent: &Path) -> io::Result<(Self, Vec<CgroupError>)> {
        let (mut usable, mut refused) = (Vec::new(), Vec::new());
        for hierarchy in hierarchy::mounted(&mounts::table()?) {
            match hierarchy.make(parent) {
                Ok(()) => usable.push(hierarchy),
                Err(error) => refused.push(error),
            }
        }
        Ok((Self { parent: parent.to_owned(), hierarchies: usable }, refused))
    }

    /// Whether limits have any effect on this machine.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.hierarchies.is_empty()
    }

    /// Makes a container's groups, beneath those of its Pod, with their limits.
    ///
    /// # Errors
    /// The machine refused.
    pub fn create(
        &self,
        uid: &str,
        container: &str,
        of_pod: &Limits,
        of_container: &Limits,
    ) -> Result<Vec<Cgroup>, CgroupError> {
        let pod = self.parent.join(pod_group(uid));
        let mut groups = Vec::new();
        for hierarchy in &self.hierarchies {
            hierarchy.make(&pod)?;
            apply(&hierarchy.path(&pod), &hierarchy.settings(of_pod))?;
            let group = pod.join(container);
            hierarchy.make(&group)?;
            let path = hierarchy.path(&group);
            apply(&path, &hierarchy.settings(of_container))?;
            groups.push(hierarchy.group(path));
        }
        Ok(groups)
    }

    /// Removes a Pod's groups. Nothing may run in them any more; that there are none is no error.
    ///
    /// # Errors
    /// The machine refused; a group in which something still ends is [`io::ErrorKind::ResourceBusy`].
    pub fn remove(&self, uid: &str) -> Result<(), CgroupError> {
        let pod = self.parent.join(pod_group(uid));
        self.hierarchies.iter().try_for_each(|hierarchy| remove_tree(&hierarchy.path(&pod)))
    }

    /// Removes the node's own group and all beneath it, in every hierarchy of the machine.
    ///
    /// # Errors
    /// As [`Cgroups::remove`]; or the mount table cannot be read.
    pub fn remove_all(parent: &Path) -> Result<(), CgroupError> {
        let table = mounts::table().map_err(|source| CgroupError { path: "/proc/self/mountinfo".into(), source })?;
        for hierarchy in hierarchy::mounted(&table) {
            remove_tree(&hierarchy.path(parent))?;
            // Groups above it that nobody else uses: `portolan/NAME` beneath which other nodes may be.
            let mut above = parent.parent();
            while let Some(path) = above.filter(|p| !p.as_os_str().is_empty()) {
                if std::fs::remove_dir(hierarchy.path(path)).is_err() {
                    break;
                }
                above = path.parent();
            }
        }
        Ok(())
    }
}

fn pod_group(uid: &str) -> String {
    format!("pod{uid}")
}

fn apply(path: &Path, settings: &[Setting]) -> Result<(), CgroupError> {
    for setting in settings {
        let file = path.join(setting.file);
        match std::fs::write(&file, &setting.value) {
            // A kernel without bandwidth control, say, has no such file: that limit has no effect.
            Err(e) if e.kind() == io::ErrorKind::NotFound && setting.optional => {}
            Err(source) => return Err(CgroupError { path: file, source }),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Groups are directories in which only groups can be removed.
fn remove_tree(path: &Path) -> Result<(), CgroupError> {
    let refused = |source| CgroupError { path: path.to_owned(), source };
    let entries = match std::fs::read_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(refused)?,
    };
    for entry in entries {
        let entry = entry.map_err(refused)?;
        if entry.file_type().map_err(refused)?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    match std::fs::remove_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(refused),
    }
}
