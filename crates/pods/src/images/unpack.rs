//! A layer's tar upon a directory. The tar may say anything: every path is looked up with the directory as its root
//! (openat2(2), RESOLVE_IN_ROOT), so that no link leads out; device files are not made; growth is bounded.

use std::collections::HashSet;
use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2, readlinkat};
use nix::sys::stat::{FchmodatFlags, Mode, SFlag, UtimensatFlags, fchmodat, fstatat, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, LinkatFlags, Uid, UnlinkatFlags, fchownat, linkat, symlinkat, unlinkat};
use tar::{Entry, EntryType};

use super::archive::Bounds;

/// A file that takes another's place: what is removed has this name in front.
const WHITEOUT: &[u8] = b".wh.";
/// What empties a directory.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// As many links are followed to a directory that has to be made.
const LINKS: u32 = 16;

/// Why a layer was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// Reading the tar, or its format.
    #[error("reading the layer: {0}")]
    Read(io::Error),
    /// A path that leads out.
    #[error("{0:?} is not a path within an image")]
    BadPath(PathBuf),
    /// Making a file of it.
    #[error("{path:?}: {errno}")]
    Make {
        /// The path in the image.
        path: PathBuf,
        /// What the kernel said.
        errno: Errno,
    },
    /// Writing a file's content.
    #[error("{path:?}: {source}")]
    Write {
        /// The path in the image.
        path: PathBuf,
        /// What the machine said.
        source: io::Error,
    },
    /// More than is taken.
    #[error("more than {bound} {what}")]
    TooLarge {
        /// Of what.
        what: &'static str,
        /// The bound.
        bound: u64,
    },
}

/// What was unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unpacked {
    /// Content of files, in bytes.
    pub bytes: u64,
    /// Device files that were left out.
    pub devices: u64,
}

/// Unpacks a tar upon `root`. What lies there already is what the layer lies upon.
pub fn unpack(tar: impl Read, root: &Path, bounds: &Bounds) -> Result<Unpacked, UnpackError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let directory = open(root, flags, Mode::empty()).map_err(make(root))?;
    let mut layer = Layer { root: directory, bounds, made: HashSet::new(), total: Unpacked::default() };
    let mut archive = tar::Archive::new(tar);
    for (count, entry) in archive.entries().map_err(UnpackError::Read)?.enumerate() {
        if count as u64 >= bounds.entries {
            return Err(UnpackError::TooLarge { what: "files in a layer", bound: bounds.entries });
        }
        layer.entry(entry.map_err(UnpackError::Read)?)?;
    }
    Ok(layer.total)
}

struct Layer<'a> {
    root: OwnedFd,
    bounds: &'a Bounds,
    /// Paths that this layer made: an opaque directory keeps them.
    made: HashSet<PathBuf>,
    total: Unpacked,
}

impl Layer<'_> {
    fn entry(&mut self, mut entry: Entry<'_, impl Read>) -> Result<(), UnpackError> {
        let path = plain(&entry.path().map_err(UnpackError::Read)?)?;
        let Some(name) = path.file_name().map(OsStr::to_owned) else {
            // The root itself, whose rights are the runtime's affair.
            return Ok(());
        };
        let parent_path = path.parent().unwrap_or(Path::new(""));
        if name.as_bytes() == OPAQUE {
            return self.empty(parent_path);
        }
        let parent = self.directory(parent_path)?;
        if let Some(hidden) = name.as_bytes().strip_prefix(WHITEOUT) {
            let hidden = OsStr::from_bytes(hidden);
            let path = parent_path.join(hidden);
            if hidden.is_empty() || hidden == ".." || hidden == "." {
                return Err(UnpackError::BadPath(path));
            }
            return if self.made.contains(&path) { Ok(()) } else { remove(&parent, hidden, &path) };
        }
        match entry.header().entry_type() {
            EntryType::Directory => make_directory(&parent, &name, &path)?,
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(&parent, &name, &path, &mut entry)?;
            }
            EntryType::Symlink => {
                let target = link_name(&entry, &path)?;
                remove(&parent, &name, &path)?;
                symlinkat(&target, &parent, name.as_os_str()).map_err(make(&path))?;
            }
            EntryType::Link => self.hard_link(&parent, &name, &path, &entry)?,
            EntryType::Fifo => {
                remove(&parent, &name, &path)?;
                mknodat(&parent, name.as_os_str(), SFlag::S_IFIFO, Mode::empty(), 0).map_err(make(&path))?;
            }
            EntryType::Char | EntryType::Block => {
                self.total.devices += 1;
                return Ok(());
            }
            // Global headers and what no Unix file is.
            _ => return Ok(()),
        }
        if entry.header().entry_type() != EntryType::Link {
            attributes(&parent, &name, &path, &mut entry)?;
        }
        self.made.insert(path);
        Ok(())
    }

    fn file(
        &mut self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &Path,
        entry: &mut Entry<'_, impl Read>,
    ) -> Result<(), UnpackError> {
        remove(parent, name, path)?;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let file = openat(parent, name, flags, Mode::S_IRUSR | Mode::S_IWUSR).map_err(make(path))?;
        let room = self.bounds.layer.saturating_sub(self.total.bytes);
        let copied = io::copy(&mut entry.take(room.saturating_add(1)), &mut File::from(file))
            .map_err(|source| UnpackError::Write { path: path.to_owned(), source })?;
        if copied > room {
            return Err(UnpackError::TooLarge { what: "bytes in a layer", bound: self.bounds.layer });
        }
        self.total.bytes += copied;
        Ok(())
    }

    fn hard_link(
        &self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &Path,
        entry: &Entry<'_, impl Read>,
    ) -> Result<(), UnpackError> {
        let target = plain(&link_name(entry, path)?)?;
        let Some(target_name) = target.file_name() else { return Err(UnpackError::BadPath(target)) };
        if target == path {
            return Ok(());
        }
        let from = self.directory(target.parent().unwrap_or(Path::new("")))?;
        remove(parent, name, path)?;
        linkat(&from, target_name, parent, name, LinkatFlags::empty()).map_err(make(path))
    }

    /// Opens a directory within the root, and makes what is missing on the way.
    fn directory(&self, path: &Path) -> Result<OwnedFd, UnpackError> {
        self.directory_through(path, LINKS)
    }

    /// The same, through at most so many links that lead to what is not there.
    fn directory_through(&self, path: &Path, links: u32) -> Result<OwnedFd, UnpackError> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
        let at = |path: &Path| openat2(&self.root, if path == Path::new("") { Path::new(".") } else { path }, how);
        match at(path) {
            Err(Errno::ENOENT) => {}
            other => return other.map_err(make(path)),
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(UnpackError::BadPath(path.to_owned()));
        };
        let opened = self.directory_through(parent, links)?;
        match mkdirat(&opened, name, Mode::from_bits_truncate(0o755)) {
            // A link whose target this image does not have yet.
            Err(Errno::EEXIST) if links > 0 => {
                let target = readlinkat(&opened, name).map_err(make(path))?;
                self.directory_through(&within(parent, Path::new(&target)), links - 1)?;
            }
            made => made.map_err(make(path))?,
        }
        at(path).map_err(make(path))
    }

    /// Removes what lies in a directory and was not made by this layer.
    fn empty(&self, path: &Path) -> Result<(), UnpackError> {
        let directory = self.directory(path)?;
        let shown = proc_path(&directory);
        let read = |source| UnpackError::Write { path: path.to_owned(), source };
        for child in fs::read_dir(&shown).map_err(read)? {
            let child = child.map_err(read)?;
            let name = child.file_name();
            let inside = path.join(&name);
            if !self.made.contains(&inside) && !self.made.iter().any(|made| made.starts_with(&inside)) {
                remove(&directory, &name, &inside)?;
            } else if child.file_type().map_err(read)?.is_dir() {
                self.empty(&inside)?;
            }
        }
        Ok(())
    }
}

/// Where a link in a directory leads, by its words alone and never above the root.
fn within(directory: &Path, target: &Path) -> PathBuf {
    let mut path = if target.is_absolute() { PathBuf::new() } else { directory.to_owned() };
    for part in target.components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => drop(path.pop()),
            _ => {}
        }
    }
    path
}

/// Normal parts only: `.` and a leading slash go, `..` is refused.
fn plain(path: &Path) -> Result<PathBuf, UnpackError> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(UnpackError::BadPath(path.to_owned())),
        }
    }
    Ok(clean)
}

fn link_name(entry: &Entry<'_, impl Read>, path: &Path) -> Result<PathBuf, UnpackError> {
    let name = entry.link_name().map_err(UnpackError::Read)?;
    name.map(std::borrow::Cow::into_owned).ok_or_else(|| UnpackError::BadPath(path.to_owned()))
}

fn make_directory(parent: &OwnedFd, name: &OsStr, path: &Path) -> Result<(), UnpackError> {
    let there = fstatat(parent, name, AtFlags::AT_SYMLINK_NOFOLLOW);
    if there.is_ok_and(|s| s.st_mode & libc::S_IFMT == libc::S_IFDIR) {
        return Ok(());
    }
    remove(parent, name, path)?;
    mkdirat(parent, name, Mode::S_IRWXU).map_err(make(path))
}

/// Removes what is there, a directory with all that is in it; nothing there is no error. Links are not followed.
fn remove(parent: &OwnedFd, name: &OsStr, path: &Path) -> Result<(), UnpackError> {
    match unlinkat(parent, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) => fs::remove_dir_all(proc_path(parent).join(name))
            .map_err(|source| UnpackError::Write { path: path.to_owned(), source }),
        Err(errno) => Err(UnpackError::Make { path: path.to_owned(), errno }),
    }
}

/// A directory that is held open, as a path.
fn proc_path(directory: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", directory.as_raw_fd()).into()
}

/// Owner, rights, times and the extended attributes that a program may depend on.
fn attributes(
    parent: &OwnedFd,
    name: &OsStr,
    path: &Path,
    entry: &mut Entry<'_, impl Read>,
) -> Result<(), UnpackError> {
    let header = entry.header();
    let raw = header.as_old();
    let number = |n: io::Result<u64>, raw: &[u8]| -> Result<u32, UnpackError> {
        u32::try_from(or_nothing(n, raw)?).map_err(|_| UnpackError::BadPath(path.to_owned()))
    };
    let (uid, gid) = (number(header.uid(), &raw.uid)?, number(header.gid(), &raw.gid)?);
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    let mode = number(header.mode().map(u64::from), &raw.mode)?;
    let mtime = i64::try_from(or_nothing(header.mtime(), &raw.mtime)?).unwrap_or(0);
    let symlink = header.entry_type() == EntryType::Symlink;
    fchownat(parent, name, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW).map_err(make(path))?;
    if symlink {
        return Ok(());
    }
    // After the owner, whose change takes the set-user-ID bit away.
    fchmodat(parent, name, Mode::from_bits_truncate(mode & 0o7777), FchmodatFlags::FollowSymlink)
        .map_err(make(path))?;
    extended(parent, name, path, entry)?;
    let time = TimeSpec::new(mtime, 0);
    utimensat(parent, name, &time, &time, UtimensatFlags::NoFollowSymlink).map_err(make(path))
}

/// A field that was left empty is 0, as every tar reads it.
fn or_nothing(number: io::Result<u64>, raw: &[u8]) -> Result<u64, UnpackError> {
    match number {
        Err(_) if raw.iter().all(|b| matches!(b, 0 | b' ')) => Ok(0),
        other => other.map_err(UnpackError::Read),
    }
}

/// `security.capability` and `user.*`. Others would be orders to the node's file systems, overlayfs first of all.
fn extended(parent: &OwnedFd, name: &OsStr, path: &Path, entry: &mut Entry<'_, impl Read>) -> Result<(), UnpackError> {
    let Some(extensions) = entry.pax_extensions().map_err(UnpackError::Read)? else { return Ok(()) };
    let at = proc_path(parent).join(name);
    for extension in extensions {
        let extension = extension.map_err(UnpackError::Read)?;
        let Some(key) = extension.key_bytes().strip_prefix(b"SCHILY.xattr.") else { continue };
        if key != b"security.capability" && !key.starts_with(b"user.") {
            continue;
        }
        let bad = |_| UnpackError::BadPath(path.to_owned());
        let (file, key) = (CString::new(at.as_os_str().as_bytes()).map_err(bad)?, CString::new(key).map_err(bad)?);
        let value = extension.value_bytes();
        // SAFETY: path and key end in NUL, the value has the length given, and all live through the call.
        let done = unsafe { libc::lsetxattr(file.as_ptr(), key.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
        // A file system without such attributes loses them.
        if done != 0 && Errno::last() != Errno::EOPNOTSUPP {
            return Err(UnpackError::Make { path: path.to_owned(), errno: Errno::last() });
        }
    }
    Ok(())
}

fn make(path: &Path) -> impl Fn(Errno) -> UnpackError + '_ {
    move |errno| UnpackError::Make { path: path.to_owned(), errno }
}
