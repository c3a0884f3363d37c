//! Fields: what rules load most, by nft's own names.

use crate::expr::{CtKey, Expr, FibFlags, FibResult, MetaKey, NumgenMode, PacketDirection, PayloadBase, Register};

/// Something that can be loaded into registers, in nft's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// `ip saddr`. In an inet table the packet must be known to be IPv4.
    IpSaddr,
    /// `ip daddr`. In an inet table the packet must be known to be IPv4.
    IpDaddr,
    /// `ip6 saddr`. In an inet table the packet must be known to be IPv6.
    Ip6Saddr,
    /// `ip6 daddr`. In an inet table the packet must be known to be IPv6.
    Ip6Daddr,
    /// `meta l4proto`.
    L4proto,
    /// `meta nfproto`.
    Nfproto,
    /// `th sport`: the source port of TCP, UDP, SCTP.
    ThSport,
    /// `th dport`: the destination port of TCP, UDP, SCTP.
    ThDport,
    /// `meta mark`.
    Mark,
    /// `iifname`.
    IifName,
    /// `oifname`.
    OifName,
    /// `iif`.
    Iif,
    /// `oif`.
    Oif,
    /// `ct state`.
    CtState,
    /// `ct status`.
    CtStatus,
    /// `ct mark`.
    CtMark,
    /// `ct direction`.
    CtDirection,
    /// `ct original ip daddr`: the destination before any rewrite.
    CtOriginalIpDaddr,
    /// `ct original ip6 daddr`.
    CtOriginalIp6Daddr,
    /// `ct original ip saddr`.
    CtOriginalIpSaddr,
    /// `ct original ip6 saddr`.
    CtOriginalIp6Saddr,
    /// `ct original proto-dst`: the destination port before any rewrite.
    CtOriginalProtoDst,
    /// `fib daddr type`.
    FibDaddrType,
    /// `fib saddr type`.
    FibSaddrType,
    /// `numgen random mod N`.
    RandomMod(u32),
}

impl Field {
    /// The expression that loads it.
    pub fn load(self, dreg: Register) -> Expr {
        let meta = |key| Expr::Meta { key, dreg };
        let payload = |base, offset, len| Expr::Payload { base, offset, len, dreg };
        let ct = |key| Expr::Ct { key, dreg, direction: None };
        let original = |key| Expr::Ct { key, dreg, direction: Some(PacketDirection::Original) };
        let fib = |flags| Expr::Fib { result: FibResult::AddrType, flags, dreg };
        match self {
            Field::IpSaddr => payload(PayloadBase::Network, 12, 4),
            Field::IpDaddr => payload(PayloadBase::Network, 16, 4),
            Field::Ip6Saddr => payload(PayloadBase::Network, 8, 16),
            Field::Ip6Daddr => payload(PayloadBase::Network, 24, 16),
            Field::ThSport => payload(PayloadBase::Transport, 0, 2),
            Field::ThDport => payload(PayloadBase::Transport, 2, 2),
            Field::L4proto => meta(MetaKey::L4proto),
            Field::Nfproto => meta(MetaKey::Nfproto),
            Field::Mark => meta(MetaKey::Mark),
            Field::IifName => meta(MetaKey::IifName),
            Field::OifName => meta(MetaKey::OifName),
            Field::Iif => meta(MetaKey::Iif),
            Field::Oif => meta(MetaKey::Oif),
            Field::CtState => ct(CtKey::State),
            Field::CtStatus => ct(CtKey::Status),
            Field::CtMark => ct(CtKey::Mark),
            Field::CtDirection => ct(CtKey::Direction),
            Field::CtOriginalIpDaddr => original(CtKey::Ip4Daddr),
            Field::CtOriginalIp6Daddr => original(CtKey::Ip6Daddr),
            Field::CtOriginalIpSaddr => original(CtKey::Ip4Saddr),
            Field::CtOriginalIp6Saddr => original(CtKey::Ip6Saddr),
            Field::CtOriginalProtoDst => original(CtKey::ProtoDst),
            Field::FibDaddrType => fib(FibFlags::DADDR),
            Field::FibSaddrType => fib(FibFlags::SADDR),
            Field::RandomMod(modulus) => Expr::Numgen { dreg, modulus, offset: 0, mode: NumgenMode::Random },
        }
    }

    /// How many words of four bytes it takes.
    pub const fn words(self) -> u32 {
        match self {
            Field::Ip6Saddr
            | Field::Ip6Daddr
            | Field::IifName
            | Field::OifName
            | Field::CtOriginalIp6Daddr
            | Field::CtOriginalIp6Saddr => 4,
            _ => 1,
        }
    }

    /// Loads several, one behind the other from `first` on: the key of a concatenated set or map.
    pub fn concat(first: Register, fields: &[Field]) -> Vec<Expr> {
        let mut at = first;
        let mut exprs = Vec::with_capacity(fields.len() + 2);
        for field in fields {
            exprs.push(field.load(at));
            at = at.plus(field.words());
        }
        exprs
    }
}
