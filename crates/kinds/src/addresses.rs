//! Addresses and address ranges: how leniently Kubernetes reads them, and what it says of those it refuses.
//!
//! Fields that are older than strict parsing read IPv4 octets with leading zeros and IPv4-mapped IPv6 addresses
//! when they are stored already, and refuse them in new values (KEP-4858).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::field::{Error, Path};
use crate::schema::quoted;

#[cfg(test)]
mod tests;

/// The family of an address, as `spec.ipFamilies` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `IPv4`
    V4,
    /// `IPv6`
    V6,
}

impl Family {
    /// `IPv4` or `IPv6`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// The family of this name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "IPv4" => Some(Self::V4),
            "IPv6" => Some(Self::V6),
            _ => None,
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// The family of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// Reads an address as Kubernetes always did: leading zeros are decimal, IPv4-mapped IPv6 addresses are IPv4.
pub fn parse(text: &str) -> Option<IpAddr> {
    parse_as_written(text).map(|address| address.to_canonical())
}

/// The family of an address that was read leniently; `None` when it is none.
pub fn family(text: &str) -> Option<Family> {
    parse(text).map(Family::of)
}

fn parse_as_written(text: &str) -> Option<IpAddr> {
    if text.contains(':') { parse_v6(text).map(IpAddr::V6) } else { parse_v4(text).map(IpAddr::V4) }
}

fn parse_v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        *octet = decimal(parts.next()?)?.try_into().ok()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets))
}

fn parse_v6(text: &str) -> Option<Ipv6Addr> {
    let strip = |group: &str| {
        let short = group.trim_start_matches('0');
        if short.is_empty() && !group.is_empty() { "0".to_owned() } else { short.to_owned() }
    };
    let groups: Vec<_> = text
        .split(':')
        .map(|group| if group.contains('.') { parse_v4(group).map(|v4| v4.to_string()) } else { Some(strip(group)) })
        .collect::<Option<_>>()?;
    groups.join(":").parse().ok()
}

/// A number of decimal digits only; leading zeros count for nothing.
fn decimal(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = text.trim_start_matches('0');
    if digits.is_empty() { Some(0) } else { digits.parse().ok() }
}

/// The faults of an address in a field that is older than strict parsing; `stored` are values that are let through
/// because they are there already.
pub fn validate_legacy(path: &Path, value: &str, stored: &[&str]) -> Vec<Error> {
    if stored.contains(&value) {
        return Vec::new();
    }
    let Some(address) = parse_as_written(value) else {
        return vec![Error::invalid(path, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)")];
    };
    if value.parse::<IpAddr>().is_err() {
        return vec![Error::invalid(path, value, "must not have leading 0s")];
    }
    if address != address.to_canonical() {
        return vec![Error::invalid(path, value, "must not be an IPv4-mapped IPv6 address")];
    }
    Vec::new()
}

/// The faults of an address that must be in canonical form.
pub fn validate(path: &Path, value: &str) -> Vec<Error> {
    let faults = validate_legacy(path, value, &[]);
    if !faults.is_empty() {
        return faults;
    }
    match parse(value) {
        Some(address) if address.to_string() != value => {
            let detail = format!("must be in canonical form ({})", quoted(&address.to_string()));
            vec![Error::invalid(path, value, detail)]
        }
        _ => Vec::new(),
    }
}

/// The faults of an address that traffic is to be sent to.
pub fn validate_endpoint(path: &Path, value: &str) -> Vec<Error> {
    let Some(address) = parse(value) else {
        return vec![Error::invalid(path, value, "must be a valid IP address")];
    };
    let mut faults = Vec::new();
    if address.is_unspecified() {
        faults.push(Error::invalid(path, value, format!("may not be unspecified ({value})")));
    }
    if address.is_loopback() {
        faults.push(Error::invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)"));
    }
    if is_link_local(address) {
        faults.push(Error::invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"));
    }
    if is_link_local_multicast(address) {
        let detail = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
        faults.push(Error::invalid(path, value, detail));
    }
    faults
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn is_link_local_multicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.octets()[0] == 0xff && v6.octets()[1] & 0x0f == 2,
    }
}

/// The warnings for an address that is stored in another form than the canonical one.
pub fn warnings(path: &Path, value: &str) -> Option<String> {
    let address = parse(value)?;
    match value.parse::<IpAddr>() {
        Ok(strict) if strict == strict.to_canonical() => {
            let canonical = address.to_string();
            (address.is_ipv6() && canonical != value).then(|| {
                let (value, canonical) = (quoted(value), quoted(&canonical));
                format!("{path}: IPv6 address {value} should be in RFC 5952 canonical format ({canonical})")
            })
        }
        _ => {
            let (value, better) = (quoted(value), quoted(&address.to_string()));
            Some(format!("{path}: non-standard IP address {value} is invalid: use {better}"))
        }
    }
}

/// A range as it was written: the address before the slash, and how many bits count.
struct Range {
    address: IpAddr,
    length: u8,
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let address = parse_as_written(address)?;
        let length = u8::try_from(decimal(length)?).ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (length <= longest).then_some(Self { address, length })
    }

    /// The range in canonical form; one of IPv4-mapped addresses is one of IPv4.
    fn net(&self) -> Option<IpNet> {
        let (address, length) = match (self.address, self.address.to_canonical()) {
            (IpAddr::V6(_), IpAddr::V4(v4)) if self.length >= 96 => (IpAddr::V4(v4), self.length - 96),
            (written, _) => (written, self.length),
        };
        IpNet::new(address, length).ok().map(|net| net.trunc())
    }
}

/// Reads a range as Kubernetes always did, and answers with its canonical form.
pub fn parse_range(text: &str) -> Option<IpNet> {
    Range::parse(text)?.net()
}

/// The family of a range; `None` when it is none.
pub fn range_family(text: &str) -> Option<Family> {
    parse_range(text).map(|net| Family::of(net.addr()))
}

/// The faults of a range in a field that is older than strict parsing.
pub fn validate_legacy_range(path: &Path, value: &str, stored: &[&str]) -> Vec<Error> {
    if stored.contains(&value) {
        return Vec::new();
    }
    let Some((range, net)) = Range::parse(value).and_then(|range| range.net().map(|net| (range, net))) else {
        return vec![Error::invalid(path, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)")];
    };
    let fault = if !is_strict_range(value) {
        "must not have leading 0s in IP or prefix length"
    } else if range.address != range.address.to_canonical() {
        "must not have an IPv4-mapped IPv6 address"
    } else if range.address != net.addr() {
        "must not have bits set beyond the prefix length"
    } else {
        return Vec::new();
    };
    vec![Error::invalid(path, value, fault)]
}

/// Whether there are no leading zeros in either part.
fn is_strict_range(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, length)| {
        address.parse::<IpAddr>().is_ok() && (length == "0" || !length.starts_with('0'))
    })
}

/// The faults of a range that must be in canonical form.
pub fn validate_range(path: &Path, value: &str) -> Vec<Error> {
    let faults = validate_legacy_range(path, value, &[]);
    if !faults.is_empty() {
        return faults;
    }
    match parse_range(value) {
        Some(net) if net.to_string() != value => {
            let detail = format!("must be in canonical form ({})", quoted(&net.to_string()));
            vec![Error::invalid(path, value, detail)]
        }
        _ => Vec::new(),
    }
}

/// The warnings for a range that is stored in another form than the canonical one.
pub fn range_warnings(path: &Path, value: &str) -> Vec<String> {
    let Some((range, net)) = Range::parse(value).and_then(|range| range.net().map(|net| (range, net))) else {
        return Vec::new();
    };
    let mut warnings = Vec::new();
    let address = range.address.to_canonical();
    let (written, canonical) = (quoted(value), quoted(&net.to_string()));
    if address != net.addr() {
        let single = quoted(&format!("{address}/{}", net.max_prefix_len()));
        warnings.push(format!(
            "{path}: CIDR value {written} is ambiguous in this context (should be {canonical} or {single}?)"
        ));
    }
    if !is_strict_range(value) || range.address != address {
        warnings.push(format!("{path}: non-standard CIDR value {written} is invalid: use {canonical}"));
    }
    if warnings.is_empty() && address.is_ipv6() && net.to_string() != value {
        warnings
            .push(format!("{path}: IPv6 CIDR value {written} should be in RFC 5952 canonical format ({canonical})"));
    }
    warnings
}
