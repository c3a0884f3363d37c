//! Expressions from attributes.

use std::sync::Arc;
use std::time::Duration;

use super::DecodeError;
use crate::expr::{
    ByteOrder, CmpOp, CtKey, DynsetOp, Expr, FibFlags, FibResult, IcmpxCode, LimitUnit, Lookup, MetaKey, Nat,
    NatFamily, NatFlags, NatKind, NumgenMode, ObjectKind, PacketDirection, PayloadBase, Register, RegisterOp, Reject,
    Shift,
};
use crate::value::Value;
use crate::verdict::Verdict;
use crate::wire::Attributes;
use crate::wire::number::{LIST_ELEM, data, expr as number};

/// The expressions of a list. What is not known stays raw.
pub(super) fn list(list: Attributes<'_>) -> Result<Vec<Expr>, DecodeError> {
    list.filter(|(kind, _)| *kind == LIST_ELEM).map(|(_, one)| expr(Attributes(one))).collect()
}

/// One expression.
pub(super) fn expr(a: Attributes<'_>) -> Result<Expr, DecodeError> {
    let name = a.text(number::NAME).ok_or(DecodeError("expression's name"))?;
    let bytes = a.find(number::DATA).unwrap_or_default();
    Ok(known(name, Attributes(bytes)).unwrap_or_else(|| Expr::Raw { name: name.into(), data: bytes.to_vec() }))
}

/// The expression, unless it says something that its type cannot say.
fn known(name: &str, a: Attributes<'_>) -> Option<Expr> {
    match name {
        "meta" => meta(a),
        "payload" => payload(a),
        "cmp" => Some(Expr::Cmp {
            op: CmpOp::from_number(a.u32(number::CMP_OP)?)?,
            sreg: register(a, number::CMP_SREG)?,
            value: value(a, number::CMP_DATA)?,
        }),
        "range" => Some(Expr::Range {
            sreg: register(a, number::RANGE_SREG)?,
            inverted: a.u32(number::RANGE_OP)? == 1,
            from: value(a, number::RANGE_FROM)?,
            to: value(a, number::RANGE_TO)?,
        }),
        "bitwise" => bitwise(a),
        "byteorder" => Some(Expr::Byteorder {
            sreg: register(a, number::BYTEORDER_SREG)?,
            dreg: register(a, number::BYTEORDER_DREG)?,
            to: ByteOrder::from_number(a.u32(number::BYTEORDER_OP)?)?,
            len: a.u32(number::BYTEORDER_LEN)?,
            size: a.u32(number::BYTEORDER_SIZE)?,
        }),
        "immediate" => immediate(a),
        "lookup" => lookup(a),
        "numgen" => Some(Expr::Numgen {
            dreg: register(a, number::NUMGEN_DREG)?,
            modulus: a.u32(number::NUMGEN_MODULUS)?,
            offset: a.u32(number::NUMGEN_OFFSET).unwrap_or_default(),
            mode: NumgenMode::from_number(a.u32(number::NUMGEN_TYPE)?)?,
        }),
        "hash" => hash(a),
        "ct" => ct(a),
        "fib" => Some(Expr::Fib {
            result: FibResult::from_number(a.u32(number::FIB_RESULT)?)?,
            flags: FibFlags(a.u32(number::FIB_FLAGS)?),
            dreg: register(a, number::FIB_DREG)?,
        }),
        "nat" => nat(a),
        "masq" => Some(Expr::Masquerade {
            flags: nat_flags(a, number::MASQ_FLAGS),
            ports: pair(a, number::MASQ_PROTO_MIN, number::MASQ_PROTO_MAX),
        }),
        "redir" => Some(Expr::Redirect {
            ports: pair(a, number::REDIR_PROTO_MIN, number::REDIR_PROTO_MAX),
            flags: nat_flags(a, number::REDIR_FLAGS),
        }),
        "dup" => Some(Expr::Dup { address: register(a, number::DUP_SREG_ADDR)? }),
        "reject" => reject(a),
        "dynset" => dynset(a),
        "counter" => {
            Some(Expr::Counter { packets: a.u64(number::COUNTER_PACKETS)?, bytes: a.u64(number::COUNTER_BYTES)? })
        }
        "limit" => limit(a),
        "notrack" => Some(Expr::Notrack),
        "objref" => Some(Expr::Objref {
            kind: ObjectKind::from_number(a.u32(number::OBJREF_TYPE)?)?,
            name: Arc::from(a.text(number::OBJREF_NAME)?),
        }),
        _ => None,
    }
}

fn meta(a: Attributes<'_>) -> Option<Expr> {
    let key = MetaKey::from_number(a.u32(number::META_KEY)?)?;
    match register(a, number::META_SREG) {
        Some(sreg) => Some(Expr::MetaSet { key, sreg }),
        None => Some(Expr::Meta { key, dreg: register(a, number::META_DREG)? }),
    }
}

fn payload(a: Attributes<'_>) -> Option<Expr> {
    Some(Expr::Payload {
        base: PayloadBase::from_number(a.u32(number::PAYLOAD_BASE)?)?,
        offset: a.u32(number::PAYLOAD_OFFSET)?,
        len: a.u32(number::PAYLOAD_LEN)?,
        dreg: register(a, number::PAYLOAD_DREG)?,
    })
}

fn bitwise(a: Attributes<'_>) -> Option<Expr> {
    let sreg = register(a, number::BITWISE_SREG)?;
    let dreg = register(a, number::BITWISE_DREG)?;
    let len = a.u32(number::BITWISE_LEN)?;
    // Kernels before 5.7 have but one operation and do not say so.
    let op = a.u32(number::BITWISE_OP).unwrap_or_default();
    if op == 0 {
        let (mask, xor) = (value(a, number::BITWISE_MASK)?, value(a, number::BITWISE_XOR)?);
        return Some(Expr::Bitwise { sreg, dreg, mask, xor });
    }
    if let Some(shift) = Shift::from_number(op) {
        let bits = value(a, number::BITWISE_DATA)?.as_slice().try_into().ok().map(u32::from_ne_bytes)?;
        return Some(Expr::BitwiseShift { sreg, dreg, len, shift, bits });
    }
    let other = register(a, number::BITWISE_SREG2)?;
    Some(Expr::BitwiseRegisters { op: RegisterOp::from_number(op)?, sreg, other, dreg, len })
}

fn immediate(a: Attributes<'_>) -> Option<Expr> {
    let constant = a.nested(number::IMMEDIATE_DATA)?;
    match constant.nested(data::VERDICT) {
        Some(inner) => verdict(inner).map(Expr::Verdict),
        None => Some(Expr::Immediate {
            dreg: register(a, number::IMMEDIATE_DREG)?,
            value: value(a, number::IMMEDIATE_DATA)?,
        }),
    }
}

/// A verdict from its attributes.
pub(super) fn verdict(a: Attributes<'_>) -> Option<Verdict> {
    let chain = || a.text(data::VERDICT_CHAIN).map(Arc::<str>::from);
    Some(match a.u32(data::VERDICT_CODE)? as i32 {
        0 => Verdict::Drop,
        1 => Verdict::Accept,
        -1 => Verdict::Continue,
        -2 => Verdict::Break,
        -3 => Verdict::Jump(chain()?),
        -4 => Verdict::Goto(chain()?),
        -5 => Verdict::Return,
        _ => return None,
    })
}

fn lookup(a: Attributes<'_>) -> Option<Expr> {
    let inverted = a.u32(number::LOOKUP_FLAGS).is_some_and(|flags| flags & number::LOOKUP_INVERTED != 0);
    let result = match a.u32(number::LOOKUP_DREG) {
        None if inverted => Lookup::NotContained,
        None => Lookup::Contained,
        Some(0) => Lookup::Verdict,
        Some(dreg) => Lookup::Value(Register::from_number(dreg)?),
    };
    Some(Expr::Lookup { set: Arc::from(a.text(number::LOOKUP_SET)?), key: register(a, number::LOOKUP_SREG)?, result })
}

fn hash(a: Attributes<'_>) -> Option<Expr> {
    let dreg = register(a, number::HASH_DREG)?;
    let modulus = a.u32(number::HASH_MODULUS)?;
    let offset = a.u32(number::HASH_OFFSET).unwrap_or_default();
    match a.u32(number::HASH_TYPE).unwrap_or(number::HASH_JENKINS) {
        number::HASH_JENKINS => Some(Expr::Jhash {
            sreg: register(a, number::HASH_SREG)?,
            len: a.u32(number::HASH_LEN)?,
            dreg,
            modulus,
            seed: a.u32(number::HASH_SEED),
            offset,
        }),
        number::HASH_SYMMETRIC => Some(Expr::Symhash { dreg, modulus, offset }),
        _ => None,
    }
}

fn ct(a: Attributes<'_>) -> Option<Expr> {
    let key = CtKey::from_number(a.u32(number::CT_KEY)?)?;
    if let Some(sreg) = register(a, number::CT_SREG) {
        return Some(Expr::CtSet { key, sreg });
    }
    let direction = match a.u8(number::CT_DIRECTION) {
        Some(direction) => Some(PacketDirection::from_number(direction.into())?),
        None => None,
    };
    Some(Expr::Ct { key, dreg: register(a, number::CT_DREG)?, direction })
}

fn nat(a: Attributes<'_>) -> Option<Expr> {
    Some(Expr::Nat(Nat {
        kind: NatKind::from_number(a.u32(number::NAT_TYPE)?)?,
        family: NatFamily::from_number(a.u32(number::NAT_FAMILY)?)?,
        addresses: pair(a, number::NAT_ADDR_MIN, number::NAT_ADDR_MAX),
        ports: pair(a, number::NAT_PROTO_MIN, number::NAT_PROTO_MAX),
        flags: nat_flags(a, number::NAT_FLAGS),
    }))
}

fn reject(a: Attributes<'_>) -> Option<Expr> {
    let code = || a.u8(number::REJECT_CODE);
    Some(Expr::Reject(match a.u32(number::REJECT_TYPE)? {
        number::REJECT_ICMP => Reject::Icmp(code()?),
        number::REJECT_TCP_RESET => Reject::TcpReset,
        number::REJECT_ICMPX => Reject::Icmpx(IcmpxCode::from_number(code()?.into())?),
        _ => return None,
    }))
}

fn dynset(a: Attributes<'_>) -> Option<Expr> {
    if a.u32(number::DYNSET_FLAGS).is_some_and(|flags| flags & number::DYNSET_F_INVERTED != 0) {
        return None;
    }
    let exprs = match (a.nested(number::DYNSET_EXPR), a.nested(number::DYNSET_EXPRESSIONS)) {
        (Some(only), _) => vec![expr(only).ok()?],
        (None, Some(several)) => list(several).ok()?,
        (None, None) => Vec::new(),
    };
    Some(Expr::Dynset {
        set: Arc::from(a.text(number::DYNSET_SET)?),
        op: DynsetOp::from_number(a.u32(number::DYNSET_OP)?)?,
        key: register(a, number::DYNSET_SREG_KEY)?,
        data: register(a, number::DYNSET_SREG_DATA),
        timeout: a.u64(number::DYNSET_TIMEOUT).filter(|ms| *ms != 0).map(Duration::from_millis),
        exprs,
    })
}

fn limit(a: Attributes<'_>) -> Option<Expr> {
    if a.u32(number::LIMIT_TYPE)? != number::LIMIT_PACKETS {
        return None;
    }
    Some(Expr::Limit {
        rate: a.u64(number::LIMIT_RATE)?,
        unit: LimitUnit::from_number(u32::try_from(a.u64(number::LIMIT_UNIT)?).ok()?)?,
        burst: a.u32(number::LIMIT_BURST)?,
        inverted: a.u32(number::LIMIT_FLAGS).is_some_and(|flags| flags & number::LIMIT_INVERTED != 0),
    })
}

fn register(a: Attributes<'_>, kind: u16) -> Option<Register> {
    Register::from_number(a.u32(kind)?)
}

fn value(a: Attributes<'_>, kind: u16) -> Option<Value> {
    a.nested(kind)?.find(data::VALUE).map(Value::bytes)
}

/// A lowest and a highest register. The kernel dumps one that was not given as equal to the other.
fn pair(a: Attributes<'_>, low_kind: u16, high_kind: u16) -> Option<(Register, Option<Register>)> {
    let low = register(a, low_kind)?;
    Some((low, register(a, high_kind).filter(|high| *high != low)))
}

/// Without those flags that follow from the registers.
fn nat_flags(a: Attributes<'_>, kind: u16) -> NatFlags {
    let chosen = NatFlags::RANDOM | NatFlags::PERSISTENT | NatFlags::FULLY_RANDOM;
    NatFlags(a.u32(kind).unwrap_or_default() & chosen.0)
}
