//! The child's side: from a fork of `portolan init` to the container's program.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::prctl;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, fchown, setsid};

use super::fault::{Tried, machine, specification};
use super::passwd::{Accounts, Identity};
use super::{credentials, rootfs};
use crate::bundle::{Bundle, Fault, FaultKind, Process};
use crate::channel::Channel;

/// Where programs are looked for when the environment has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Standard input, output and error of a program without a terminal.
pub struct Streams {
    pub stdin: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// First process of the container: waits for the word to go, builds the root and executes the program. Returns only
/// with what went wrong.
pub fn first_process(bundle: &Bundle, channel: &Channel, streams: Option<Streams>) -> Fault {
    match channel.receive() {
        Ok(go) if !go.bytes.is_empty() => {}
        Ok(_) => return machine("the parent is gone"),
        Err(errno) => return machine(format!("waiting for the parent: {errno}")),
    }
    let made = prepare(bundle).and_then(|()| execute(&bundle.process, channel, streams, true));
    match made {
        Err(fault) => fault,
        Ok(never) => match never {},
    }
}

fn prepare(bundle: &Bundle) -> Result<(), Fault> {
    join_cgroups(bundle)?;
    if let Some(adjustment) = bundle.process.oom_score_adj {
        match fs::write("/proc/self/oom_score_adj", adjustment.to_string()) {
            // Only a process with CAP_SYS_RESOURCE may make itself less likely to be chosen; a nested node has none.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {}
            other => other.tried(|| format!("setting oom_score_adj to {adjustment}"))?,
        }
    }
    rootfs::build(bundle)
}

/// Puts this process into the container's control groups. They are named by the node's paths.
fn join_cgroups(bundle: &Bundle) -> Result<(), Fault> {
    for group in &bundle.cgroups {
        let path = group.path.join("cgroup.procs");
        fs::write(&path, "0").tried(|| format!("joining {}", path.display()))?;
    }
    Ok(())
}

/// Becomes the program. The process stands in the container's namespaces already.
pub fn execute(
    process: &Process,
    channel: &Channel,
    streams: Option<Streams>,
    console: bool,
) -> Result<std::convert::Infallible, Fault> {
    // Until exec, `/proc/PID/exe` of this process is the node's own program: others in the container may not look.
    prctl::set_dumpable(false).tried(|| "hiding from the container".into())?;
    let identity = Accounts::read().tried(|| "reading the image's users".into())?.identify(&process.user)?;
    match streams {
        Some(streams) => take_streams(streams, &identity)?,
        None => take_terminal(channel, &identity, console)?,
    }
    if !process.cwd.exists() {
        fs::create_dir_all(&process.cwd).tried(|| format!("making {}", process.cwd.display()))?;
    }
    let environment = environment(process, &identity);
    let args = process.args.iter().map(|a| c_string(a)).collect::<Result<Vec<_>, _>>()?;
    let env = environment.iter().map(|(k, v)| c_string(&format!("{k}={v}"))).collect::<Result<Vec<_>, _>>()?;
    reset_signals()?;
    credentials::assume(process, &identity)?;
    if !channel.is_open() {
        // It ended before its end would have been this process' too.
        return Err(machine("the parent is gone"));
    }
    chdir(&process.cwd).map_err(|e| specification(format!("entering {}: {e}", process.cwd.display())))?;
    let candidates = candidates(process, &environment)?;
    Err(execute_first(&candidates, &args, &env, process))
}

/// The first candidate that there is gets executed; as a shell does, one that may not be executed is remembered while
/// the others are tried.
fn execute_first(candidates: &[CString], args: &[CString], env: &[CString], process: &Process) -> Fault {
    let mut errno = Errno::ENOENT;
    for candidate in candidates {
        let Err(error) = execve(candidate, args, env);
        match error {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => errno = Errno::EACCES,
            other => {
                errno = other;
                break;
            }
        }
    }
    let program = process.args.first().map_or("", String::as_str);
    let message = match errno {
        Errno::ENOENT if !program.contains('/') => format!("exec {program:?}: executable file not found in $PATH"),
        errno => format!("exec {program:?}: {}", errno.desc()),
    };
    Fault { kind: FaultKind::Program, message }
}

fn candidates(process: &Process, environment: &[(String, String)]) -> Result<Vec<CString>, Fault> {
    let Some(program) = process.args.first().filter(|p| !p.is_empty()) else {
        let message = "no command is given, neither by the Pod nor by the image".into();
        return Err(Fault { kind: FaultKind::Program, message });
    };
    if program.contains('/') {
        return Ok(vec![c_string(program)?]);
    }
    let path = environment.iter().rev().find(|(k, _)| k == "PATH").map_or(DEFAULT_PATH, |(_, v)| v);
    path.split(':').map(|d| c_string(&format!("{}/{program}", if d.is_empty() { "." } else { d }))).collect()
}

fn environment(process: &Process, identity: &Identity) -> Vec<(String, String)> {
    let mut env = process.env.clone();
    if !env.iter().any(|(k, _)| k == "HOME") {
        env.push(("HOME".into(), identity.home.clone().unwrap_or_else(|| "/".into())));
    }
    if process.terminal && !env.iter().any(|(k, _)| k == "TERM") {
        env.push(("TERM".into(), "xterm".into()));
    }
    env
}

fn take_streams(streams: Streams, identity: &Identity) -> Result<(), Fault> {
    // A program may open /dev/stdout anew, which asks for the owner's rights on the pipe.
    for stream in [&streams.stdin, &streams.stdout, &streams.stderr] {
        give(stream.as_fd(), identity)?;
    }
    replace_standard(streams.stdin.as_fd(), streams.stdout.as_fd(), streams.stderr.as_fd())
}

/// `/dev/null` and what else is not ours to give stays as it is.
fn give(stream: BorrowedFd<'_>, identity: &Identity) -> Result<(), Fault> {
    let mode = nix::sys::stat::fstat(stream).tried(|| "looking at a stream".into())?.st_mode;
    if mode & libc::S_IFMT != libc::S_IFIFO {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    fchown(stream, Some(uid), Some(gid)).tried(|| "giving a stream to the user".into())
}

/// Puts standard input, output and error in place.
pub fn replace_standard(stdin: BorrowedFd<'_>, stdout: BorrowedFd<'_>, stderr: BorrowedFd<'_>) -> Result<(), Fault> {
    let told = || "putting the streams in place".to_owned();
    dup2_stdin(stdin).tried(told)?;
    dup2_stdout(stdout).tried(told)?;
    dup2_stderr(stderr).tried(told)
}

/// Opens a terminal of the container's own devpts, sends its master side to the parent and makes the other side the
/// controlling terminal.
fn take_terminal(channel: &Channel, identity: &Identity, console: bool) -> Result<(), Fault> {
    let told = || "opening a terminal".to_owned();
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = open("/dev/pts/ptmx", flags, Mode::empty()).tried(told)?;
    let unlock: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int, which lives through the call.
    if unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock) } != 0 {
        return Err(machine(format!("unlocking a terminal: {}", Errno::last())));
    }
    // SAFETY: TIOCGPTPEER takes open flags as an integer and gives a new descriptor.
    let peer = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags.bits()) };
    if peer < 0 {
        return Err(machine(format!("opening a terminal's other side: {}", Errno::last())));
    }
    // SAFETY: the kernel has just given us this descriptor, and nobody else owns it.
    let peer = unsafe { OwnedFd::from_raw_fd(peer) };
    fchown(&peer, Some(Uid::from_raw(identity.uid)), None).tried(told)?;
    channel.send(b"terminal", Some(master.as_raw_fd())).tried(|| "handing over a terminal".into())?;
    if console {
        show_console(&peer)?;
    }
    match setsid() {
        // A session leader already: the container's first process.
        Ok(_) | Err(Errno::EPERM) => {}
        Err(errno) => return Err(machine(format!("starting a session: {errno}"))),
    }
    // SAFETY: TIOCSCTTY takes an integer.
    if unsafe { libc::ioctl(peer.as_raw_fd(), libc::TIOCSCTTY, 0) } != 0 {
        return Err(machine(format!("taking a controlling terminal: {}", Errno::last())));
    }
    replace_standard(peer.as_fd(), peer.as_fd(), peer.as_fd())
}

fn show_console(peer: &OwnedFd) -> Result<(), Fault> {
    let told = || "mounting /dev/console".to_owned();
    let console = Path::new("/dev/console");
    fs::OpenOptions::new().append(true).create(true).open(console).tried(told)?;
    let held = super::mount::take_open(peer, false).tried(told)?;
    super::mount::put(&held, console).tried(told)
}

/// As a program expects them: nothing blocked, nothing ignored (Rust ignores SIGPIPE).
fn reset_signals() -> Result<(), Fault> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator().filter(|s| !matches!(s, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: the default action runs no code of ours.
        unsafe { sigaction(signal, &default) }.tried(|| format!("resetting {signal}"))?;
    }
    SigSet::empty().thread_set_mask().tried(|| "unblocking signals".into())
}

fn c_string(text: &str) -> Result<CString, Fault> {
    CString::new(text).map_err(|_| specification(format!("{text:?} has a NUL in it")))
}
