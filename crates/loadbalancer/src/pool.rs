//! The ranges from which Services of type LoadBalancer get addresses. Pure.
//!
//! A [`Pool`] is written as addresses, prefixes and spans between commas: `172.30.0.200-172.30.0.250,198.51.100.0/28`.
//! All addresses of a prefix are given out, the first and the last too: they are single addresses to the data plane,
//! not a link. Who has which of them is the [`book`](crate::book)'s.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// A span of addresses of one family, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    first: IpAddr,
    last: IpAddr,
}

/// Spans that do not overlap, in the order in which they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    spans: Vec<Span>,
}

/// Why a text is no pool.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PoolError {
    /// There is no address in it.
    #[error("a pool needs at least one address, prefix or span")]
    Empty,
    /// A part is neither an address, a prefix nor a span.
    #[error("{0:?} is no address (172.30.0.200), prefix (172.30.0.192/26) or span (172.30.0.200-172.30.0.250)")]
    Malformed(String),
    /// A span ends before it begins.
    #[error("{0:?} ends before it begins")]
    Backwards(String),
    /// A span is from one family to the other.
    #[error("{0:?} has addresses of two families")]
    Mixed(String),
    /// Two parts have addresses in common.
    #[error("{0} and {1} overlap")]
    Overlap(Span, Span),
}

impl Span {
    /// The first address.
    pub fn first(&self) -> IpAddr {
        self.first
    }

    /// The last address.
    pub fn last(&self) -> IpAddr {
        self.last
    }

    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.first.is_ipv4() == address.is_ipv4() && self.first <= address && address <= self.last
    }

    /// How many addresses it has; at most `u128::MAX`.
    pub fn size(&self) -> u128 {
        (number(self.last) - number(self.first)).saturating_add(1)
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl FromStr for Span {
    type Err = PoolError;

    fn from_str(text: &str) -> Result<Self, PoolError> {
        let malformed = || PoolError::Malformed(text.to_owned());
        let address = |part: &str| part.trim().parse::<IpAddr>().map_err(|_| malformed());
        if let Some((first, last)) = text.split_once('-') {
            let (first, last) = (address(first)?, address(last)?);
            if first.is_ipv4() != last.is_ipv4() {
                return Err(PoolError::Mixed(text.to_owned()));
            }
            return if first <= last { Ok(Self { first, last }) } else { Err(PoolError::Backwards(text.to_owned())) };
        }
        if text.contains('/') {
            let net: IpNet = text.trim().parse().map_err(|_| malformed())?;
            return Ok(Self { first: net.network(), last: net.broadcast() });
        }
        let only = address(text)?;
        Ok(Self { first: only, last: only })
    }
}

impl FromStr for Pool {
    type Err = PoolError;

    fn from_str(text: &str) -> Result<Self, PoolError> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let spans = parts.map(Span::from_str).collect::<Result<Vec<_>, _>>()?;
        if spans.is_empty() {
            return Err(PoolError::Empty);
        }
        for (i, span) in spans.iter().enumerate() {
            if let Some(other) = spans[..i].iter().find(|other| other.overlaps(span)) {
                return Err(PoolError::Overlap(*other, *span));
            }
        }
        Ok(Self { spans })
    }
}

impl fmt::Display for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, span) in self.spans.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{span}")?;
        }
        Ok(())
    }
}

impl Pool {
    /// Its spans.
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.spans.iter().any(|span| span.contains(address))
    }

    /// How many addresses of a family it has; at most `u128::MAX`.
    pub fn size(&self, ipv6: bool) -> u128 {
        self.of_family(ipv6).fold(0, |sum, span| sum.saturating_add(span.size()))
    }

    fn of_family(&self, ipv6: bool) -> impl Iterator<Item = &Span> {
        self.spans.iter().filter(move |span| span.first.is_ipv6() == ipv6)
    }

    /// The first address of a family for which `taken` has no entry; with `avoid_buggy` none that ends in .0 or .255.
    pub(crate) fn first_free<O>(&self, ipv6: bool, avoid_buggy: bool, taken: &BTreeMap<IpAddr, O>) -> Option<IpAddr> {
        self.of_family(ipv6).find_map(|span| {
            // The taken addresses of the span are in order: those that follow each other are stepped over together.
            let mut taken = taken.range(span.first..=span.last).map(|(address, _)| *address).peekable();
            let mut next = span.first;
            loop {
                if taken.next_if_eq(&next).is_none() && !(avoid_buggy && is_buggy(next)) {
                    return Some(next);
                }
                if next == span.last {
                    return None;
                }
                next = successor(next);
            }
        })
    }

    /// An address that both have, if any.
    pub fn overlap(&self, other: &Self) -> Option<IpAddr> {
        self.spans.iter().find_map(|span| {
            let with = other.spans.iter().find(|other| other.overlaps(span))?;
            Some(span.first.max(with.first))
        })
    }
}

/// Whether some equipment takes the address for that of a network or of a broadcast, from the time of classes.
pub(crate) fn is_buggy(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if matches!(v4.octets()[3], 0 | 255))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The next address of the family; the last one's is itself.
fn successor(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4(u32::from(v4).saturating_add(1).into()),
        IpAddr::V6(v6) => IpAddr::V6(u128::from(v6).saturating_add(1).into()),
    }
}

#[cfg(test)]
mod tests;
