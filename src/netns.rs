//! Network namespaces with a name, pinned under `/run/netns` as `ip netns` does, so that `ip netns exec` finds them too.
//!
//! A name can be anybody's. What we made is known again by the namespace's cookie, a number that the kernel gives no
//! second namespace until the machine is booted again (`SO_NETNS_COOKIE`, Linux 5.14): it is written down before the
//! name is taken.

use std::fs::{self, File};
use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::refusal::Refusal;

const ROOT: &str = "/run/netns";

/// Where a namespace is pinned.
pub fn path(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}

/// Makes a namespace and pins it. Its loopback is down, as the kernel makes it. `note` is given its cookie before
/// anything bears its name.
///
/// # Errors
/// When one of that name is there, or the kernel refuses.
pub fn create(name: &str, note: impl FnOnce(u64) -> Result<()> + Send) -> Result<()> {
    is_free(name)?;
    fs::create_dir_all(ROOT).with_context(|| format!("cannot make {ROOT}"))?;
    let pin = path(name);
    // A namespace belongs to a thread until it is pinned: a thread of its own is made for that, and ends.
    std::thread::scope(|scope| {
        scope.spawn(|| pin_new(&pin, note)).join().map_err(|_| anyhow!("the thread that makes a namespace died"))?
    })
    .with_context(|| format!("cannot make the network namespace {name}"))
}

/// Refuses a name that somebody has taken.
///
/// # Errors
/// When it is.
pub fn is_free(name: &str) -> Result<(), Refusal> {
    let pin = path(name);
    match fs::symlink_metadata(&pin) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err(Refusal::new(format!(
            "the network namespace {name} is there already ({}), made by somebody else; remove it with `ip netns delete {name}`, or give another --name",
            pin.display()
        ))),
    }
}

fn pin_new(pin: &Path, note: impl FnOnce(u64) -> Result<()>) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    note(own_cookie()?)?;
    File::create_new(pin).with_context(|| format!("cannot make {}", pin.display()))?;
    let mounted = mount(Some("/proc/thread-self/ns/net"), pin, None::<&str>, MsFlags::MS_BIND, None::<&str>);
    if mounted.is_err() {
        // The empty file would stand for a namespace that is not there; what failed above is what matters.
        let _ = fs::remove_file(pin);
    }
    mounted.context("cannot pin it")
}

/// The cookie of the calling thread's namespace.
fn own_cookie() -> Result<u64> {
    let socket = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)?;
    let mut cookie = 0u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>())?;
    // SAFETY: the kernel writes at most `length` bytes to `cookie`, which has that many; both outlive the call.
    let done = unsafe {
        let value = (&raw mut cookie).cast();
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NETNS_COOKIE, value, &raw mut length)
    };
    if done == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()).context("the kernel gives no SO_NETNS_COOKIE") }
}

/// The cookie of the namespace that is pinned under a name; `None` where a file without a namespace is.
fn cookie(pin: &Path) -> Result<Option<u64>> {
    let read = || {
        let file = File::open(pin)?;
        match setns(&file, CloneFlags::CLONE_NEWNET) {
            Ok(()) => own_cookie().map(Some),
            // A plain file: its namespace was unmounted, or never mounted.
            Err(nix::Error::EINVAL) => Ok(None),
            Err(e) => Err(e.into()),
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(read).join().map_err(|_| anyhow!("the thread that looks into a namespace died"))?
    })
    .with_context(|| format!("cannot look into {}", pin.display()))
}

/// Unpins the namespace of this name and cookie; it ends with the last process in it. One that is not there is no error,
/// and one of the same name that somebody else made is left as it is.
///
/// # Errors
/// When the kernel refuses.
pub fn remove(name: &str, ours: u64) -> Result<()> {
    let pin = path(name);
    if !pin.exists() {
        return Ok(());
    }
    match cookie(&pin)? {
        Some(theirs) if theirs != ours => {
            tracing::warn!(pin = %pin.display(), "left as it is: it was made by somebody else");
            return Ok(());
        }
        Some(_) => match umount2(&pin, MntFlags::MNT_DETACH) {
            Ok(()) | Err(nix::Error::EINVAL) => {}
            Err(e) => return Err(e).with_context(|| format!("cannot unmount {}", pin.display())),
        },
        // A name that stands for nothing: we were killed between making the file and pinning the namespace on it.
        None => {}
    }
    match fs::remove_file(&pin) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e).with_context(|| format!("cannot remove {}", pin.display())),
    }
}

/// What the kernel calls a namespace: its device and inode, the same wherever it is seen.
pub fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|m| (m.dev(), m.ino()))
}

/// Moves the calling thread into a namespace.
///
/// # Errors
/// When it is not there, or the kernel refuses.
pub fn enter(pin: &Path) -> Result<()> {
    let file = File::open(pin).with_context(|| format!("no network namespace at {}", pin.display()))?;
    setns(&file, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter {}", pin.display()))
}

/// Pins the calling process' own namespace somewhere else than where names are: whoever removes what was made in it may
/// be in another one.
///
/// # Errors
/// When the kernel refuses.
pub fn pin_own(pin: &Path) -> Result<()> {
    let make = || -> Result<()> {
        File::create(pin)?;
        mount(Some("/proc/self/ns/net"), pin, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
        Ok(())
    };
    make().with_context(|| format!("cannot pin the network namespace at {}", pin.display()))
}

/// Whether a namespace is pinned here, and the calling process is in another one.
pub fn is_another(pin: &Path) -> bool {
    // All namespaces are on one device (nsfs); a file on which none is pinned is on another.
    matches!(
        (identity(pin), identity(Path::new("/proc/self/ns/net"))),
        (Some((device, pinned)), Some((nsfs, own))) if device == nsfs && pinned != own
    )
}

/// Undoes [`pin_own`]. What is not there is no error.
///
/// # Errors
/// When the kernel refuses.
pub fn unpin(pin: &Path) -> Result<()> {
    match umount2(pin, MntFlags::MNT_DETACH) {
        // Not there, or killed between making the file and pinning the namespace on it.
        Ok(()) | Err(nix::Error::EINVAL | nix::Error::ENOENT) => Ok(()),
        Err(e) => Err(e).with_context(|| format!("cannot unmount {}", pin.display())),
    }
}

/// Runs `work` on a thread of its own inside a pinned namespace, and waits for it.
///
/// # Errors
/// Those of `work`, and of entering.
pub async fn within<T, F>(pin: &Path, work: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    let pin = pin.to_owned();
    let place = pin.display().to_string();
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name("netns".to_owned()).spawn(move || {
        let run = || {
            enter(&pin)?;
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work())
        };
        // Nobody listens any more when the caller was cancelled: then there is nobody to tell either.
        let _ = tell.send(run());
    })?;
    told.await.map_err(|_| anyhow!("the thread in {place} died"))?
}
