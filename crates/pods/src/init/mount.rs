//! mount(2)'s newer relatives: a mount is taken hold of as a descriptor (open_tree(2)), changed while nobody sees it
//! (mount_setattr(2)), and put in its place (move_mount(2)). So a source is looked up before the root changes and a
//! target after it, and no link in an image or a volume can lead from the one side to the other.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::{Mode, mkdirat};

/// Attributes to set on a mount that is not in place yet.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes {
    pub read_only: bool,
    pub no_devices: bool,
    pub recursive: bool,
}

/// Takes hold of what is at `path` on the node.
pub fn take(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    open_tree(libc::AT_FDCWD, &path, if recursive { libc::AT_RECURSIVE } else { 0 })
}

/// Takes hold of what an open descriptor shows.
pub fn take_open(fd: &OwnedFd, recursive: bool) -> io::Result<OwnedFd> {
    let recursive = if recursive { libc::AT_RECURSIVE } else { 0 };
    open_tree(fd.as_raw_fd(), c"", libc::AT_EMPTY_PATH | recursive)
}

fn open_tree(at: i32, path: &std::ffi::CStr, flags: i32) -> io::Result<OwnedFd> {
    const OPEN_TREE_CLONE: i32 = 1;
    let flags = flags | OPEN_TREE_CLONE | libc::O_CLOEXEC;
    // SAFETY: `path` is a string with its final NUL and lives through the call.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, at, path.as_ptr(), flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

const MOUNT_ATTR_RDONLY: u64 = 1;
const MOUNT_ATTR_NODEV: u64 = 4;

/// Changes a mount that was taken hold of.
pub fn change(mount: &OwnedFd, attributes: Attributes) -> io::Result<()> {
    let set = if attributes.read_only { MOUNT_ATTR_RDONLY } else { 0 }
        | if attributes.no_devices { MOUNT_ATTR_NODEV } else { 0 };
    let propagation = libc::MS_PRIVATE;
    let attr = MountAttr { set, clear: 0, propagation, user_namespace: 0 };
    let flags = libc::AT_EMPTY_PATH | if attributes.recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the empty path and the attributes live through the call, and the size given is that of the attributes.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Puts a mount that was taken hold of upon `target`.
pub fn put(mount: &OwnedFd, target: &Path) -> io::Result<()> {
    const MOVE_MOUNT_F_EMPTY_PATH: u32 = 4;
    const MOVE_MOUNT_T_SYMLINKS: u32 = 0x10;
    let target = c_path(target)?;
    // SAFETY: both strings end in NUL and live through the call.
    let done = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Opens `path` within `directory`, making directories that are not there. No link on the way may lead out.
pub fn open_within(directory: &Path, path: &Path) -> io::Result<OwnedFd> {
    let mut at = open(directory, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let base = at.try_clone()?;
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match openat2(&base, path, how) {
        Ok(fd) => return Ok(fd),
        Err(nix::Error::ENOENT) => {}
        Err(errno) => return Err(errno.into()),
    }
    for part in path.components() {
        let part = Path::new(part.as_os_str());
        at = match openat2(&at, part, how) {
            Ok(next) => next,
            Err(nix::Error::ENOENT) => {
                mkdirat(&at, part, Mode::from_bits_truncate(0o750))?;
                openat2(&at, part, how)?
            }
            Err(errno) => return Err(errno.into()),
        };
    }
    Ok(at)
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}
