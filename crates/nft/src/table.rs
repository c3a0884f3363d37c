//! Tables: the namespace in which chains, sets and objects live.

use std::fmt;
use std::sync::Arc;

/// The packets that a table sees (`NFPROTO_*`). Tables of other families (arp, bridge, netdev) are not spoken of here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Both IPv4 and IPv6.
    Inet,
    /// IPv4 only.
    Ip,
    /// IPv6 only.
    Ip6,
}

impl Family {
    /// The kernel's number (`NFPROTO_INET`, `NFPROTO_IPV4`, `NFPROTO_IPV6`).
    pub const fn number(self) -> u8 {
        match self {
            Family::Inet => 1,
            Family::Ip => 2,
            Family::Ip6 => 10,
        }
    }

    /// The family with the kernel's number, if it is one of ours.
    pub const fn from_number(number: u8) -> Option<Family> {
        match number {
            1 => Some(Family::Inet),
            2 => Some(Family::Ip),
            10 => Some(Family::Ip6),
            _ => None,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Inet => "inet",
            Family::Ip => "ip",
            Family::Ip6 => "ip6",
        })
    }
}

/// Which table: the same name may exist once in each family. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId {
    /// The table's family.
    pub family: Family,
    /// The table's name, at most 255 bytes.
    pub name: Arc<str>,
}

impl TableId {
    /// The table `name` of `family`.
    pub fn new(family: Family, name: &str) -> TableId {
        TableId { family, name: name.into() }
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.family, self.name)
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Table {
    /// Its family and name.
    pub id: TableId,
    /// A dormant table's base chains see no packets (`NFT_TABLE_F_DORMANT`).
    pub dormant: bool,
    /// Only the socket that made it changes it, and it goes when that socket is closed, however its process ends
    /// (`NFT_TABLE_F_OWNER`, Linux 5.12).
    pub owned: bool,
    /// Shown by `nft list table`; at most 128 bytes.
    pub comment: Option<String>,
}

impl Table {
    /// A table that is awake and has no comment.
    pub fn new(id: TableId) -> Table {
        Table { id, dormant: false, owned: false, comment: None }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}", self.id)?;
        match (self.dormant, self.owned) {
            (false, false) => {}
            (true, false) => f.write_str(" { flags dormant; }")?,
            (false, true) => f.write_str(" { flags owner; }")?,
            (true, true) => f.write_str(" { flags dormant, owner; }")?,
        }
        match &self.comment {
            Some(comment) => write!(f, " comment {comment:?}"),
            None => Ok(()),
        }
    }
}
