//! What the machine has: its addresses, as they are now, in the network namespace of the process.

use std::net::IpAddr;

use nix::ifaddrs::getifaddrs;

/// The addresses of all interfaces, sorted, each once. Link-local IPv6 ones are left out: without their interface they
/// name nothing.
///
/// # Errors
/// When the kernel does not tell.
pub fn addresses() -> nix::Result<Vec<IpAddr>> {
    let all = getifaddrs()?.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
    });
    let named = |address: &IpAddr| matches!(address, IpAddr::V4(_)) || !is_link_local(address);
    let mut found: Vec<IpAddr> = all.filter(named).collect();
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

fn is_link_local(address: &IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}
