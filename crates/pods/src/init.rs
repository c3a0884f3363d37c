//! `portolan init`: the container's parent and the way into a container. Hidden subcommands, one thread.
//!
//! ```text
//! node ── portolan init run BUNDLE ── forks ──> parent (own session; keeps log and record; outlives the node)
//!                                                 └─ forks into a new pid namespace ──> mounts, drops rights, execs
//! node ── portolan init exec REQUEST ── setns ── forks ──> drops rights, execs
//! ```
//! Everything here runs in a process of one thread and never starts a second: fork copies just the calling one.

mod credentials;
mod enter;
mod exec;
mod fault;
mod log;
mod mount;
mod output;
mod parent;
mod passwd;
mod rootfs;
mod seccomp;

use std::ffi::OsString;
use std::path::Path;

use self::fault::{machine, specification};
use crate::bundle::{Fault, Report};

/// The entry of `portolan init ARGS…`. It has to be the first thing that the process does: more than one thread is
/// refused. Never returns.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ! {
    let args: Vec<OsString> = args.into_iter().collect();
    let code = match single_threaded().and_then(|()| dispatch(&args)) {
        Ok(code) => code,
        Err(fault) => {
            fault::answer(&Report::Failed(fault));
            1
        }
    };
    std::process::exit(code)
}

fn dispatch(args: &[OsString]) -> Result<i32, Fault> {
    match args {
        [verb, bundle] if verb == "run" => parent::run(Path::new(bundle)),
        [verb, request] if verb == "exec" => Ok(exec::run(request)),
        _ => Err(specification("portolan init is run by a node: `run BUNDLE` or `exec REQUEST`")),
    }
}

fn single_threaded() -> Result<(), Fault> {
    match std::fs::read_dir("/proc/self/task").map(Iterator::count) {
        Ok(1) => Ok(()),
        Ok(n) => Err(machine(format!("portolan init has {n} threads before it began"))),
        Err(e) => Err(machine(format!("reading /proc/self/task: {e}"))),
    }
}
