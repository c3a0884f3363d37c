//! A Pod's volumes on the node, before containers show them.
//!
//! ```text
//! STATE/pods/UID/volumes/NAME     emptyDir
//! RUN/pods/UID/volumes/NAME       emptyDir of medium Memory (a tmpfs), and what comes from the cluster: ConfigMaps,
//!                                 Secrets, fields of the Pod, by themselves or projected together
//! ```

pub mod cause;
pub mod content;
mod directory;
mod host_path;
mod own_group;

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Pod, Volume};
use nix::mount::{MsFlags, mount};

use self::cause::Cause;
use self::content::Content;
use crate::environment::fields::Facts;
use crate::environment::objects::Objects;
use crate::layout::PodDir;
use crate::mounts;
use crate::quantity;

/// Why a Pod has not all its volumes.
#[derive(Debug, thiserror::Error)]
#[error("MountVolume.SetUp failed for volume {name:?} : {source}")]
pub struct VolumeError {
    /// The volume's name.
    pub name: String,
    /// What is wrong.
    pub source: Cause,
}

/// A volume that can be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Where it is on the node.
    pub path: PathBuf,
    /// Whether no container may write to it.
    pub read_only: bool,
    /// Whether it is a part of the node's own tree, with what is mounted in it.
    pub of_node: bool,
}

/// Makes all volumes of a Pod, or brings those up to date that show what may have changed. Blocks.
///
/// # Errors
/// The first volume, in the order of the specification, that cannot be made.
pub fn prepare(
    dir: &PodDir,
    pod: &Pod,
    facts: &Facts,
    objects: &Objects,
) -> Result<BTreeMap<String, Ready>, VolumeError> {
    let group = pod.spec.as_ref().and_then(|s| s.security_context.as_ref()?.fs_group);
    let group = group.and_then(|g| u32::try_from(g).ok());
    let mut all = BTreeMap::new();
    for volume in pod.spec.iter().flat_map(|s| s.volumes.iter().flatten()) {
        let ready = one(dir, pod, volume, facts, objects, group);
        let ready = ready.map_err(|source| VolumeError { name: volume.name.clone(), source })?;
        all.insert(volume.name.clone(), ready);
    }
    Ok(all)
}

fn one(
    dir: &PodDir,
    pod: &Pod,
    volume: &Volume,
    facts: &Facts,
    objects: &Objects,
    group: Option<u32>,
) -> Result<Ready, Cause> {
    if let Some(source) = &volume.empty_dir {
        return empty_dir(dir, &volume.name, source, group);
    }
    if let Some(source) = &volume.host_path {
        let path = host_path::check(source)?;
        return Ok(Ready { path, read_only: false, of_node: true });
    }
    let Some(content) = content::of(volume, pod, facts, objects)? else {
        return Err(Cause::Unsupported(kind(volume)));
    };
    let path = dir.running_volume(&volume.name)?;
    show(&path, &content, group)?;
    Ok(Ready { path, read_only: true, of_node: false })
}

fn show(path: &Path, content: &Content, group: Option<u32>) -> Result<(), Cause> {
    directory::write(path, content, group).map_err(at(path))
}

/// Made once: what the containers wrote stays as long as the Pod.
fn empty_dir(dir: &PodDir, name: &str, source: &EmptyDirVolumeSource, group: Option<u32>) -> Result<Ready, Cause> {
    let in_memory = source.medium.as_deref() == Some("Memory");
    let path = if in_memory { dir.running_volume(name)? } else { dir.volume(name)? };
    let ready = Ready { path: path.clone(), read_only: false, of_node: false };
    let mounted = !in_memory || mounts::beneath(&path).map_err(at(&path))?.contains(&path);
    if path.exists() && mounted {
        return Ok(ready);
    }
    DirBuilder::new().recursive(true).mode(0o755).create(&path).map_err(at(&path))?;
    if in_memory {
        let size = source.size_limit.as_ref().and_then(quantity::units).filter(|bytes| *bytes > 0);
        let options = size.map_or_else(|| "mode=777".to_owned(), |bytes| format!("mode=777,size={bytes}"));
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("tmpfs"), &path, Some("tmpfs"), flags, Some(options.as_str())).map_err(|e| at(&path)(e.into()))?;
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).map_err(at(&path))?;
    if let Some(group) = group {
        own_group::give(&path, group).map_err(at(&path))?;
    }
    Ok(ready)
}

/// The name of a kind that is not known here, for the one who has to change it.
fn kind(volume: &Volume) -> &'static str {
    let kinds = [
        ("persistentVolumeClaim", volume.persistent_volume_claim.is_some()),
        ("csi", volume.csi.is_some()),
        ("ephemeral", volume.ephemeral.is_some()),
        ("image", volume.image.is_some()),
        ("nfs", volume.nfs.is_some()),
        ("iscsi", volume.iscsi.is_some()),
        ("fc", volume.fc.is_some()),
    ];
    kinds.into_iter().find(|(_, is)| *is).map_or("that it is", |(name, _)| name)
}

fn at(path: &Path) -> impl Fn(io::Error) -> Cause + '_ {
    move |source| Cause::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
