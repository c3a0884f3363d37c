//! What expressions may be asked for: keys, operators and flags, with the kernel's numbers.

use crate::expr::Register;

/// The enum and its numbers in one table, so that encoding and decoding cannot disagree.
macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $number:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// The kernel's number.
            pub const fn number(self) -> u32 {
                match self { $($name::$variant => $number,)* }
            }

            /// From the kernel's number.
            pub const fn from_number(number: u32) -> Option<$name> {
                match number { $($number => Some($name::$variant),)* _ => None }
            }

            /// nft's word for it.
            pub const fn text(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }
        }
    };
}

numbered! {
    /// What the kernel knows of a packet (`NFT_META_*`).
    MetaKey {
        /// Length in bytes; 4 bytes, machine's order.
        Len = 0, "length";
        /// Ethernet protocol; 2 bytes, network order.
        Protocol = 1, "protocol";
        /// Traffic-control priority; 4 bytes, machine's order.
        Priority = 2, "priority";
        /// Mark; 4 bytes, machine's order.
        Mark = 3, "mark";
        /// Index of the input interface; 4 bytes, machine's order.
        Iif = 4, "iif";
        /// Index of the output interface; 4 bytes, machine's order.
        Oif = 5, "oif";
        /// Name of the input interface; 16 bytes.
        IifName = 6, "iifname";
        /// Name of the output interface; 16 bytes.
        OifName = 7, "oifname";
        /// Owner of the socket; 4 bytes, machine's order.
        SkUid = 10, "skuid";
        /// Group of the socket; 4 bytes, machine's order.
        SkGid = 11, "skgid";
        /// Whether the packet is traced; 1 byte.
        Nftrace = 12, "nftrace";
        /// Protocol family; 1 byte.
        Nfproto = 15, "nfproto";
        /// Transport protocol; 1 byte. For IPv6: the one after all extension headers.
        L4proto = 16, "l4proto";
        /// Whether unicast, broadcast…; 1 byte.
        PktType = 19, "pkttype";
        /// The CPU; 4 bytes, machine's order.
        Cpu = 20, "cpu";
        /// Group of the input interface; 4 bytes, machine's order.
        IifGroup = 21, "iifgroup";
        /// Group of the output interface; 4 bytes, machine's order.
        OifGroup = 22, "oifgroup";
        /// Random number; 4 bytes.
        Random = 24, "random";
    }
}

numbered! {
    /// What conntrack knows of a connection (`NFT_CT_*`).
    CtKey {
        /// State as a bit mask; 4 bytes, machine's order: 1 invalid, 2 established, 4 related, 8 new, 64 untracked.
        State = 0, "state";
        /// Direction of the packet; 1 byte: 0 original, 1 reply.
        Direction = 1, "direction";
        /// Status bits (`IPS_*`); 4 bytes, machine's order: 16 snat, 32 dnat…
        Status = 2, "status";
        /// Mark; 4 bytes, machine's order.
        Mark = 3, "mark";
        /// Time left in milliseconds; 4 bytes, machine's order.
        Expiration = 5, "expiration";
        /// Family; 1 byte.
        L3proto = 7, "l3proto";
        /// Source address of a direction, in a table of one family.
        Saddr = 8, "saddr";
        /// Destination address of a direction, in a table of one family.
        Daddr = 9, "daddr";
        /// Transport protocol; 1 byte.
        Protocol = 10, "protocol";
        /// Source port of a direction; 2 bytes, network order.
        ProtoSrc = 11, "proto-src";
        /// Destination port of a direction; 2 bytes, network order.
        ProtoDst = 12, "proto-dst";
        /// Zone; 2 bytes, machine's order.
        Zone = 17, "zone";
        /// IPv4 source address of a direction.
        Ip4Saddr = 19, "ip saddr";
        /// IPv4 destination address of a direction.
        Ip4Daddr = 20, "ip daddr";
        /// IPv6 source address of a direction.
        Ip6Saddr = 21, "ip6 saddr";
        /// IPv6 destination address of a direction.
        Ip6Daddr = 22, "ip6 daddr";
        /// The entry's id; 4 bytes.
        Id = 23, "id";
    }
}

numbered! {
    /// A direction of a connection (`IP_CT_DIR_*`).
    PacketDirection {
        /// As the first packet went.
        Original = 0, "original";
        /// As the answers go.
        Reply = 1, "reply";
    }
}

numbered! {
    /// A header (`NFT_PAYLOAD_*`).
    PayloadBase {
        /// Ethernet.
        Link = 0, "@ll";
        /// IPv4 or IPv6.
        Network = 1, "@nh";
        /// TCP, UDP, SCTP…
        Transport = 2, "@th";
    }
}

numbered! {
    /// A comparison (`NFT_CMP_*`).
    CmpOp {
        /// Equal.
        Eq = 0, "==";
        /// Different.
        Ne = 1, "!=";
        /// Less.
        Lt = 2, "<";
        /// Less or equal.
        Le = 3, "<=";
        /// Greater.
        Gt = 4, ">";
        /// Greater or equal.
        Ge = 5, ">=";
    }
}

numbered! {
    /// A shift (`NFT_BITWISE_LSHIFT`, `NFT_BITWISE_RSHIFT`).
    Shift {
        /// Towards the higher bits.
        Left = 1, "<<";
        /// Towards the lower bits.
        Right = 2, ">>";
    }
}

numbered! {
    /// An operation of two registers (`NFT_BITWISE_AND`…; Linux 6.13).
    RegisterOp {
        /// And.
        And = 3, "&";
        /// Or.
        Or = 4, "|";
        /// Exclusive or.
        Xor = 5, "^";
    }
}

numbered! {
    /// A byte order (`NFT_BYTEORDER_*`).
    ByteOrder {
        /// From the network's to the machine's.
        Host = 0, "ntoh";
        /// From the machine's to the network's.
        Network = 1, "hton";
    }
}

numbered! {
    /// How `numgen` chooses (`NFT_NG_*`).
    NumgenMode {
        /// One after the other, counted for each rule.
        Inc = 0, "inc";
        /// At random.
        Random = 1, "random";
    }
}

numbered! {
    /// What of the routing table's answer is loaded (`NFT_FIB_RESULT_*`).
    FibResult {
        /// Index of the interface; 4 bytes, machine's order; 0: no route.
        Oif = 1, "oif";
        /// Name of the interface; 16 bytes.
        OifName = 2, "oifname";
        /// Type of the address (`RTN_*`); 4 bytes, machine's order: 1 unicast, 2 local, 3 broadcast, 5 multicast.
        AddrType = 3, "type";
    }
}

numbered! {
    /// Which side of a connection is rewritten (`NFT_NAT_*`).
    NatKind {
        /// The source.
        Snat = 0, "snat";
        /// The destination.
        Dnat = 1, "dnat";
    }
}

numbered! {
    /// The family of a rewrite's addresses (`NFPROTO_*`).
    NatFamily {
        /// IPv4.
        Ip = 2, "ip";
        /// IPv6.
        Ip6 = 10, "ip6";
    }
}

numbered! {
    /// What a packet does to a set (`NFT_DYNSET_OP_*`).
    DynsetOp {
        /// Adds the element; one that is there keeps its timeout.
        Add = 0, "add";
        /// Adds the element, or starts its timeout again.
        Update = 1, "update";
        /// Takes it away.
        Delete = 2, "delete";
    }
}

numbered! {
    /// The time in which a limit counts, in seconds.
    LimitUnit {
        /// A second.
        Second = 1, "second";
        /// A minute.
        Minute = 60, "minute";
        /// An hour.
        Hour = 3600, "hour";
        /// A day.
        Day = 86400, "day";
        /// A week.
        Week = 604800, "week";
    }
}

numbered! {
    /// A sort of named object (`NFT_OBJECT_*`).
    ObjectKind {
        /// Counts packets and bytes.
        Counter = 1, "counter";
        /// Ends when a number of bytes is used up.
        Quota = 2, "quota";
        /// A conntrack helper.
        CtHelper = 3, "ct helper";
        /// A rate.
        Limit = 4, "limit";
    }
}

/// What a look-up makes of what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lookup {
    /// The rule goes on if the key is there.
    Contained,
    /// The rule goes on if the key is not there.
    NotContained,
    /// The map's data is loaded from this register on.
    Value(Register),
    /// The map's data is the verdict.
    Verdict,
}

/// What the routing table is asked (`NFTA_FIB_F_*`); combined with `|`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FibFlags(pub u32);

impl FibFlags {
    /// For the source address.
    pub const SADDR: FibFlags = FibFlags(1);
    /// For the destination address.
    pub const DADDR: FibFlags = FibFlags(2);
    /// With the packet's mark.
    pub const MARK: FibFlags = FibFlags(4);
    /// Only through the input interface.
    pub const IIF: FibFlags = FibFlags(8);
    /// Only through the output interface.
    pub const OIF: FibFlags = FibFlags(16);
    /// Only whether there is an answer.
    pub const PRESENT: FibFlags = FibFlags(32);
}

impl std::ops::BitOr for FibFlags {
    type Output = FibFlags;

    fn bitor(self, other: FibFlags) -> FibFlags {
        FibFlags(self.0 | other.0)
    }
}

/// How a rewrite chooses (`NF_NAT_RANGE_*`); combined with `|`. What follows from the registers (addresses and ports
/// given) is added when the rule is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct NatFlags(pub u32);

impl NatFlags {
    /// The kernel's own way: keeps the port if it can.
    pub const NONE: NatFlags = NatFlags(0);
    /// A port by a hash with a secret.
    pub const RANDOM: NatFlags = NatFlags(4);
    /// The same address for the same client.
    pub const PERSISTENT: NatFlags = NatFlags(8);
    /// A random port each time: fewest clashes when many ask at once.
    pub const FULLY_RANDOM: NatFlags = NatFlags(16);
}

impl std::ops::BitOr for NatFlags {
    type Output = NatFlags;

    fn bitor(self, other: NatFlags) -> NatFlags {
        NatFlags(self.0 | other.0)
    }
}

/// How the sender is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reject {
    /// ICMP "unreachable" of the table's own family with this code (IPv4: 3 = port).
    Icmp(u8),
    /// ICMP "unreachable" of the packet's family (inet tables).
    Icmpx(IcmpxCode),
    /// TCP reset; the packet must be known to be TCP.
    TcpReset,
}

numbered! {
    /// Why, in either family (`NFT_REJECT_ICMPX_*`).
    IcmpxCode {
        /// No route.
        NoRoute = 0, "no-route";
        /// Nobody listens on the port.
        PortUnreachable = 1, "port-unreachable";
        /// The host is not there.
        HostUnreachable = 2, "host-unreachable";
        /// Forbidden.
        AdminProhibited = 3, "admin-prohibited";
    }
}
