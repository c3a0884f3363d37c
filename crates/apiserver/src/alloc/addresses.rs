//! Cluster IPs: which are in a range, and which of them is given next.
//!
//! A range has two bands (KEP-3070): addresses that are given without being asked for come from the upper one at random, and
//! from the lower one only when that is full, so that the lower one is there for those who name an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use rand::Rng;

/// The smallest and the largest lower band.
const LOWER_BAND: (u128, u128) = (16, 256);
/// Which part of the range the lower band is, between those.
const LOWER_PART: u128 = 16;

/// A range from which cluster IPs are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    network: IpNet,
}

impl Range {
    pub fn new(network: IpNet) -> Self {
        Self { network: network.trunc() }
    }

    pub fn network(self) -> IpNet {
        self.network
    }

    /// Whether it is one of IPv6 that Kubernetes' allocator does not take, having more than 2⁶⁴ addresses.
    pub fn is_too_large(self) -> bool {
        self.network.addr().is_ipv6() && self.network.prefix_len() < 64
    }

    /// The first address that can be given: not the network's own.
    fn first(self) -> u128 {
        number(self.network.network()) + 1
    }

    /// The last address that can be given: not an IPv4 network's broadcast address.
    fn last(self) -> u128 {
        let last = number(self.network.broadcast());
        if self.network.addr().is_ipv4() { last.saturating_sub(1) } else { last }
    }

    /// How many addresses can be given; the greatest number there is, if they are more.
    pub fn size(self) -> usize {
        if self.first() > self.last() {
            return 0;
        }
        usize::try_from(self.last() - self.first()).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// Whether the address can be given.
    pub fn gives(self, address: IpAddr) -> bool {
        let same_family = address.is_ipv4() == self.network.addr().is_ipv4();
        same_family && (self.first()..=self.last()).contains(&number(address))
    }

    /// How many addresses the lower band has.
    pub fn lower_band(self) -> u128 {
        let bits = self.network.max_prefix_len() - self.network.prefix_len();
        let size = 1u128.checked_shl(u32::from(bits)).unwrap_or(u128::MAX);
        if size <= LOWER_BAND.0 { 0 } else { (size / LOWER_PART).clamp(LOWER_BAND.0, LOWER_BAND.1) }
    }

    /// A free address; `None` when there is none.
    pub fn next(self, random: &mut impl Rng, is_taken: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        let (first, last) = (self.first(), self.last());
        if first > last {
            return None;
        }
        let middle = first + self.lower_band();
        let pick = |from: u128, to: u128, random: &mut _| self.pick(from, to, random, &is_taken);
        pick(middle, last, random).or_else(|| pick(first, middle.min(last + 1).saturating_sub(1), random))
    }

    /// A free address between two, both among them: the first after a random one, going round.
    fn pick(self, from: u128, to: u128, random: &mut impl Rng, is_taken: &impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        if from > to {
            return None;
        }
        let start = random.random_range(from..=to);
        (start..=to).chain(from..start).map(|n| self.address(n)).find(|address| !is_taken(*address))
    }

    fn address(self, number: u128) -> IpAddr {
        match self.network {
            IpNet::V4(_) => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
            IpNet::V6(_) => Ipv6Addr::from(number).into(),
        }
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => v6.into(),
    }
}
