//! Entries of the table.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// A direction of a connection: whence and whither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tuple {
    /// Source address.
    pub source: IpAddr,
    /// Destination address; of the same family.
    pub destination: IpAddr,
    /// What is above IP.
    pub protocol: Protocol,
}

/// What is above IP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// One with ports: TCP (6), UDP (17), SCTP (132)…
    Ports {
        /// The protocol's number.
        number: u8,
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// ICMP (1) or ICMPv6 (58).
    Icmp {
        /// The protocol's number.
        number: u8,
        /// Identifier of an echo.
        id: u16,
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// Any other, by its number.
    Other(u8),
}

impl Protocol {
    /// The protocol's number.
    pub const fn number(self) -> u8 {
        match self {
            Protocol::Ports { number, .. } | Protocol::Icmp { number, .. } | Protocol::Other(number) => number,
        }
    }

    /// Source and destination port, if it has any.
    pub const fn ports(self) -> Option<(u16, u16)> {
        match self {
            Protocol::Ports { source, destination, .. } => Some((source, destination)),
            _ => None,
        }
    }
}

impl Tuple {
    /// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
    pub(crate) const fn family(&self) -> u8 {
        family(self.destination)
    }
}

/// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
pub(crate) const fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 10,
    }
}

/// What is known of an entry (`IPS_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Status(pub u32);

impl Status {
    /// There was an answer.
    pub const SEEN_REPLY: Status = Status(2);
    /// Not to be thrown away early.
    pub const ASSURED: Status = Status(4);
    /// The source was rewritten.
    pub const SRC_NAT: Status = Status(16);
    /// The destination was rewritten.
    pub const DST_NAT: Status = Status(32);

    /// Whether all of `other` are among these.
    pub const fn contains(self, other: Status) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// As its first packet came, before any rewrite.
    pub original: Tuple,
    /// As its answers come, before their rewrite is undone.
    pub reply: Tuple,
    /// What is known of it.
    pub status: Status,
    /// Its mark.
    pub mark: u32,
    /// How long it stays if nothing more comes; `None`: being deleted.
    pub timeout: Option<Duration>,
    /// The kernel's number for it, which makes it this one and no later one with the same tuples.
    pub id: u32,
    /// Its zone; 0 unless rules say otherwise.
    pub zone: u16,
}

impl fmt::Display for Tuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tuple { source, destination, protocol } = self;
        match protocol {
            Protocol::Ports { number, source: from, destination: to } => {
                write!(f, "{number} {source}:{from} -> {destination}:{to}")
            }
            Protocol::Icmp { number, id, kind, code } => {
                write!(f, "{number} {source} -> {destination} type {kind} code {code} id {id}")
            }
            Protocol::Other(number) => write!(f, "{number} {source} -> {destination}"),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { original, reply, status, mark, .. } = self;
        write!(f, "{original}, reply {reply}, status 0x{:x}, mark 0x{mark:x}", status.0)
    }
}
