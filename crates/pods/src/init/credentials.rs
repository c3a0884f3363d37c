//! From root of the node to the container's user: capabilities(7), credentials(7), prctl(2).

use std::fs;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use super::fault::{Tried, machine};
use super::passwd::Identity;
use super::seccomp;
use crate::bundle::{Fault, Process};

/// Takes on `identity` and gives up every right beyond the process' own. The last step before exec.
pub fn assume(process: &Process, identity: &Identity) -> Result<(), Fault> {
    join_new_session_keyring()?;
    if process.confined {
        // Before the rights go that it takes.
        seccomp::confine()?;
    }
    let held = drop_bounding(process.capabilities)?;
    let groups: Vec<Gid> = identity.groups.iter().copied().map(Gid::from_raw).collect();
    setgroups(&groups).tried(|| format!("setting groups {:?}", identity.groups))?;
    let gid = Gid::from_raw(identity.gid);
    setresgid(gid, gid, gid).tried(|| format!("setting group {gid}"))?;
    let uid = Uid::from_raw(identity.uid);
    setresuid(uid, uid, uid).tried(|| format!("setting user {uid}"))?;
    clear_ambient()?;
    set_capabilities(if uid.is_root() { held } else { 0 })?;
    if process.no_new_privileges {
        prctl::set_no_new_privs().tried(|| "setting no_new_privs".into())?;
    }
    // After the change of user, which clears it: a container does not outlive its parent.
    prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).tried(|| "setting the parent-death signal".into())
}

/// A keyring of its own, so that keys of the node's session are not inherited.
fn join_new_session_keyring() -> Result<(), Fault> {
    const KEYCTL_JOIN_SESSION_KEYRING: i64 = 1;
    // SAFETY: a null name asks for an anonymous keyring; no memory of ours is touched.
    let done = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<u8>()) };
    match Errno::last() {
        _ if done >= 0 => Ok(()),
        // A kernel without keyrings, or with a full quota of them, has none to inherit or gives none.
        Errno::ENOSYS | Errno::EDQUOT | Errno::EPERM => Ok(()),
        errno => Err(machine(format!("joining a new session keyring: {errno}"))),
    }
}

/// Leaves just `wanted` in the bounding set, and says which of them this process has at all.
fn drop_bounding(wanted: u64) -> Result<u64, Fault> {
    let last = last_capability()?;
    let mut held = 0;
    for number in 0..=last {
        // SAFETY: prctl with integers touches no memory of ours.
        let present = unsafe { libc::prctl(libc::PR_CAPBSET_READ, libc::c_ulong::from(number), 0, 0, 0) };
        if present != 1 {
            continue;
        }
        if wanted & (1 << number) != 0 {
            held |= 1 << number;
            continue;
        }
        // SAFETY: as above.
        let done = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(number), 0, 0, 0) };
        if done != 0 {
            return Err(machine(format!("dropping capability {number}: {}", Errno::last())));
        }
    }
    Ok(held)
}

fn last_capability() -> Result<u8, Fault> {
    let text = fs::read_to_string("/proc/sys/kernel/cap_last_cap").tried(|| "reading cap_last_cap".into())?;
    let last: u8 = text.trim().parse().tried(|| "reading cap_last_cap".into())?;
    Ok(last.min(63))
}

fn clear_ambient() -> Result<(), Fault> {
    // SAFETY: prctl with integers touches no memory of ours.
    let done = unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    if done == 0 { Ok(()) } else { Err(machine(format!("clearing ambient capabilities: {}", Errno::last()))) }
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct CapabilityWord {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Effective and permitted as given, inheritable none: capset(2), version 3, two words.
fn set_capabilities(set: u64) -> Result<(), Fault> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = CapabilityHeader { version: VERSION_3, pid: 0 };
    let word = |bits: u64| {
        let bits = u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(0);
        CapabilityWord { effective: bits, permitted: bits, inheritable: 0 }
    };
    let words = [word(set), word(set >> 32)];
    // SAFETY: header and words have the layout that capset(2) gives for version 3, and live through the call.
    let done = unsafe { libc::syscall(libc::SYS_capset, &raw const header, words.as_ptr()) };
    if done == 0 { Ok(()) } else { Err(machine(format!("setting capabilities {set:#x}: {}", Errno::last()))) }
}
