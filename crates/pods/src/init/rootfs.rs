//! The container's root: layers under a writable one, `/proc`, `/sys`, `/dev`, and what the Pod mounts; then the node's
//! root is out of reach.
//!
//! Sources are taken hold of while the node's root is still there. Then the root changes, and every target is looked up
//! in the new one, where no link leads out.

use std::fs::{self, File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, pivot_root};

use super::fault::{Tried, machine, specification};
use super::mount::{Attributes, change, open_within, put, take, take_open};
use crate::bundle::{Bundle, Cgroup, Fault, Mount, Root};

const NONE: Option<&str> = None;

/// Device files that every container has.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// What tells about the machine, or changes it, and is none of a container's business.
const MASKED: [&str; 11] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// What may be read but not written.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Makes mount and cgroup namespaces of their own and the container's root in them. Afterwards the process stands in
/// `/` of the container and nothing of the node's file systems is left but what was mounted.
pub fn build(bundle: &Bundle) -> Result<(), Fault> {
    umask(Mode::empty());
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP).tried(|| "making a mount namespace".into())?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(NONE, "/", NONE, private, NONE).tried(|| "making mounts private".into())?;
    let mounts = bundle.mounts.iter().map(hold).collect::<Result<Vec<_>, _>>()?;
    let devices = hold_devices(bundle.privileged)?;
    change_root(&bundle.root, bundle.privileged)?;
    kernel_file_systems(bundle)?;
    make_dev(&devices, bundle.privileged)?;
    for (wanted, source) in bundle.mounts.iter().zip(&mounts) {
        place(wanted, source)?;
    }
    if !bundle.privileged {
        mask()?;
    }
    if bundle.root.read_only {
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | root_flags(bundle.privileged);
        mount(NONE, "/", NONE, flags, NONE).tried(|| "making the root read-only".into())?;
    }
    umask(Mode::from_bits_truncate(0o022));
    Ok(())
}

/// Device files in an image or made by a container do not work, unless it is privileged.
fn root_flags(privileged: bool) -> MsFlags {
    if privileged { MsFlags::empty() } else { MsFlags::MS_NODEV }
}

/// A source, taken hold of and with its attributes set, and whether it is a directory.
fn hold(wanted: &Mount) -> Result<(OwnedFd, bool), Fault> {
    let told = || format!("mounting {} at {}", wanted.source.display(), wanted.target.display());
    let fd = match &wanted.sub_path {
        None => take(&wanted.source, wanted.recursive).tried(told)?,
        Some(path) => {
            let inside = open_within(&wanted.source, path)
                .map_err(|e| specification(format!("{}: subPath {}: {e}", told(), path.display())))?;
            take_open(&inside, wanted.recursive).tried(told)?
        }
    };
    let attributes =
        Attributes { read_only: wanted.read_only, no_devices: !wanted.devices, recursive: wanted.recursive };
    change(&fd, attributes).tried(told)?;
    let directory = File::from(fd.try_clone().tried(told)?).metadata().tried(told)?.is_dir();
    Ok((fd, directory))
}

/// Device files are the node's own, mounted one by one: the file system that they are shown in takes no new ones.
fn hold_devices(privileged: bool) -> Result<Vec<(PathBuf, OwnedFd)>, Fault> {
    if privileged {
        return Ok(Vec::new());
    }
    let hold = |name: &str| {
        let path = Path::new("/dev").join(name);
        let fd = take(&path, false).tried(|| format!("taking {}", path.display()))?;
        change(&fd, Attributes::default()).tried(|| format!("taking {}", path.display()))?;
        Ok((path, fd))
    };
    DEVICES.into_iter().map(hold).collect()
}

fn change_root(root: &Root, privileged: bool) -> Result<(), Fault> {
    let shown = root.target.display();
    if root.layers.is_empty() {
        let told = || format!("mounting the root at {shown}");
        let held = take(&root.upper, false).tried(told)?;
        change(&held, Attributes { no_devices: !privileged, ..Attributes::default() }).tried(told)?;
        put(&held, &root.target).tried(told)?;
    } else {
        // Layers are named relative to the store: the kernel takes no more than a page of options.
        chdir(&root.store).tried(|| format!("entering {}", root.store.display()))?;
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            root.layers.join(":"),
            root.upper.display(),
            root.work.display()
        );
        let flags = root_flags(privileged);
        mount(Some("overlay"), &root.target, Some("overlay"), flags, Some(options.as_str())).tried(|| {
            let count = root.layers.len();
            format!("mounting {count} layers at {shown} (the state directory cannot be on overlayfs itself)")
        })?;
    }
    chdir(&root.target).tried(|| format!("entering {shown}"))?;
    // The old root comes to lie upon the new one, and is taken off from there (pivot_root(2), "pivot_root(".", ".")").
    pivot_root(".", ".").tried(|| "changing the root".into())?;
    umount2(".", MntFlags::MNT_DETACH).tried(|| "letting go of the node's root".into())?;
    chdir("/").tried(|| "entering the root".into())
}

fn kernel_file_systems(bundle: &Bundle) -> Result<(), Fault> {
    let inert = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    fresh_directory("/proc")?;
    mount(Some("proc"), "/proc", Some("proc"), inert, NONE).tried(|| "mounting /proc".into())?;
    fresh_directory("/sys")?;
    let writable = if bundle.privileged { MsFlags::empty() } else { MsFlags::MS_RDONLY };
    mount(Some("sysfs"), "/sys", Some("sysfs"), inert | writable, NONE).tried(|| "mounting /sys".into())?;
    show_cgroups(&bundle.cgroups, inert | writable)
}

/// The container's own groups and what is beneath them, as its cgroup namespace shows them.
fn show_cgroups(cgroups: &[Cgroup], flags: MsFlags) -> Result<(), Fault> {
    let base = Path::new("/sys/fs/cgroup");
    if cgroups.iter().any(|c| !c.name.is_empty()) {
        mount(Some("tmpfs"), base, Some("tmpfs"), flags & !MsFlags::MS_RDONLY, Some("mode=755,size=64k"))
            .tried(|| "mounting /sys/fs/cgroup".into())?;
    }
    for group in cgroups {
        let at = base.join(&group.name);
        fs::create_dir_all(&at).tried(|| format!("making {}", at.display()))?;
        let options = Some(group.options.as_str()).filter(|o| !o.is_empty());
        mount(Some(group.kind.as_str()), &at, Some(group.kind.as_str()), flags, options)
            .tried(|| format!("mounting {}", at.display()))?;
    }
    Ok(())
}

fn make_dev(devices: &[(PathBuf, OwnedFd)], privileged: bool) -> Result<(), Fault> {
    let told = || "making /dev".to_owned();
    fresh_directory("/dev")?;
    let no_devices = if privileged { MsFlags::empty() } else { MsFlags::MS_NODEV };
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    if privileged {
        // The whole of the node's, which the kernel keeps current.
        mount(Some("devtmpfs"), "/dev", Some("devtmpfs"), quiet, NONE).tried(told)?;
    } else {
        mount(Some("tmpfs"), "/dev", Some("tmpfs"), quiet | no_devices, Some("mode=755,size=64m")).tried(told)?;
    }
    for (path, device) in devices {
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o666).open(path).tried(told)?;
        put(device, path).tried(|| format!("mounting {}", path.display()))?;
    }
    for name in ["pts", "shm", "mqueue"] {
        let path = Path::new("/dev").join(name);
        fs::create_dir_all(&path).tried(|| format!("making {}", path.display()))?;
    }
    let terminals = Some("newinstance,ptmxmode=0666,mode=0620,gid=5");
    mount(Some("devpts"), "/dev/pts", Some("devpts"), quiet, terminals).tried(|| "mounting /dev/pts".into())?;
    match mount(Some("mqueue"), "/dev/mqueue", Some("mqueue"), quiet | MsFlags::MS_NODEV, NONE) {
        // A kernel without POSIX message queues has none to show.
        Ok(()) | Err(nix::Error::ENODEV) => {}
        Err(errno) => return Err(machine(format!("mounting /dev/mqueue: {errno}"))),
    }
    if privileged {
        return put_ptmx();
    }
    let links = [
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
        ("pts/ptmx", "/dev/ptmx"),
    ];
    for (to, at) in links {
        symlink(to, at).tried(|| format!("linking {at}"))?;
    }
    Ok(())
}

/// In the node's own /dev the container's terminals come from its own devpts.
fn put_ptmx() -> Result<(), Fault> {
    let told = || "mounting /dev/ptmx".to_owned();
    let own = take(Path::new("/dev/pts/ptmx"), false).tried(told)?;
    put(&own, Path::new("/dev/ptmx")).tried(told)
}

/// Puts a held source at its target, which is made when it is not there.
fn place(wanted: &Mount, (source, directory): &(OwnedFd, bool)) -> Result<(), Fault> {
    let target = &wanted.target;
    let plain = target.is_absolute() && target.components().all(|c| !matches!(c, Component::ParentDir));
    if !plain || target == Path::new("/") || target.starts_with("/proc") {
        return Err(specification(format!("nothing can be mounted at {}", target.display())));
    }
    let told = || format!("making {}", target.display());
    if !target.exists() {
        let real = past_links(target);
        if *directory {
            fs::create_dir_all(&real).tried(told)?;
        } else {
            real.parent().map_or(Ok(()), fs::create_dir_all).tried(told)?;
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(&real).tried(told)?;
        }
    }
    put(source, target).tried(|| format!("mounting {} at {}", wanted.source.display(), target.display()))
}

/// Where a path leads whose links lead to what is not there yet: in the container's root, as everything here.
fn past_links(path: &Path) -> PathBuf {
    const LINKS: usize = 32;
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let dangling = path.ancestors().filter(|p| !p.exists()).find_map(|p| {
            let to = fs::read_link(p).ok()?;
            Some((p.to_owned(), p.parent().unwrap_or(Path::new("/")).join(to)))
        });
        let Some((link, to)) = dangling else { break };
        path = to.join(path.strip_prefix(&link).unwrap_or(Path::new("")));
    }
    path
}

fn mask() -> Result<(), Fault> {
    for path in MASKED {
        let told = || format!("masking {path}");
        match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_dir() => {
                let flags = MsFlags::MS_RDONLY | MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
                mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some("size=0,nr_inodes=2")).tried(told)?;
            }
            Ok(_) => mount(Some("/dev/null"), path, NONE, MsFlags::MS_BIND, NONE).tried(told)?,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(machine(format!("masking {path}: {e}"))),
        }
    }
    for path in READ_ONLY {
        let told = || format!("making {path} read-only");
        if !Path::new(path).exists() {
            continue;
        }
        let held = take(Path::new(path), true).tried(told)?;
        change(&held, Attributes { read_only: true, recursive: true, no_devices: true }).tried(told)?;
        put(&held, Path::new(path)).tried(told)?;
    }
    Ok(())
}

/// A real directory at the top of the root: an image's link there would send the mount elsewhere.
fn fresh_directory(path: &str) -> Result<(), Fault> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => Ok(()),
        Ok(_) => Err(specification(format!("{path} is not a directory in the image"))),
        Err(_) => fs::create_dir(path).tried(|| format!("making {path}")),
    }
}
