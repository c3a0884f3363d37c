//! Capabilities by name (capabilities(7)), and which of them a container has.

use k8s_openapi::api::core::v1::Capabilities;

/// By their numbers.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// What a container has of which nothing else is said.
const DEFAULT: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Every capability that there is.
pub const ALL: u64 = (1 << NAMES.len()) - 1;

/// The capability that makes its holder the machine's administrator in all but name.
pub const SYS_ADMIN: u64 = 1 << 21;

/// A name that no capability has.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no capability {0:?}")]
pub struct UnknownCapability(String);

/// The set that results, a bit for each number: the default, less those dropped, and those added. `ALL` stands for all.
///
/// # Errors
/// A name that no capability has.
pub fn resolve(asked: Option<&Capabilities>) -> Result<u64, UnknownCapability> {
    let list = |names: Option<&Vec<String>>| names.into_iter().flatten().map(|name| bits(name)).sum_bits();
    let (added, dropped) = (list(asked.and_then(|c| c.add.as_ref()))?, list(asked.and_then(|c| c.drop.as_ref()))?);
    let default = DEFAULT.iter().map(|name| bits(name)).sum_bits()?;
    Ok(match (added == ALL, dropped == ALL) {
        // Of all, those that were named stay away.
        (true, false) => ALL & !dropped,
        (_, true) => added,
        (false, false) => (default & !dropped) | added,
    })
}

trait SumBits {
    fn sum_bits(self) -> Result<u64, UnknownCapability>;
}

impl<I: Iterator<Item = Result<u64, UnknownCapability>>> SumBits for I {
    fn sum_bits(mut self) -> Result<u64, UnknownCapability> {
        self.try_fold(0, |all, one| Ok(all | one?))
    }
}

fn bits(name: &str) -> Result<u64, UnknownCapability> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if short == "ALL" {
        return Ok(ALL);
    }
    match NAMES.iter().position(|n| *n == short) {
        Some(number) => Ok(1 << number),
        None => Err(UnknownCapability(name.to_owned())),
    }
}

#[cfg(test)]
mod tests;
