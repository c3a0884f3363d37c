//! Names of addresses: `4.3.2.1.in-addr.arpa` and the thirty-two nibbles of `ip6.arpa`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::query::AskedName;

/// The zones under which a range's addresses are found: one where its length is whole octets (IPv6: nibbles), else one
/// for each of the longer ranges that it is made of. `10.96.0.0/12` has sixteen.
#[must_use]
pub fn reverse_zones(range: IpNet) -> Vec<String> {
    let zone = |labels: &mut dyn DoubleEndedIterator<Item = String>, root: &str| {
        labels.rev().map(|label| label + ".").collect::<String>() + root
    };
    match range {
        IpNet::V4(range) => {
            let length = range.prefix_len().div_ceil(8) * 8;
            let parts = range.subnets(length).into_iter().flatten();
            let labels = |part: Ipv4Net| part.network().octets().map(|octet| octet.to_string());
            parts
                .map(|part| zone(&mut labels(part).into_iter().take(usize::from(length / 8)), "in-addr.arpa"))
                .collect()
        }
        IpNet::V6(range) => {
            let length = range.prefix_len().div_ceil(4) * 4;
            let parts = range.subnets(length).into_iter().flatten();
            let labels = |part: Ipv6Net| {
                part.network().octets().into_iter().flat_map(|octet| [octet >> 4, octet & 0xf]).collect::<Vec<_>>()
            };
            parts
                .map(|part| {
                    let nibbles: Vec<_> = labels(part).into_iter().take(usize::from(length / 4)).collect();
                    zone(&mut nibbles.into_iter().map(|nibble| format!("{nibble:x}")), "ip6.arpa")
                })
                .collect()
        }
    }
}

/// The address that a name below `in-addr.arpa` or `ip6.arpa` stands for, when it is written in full.
pub(super) fn address(name: &AskedName) -> Option<IpAddr> {
    let labels = name.label_count();
    match (name.label(labels.checked_sub(2)?), labels - 2) {
        (b"in-addr", 4) => {
            let mut octets = [0; 4];
            for (at, octet) in octets.iter_mut().enumerate() {
                *octet = decimal(name.label(3 - at))?;
            }
            Some(Ipv4Addr::from(octets).into())
        }
        (b"ip6", 32) => {
            let mut octets = [0; 16];
            for (at, octet) in octets.iter_mut().enumerate() {
                *octet = nibble(name.label(31 - 2 * at))? << 4 | nibble(name.label(30 - 2 * at))?;
            }
            Some(Ipv6Addr::from(octets).to_canonical())
        }
        _ => None,
    }
}

/// Whether a reverse name lies in a range whose names mean nothing outside (RFC 6303, RFC 6890). A name that is not
/// written in full is private when all addresses below it are.
pub(super) fn is_private(name: &AskedName) -> bool {
    let Some(given) = name.label_count().checked_sub(2) else {
        return false;
    };
    match name.label(given) {
        b"in-addr" => is_private_v4(|at| (at < given).then(|| decimal(name.label(given - 1 - at))).flatten()),
        b"ip6" => is_private_v6(|at| (at < given).then(|| nibble(name.label(given - 1 - at))).flatten()),
        _ => false,
    }
}

fn is_private_v4(octet: impl Fn(usize) -> Option<u8>) -> bool {
    match (octet(0), octet(1), octet(2)) {
        (Some(0 | 10 | 127), ..) => true,
        (Some(172), Some(second), _) => second & 0xf0 == 16,
        (Some(192), Some(168), _) | (Some(169), Some(254), _) => true,
        (Some(100), Some(second), _) => second & 0xc0 == 64,
        (Some(192), Some(0), Some(2)) | (Some(198), Some(51), Some(100)) | (Some(203), Some(0), Some(113)) => true,
        _ => false,
    }
}

fn is_private_v6(nibble: impl Fn(usize) -> Option<u8>) -> bool {
    let starts = |prefix: &[u8]| prefix.iter().enumerate().all(|(at, wanted)| nibble(at) == Some(*wanted));
    // fc00::/7, fe80::/10, 2001:db8::/32, and the unspecified and loopback addresses.
    starts(&[0xf, 0xc])
        || starts(&[0xf, 0xd])
        || (starts(&[0xf, 0xe]) && nibble(2).is_some_and(|third| third & 0xc == 8))
        || starts(&[2, 0, 0, 1, 0, 0xd, 0xb, 8])
        || starts(&[0; 31])
}

/// A decimal octet without leading zeros.
fn decimal(label: &[u8]) -> Option<u8> {
    if label.len() > 1 && label[0] == b'0' {
        return None;
    }
    label
        .iter()
        .try_fold(0u8, |value, digit| value.checked_mul(10)?.checked_add(digit.is_ascii_digit().then(|| digit - b'0')?))
}

fn nibble(label: &[u8]) -> Option<u8> {
    let [digit] = label else {
        return None;
    };
    char::from(*digit).to_digit(16).map(|value| value as u8)
}
