//! fsGroup: a volume's files belong to the group, which may write them, and what is made in it later does too.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::Path;

/// Gives the directory and what is in it to the group. Links are given, not followed.
pub fn give(path: &Path, group: u32) -> io::Result<()> {
    lchown(path, None, Some(group))?;
    let meta = fs::symlink_metadata(path)?;
    if meta.is_symlink() {
        return Ok(());
    }
    let mode = meta.permissions().mode();
    if !meta.is_dir() {
        return fs::set_permissions(path, Permissions::from_mode(mode | 0o660));
    }
    for entry in fs::read_dir(path)? {
        give(&entry?.path(), group)?;
    }
    fs::set_permissions(path, Permissions::from_mode(mode | 0o2770))
}
