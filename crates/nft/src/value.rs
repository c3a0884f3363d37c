//! Values: what registers, map keys and map data hold.
//!
//! The kernel compares bytes, so byte order is part of the meaning: addresses and ports are in network order, as they
//! stand in the packet; marks, interface indexes and the results of `numgen` and `jhash` are in the machine's order.
//! In a concatenation every field begins at a multiple of four bytes and is padded with zeros.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes that fit into a value without allocating: an IPv4 concatenation of five fields.
const INLINE: usize = 22;

/// Up to 64 bytes (`NFT_DATA_VALUE_MAXLEN`; the kernel refuses more). 24 bytes in size; short ones do not allocate.
///
/// A key is written field by field, each padded to four bytes:
/// ```
/// use nft::Value;
/// let key = Value::new().ipv4("10.96.0.1".parse().unwrap()).u8(6).u16(443).host_u32(2);
/// assert_eq!(key.as_slice(), [&[10, 96, 0, 1, 6, 0, 0, 0, 1, 187, 0, 0], &2u32.to_ne_bytes()[..]].concat());
/// ```
#[derive(Clone)]
pub struct Value(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: [u8; INLINE] },
    Heap(Box<[u8]>),
}

impl Value {
    /// No bytes yet.
    pub const fn new() -> Value {
        Value(Repr::Inline { len: 0, bytes: [0; INLINE] })
    }

    /// These bytes, without padding: for comparisons, whose length is the length of what was loaded.
    pub fn bytes(bytes: &[u8]) -> Value {
        if bytes.len() > INLINE {
            return Value(Repr::Heap(bytes.into()));
        }
        let mut inline = [0; INLINE];
        inline[..bytes.len()].copy_from_slice(bytes);
        Value(Repr::Inline { len: bytes.len() as u8, bytes: inline })
    }

    /// One more field, padded to four bytes.
    pub fn field(self, bytes: &[u8]) -> Value {
        let old = self.as_slice();
        let padded = bytes.len().next_multiple_of(4);
        let mut all = [0u8; 64];
        let len = old.len() + padded;
        if len <= all.len() {
            all[..old.len()].copy_from_slice(old);
            all[old.len()..old.len() + bytes.len()].copy_from_slice(bytes);
            return Value::bytes(&all[..len]);
        }
        let mut all = old.to_vec();
        all.extend_from_slice(bytes);
        all.resize(len, 0);
        Value::bytes(&all)
    }

    /// One more field: an IPv4 address.
    pub fn ipv4(self, address: Ipv4Addr) -> Value {
        self.field(&address.octets())
    }

    /// One more field: an IPv6 address.
    pub fn ipv6(self, address: Ipv6Addr) -> Value {
        self.field(&address.octets())
    }

    /// One more field: an address of either family.
    pub fn ip(self, address: IpAddr) -> Value {
        match address {
            IpAddr::V4(address) => self.ipv4(address),
            IpAddr::V6(address) => self.ipv6(address),
        }
    }

    /// One more field: a byte, such as a protocol number.
    pub fn u8(self, number: u8) -> Value {
        self.field(&[number])
    }

    /// One more field: two bytes in network order, such as a port.
    pub fn u16(self, number: u16) -> Value {
        self.field(&number.to_be_bytes())
    }

    /// One more field: four bytes in the machine's order: a mark, an interface index, a slot chosen by `numgen`.
    pub fn host_u32(self, number: u32) -> Value {
        self.field(&number.to_ne_bytes())
    }

    /// One more field: an interface name, 16 bytes with zeros behind. Longer names are cut off, as none can exist.
    pub fn ifname(self, name: &str) -> Value {
        let mut bytes = [0; 16];
        let len = name.len().min(15);
        bytes[..len].copy_from_slice(&name.as_bytes()[..len]);
        self.field(&bytes)
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Repr::Heap(bytes) => bytes,
        }
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As text, field by field, as nft would print it; what does not fit the types is printed in hexadecimal.
    pub fn display<'a>(&'a self, types: &'a [Type]) -> impl fmt::Display + 'a {
        Typed { value: self, types }
    }
}

impl Default for Value {
    fn default() -> Value {
        Value::new()
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Value {
        Value::bytes(bytes)
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Value) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Value) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Value) -> Ordering {
        self.as_slice().cmp(other.as_slice())
    }
}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Value({})", hex(self.as_slice()))
    }
}

/// What a field of a key or of data means. The kernel stores the number for `nft list` and gives it no meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// An IPv4 address, 4 bytes.
    Ipv4Addr,
    /// An IPv6 address, 16 bytes.
    Ipv6Addr,
    /// A protocol number, 1 byte.
    InetProto,
    /// A port, 2 bytes in network order.
    InetService,
    /// A packet mark, 4 bytes in the machine's order; also the way to list a slot number of `numgen`.
    Mark,
    /// An interface index, 4 bytes in the machine's order.
    IfIndex,
    /// An interface name, 16 bytes.
    IfName,
    /// An Ethernet address, 6 bytes.
    EtherAddr,
    /// A protocol family (`NFPROTO_*`), 1 byte.
    Nfproto,
    /// A state of conntrack as a bit mask, 4 bytes in the machine's order.
    CtState,
    /// An address type as `fib … type` gives it, 4 bytes in the machine's order.
    FibAddrType,
    /// A type that nft knows by `id` (at most 63), found in a dump.
    Other {
        /// nft's number of the type.
        id: u8,
        /// Bytes.
        len: u8,
    },
}

impl Type {
    const KNOWN: [Type; 11] = [
        Type::Ipv4Addr,
        Type::Ipv6Addr,
        Type::InetProto,
        Type::InetService,
        Type::Mark,
        Type::IfIndex,
        Type::IfName,
        Type::EtherAddr,
        Type::Nfproto,
        Type::CtState,
        Type::FibAddrType,
    ];

    /// nft's number of the type (`enum datatypes` of libnftables).
    pub const fn id(self) -> u8 {
        match self {
            Type::Nfproto => 2,
            Type::Ipv4Addr => 7,
            Type::Ipv6Addr => 8,
            Type::EtherAddr => 9,
            Type::InetProto => 12,
            Type::InetService => 13,
            Type::Mark => 19,
            Type::IfIndex => 20,
            Type::CtState => 26,
            Type::FibAddrType => 38,
            Type::IfName => 41,
            Type::Other { id, .. } => id,
        }
    }

    /// Bytes, without padding. (A type always has some: there is no `is_empty`.)
    #[allow(clippy::len_without_is_empty, reason = "a type's length is never zero")]
    pub const fn len(self) -> u8 {
        match self {
            Type::Nfproto | Type::InetProto => 1,
            Type::InetService => 2,
            Type::Ipv4Addr | Type::Mark | Type::IfIndex | Type::CtState | Type::FibAddrType => 4,
            Type::EtherAddr => 6,
            Type::Ipv6Addr | Type::IfName => 16,
            Type::Other { len, .. } => len,
        }
    }

    /// Bytes in a concatenation.
    pub const fn padded_len(self) -> u8 {
        self.len().next_multiple_of(4)
    }

    /// Whether values are in the machine's byte order rather than the network's.
    pub const fn is_host_order(self) -> bool {
        matches!(self, Type::Mark | Type::IfIndex | Type::CtState | Type::FibAddrType)
    }

    /// The type with nft's number and this many bytes.
    pub fn from_id(id: u8, len: u8) -> Type {
        let known = Type::KNOWN.into_iter().find(|known| known.id() == id && known.len() == len);
        known.unwrap_or(Type::Other { id, len })
    }

    /// The known type with nft's number.
    pub(crate) fn with_id(id: u8) -> Option<Type> {
        Type::KNOWN.into_iter().find(|known| known.id() == id)
    }

    fn write(self, bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, bytes) {
            (Type::Ipv4Addr, &[a, b, c, d]) => write!(f, "{}", Ipv4Addr::new(a, b, c, d)),
            (Type::InetProto, &[number]) => write_protocol(number, f),
            (Type::InetService, &[a, b]) => write!(f, "{}", u16::from_be_bytes([a, b])),
            (Type::Mark, &[a, b, c, d]) => write!(f, "0x{:08x}", u32::from_ne_bytes([a, b, c, d])),
            (Type::IfIndex, &[a, b, c, d]) => write!(f, "{}", u32::from_ne_bytes([a, b, c, d])),
            (Type::CtState, &[a, b, c, d]) => write_ct_state(u32::from_ne_bytes([a, b, c, d]), f),
            (Type::FibAddrType, &[a, b, c, d]) => write_address_type(u32::from_ne_bytes([a, b, c, d]), f),
            (Type::Nfproto, &[2]) => f.write_str("ipv4"),
            (Type::Nfproto, &[10]) => f.write_str("ipv6"),
            (Type::IfName, bytes) => {
                let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
                write!(f, "{:?}", String::from_utf8_lossy(&bytes[..end]))
            }
            (Type::Ipv6Addr, bytes) => match <[u8; 16]>::try_from(bytes) {
                Ok(octets) => write!(f, "{}", Ipv6Addr::from(octets)),
                Err(_) => f.write_str(&hex(bytes)),
            },
            (Type::EtherAddr, bytes) => {
                let parts: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
                f.write_str(&parts.join(":"))
            }
            (_, bytes) => f.write_str(&hex(bytes)),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Ipv4Addr => "ipv4_addr",
            Type::Ipv6Addr => "ipv6_addr",
            Type::InetProto => "inet_proto",
            Type::InetService => "inet_service",
            Type::Mark => "mark",
            Type::IfIndex => "iface_index",
            Type::IfName => "ifname",
            Type::EtherAddr => "ether_addr",
            Type::Nfproto => "nf_proto",
            Type::CtState => "ct_state",
            Type::FibAddrType => "fib_addrtype",
            Type::Other { id, len } => return write!(f, "type{id}/{len}"),
        })
    }
}

/// The types of a concatenation, as nft writes them: `ipv4_addr . inet_proto`.
pub(crate) fn display_types(types: &[Type]) -> String {
    types.iter().map(Type::to_string).collect::<Vec<_>>().join(" . ")
}

struct Typed<'a> {
    value: &'a Value,
    types: &'a [Type],
}

impl fmt::Display for Typed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.value.as_slice();
        if let [only] = self.types
            && rest.len() <= usize::from(only.padded_len())
        {
            return only.write(&rest[..rest.len().min(usize::from(only.len()))], f);
        }
        let total: usize = self.types.iter().map(|t| usize::from(t.padded_len())).sum();
        if total != rest.len() {
            return f.write_str(&hex(rest));
        }
        for (n, field) in self.types.iter().enumerate() {
            if n > 0 {
                f.write_str(" . ")?;
            }
            field.write(&rest[..usize::from(field.len())], f)?;
            rest = &rest[usize::from(field.padded_len())..];
        }
        Ok(())
    }
}

fn write_protocol(number: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match number {
        1 => f.write_str("icmp"),
        6 => f.write_str("tcp"),
        17 => f.write_str("udp"),
        58 => f.write_str("ipv6-icmp"),
        132 => f.write_str("sctp"),
        _ => write!(f, "{number}"),
    }
}

fn write_ct_state(bits: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let names = [(1, "invalid"), (2, "established"), (4, "related"), (8, "new"), (64, "untracked")];
    let known: u32 = names.iter().map(|(bit, _)| bit).sum();
    if bits == 0 || bits & !known != 0 {
        return write!(f, "0x{bits:x}");
    }
    let set: Vec<&str> = names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    f.write_str(&set.join(","))
}

fn write_address_type(number: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match number {
        0 => f.write_str("unspec"),
        1 => f.write_str("unicast"),
        2 => f.write_str("local"),
        3 => f.write_str("broadcast"),
        4 => f.write_str("anycast"),
        5 => f.write_str("multicast"),
        _ => write!(f, "{number}"),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("0x");
    for byte in bytes {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}
