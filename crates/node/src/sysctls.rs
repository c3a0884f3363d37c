//! What a node's network namespace must be told so that it forwards between Pods. Each is a file under `/proc/sys/net`,
//! which shows the namespace of whoever looks.

use std::fs;
use std::io;
use std::path::PathBuf;

/// A setting could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot set {name}")]
pub struct SysctlError {
    /// Its name under `/proc/sys`.
    pub name: &'static str,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Sets what a node needs.
///
/// # Errors
/// When the kernel refuses.
pub fn set() -> Result<(), SysctlError> {
    write("net/ipv4/ip_forward", "1")
}

/// Whether conntrack takes a TCP packet that is out of its connection's window for one of that connection
/// (`nf_conntrack_tcp_be_liberal`). A node wants it so: otherwise such a packet from an endpoint keeps the endpoint's own
/// address, and the client, who never heard of that, resets the connection (kubernetes#74839). The other cure, to drop
/// what conntrack cannot place, breaks connections of which only one direction passes the node.
///
/// To be set when the rules are in the kernel: before, there may be no conntrack to be set.
///
/// # Errors
/// When the kernel refuses, or has no conntrack.
pub fn set_tcp_be_liberal(liberal: bool) -> Result<(), SysctlError> {
    write("net/netfilter/nf_conntrack_tcp_be_liberal", if liberal { "1" } else { "0" })
}

/// Where the settings are. A container without privileges has `/proc/sys` read-only; it can be given the machine's
/// `/proc/sys/net` at another place, `net` under the folder that this variable names.
fn root() -> PathBuf {
    std::env::var_os("PORTOLAN_PROC_SYS").map_or_else(|| PathBuf::from("/proc/sys"), PathBuf::from)
}

/// What is not so already is written: on a machine of its own, somebody may have good reasons for a read-only /proc/sys.
pub(crate) fn write(name: &'static str, value: &str) -> Result<(), SysctlError> {
    let path = root().join(name);
    if fs::read_to_string(&path).is_ok_and(|held| held.trim() == value) {
        return Ok(());
    }
    fs::write(&path, value).map_err(|source| SysctlError { name, source })
}

#[cfg(test)]
mod tests;
