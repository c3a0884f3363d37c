//! A directory whose files all change at one moment, the way kubelet does it:
//!
//! ```text
//! VOLUME/..2026_01_02_03_04_05.123/a      the files
//! VOLUME/..data -> ..2026_01_02_03_04_05.123
//! VOLUME/a -> ..data/a
//! ```
//! Renaming a new `..data` over the old one is the moment.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown, symlink};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::content::Content;

const DATA: &str = "..data";

/// Makes the directory show just this content. Where it does already, nothing is written.
pub fn write(path: &Path, content: &Content, group: Option<u32>) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    let before = current(path)?;
    if before.as_ref().is_some_and(|old| shows(old, content)) {
        return Ok(());
    }
    let fresh = fresh(path)?;
    for (name, file) in content {
        let target = fresh.join(name);
        if let Some(parent) = target.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
        }
        let mut open = File::options().write(true).create_new(true).mode(0o600).open(&target)?;
        open.write_all(&file.bytes)?;
        let mut mode = file.mode;
        if let Some(group) = group {
            fchown(&open, None, Some(group))?;
            mode |= 0o440;
        }
        open.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    switch(path, &fresh)?;
    link_names(path, content)?;
    before.map_or(Ok(()), fs::remove_dir_all)
}

/// The directory that `..data` leads to.
fn current(path: &Path) -> io::Result<Option<PathBuf>> {
    match fs::read_link(path.join(DATA)) {
        Ok(name) => Ok(name.file_name().map(|name| path.join(name)).filter(|p| p.is_dir())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

fn shows(directory: &Path, content: &Content) -> bool {
    let same = |(name, file): (&String, &super::content::File)| {
        fs::read(directory.join(name)).is_ok_and(|bytes| bytes == file.bytes)
    };
    content.iter().all(same) && count(directory).is_ok_and(|n| n == content.len())
}

fn count(directory: &Path) -> io::Result<usize> {
    let mut files = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        files += if entry.file_type()?.is_dir() { count(&entry.path())? } else { 1 };
    }
    Ok(files)
}

/// A directory named by the time, as kubelet names it; a number is added where two fall upon one moment.
fn fresh(path: &Path) -> io::Result<PathBuf> {
    let now = Timestamp::now().strftime("..%Y_%m_%d_%H_%M_%S.%9f").to_string();
    for n in 0..100 {
        let name = if n == 0 { now.clone() } else { format!("{now}_{n}") };
        match DirBuilder::new().mode(0o755).create(path.join(&name)) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| path.join(name)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn switch(path: &Path, fresh: &Path) -> io::Result<()> {
    let aside = path.join("..data_tmp");
    match fs::remove_file(&aside) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    symlink(fresh.file_name().ok_or(io::ErrorKind::InvalidInput)?, &aside)?;
    fs::rename(&aside, path.join(DATA))
}

/// A link for the first part of each path; those of paths that are gone go too.
fn link_names(path: &Path, content: &Content) -> io::Result<()> {
    let first = |name: &str| name.split('/').next().unwrap_or(name).to_owned();
    let wanted: std::collections::BTreeSet<String> = content.keys().map(|name| first(name)).collect();
    for name in &wanted {
        match symlink(Path::new(DATA).join(name), path.join(name)) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("..") && !wanted.contains(&name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
