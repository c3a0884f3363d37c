//! Namespaces without a process: made by a thread that enters them and ends, held by a bind mount of what `/proc`
//! shows of them (namespaces(7)).

use std::fs::{self, File};
use std::io;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::sethostname;

use crate::layout::PodDir;

/// What to make.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// A network namespace; otherwise the node's is used.
    pub net: bool,
    /// An IPC namespace; otherwise the node's is used.
    pub ipc: bool,
    /// The host name in the new UTS namespace.
    pub hostname: String,
}

/// Makes the namespaces and pins them in the Pod's run directory. The calling thread is in them afterwards: it has to be
/// one of its own, and to end.
///
/// # Errors
/// What the kernel refused.
pub fn make(dir: &PodDir, wanted: &Wanted) -> io::Result<()> {
    let mut flags = CloneFlags::CLONE_NEWUTS;
    flags.set(CloneFlags::CLONE_NEWNET, wanted.net);
    flags.set(CloneFlags::CLONE_NEWIPC, wanted.ipc);
    unshare(flags)?;
    sethostname(&wanted.hostname)?;
    if wanted.net {
        pin("net", dir)?;
    }
    if wanted.ipc {
        pin("ipc", dir)?;
    }
    pin("uts", dir)
}

fn pin(kind: &str, dir: &PodDir) -> io::Result<()> {
    let path = dir.namespace(kind);
    File::create(&path)?;
    let source = format!("/proc/thread-self/ns/{kind}");
    mount(Some(source.as_str()), &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    Ok(())
}

/// Whether a namespace is pinned there: a pin that is not mounted on is an empty file of the directory's file system.
#[must_use]
pub fn is_pinned(path: &Path) -> bool {
    // NSFS_MAGIC of linux/magic.h.
    const NSFS: i64 = 0x6e73_6673;
    nix::sys::statfs::statfs(path).is_ok_and(|s| s.filesystem_type().0 == NSFS)
}

/// Sets a sysctl of the calling thread's network namespace, such as `ipv4/ip_forward`. A kernel without it has nothing
/// to set.
///
/// # Errors
/// Writing beneath `/proc/sys/net`.
pub fn set(key: &str, value: &str) -> io::Result<()> {
    let path = Path::new("/proc/sys/net").join(key);
    match fs::write(&path, value) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(io::Error::new(e.kind(), format!("{}: {e}", path.display()))),
        Ok(()) => Ok(()),
    }
}
