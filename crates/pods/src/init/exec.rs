//! `portolan init exec`: one more program in a container that runs.
//!
//! Streams are the helper's own; descriptor 3 is a [`Channel`] to the node, over which the terminal's master side or
//! the fault goes, and whose end says that the program runs. The helper's exit code is the program's; 128 and the
//! signal's number when a signal ended it.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use super::enter::{Streams, execute, join_cgroups};
use super::fault::{Tried, machine, specification};
use crate::bundle::{Bundle, ExecRequest, Fault};
use crate::channel::Channel;
use crate::durable;

/// The channel's descriptor.
const CHANNEL: i32 = 3;

/// Runs the program and gives the code to exit with.
pub fn run(request: &OsStr) -> i32 {
    // SAFETY: descriptor 3 is what the node opened for this process, and nothing else here owns it.
    let channel = Channel::inherited(unsafe { OwnedFd::from_raw_fd(CHANNEL) });
    match start(request, &channel) {
        Ok(program) => {
            drop(channel);
            wait(&program)
        }
        Err(fault) => {
            tell(&channel, &fault);
            1
        }
    }
}

fn tell(channel: &Channel, fault: &Fault) {
    let words = serde_json::to_vec(fault).unwrap_or_default();
    // A node that is gone does not read it, and need not.
    let _unread = channel.send(&words, None);
}

/// The program as its parent holds it.
struct Program {
    pid: Pid,
    /// Readable when it has ended.
    ended: OwnedFd,
    /// Readable when the node has ended; none when it is gone already.
    node: Option<OwnedFd>,
}

fn start(request: &OsStr, channel: &Channel) -> Result<Program, Fault> {
    // SAFETY: closes descriptors that nothing of this process has opened.
    unsafe { libc::close_range(4, libc::c_uint::MAX, 0) };
    // SAFETY: sets a flag of the channel's descriptor, which this process holds.
    if unsafe { libc::fcntl(CHANNEL, libc::F_SETFD, libc::FD_CLOEXEC) } != 0 {
        return Err(machine(format!("keeping the channel to itself: {}", Errno::last())));
    }
    let request = request.to_str().ok_or_else(|| specification("the request is not UTF-8"))?;
    let request: ExecRequest = serde_json::from_str(request).tried(|| "reading the request".into())?;
    let bundle: Bundle = durable::read_json(&request.bundle)
        .and_then(|b| b.ok_or_else(|| std::io::ErrorKind::NotFound.into()))
        .tried(|| format!("reading {}", request.bundle.display()))?;
    let told = || "entering the container".to_owned();
    // Before anything of this process can be seen from inside.
    nix::sys::prctl::set_dumpable(false).tried(told)?;
    let container = request.process.open().tried(told)?.ok_or_else(|| machine("the container has ended"))?;
    let node = request.node.open().tried(|| "looking for the node".into())?;
    join_cgroups(&bundle)?;
    let all = CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWCGROUP
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNS;
    setns(&container, all).tried(told)?;
    let mut process = bundle.process;
    process.args = request.args;
    process.terminal = request.terminal;
    // SAFETY: this process has one thread.
    match unsafe { fork() }.tried(|| "forking".into())? {
        ForkResult::Parent { child } => {
            let ended = pidfd(child).tried(|| "watching the program".into())?;
            Ok(Program { pid: child, ended, node })
        }
        ForkResult::Child => {
            let streams = if process.terminal { None } else { Some(own_streams()) };
            let executed = streams.transpose().and_then(|s| execute(&process, channel, s, false));
            let Err(fault) = executed;
            tell(channel, &fault);
            std::process::exit(126)
        }
    }
}

/// In the container's own `/proc` the child has another number, so start times are not looked at: it is our child, and
/// keeps its number until it is waited for.
fn pidfd(child: Pid) -> std::io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, child.as_raw(), 0) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    let fd = i32::try_from(fd).map_err(std::io::Error::other)?;
    // SAFETY: the kernel has just given us this descriptor, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The helper's own streams, under other numbers, so that putting them in place closes none of them.
fn own_streams() -> Result<Streams, Fault> {
    let copy = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().tried(|| "copying a stream".into());
    Ok(Streams {
        stdin: copy(std::io::stdin().as_fd())?,
        stdout: copy(std::io::stdout().as_fd())?,
        stderr: copy(std::io::stderr().as_fd())?,
    })
}

/// Waits for the program, and ends it when the node is gone: nobody reads what it says any more.
fn wait(program: &Program) -> i32 {
    let node = program.node.as_ref();
    loop {
        let mut polled = vec![PollFd::new(program.ended.as_fd(), PollFlags::POLLIN)];
        polled.extend(node.map(|n| PollFd::new(n.as_fd(), PollFlags::POLLIN)));
        match poll(&mut polled, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return 1,
        }
        let gone = node.is_none() || polled.get(1).is_some_and(|p| p.any().unwrap_or(true));
        if gone && kill(program.pid, Signal::SIGKILL).is_err() {
            return 1;
        }
        match waitpid(program.pid, if gone { None } else { Some(WaitPidFlag::WNOHANG) }) {
            Ok(WaitStatus::Exited(_, code)) => return code,
            Ok(WaitStatus::Signaled(_, signal, _)) => return 128 + signal as i32,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return 1,
        }
    }
}
