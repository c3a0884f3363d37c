//! What a node's network namespace must be told so that it forwards between Pods. Each is a file under `/proc/sys/net`,
//! which shows the namespace of whoever looks.

use std::fs;
use std::io;

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
    // What is not so already is written: on a machine of its own, somebody may have good reasons for a read-only /proc/sys.
    for (name, value) in [("net/ipv4/ip_forward", "1")] {
        let path = format!("/proc/sys/{name}");
        if fs::read_to_string(&path).is_ok_and(|held| held.trim() == value) {
            continue;
        }
        fs::write(&path, value).map_err(|source| SysctlError { name, source })?;
    }
    Ok(())
}
