//! How a server is started.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use kinds::addresses::Family;
use store::Store;

use crate::audit::Audit;
use crate::authn::tokens::StaticToken;
use crate::pki::Authority;

/// What a server needs to know.
#[derive(Clone)]
pub struct Config {
    /// Where objects are kept.
    pub store: Store,
    /// Who signs certificates and tokens.
    pub authority: Arc<Authority>,
    /// Where it answers. Port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// The address under which others reach it: in its certificate, and in the endpoints of the Service `kubernetes`.
    pub advertise: IpAddr,
    /// Further names and addresses in its certificate.
    pub names: Vec<String>,
    /// The ranges of cluster IPs.
    pub service_cidr: ServiceRanges,
    /// The range of node ports.
    pub node_ports: RangeInclusive<u16>,
    /// Bearer tokens that are known from the start.
    pub tokens: Vec<StaticToken>,
    /// Where requests are written down, if they are.
    pub audit: Option<Arc<Audit>>,
}

/// The shortest prefix of a range of IPv6 addresses that addresses are given from.
const SHORTEST_V6: u8 = 64;

/// The ranges of cluster IPs: one, or one of each family. The first says which family a Service has that asks for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceRanges {
    first: IpNet,
    second: Option<IpNet>,
}

/// Why ranges are none for cluster IPs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangesError {
    /// It is no range.
    #[error("{0:?} is no range of addresses")]
    Unreadable(String),
    /// There are more than two, or two of one family.
    #[error("{0:?}: give one range, or one of each family")]
    TooMany(String),
    /// It has so many addresses that Kubernetes' allocator would not take it.
    #[error("{0}: the shortest allowed prefix length for IPv6 is {SHORTEST_V6}")]
    TooLarge(IpNet),
}

impl ServiceRanges {
    /// The ranges, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> {
        [Some(self.first), self.second].into_iter().flatten()
    }

    /// The families that a Service may have, the one first that it has when it asks for none.
    pub fn families(&self) -> Vec<Family> {
        self.iter().map(|range| Family::of(range.addr())).collect()
    }

    /// The API's own cluster IP: the first of the first range. In IPv6 the range's own address comes before that, which
    /// is the subnet's routers' (RFC 4291, 2.6.1).
    pub(crate) fn own_cluster_ip(&self) -> Option<IpAddr> {
        let mut hosts = self.first.hosts();
        match self.first {
            IpNet::V4(_) => hosts.next(),
            IpNet::V6(_) => hosts.nth(1),
        }
    }
}

/// One range or two, with a comma between them.
impl FromStr for ServiceRanges {
    type Err = RangesError;

    fn from_str(text: &str) -> Result<Self, RangesError> {
        let read = |part: &str| part.trim().parse::<IpNet>().map_err(|_| RangesError::Unreadable(part.to_owned()));
        let ranges = text.split(',').map(read).collect::<Result<Vec<_>, _>>()?;
        let large = ranges.iter().find(|range| matches!(range, IpNet::V6(range) if range.prefix_len() < SHORTEST_V6));
        if let Some(range) = large {
            return Err(RangesError::TooLarge(*range));
        }
        match ranges[..] {
            [first] => Ok(Self { first: first.trunc(), second: None }),
            [first, second] if first.addr().is_ipv4() != second.addr().is_ipv4() => {
                Ok(Self { first: first.trunc(), second: Some(second.trunc()) })
            }
            _ => Err(RangesError::TooMany(text.to_owned())),
        }
    }
}

/// One range of IPv4.
impl From<Ipv4Net> for ServiceRanges {
    fn from(range: Ipv4Net) -> Self {
        Self { first: range.trunc().into(), second: None }
    }
}

/// A range of IPv4 and perhaps one of IPv6.
impl From<(Ipv4Net, Option<Ipv6Net>)> for ServiceRanges {
    fn from((first, second): (Ipv4Net, Option<Ipv6Net>)) -> Self {
        Self { second: second.map(|range| range.trunc().into()), ..first.into() }
    }
}

impl fmt::Display for ServiceRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.second.map_or(Ok(()), |second| write!(f, ",{second}"))
    }
}

#[cfg(test)]
mod tests;
