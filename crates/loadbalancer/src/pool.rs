//! The addresses that Services of type LoadBalancer get: ranges, and who has which of them. Pure.
//!
//! A [`Pool`] is written as addresses, prefixes and spans between commas: `172.30.0.200-172.30.0.250,198.51.100.0/28`.
//! All addresses of a prefix are given out, the first and the last too: they are single addresses to the data plane,
//! not a link. An [`Allocator`] holds who has which address; it is filled from what the Services say and never gives an
//! address twice.

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

    /// The first address of a family for which `taken` has no entry.
    fn first_free<O>(&self, ipv6: bool, taken: &BTreeMap<IpAddr, O>) -> Option<IpAddr> {
        self.of_family(ipv6).find_map(|span| {
            let mut next = span.first;
            // The taken addresses of the span are in order: the first gap is before the first that is not the next.
            for address in taken.range(span.first..=span.last).map(|(address, _)| *address) {
                if address != next {
                    break;
                }
                if address == span.last {
                    return None;
                }
                next = successor(address);
            }
            Some(next)
        })
    }
}

/// Who has which address of a pool. `O` names an owner.
#[derive(Clone, Debug)]
pub struct Allocator<O> {
    pool: Pool,
    taken: BTreeMap<IpAddr, O>,
}

/// Why an address was not given.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AllocationError<O: fmt::Display + fmt::Debug> {
    /// All addresses of the family are taken.
    #[error("all {size} addresses of the pool {pool} are taken")]
    Exhausted {
        /// The pool.
        pool: Pool,
        /// How many addresses of the family it has.
        size: u128,
    },
    /// The pool has no address of the family.
    #[error("the pool {pool} has no {} address", if *.ipv6 { "IPv6" } else { "IPv4" })]
    NoFamily {
        /// The pool.
        pool: Pool,
        /// Which family.
        ipv6: bool,
    },
    /// The address that was asked for is not in the pool.
    #[error("{address} is not in the pool {pool}")]
    OutOfPool {
        /// The address.
        address: IpAddr,
        /// The pool.
        pool: Pool,
    },
    /// The address that was asked for is another's.
    #[error("{address} is taken by {owner}")]
    Taken {
        /// The address.
        address: IpAddr,
        /// Whose it is.
        owner: O,
    },
}

impl<O: Clone + PartialEq + fmt::Display + fmt::Debug> Allocator<O> {
    /// An allocator of which nothing is taken.
    pub fn new(pool: Pool) -> Self {
        Self { pool, taken: BTreeMap::new() }
    }

    /// The pool.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Notes that an address is an owner's, as it says itself. An address that is another's stays that one's, and an
    /// address that is not in the pool is nobody's: then it is an error and nothing changes. To note again what is
    /// noted is no error.
    pub fn claim(&mut self, address: IpAddr, owner: &O) -> Result<(), AllocationError<O>> {
        if !self.pool.contains(address) {
            return Err(AllocationError::OutOfPool { address, pool: self.pool.clone() });
        }
        match self.taken.get(&address) {
            Some(other) if other != owner => Err(AllocationError::Taken { address, owner: other.clone() }),
            _ => {
                self.taken.insert(address, owner.clone());
                Ok(())
            }
        }
    }

    /// Gives an owner the first free address of a family.
    pub fn allocate(&mut self, ipv6: bool, owner: &O) -> Result<IpAddr, AllocationError<O>> {
        let size = self.pool.size(ipv6);
        if size == 0 {
            return Err(AllocationError::NoFamily { pool: self.pool.clone(), ipv6 });
        }
        match self.pool.first_free(ipv6, &self.taken) {
            Some(address) => {
                self.taken.insert(address, owner.clone());
                Ok(address)
            }
            None => Err(AllocationError::Exhausted { pool: self.pool.clone(), size }),
        }
    }

    /// Takes back all addresses of an owner but those to keep; tells which it took.
    pub fn release(&mut self, owner: &O, keep: &[IpAddr]) -> Vec<IpAddr> {
        let freed: Vec<IpAddr> =
            self.taken.iter().filter(|(a, o)| *o == owner && !keep.contains(a)).map(|(a, _)| *a).collect();
        for address in &freed {
            self.taken.remove(address);
        }
        freed
    }

    /// Whose an address is.
    pub fn owner(&self, address: IpAddr) -> Option<&O> {
        self.taken.get(&address)
    }

    /// The addresses that an owner has, in order.
    pub fn addresses(&self, owner: &O) -> Vec<IpAddr> {
        self.taken.iter().filter(|(_, o)| *o == owner).map(|(address, _)| *address).collect()
    }

    /// How many addresses are taken.
    pub fn taken(&self) -> usize {
        self.taken.len()
    }
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
