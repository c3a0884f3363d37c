//! Network namespaces with a name, pinned under `/run/netns` as `ip netns` does, so that `ip netns exec` finds them too.

use std::fs::{self, File};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

const ROOT: &str = "/run/netns";

/// Where a namespace is pinned.
pub fn path(name: &str) -> PathBuf {
    Path::new(ROOT).join(name)
}

/// Makes a namespace and pins it. Its loopback is down, as the kernel makes it.
///
/// # Errors
/// When one of that name is there, or the kernel refuses.
pub fn create(name: &str) -> Result<()> {
    fs::create_dir_all(ROOT).with_context(|| format!("cannot make {ROOT}"))?;
    let pin = path(name);
    File::create_new(&pin).with_context(|| format!("cannot make {}", pin.display()))?;
    // A namespace belongs to a thread until it is pinned: a thread of its own is made for that, and ends.
    let made = std::thread::scope(|scope| {
        let pin = &pin;
        scope.spawn(move || pin_new(pin)).join().map_err(|_| anyhow!("the thread that makes a namespace died"))?
    });
    if made.is_err() {
        // The empty file would stand for a namespace that is not there; what failed above is what matters.
        let _ = fs::remove_file(&pin);
    }
    made.with_context(|| format!("cannot make the network namespace {name}"))
}

fn pin_new(pin: &Path) -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    mount(Some("/proc/thread-self/ns/net"), pin, None::<&str>, MsFlags::MS_BIND, None::<&str>)?;
    Ok(())
}

/// Unpins a namespace; it ends with the last process in it. One that is not there is no error.
///
/// # Errors
/// When the kernel refuses.
pub fn remove(name: &str) -> Result<()> {
    let pin = path(name);
    if !pin.exists() {
        return Ok(());
    }
    match umount2(&pin, MntFlags::MNT_DETACH) {
        Ok(()) | Err(nix::Error::EINVAL) => {}
        Err(e) => return Err(e).with_context(|| format!("cannot unmount {}", pin.display())),
    }
    match fs::remove_file(&pin) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(e).with_context(|| format!("cannot remove {}", pin.display())),
    }
}

/// Moves the calling thread into a namespace.
///
/// # Errors
/// When it is not there, or the kernel refuses.
pub fn enter(pin: &Path) -> Result<()> {
    let file = File::open(pin).with_context(|| format!("no network namespace at {}", pin.display()))?;
    setns(&file, CloneFlags::CLONE_NEWNET).with_context(|| format!("cannot enter {}", pin.display()))
}

/// Runs `work` on a thread of its own inside the namespace, and waits for it.
///
/// # Errors
/// Those of `work`, and of entering.
pub async fn within<T, F>(name: &str, work: impl FnOnce() -> F + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
{
    let pin = path(name);
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::Builder::new().name(format!("in {name}")).spawn(move || {
        let run = || {
            enter(&pin)?;
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work())
        };
        // Nobody listens any more when the caller was cancelled: then there is nobody to tell either.
        let _ = tell.send(run());
    })?;
    told.await.map_err(|_| anyhow!("the thread in {name} died"))?
}
