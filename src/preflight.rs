//! What can stand in the way of a cluster, looked at before anything is made.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;

use anyhow::Result;
use ipnet::Ipv4Net;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};
use rtnetlink::Handle;

use crate::layout::{Layout, overlap};
use crate::refusal::Refusal;
use crate::{netns, network};

#[cfg(test)]
mod tests;

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
    let tables = || -> Result<(), nft::DumpError> { nft::Socket::in_current_netns()?.tables().map(drop) };
    tables().map_err(|e| no_nf_tables(&e))
}

fn no_nf_tables(error: &(dyn std::error::Error + 'static)) -> Refusal {
    let mut cause = Some(error);
    let mut why = error.to_string();
    let mut is_forbidden = false;
    while let Some(error) = cause {
        why = error.to_string();
        if let Some(error) = error.downcast_ref::<io::Error>() {
            is_forbidden |= error.kind() == io::ErrorKind::PermissionDenied;
        }
        cause = error.source();
    }
    if is_forbidden {
        return Refusal::new(format!(
            "this root may not change the network ({why}): CAP_NET_ADMIN and CAP_SYS_ADMIN are needed; in a container, run it privileged"
        ));
    }
    Refusal::new(format!(
        "the kernel has no nf_tables here ({why}): try `modprobe nf_tables`, or a kernel with CONFIG_NF_TABLES"
    ))
}

/// Refuses ranges that overlap what the machine has already.
///
/// A route that is wider than a range is no hindrance: the longer prefix goes first, and both go on.
///
/// # Errors
/// When one does, with the flag to change.
pub async fn ranges_are_free(handle: &Handle, layout: &Layout) -> Result<()> {
    let mut mine = vec![
        ("--node-cidr", layout.node_cidr),
        ("--pod-cidr", layout.pod_cidr),
        ("--service-cidr", layout.service_cidr),
    ];
    mine.extend(layout.pool_beside_nodes()?.into_iter().map(|range| ("--load-balancer-pool", range)));
    let taken = |what: &str, (flag, range): (&str, Ipv4Net), theirs: Ipv4Net, interface: &str| {
        Refusal::new(format!(
            "{flag} {range} overlaps {theirs} of the {what} {interface}; choose another range, or take the other cluster down"
        ))
    };
    for (interface, theirs) in network::networks(handle).await? {
        if let Some(found) = mine.iter().find(|(_, range)| overlap(range, &theirs)) {
            return Err(taken("interface", *found, theirs, &interface).into());
        }
    }
    for (interface, theirs) in network::routes(handle).await? {
        if let Some(found) = mine.iter().find(|(_, range)| range.contains(&theirs)) {
            return Err(taken("route by", *found, theirs, &interface).into());
        }
    }
    Ok(())
}

/// Refuses names of links and namespaces that somebody has taken.
///
/// # Errors
/// When one is.
pub async fn names_are_free(handle: &Handle, layout: &Layout) -> Result<()> {
    for name in layout.nodes.iter().map(|n| &n.link).chain([&layout.bridge]) {
        if network::link_index(handle, name).await?.is_some() {
            return Err(Refusal::new(format!(
                "the link {name} is there already, made by somebody else; remove it with `ip link delete {name}`, or give another --name"
            ))
            .into());
        }
    }
    for node in &layout.nodes {
        netns::is_free(&node.netns)?;
    }
    Ok(())
}

/// Refuses the address of an API server at which something answers already, or that is none of this machine's.
///
/// # Errors
/// When it cannot be bound.
pub fn port_is_free(address: SocketAddr) -> Result<(), Refusal> {
    try_listen(address, false).map_err(|e| no_port(address, &e))
}

/// Refuses a port that could not be had at an address that the machine is going to have.
///
/// # Errors
/// When something answers already at every address.
pub fn port_will_be_free(address: SocketAddr) -> Result<(), Refusal> {
    try_listen(address, true).map_err(|e| no_port(address, &e))
}

fn no_port(address: SocketAddr, error: &io::Error) -> Refusal {
    let cure = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the port is in use; choose another, or end what uses it (`ss -ltnp` shows it)".to_owned()
        }
        io::ErrorKind::PermissionDenied => "ports below 1024 are root's; choose another".to_owned(),
        _ => format!("{error}; give an address of this machine"),
    };
    Refusal::new(format!("--api-address {address}: {cure}"))
}

fn try_listen(address: SocketAddr, anywhere: bool) -> io::Result<()> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // As a server has it: what is left of ended connections does not count.
    setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    if anywhere {
        setsockopt(&socket, sockopt::IpFreebind, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&socket, Backlog::new(1)?)?;
    Ok(())
}

/// Refuses an address that no interface of this machine has.
///
/// # Errors
/// When it is so, or the kernel refuses to tell.
pub fn is_own_address(address: Ipv4Addr) -> Result<(), Refusal> {
    try_listen(SocketAddr::new(IpAddr::V4(address), 0), false).map_err(|e| {
        Refusal::new(format!("--address {address}: {e}; give the address of one of this machine's interfaces"))
    })
}
