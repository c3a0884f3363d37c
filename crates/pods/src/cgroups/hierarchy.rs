//! One hierarchy of control groups, of either version (cgroups(7)).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::CgroupError;
use super::limits::{Limits, Setting, Version};
use crate::bundle::Cgroup;
use crate::mounts::MountPoint;

/// Controllers that a node has a use for.
const USED: [&str; 4] = ["cpu", "cpuacct", "memory", "pids"];

/// Every controller of version 1 that may be mounted together with one of them.
const KNOWN: [&str; 12] = [
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
];

/// One hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    version: Version,
    /// Where it is mounted.
    mount: PathBuf,
    /// Its controllers, as they were mounted (1) or as the root group has them (2).
    controllers: Vec<String>,
}

/// The hierarchies with a controller that is used. Where version 2 is mounted beside version 1, as for systemd's own use,
/// it has no controllers.
pub fn mounted(table: &[MountPoint]) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for mount in table {
        let (version, controllers) = match mount.kind.as_str() {
            "cgroup" => {
                let options = mount.options.split(',').filter(|o| KNOWN.contains(o));
                (Version::One, options.map(str::to_owned).collect::<Vec<_>>())
            }
            "cgroup2" => {
                let list = fs::read_to_string(mount.target.join("cgroup.controllers")).unwrap_or_default();
                (Version::Two, list.split_ascii_whitespace().map(str::to_owned).collect())
            }
            _ => continue,
        };
        let used = controllers.iter().any(|c| USED.contains(&c.as_str()));
        let again = found.iter().any(|f| f.version == version && f.controllers == controllers);
        if used && !again && mount.root == Path::new("/") {
            found.push(Hierarchy { version, mount: mount.target.clone(), controllers });
        }
    }
    found
}

impl Hierarchy {
    /// A group's directory.
    pub fn path(&self, group: &Path) -> PathBuf {
        self.mount.join(group.strip_prefix("/").unwrap_or(group))
    }

    /// Makes a group and those above it; in version 2 each group hands its controllers down.
    pub fn make(&self, group: &Path) -> Result<(), CgroupError> {
        let mut path = self.mount.clone();
        for part in group.strip_prefix("/").unwrap_or(group).components() {
            if self.version == Version::Two {
                self.hand_down(&path)?;
            }
            path.push(part);
            match fs::create_dir(&path) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                other => other.map_err(|source| CgroupError { path: path.clone(), source })?,
            }
        }
        Ok(())
    }

    fn hand_down(&self, path: &Path) -> Result<(), CgroupError> {
        let file = path.join("cgroup.subtree_control");
        let has = fs::read_to_string(&file).unwrap_or_default();
        let has: Vec<&str> = has.split_ascii_whitespace().collect();
        let used = self.controllers.iter().filter(|c| USED.contains(&c.as_str()) && !has.contains(&c.as_str()));
        let wanted: Vec<String> = used.map(|c| format!("+{c}")).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        fs::write(&file, wanted.join(" ")).map_err(|source| CgroupError { path: file, source })
    }

    /// The files to write for these limits.
    pub fn settings(&self, limits: &Limits) -> Vec<Setting> {
        let has = |controller: &str| self.controllers.iter().any(|c| c == controller);
        limits.settings(self.version).into_iter().filter(|s| has(s.controller)).collect()
    }

    /// As a container joins it.
    pub fn group(&self, path: PathBuf) -> Cgroup {
        let memory = self.controllers.iter().any(|c| c == "memory");
        let (kind, name, options, oom) = match self.version {
            Version::One => {
                let name = self.mount.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                ("cgroup", name, self.controllers.join(","), "memory.oom_control")
            }
            Version::Two => ("cgroup2", String::new(), String::new(), "memory.events"),
        };
        let oom = memory.then(|| oom.to_owned());
        Cgroup { path, name, kind: kind.to_owned(), options, oom }
    }
}

#[cfg(test)]
mod tests;
