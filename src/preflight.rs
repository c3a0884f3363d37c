//! What can stand in the way of a cluster, looked at before anything is made.

use std::io;
use std::net::{SocketAddr, TcpListener};

use anyhow::Result;
use rtnetlink::Handle;

use crate::layout::Layout;
use crate::network;
use crate::refusal::Refusal;

/// Refuses to go on without root: links, namespaces and rules are made by root alone.
///
/// # Errors
/// When the caller is somebody else.
pub fn is_root() -> Result<(), Refusal> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Refusal::new("root is needed to make namespaces, links and rules; run it again with sudo"))
}

/// Refuses a kernel that has no nf_tables, or will not let us use it.
///
/// # Errors
/// When no socket or no answer is had.
pub fn has_nf_tables() -> Result<(), Refusal> {
    let cure = "a kernel with CONFIG_NF_TABLES is needed; try `modprobe nf_tables`, or another kernel";
    let refused =
        |why: &dyn std::fmt::Display| Refusal::new(format!("the kernel has no nf_tables here ({why}): {cure}"));
    let mut socket = nft::Socket::in_current_netns().map_err(|e| refused(&e))?;
    socket.tables().map(drop).map_err(|e| refused(&e))
}

/// Refuses ranges that overlap what the machine has already.
///
/// # Errors
/// When one does, with the flag to change.
pub async fn ranges_are_free(handle: &Handle, layout: &Layout) -> Result<()> {
    let mine =
        [("--node-cidr", layout.node_cidr), ("--pod-cidr", layout.pod_cidr), ("--service-cidr", layout.service_cidr)];
    for (interface, theirs) in network::networks(handle).await? {
        for (flag, range) in mine {
            if range.contains(&theirs.network()) || theirs.contains(&range.network()) {
                return Err(Refusal::new(format!(
                    "{flag} {range} overlaps {theirs} of the interface {interface}; choose another range, or take the other cluster down"
                ))
                .into());
            }
        }
    }
    Ok(())
}

/// Refuses an address at which something answers already.
///
/// # Errors
/// When it cannot be bound.
pub fn port_is_free(address: SocketAddr) -> Result<(), Refusal> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => Err(Refusal::new(format!(
            "--api-address {address}: the port is in use; choose another, or take the other cluster down"
        ))),
        Err(e) => Err(Refusal::new(format!("--api-address {address}: {e}; give an address of this machine"))),
    }
}
