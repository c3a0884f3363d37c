//! `portolan init exec`: one more program in a container that runs.
//!
//! Streams are the helper's own; descriptor 3 is a [`Channel`] to the node. Over it goes the terminal's master side where
//! there is one, then `running PID` or the fault. When the node lets go of it, the program is ended. The helper's exit
//! code is the program's; 128 and the signal's number when a signal ended it.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

use super::enter::{Streams, execute};
use super::fault::{Tried, machine, specification};
use crate::bundle::{Bundle, ExecRequest, Fault, Process};
use crate::channel::Channel;
use crate::durable;

/// The channel's descriptor.
const CHANNEL: i32 = 3;

/// Runs the program and gives the code to exit with.
pub fn run(request: &OsStr) -> i32 {
    // SAFETY: descriptor 3 is what the node opened for this process, and nothing else here owns it.
    let node = Channel::inherited(unsafe { OwnedFd::from_raw_fd(CHANNEL) });
    match start(request, &node) {
        Ok(program) => wait(&program, &node),
        Err(fault) => {
            tell(&node, &fault);
            1
        }
    }
}

fn tell(channel: &Channel, fault: &Fault) {
    let words = serde_json::to_vec(fault).unwrap_or_default();
    // Whoever is gone does not read it, and need not.
    let _unread = channel.send(&words, None);
}

/// The program as its parent holds it.
struct Program {
    pid: Pid,
    /// Readable when it has ended.
    ended: OwnedFd,
}

fn start(request: &OsStr, node: &Channel) -> Result<Program, Fault> {
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
    let groups = enter(&request, &bundle)?;
    let process = Process { args: request.args, terminal: request.terminal, ..bundle.process };
    let (here, there) = Channel::pair().tried(|| "making a socket pair".into())?;
    // SAFETY: this process has one thread.
    match unsafe { fork() }.tried(|| "forking".into())? {
        ForkResult::Child => {
            drop(here);
            let Err(fault) = become_program(&process, groups, &there);
            tell(&there, &fault);
            std::process::exit(126)
        }
        ForkResult::Parent { child } => {
            drop((there, groups));
            let ended = pidfd(child).tried(|| "watching the program".into())?;
            let program = Program { pid: child, ended };
            match launch(&here, node).and_then(|()| say_running(child, node)) {
                Ok(()) => Ok(program),
                Err(fault) => {
                    end(&program);
                    Err(fault)
                }
            }
        }
    }
}

/// Takes this process to where the container is, but for its control groups: those are given back open, to be joined by
/// the program alone.
fn enter(request: &ExecRequest, bundle: &Bundle) -> Result<Vec<File>, Fault> {
    let told = || "entering the container".to_owned();
    // Before anything of this process can be seen from inside.
    nix::sys::prctl::set_dumpable(false).tried(told)?;
    let container = request.process.open().tried(told)?.ok_or_else(|| machine("the container has ended"))?;
    let open = |group: &crate::bundle::Cgroup| {
        let path = group.path.join("cgroup.procs");
        OpenOptions::new().write(true).open(&path).tried(|| format!("joining {}", path.display()))
    };
    let groups = bundle.cgroups.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let all = CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWUTS
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWCGROUP
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNS;
    setns(&container, all).tried(told)?;
    Ok(groups)
}

fn become_program(process: &Process, groups: Vec<File>, parent: &Channel) -> Result<std::convert::Infallible, Fault> {
    for mut group in groups {
        group.write_all(b"0").tried(|| "joining the container's control groups".into())?;
    }
    let streams = if process.terminal { None } else { Some(own_streams()?) };
    execute(process, parent, streams, false)
}

/// Waits until the program is executed; a terminal is passed on.
fn launch(child: &Channel, node: &Channel) -> Result<(), Fault> {
    loop {
        if !either(child.as_fd(), node).tried(|| "waiting for the program".into())? {
            return Err(machine("the node let go"));
        }
        let packet = child.receive().tried(|| "waiting for the program".into())?;
        match packet.fd {
            Some(master) => {
                let passed = node.send(&packet.bytes, Some(master.as_raw_fd()));
                passed.tried(|| "handing over a terminal".into())?;
            }
            None if packet.bytes.is_empty() => return Ok(()),
            None => return Err(serde_json::from_slice(&packet.bytes).tried(|| "reading a fault".into())?),
        }
    }
}

fn say_running(child: Pid, node: &Channel) -> Result<(), Fault> {
    node.send(format!("running {child}").as_bytes(), None).tried(|| "saying that the program runs".into())
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

/// Waits for the program, and ends it when the node lets go: nobody reads what it says any more.
fn wait(program: &Program, node: &Channel) -> i32 {
    loop {
        if !either(program.ended.as_fd(), node).unwrap_or(false) {
            return end(program);
        }
        if let Some(code) = reap(program, Some(WaitPidFlag::WNOHANG)) {
            return code;
        }
    }
}

/// Waits until there is something to be had of `fd`, or nothing more of the node; whether the node still holds its end.
fn either(fd: BorrowedFd<'_>, node: &Channel) -> Result<bool, Errno> {
    let mut polled = [PollFd::new(fd, PollFlags::POLLIN), PollFd::new(node.as_fd(), PollFlags::POLLIN)];
    match poll(&mut polled, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(node.is_open()),
        Err(errno) => Err(errno),
    }
}

/// Ends the program and waits for it: a child that nobody waits for would keep the container from ending.
fn end(program: &Program) -> i32 {
    // ESRCH cannot be: it has not been waited for.
    let _sent = kill(program.pid, Signal::SIGKILL);
    reap(program, None).unwrap_or(1)
}

fn reap(program: &Program, flags: Option<WaitPidFlag>) -> Option<i32> {
    loop {
        match waitpid(program.pid, flags) {
            Ok(WaitStatus::Exited(_, code)) => return Some(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Some(128 + signal as i32),
            Ok(WaitStatus::StillAlive) => return None,
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return Some(1),
        }
    }
}
