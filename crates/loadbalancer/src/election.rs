//! Which node announces which address. Pure: every node computes the same from the same nodes and addresses, without
//! talking to any other.
//!
//! Each node gets a number for each address (rendezvous hashing); the greatest one wins. So an address moves only when
//! its node goes or a node comes that it likes better, and the addresses of a node that goes spread over all others.
//! The numbers depend on nothing but the names: they are the same on every machine and in every version.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// An address to be announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The address.
    pub address: IpAddr,
    /// `None`: any node may announce it. Else only these: with `externalTrafficPolicy: Local`, the nodes that have ready
    /// endpoints. Where several Services share an address: the nodes that can serve all of them.
    pub only: Option<BTreeSet<String>>,
}

/// The node for each address; an address that no node may announce is left out. `live` are the names of the nodes that
/// can announce now: ready, and not excluded from load balancers. Order and repetition do not matter.
pub fn elect<'a>(claims: &[Claim], live: &BTreeSet<&'a str>) -> BTreeMap<IpAddr, &'a str> {
    claims
        .iter()
        .filter_map(|claim| {
            let eligible =
                live.iter().copied().filter(|node| claim.only.as_ref().is_none_or(|only| only.contains(*node)));
            winner(claim.address, eligible).map(|node| (claim.address, node))
        })
        .collect()
}

/// The node that announces an address, of those that may.
pub fn winner<'a>(address: IpAddr, eligible: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Equal numbers, should there ever be any, are settled by the name.
    eligible.into_iter().max_by_key(|node| (score(node, address), *node))
}

/// A node's number for an address: FNV-1a over both, then mixed so that every bit counts.
fn score(node: &str, address: IpAddr) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    // An IPv4 address is hashed as its four bytes, not as the IPv6 address that stands for it.
    let (v4, v6);
    let octets: &[u8] = match address {
        IpAddr::V4(address) => {
            v4 = address.octets();
            &v4
        }
        IpAddr::V6(address) => {
            v6 = address.octets();
            &v6
        }
    };
    let bytes = node.bytes().chain([0]).chain(octets.iter().copied());
    let hash = bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    mix(hash)
}

/// The finalizer of splitmix64.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests;
