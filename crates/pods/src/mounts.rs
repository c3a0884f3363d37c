//! The mount table of this process (`/proc/self/mountinfo`, proc(5)), and removal that never reaches into a mount.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use nix::mount::{MntFlags, umount2};

/// One line of the mount table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPoint {
    /// The directory of the file system that is shown, `/` for the whole of it.
    pub root: PathBuf,
    /// Where it is mounted.
    pub target: PathBuf,
    /// The file system's type, such as `cgroup2`.
    pub kind: String,
    /// The file system's own options, such as `rw,memory`.
    pub options: String,
}

/// Every mount, in the order in which they were made.
///
/// # Errors
/// Reading `/proc/thread-self/mountinfo`.
pub fn table() -> io::Result<Vec<MountPoint>> {
    Ok(parse(&fs::read("/proc/thread-self/mountinfo")?))
}

fn parse(text: &[u8]) -> Vec<MountPoint> {
    text.split(|b| *b == b'\n').filter_map(parse_line).collect()
}

/// `36 35 98:0 /root /target rw,noatime shared:1 - ext4 /dev/vda rw`: optional fields end with a single `-`.
fn parse_line(line: &[u8]) -> Option<MountPoint> {
    let mut fields = line.split(|b| *b == b' ').skip(3);
    let root = unescape(fields.next()?);
    let target = unescape(fields.next()?);
    let mut fields = fields.skip_while(|f| *f != b"-").skip(1);
    let kind = String::from_utf8_lossy(fields.next()?).into_owned();
    let options = String::from_utf8_lossy(fields.nth(1)?).into_owned();
    Some(MountPoint { root, target, kind, options })
}

/// The kernel writes space, tab, newline and backslash as three octal digits after a backslash.
fn unescape(field: &[u8]) -> PathBuf {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        let octal = (*byte == b'\\').then(|| tail.get(..3)).flatten();
        let digits = octal.filter(|d| d.iter().all(|c| (b'0'..=b'7').contains(c)));
        match digits {
            Some(digits) => {
                out.push(digits.iter().fold(0u8, |n, d| n.wrapping_mul(8).wrapping_add(d - b'0')));
                rest = &tail[3..];
            }
            None => out.push(*byte),
        }
    }
    PathBuf::from(OsString::from_vec(out))
}

/// Every mount at or beneath `path`, the deepest and latest first: the order in which they come off.
///
/// # Errors
/// Reading the mount table.
pub fn beneath(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut targets: Vec<PathBuf> = table()?.into_iter().map(|m| m.target).filter(|t| t.starts_with(path)).collect();
    targets.reverse();
    targets.sort_by_key(|t| std::cmp::Reverse(t.components().count()));
    Ok(targets)
}

/// Takes off every mount at or beneath `path`, however many lie upon one another.
///
/// # Errors
/// Reading the mount table, or the first umount that the kernel refuses.
pub fn unmount_beneath(path: &Path) -> io::Result<()> {
    for target in beneath(path)? {
        match umount2(&target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            // Gone with another mount that was detached before it.
            Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Removes a directory and what is in it. A directory with something mounted in it is left as it is: what is
/// mounted there may be somebody's data.
///
/// # Errors
/// [`io::ErrorKind::ResourceBusy`] where something is mounted beneath; otherwise what removing reports.
/// That nothing is there is no error.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    if let Some(mount) = beneath(path)?.first() {
        let message = format!("{} is still mounted", mount.display());
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, message));
    }
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;
