//! Expressions: the instructions of the kernel's small machine. A rule is a list of them; each may end the rule.
//!
//! Registers are sixteen words of four bytes. What is loaded into consecutive words makes a concatenation:
//! ```
//! use nft::{Expr, Field, Register};
//! use nft::expr::Lookup;
//! // ip daddr . meta l4proto . th dport vmap @services
//! let mut rule = Field::concat(Register::R0, &[Field::IpDaddr, Field::L4proto, Field::ThDport]);
//! rule.push(Expr::Lookup { set: "services".into(), key: Register::R0, result: Lookup::Verdict });
//! ```

use std::sync::Arc;
use std::time::Duration;

use crate::value::Value;
use crate::verdict::Verdict;

mod field;
mod key;
mod register;

pub use field::Field;
pub use key::{
    ByteOrder, CmpOp, CtKey, DynsetOp, FibFlags, FibResult, IcmpxCode, LimitUnit, Lookup, MetaKey, NatFamily, NatFlags,
    NatKind, NumgenMode, ObjectKind, PacketDirection, PayloadBase, RegisterOp, Reject, Shift,
};
pub use register::Register;

/// One instruction. Names follow the kernel's modules (`nft_meta.c`, `nft_lookup.c`…).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Expr {
    /// Loads what the kernel knows of the packet.
    Meta {
        /// What.
        key: MetaKey,
        /// Where to.
        dreg: Register,
    },
    /// Sets what the kernel knows of the packet: its mark, most often.
    MetaSet {
        /// What.
        key: MetaKey,
        /// The new value.
        sreg: Register,
    },
    /// Loads bytes of a header.
    Payload {
        /// The header.
        base: PayloadBase,
        /// Bytes from the header's begin.
        offset: u32,
        /// How many bytes.
        len: u32,
        /// Where to; the last word is padded with zeros.
        dreg: Register,
    },
    /// Ends the rule unless the comparison holds.
    Cmp {
        /// How to compare. Less and greater compare as `memcmp` does, so only values in network order are meaningful.
        op: CmpOp,
        /// The register.
        sreg: Register,
        /// What it is compared with; its length counts.
        value: Value,
    },
    /// Ends the rule unless the register is within (or, inverted, outside) two values, both included.
    Range {
        /// The register.
        sreg: Register,
        /// Outside instead of within.
        inverted: bool,
        /// The lowest value.
        from: Value,
        /// The highest value.
        to: Value,
    },
    /// `dreg = (sreg & mask) ^ xor`. To set bits: mask = !bits, xor = bits.
    Bitwise {
        /// Source.
        sreg: Register,
        /// Target.
        dreg: Register,
        /// The bits that stay; its length is the length of the operation.
        mask: Value,
        /// The bits that are flipped after; as long as the mask.
        xor: Value,
    },
    /// Shifts 32-bit words in the machine's order.
    BitwiseShift {
        /// Source.
        sreg: Register,
        /// Target.
        dreg: Register,
        /// Bytes, a multiple of four.
        len: u32,
        /// Which way.
        shift: Shift,
        /// How far, below 32.
        bits: u32,
    },
    /// `dreg = sreg op other`: needs Linux 6.13.
    BitwiseRegisters {
        /// The operation.
        op: RegisterOp,
        /// Left operand.
        sreg: Register,
        /// Right operand.
        other: Register,
        /// Target.
        dreg: Register,
        /// Bytes.
        len: u32,
    },
    /// Converts between the machine's and the network's byte order.
    Byteorder {
        /// Source.
        sreg: Register,
        /// Target.
        dreg: Register,
        /// Which way.
        to: ByteOrder,
        /// Bytes.
        len: u32,
        /// Bytes of each number: 2, 4 or 8.
        size: u32,
    },
    /// Loads a constant.
    Immediate {
        /// Where to.
        dreg: Register,
        /// The constant.
        value: Value,
    },
    /// Ends the rule with a verdict.
    Verdict(Verdict),
    /// Looks a key up in a set or map. A key that is not there ends the rule (unless the test is inverted).
    Lookup {
        /// The set's or map's name.
        set: Arc<str>,
        /// Where the key begins.
        key: Register,
        /// What is made of what was found.
        result: Lookup,
    },
    /// Loads `offset +` a number below `modulus`, in the machine's order.
    Numgen {
        /// Where to.
        dreg: Register,
        /// How many different numbers; at least 1.
        modulus: u32,
        /// Added to the number.
        offset: u32,
        /// How it is chosen.
        mode: NumgenMode,
    },
    /// Loads `offset +` Jenkins' hash of a register modulo `modulus`, in the machine's order.
    Jhash {
        /// Where the hashed bytes begin.
        sreg: Register,
        /// How many bytes are hashed.
        len: u32,
        /// Where to.
        dreg: Register,
        /// How many different numbers; at least 1.
        modulus: u32,
        /// `None`: the kernel takes a random one for this rule.
        seed: Option<u32>,
        /// Added to the number.
        offset: u32,
    },
    /// Loads `offset +` a hash of the connection that is the same for both directions.
    Symhash {
        /// Where to.
        dreg: Register,
        /// How many different numbers; at least 1.
        modulus: u32,
        /// Added to the number.
        offset: u32,
    },
    /// Loads what conntrack knows of the packet's connection. Ends the rule if there is none (state excepted).
    Ct {
        /// What.
        key: CtKey,
        /// Where to.
        dreg: Register,
        /// Whose addresses and ports; needed by those keys, and only by them.
        direction: Option<PacketDirection>,
    },
    /// Sets what conntrack knows of the connection: its mark, most often.
    CtSet {
        /// What.
        key: CtKey,
        /// The new value.
        sreg: Register,
    },
    /// Asks the routing table.
    Fib {
        /// What of the answer is loaded.
        result: FibResult,
        /// What is asked.
        flags: FibFlags,
        /// Where to.
        dreg: Register,
    },
    /// Rewrites the connection's source or destination. Ends the rule with accept.
    Nat(Nat),
    /// Rewrites the source to the address of the interface by which the packet leaves.
    Masquerade {
        /// How the source port is chosen.
        flags: NatFlags,
        /// The lowest and highest source port, in network order.
        ports: Option<(Register, Option<Register>)>,
    },
    /// Rewrites the destination to this machine.
    Redirect {
        /// The lowest and highest destination port, in network order; `None` keeps it.
        ports: Option<(Register, Option<Register>)>,
        /// How it is chosen.
        flags: NatFlags,
    },
    /// Sends a copy of the packet, as it is, to another machine: by that one's Ethernet address, past translation and
    /// conntrack, with a time to live that is one less.
    Dup {
        /// Where the machine's address is.
        address: Register,
    },
    /// Drops the packet and tells the sender. Not in prerouting's nat chains: filter chains of input, forward, output.
    Reject(Reject),
    /// Adds the packet's own key to a set or map that has the flag `dynamic`, or takes it away.
    Dynset {
        /// The set's or map's name.
        set: Arc<str>,
        /// What to do.
        op: DynsetOp,
        /// Where the key begins.
        key: Register,
        /// Where the data begins, for a map.
        data: Option<Register>,
        /// How long the element lives; `None`: the set's own timeout. Milliseconds count.
        timeout: Option<Duration>,
        /// Statements kept with the element, such as a limit.
        exprs: Vec<Expr>,
    },
    /// Counts. Dumped with what was counted so far.
    Counter {
        /// Packets so far.
        packets: u64,
        /// Bytes so far.
        bytes: u64,
    },
    /// Ends the rule when packets come faster than so (inverted: slower).
    Limit {
        /// Packets in each unit.
        rate: u64,
        /// The unit.
        unit: LimitUnit,
        /// Packets beyond the rate that are let through at once; at least 1.
        burst: u32,
        /// Over the rate instead of below.
        inverted: bool,
    },
    /// The packet is not to be tracked. Only before conntrack (priority below -200).
    Notrack,
    /// Uses a named object of the table.
    Objref {
        /// What sort of object.
        kind: ObjectKind,
        /// Its name.
        name: Arc<str>,
    },
    /// An expression of somebody else's rule that this crate does not know, as the kernel gave it.
    Raw {
        /// The kernel's name of it.
        name: Arc<str>,
        /// Its attributes.
        data: Vec<u8>,
    },
}

/// A rewrite of source or destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nat {
    /// Source or destination.
    pub kind: NatKind,
    /// The family of the addresses.
    pub family: NatFamily,
    /// The lowest and the highest address; `None` keeps it.
    pub addresses: Option<(Register, Option<Register>)>,
    /// The lowest and the highest port, in network order; `None` keeps it.
    pub ports: Option<(Register, Option<Register>)>,
    /// How address and port are chosen.
    pub flags: NatFlags,
}

impl Nat {
    /// To the one address and port that begin at two registers.
    pub fn to(kind: NatKind, family: NatFamily, address: Register, port: Option<Register>) -> Nat {
        let ports = port.map(|port| (port, None));
        Nat { kind, family, addresses: Some((address, None)), ports, flags: NatFlags::NONE }
    }
}

impl Expr {
    /// Ends the rule unless the register holds these bytes.
    pub fn eq(sreg: Register, value: Value) -> Expr {
        Expr::Cmp { op: CmpOp::Eq, sreg, value }
    }

    /// Ends the rule if the register holds these bytes.
    pub fn ne(sreg: Register, value: Value) -> Expr {
        Expr::Cmp { op: CmpOp::Ne, sreg, value }
    }

    /// Keeps of a register of four bytes in the machine's order (a mark) only some bits, in place.
    pub fn and(register: Register, mask: u32) -> Expr {
        let word = |number: u32| Value::new().host_u32(number);
        Expr::Bitwise { sreg: register, dreg: register, mask: word(mask), xor: word(0) }
    }

    /// Sets bits of a register of four bytes in the machine's order (a mark), in place; all others stay.
    pub fn or(register: Register, bits: u32) -> Expr {
        let word = |number: u32| Value::new().host_u32(number);
        Expr::Bitwise { sreg: register, dreg: register, mask: word(!bits), xor: word(bits) }
    }

    /// Ends the rule with a jump.
    pub fn jump(chain: &str) -> Expr {
        Expr::Verdict(Verdict::Jump(chain.into()))
    }

    /// Ends the rule with a goto.
    pub fn goto(chain: &str) -> Expr {
        Expr::Verdict(Verdict::Goto(chain.into()))
    }

    /// Counts from zero.
    pub fn counter() -> Expr {
        Expr::Counter { packets: 0, bytes: 0 }
    }
}
