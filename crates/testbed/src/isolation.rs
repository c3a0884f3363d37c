//! A whole test in a network and mount namespace of its own, with every process that it starts.
//!
//! Made for tests that run the `portolan` binary: what it makes of links, routes, rules and files under `/run` and
//! `/var/lib` is made where nobody else sees it, and is gone when the last process is.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::namespace::set_up;

/// Where the control groups are mounted; kept as it is in the new `/sys`.
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// Moves the calling thread, and with it each thread and process that it starts from now on, into a fresh network
/// namespace (loopback up) and a fresh mount namespace: nothing that is mounted is seen outside, `/sys` shows the new
/// network, control groups stay as they were, and each directory of `fresh` is an empty tmpfs.
///
/// A directory that is missing is made, and that stays; name one that exists (`/run`, `/var/lib`) where that matters.
/// Call it first in a test, before anything starts threads. There is no way back: the thread must end with the test.
pub fn isolate(fresh: &[&Path]) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).context("unsharing network and mount namespace")?;
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .context("making mounts private")?;
    set_up(1)?;
    remount_sysfs()?;
    for directory in fresh {
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("tmpfs"), *directory, Some("tmpfs"), flags, Some("mode=0755"))
            .with_context(|| format!("a tmpfs on {}", directory.display()))?;
    }
    Ok(())
}

/// A `/sys` of the new network namespace, with the old one's control groups.
fn remount_sysfs() -> Result<()> {
    let groups = Path::new(CONTROL_GROUPS).exists().then(|| clone_tree(CONTROL_GROUPS)).transpose();
    let groups = groups.context("keeping the control groups")?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("sysfs"), "/sys", Some("sysfs"), flags, None::<&str>).context("mounting /sys")?;
    match groups {
        Some(groups) => place_tree(&groups, CONTROL_GROUPS).context("putting the control groups back"),
        None => Ok(()),
    }
}

/// A copy of a mount with everything below it, not placed anywhere yet (`open_tree(2)`, Linux 5.2).
fn clone_tree(path: &str) -> Result<OwnedFd> {
    let path = CString::new(path)?;
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE as libc::c_uint;
    // SAFETY: the path is a C string that outlives the call; no other memory is touched.
    let file = unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) };
    if file < 0 {
        return Err(io::Error::last_os_error().into());
    }
    // SAFETY: the kernel just gave us this descriptor; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(file as i32) })
}

/// Places such a copy (`move_mount(2)`).
fn place_tree(tree: &OwnedFd, path: &str) -> Result<()> {
    /// The source is the descriptor itself (linux/mount.h).
    const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 4;
    let (empty, path) = (CString::default(), CString::new(path)?);
    let (from, to) = (tree.as_raw_fd(), libc::AT_FDCWD);
    // SAFETY: both paths are C strings that outlive the call; no other memory is touched.
    let done = unsafe {
        libc::syscall(libc::SYS_move_mount, from, empty.as_ptr(), to, path.as_ptr(), MOVE_MOUNT_F_EMPTY_PATH)
    };
    if done < 0 { Err(io::Error::last_os_error().into()) } else { Ok(()) }
}
