//! Expressions as attributes.

use super::object::milliseconds;
use crate::expr::{Expr, Lookup, Nat, NatFlags, Register, Reject};
use crate::value::Value;
use crate::verdict::Verdict;
use crate::wire::Writer;
use crate::wire::number::{LIST_ELEM, data, expr as number};

/// The verdict register.
const VERDICT_REGISTER: u32 = 0;

/// Expressions as the elements of a list.
pub(super) fn list(exprs: &[Expr], w: &mut Writer) {
    for expr in exprs {
        w.nest(LIST_ELEM, |w| one(expr, w));
    }
}

/// Name and data of an expression.
pub(super) fn one(expr: &Expr, w: &mut Writer) {
    if let Expr::Raw { name, data } = expr {
        w.text(number::NAME, name);
        w.nested_bytes(number::DATA, data);
        return;
    }
    w.text(number::NAME, name(expr));
    w.nest(number::DATA, |w| {
        if !(loads(expr, w) || computes(expr, w) || decides(expr, w)) {
            state(expr, w);
        }
    });
}

/// The kernel's name of an expression.
fn name(expr: &Expr) -> &str {
    match expr {
        Expr::Meta { .. } | Expr::MetaSet { .. } => "meta",
        Expr::Payload { .. } => "payload",
        Expr::Cmp { .. } => "cmp",
        Expr::Range { .. } => "range",
        Expr::Bitwise { .. } | Expr::BitwiseShift { .. } | Expr::BitwiseRegisters { .. } => "bitwise",
        Expr::Byteorder { .. } => "byteorder",
        Expr::Immediate { .. } | Expr::Verdict(_) => "immediate",
        Expr::Lookup { .. } => "lookup",
        Expr::Numgen { .. } => "numgen",
        Expr::Jhash { .. } | Expr::Symhash { .. } => "hash",
        Expr::Ct { .. } | Expr::CtSet { .. } => "ct",
        Expr::Fib { .. } => "fib",
        Expr::Nat(_) => "nat",
        Expr::Masquerade { .. } => "masq",
        Expr::Redirect { .. } => "redir",
        Expr::Dup { .. } => "dup",
        Expr::Reject(_) => "reject",
        Expr::Dynset { .. } => "dynset",
        Expr::Counter { .. } => "counter",
        Expr::Limit { .. } => "limit",
        Expr::Notrack => "notrack",
        Expr::Objref { .. } => "objref",
        Expr::Raw { name, .. } => name,
    }
}

/// Attributes of what loads a register from the packet and what is known of it. False: it is none of these.
fn loads(expr: &Expr, w: &mut Writer) -> bool {
    match expr {
        Expr::Meta { key, dreg } => {
            w.u32(number::META_KEY, key.number());
            register(number::META_DREG, *dreg, w);
        }
        Expr::MetaSet { key, sreg } => {
            w.u32(number::META_KEY, key.number());
            register(number::META_SREG, *sreg, w);
        }
        Expr::Payload { base, offset, len, dreg } => {
            register(number::PAYLOAD_DREG, *dreg, w);
            w.u32(number::PAYLOAD_BASE, base.number());
            w.u32(number::PAYLOAD_OFFSET, *offset);
            w.u32(number::PAYLOAD_LEN, *len);
        }
        Expr::Ct { key, dreg, direction } => {
            w.u32(number::CT_KEY, key.number());
            register(number::CT_DREG, *dreg, w);
            if let Some(direction) = direction {
                w.u8(number::CT_DIRECTION, direction.number() as u8);
            }
        }
        Expr::CtSet { key, sreg } => {
            w.u32(number::CT_KEY, key.number());
            register(number::CT_SREG, *sreg, w);
        }
        Expr::Fib { result, flags, dreg } => {
            register(number::FIB_DREG, *dreg, w);
            w.u32(number::FIB_RESULT, result.number());
            w.u32(number::FIB_FLAGS, flags.0);
        }
        _ => return false,
    }
    true
}

/// Attributes of what computes with registers. False: it is none of these.
fn computes(expr: &Expr, w: &mut Writer) -> bool {
    match expr {
        Expr::Bitwise { sreg, dreg, mask, xor } => {
            bitwise(*sreg, *dreg, mask.len() as u32, 0, w);
            value(number::BITWISE_MASK, mask, w);
            value(number::BITWISE_XOR, xor, w);
        }
        Expr::BitwiseShift { sreg, dreg, len, shift, bits } => {
            bitwise(*sreg, *dreg, *len, shift.number(), w);
            value(number::BITWISE_DATA, &Value::new().host_u32(*bits), w);
        }
        Expr::BitwiseRegisters { op, sreg, other, dreg, len } => {
            bitwise(*sreg, *dreg, *len, op.number(), w);
            register(number::BITWISE_SREG2, *other, w);
        }
        Expr::Byteorder { sreg, dreg, to, len, size } => {
            register(number::BYTEORDER_SREG, *sreg, w);
            register(number::BYTEORDER_DREG, *dreg, w);
            w.u32(number::BYTEORDER_OP, to.number());
            w.u32(number::BYTEORDER_LEN, *len);
            w.u32(number::BYTEORDER_SIZE, *size);
        }
        Expr::Immediate { dreg, value: constant } => {
            register(number::IMMEDIATE_DREG, *dreg, w);
            value(number::IMMEDIATE_DATA, constant, w);
        }
        Expr::Numgen { dreg, modulus, offset, mode } => {
            register(number::NUMGEN_DREG, *dreg, w);
            w.u32(number::NUMGEN_MODULUS, *modulus);
            w.u32(number::NUMGEN_TYPE, mode.number());
            w.u32(number::NUMGEN_OFFSET, *offset);
        }
        Expr::Jhash { sreg, len, dreg, modulus, seed, offset } => {
            register(number::HASH_SREG, *sreg, w);
            w.u32(number::HASH_LEN, *len);
            if let Some(seed) = seed {
                w.u32(number::HASH_SEED, *seed);
            }
            hash(*dreg, *modulus, *offset, number::HASH_JENKINS, w);
        }
        Expr::Symhash { dreg, modulus, offset } => hash(*dreg, *modulus, *offset, number::HASH_SYMMETRIC, w),
        _ => return false,
    }
    true
}

/// Attributes of what may end the rule. False: it is none of these.
fn decides(expr: &Expr, w: &mut Writer) -> bool {
    match expr {
        Expr::Cmp { op, sreg, value: constant } => {
            register(number::CMP_SREG, *sreg, w);
            w.u32(number::CMP_OP, op.number());
            value(number::CMP_DATA, constant, w);
        }
        Expr::Range { sreg, inverted, from, to } => {
            register(number::RANGE_SREG, *sreg, w);
            w.u32(number::RANGE_OP, u32::from(*inverted));
            value(number::RANGE_FROM, from, w);
            value(number::RANGE_TO, to, w);
        }
        Expr::Verdict(verdict) => {
            w.u32(number::IMMEDIATE_DREG, VERDICT_REGISTER);
            w.nest(number::IMMEDIATE_DATA, |w| self::verdict(verdict, w));
        }
        Expr::Lookup { set, key, result } => {
            w.text(number::LOOKUP_SET, set);
            register(number::LOOKUP_SREG, *key, w);
            match result {
                Lookup::Contained => {}
                Lookup::NotContained => w.u32(number::LOOKUP_FLAGS, number::LOOKUP_INVERTED),
                Lookup::Value(dreg) => register(number::LOOKUP_DREG, *dreg, w),
                Lookup::Verdict => w.u32(number::LOOKUP_DREG, VERDICT_REGISTER),
            }
        }
        Expr::Nat(rewrite) => nat(rewrite, w),
        Expr::Masquerade { flags, ports } => {
            nat_flags(number::MASQ_FLAGS, *flags, ports.is_some(), w);
            pair(number::MASQ_PROTO_MIN, number::MASQ_PROTO_MAX, *ports, w);
        }
        Expr::Redirect { ports, flags } => {
            pair(number::REDIR_PROTO_MIN, number::REDIR_PROTO_MAX, *ports, w);
            nat_flags(number::REDIR_FLAGS, *flags, ports.is_some(), w);
        }
        Expr::Dup { address } => register(number::DUP_SREG_ADDR, *address, w),
        Expr::Reject(Reject::Icmp(code)) => reject(number::REJECT_ICMP, *code, w),
        Expr::Reject(Reject::Icmpx(code)) => reject(number::REJECT_ICMPX, code.number() as u8, w),
        Expr::Reject(Reject::TcpReset) => w.u32(number::REJECT_TYPE, number::REJECT_TCP_RESET),
        _ => return false,
    }
    true
}

/// Attributes of what remembers.
fn state(expr: &Expr, w: &mut Writer) {
    match expr {
        Expr::Dynset { set, op, key, data, timeout, exprs } => {
            w.text(number::DYNSET_SET, set);
            w.u32(number::DYNSET_OP, op.number());
            register(number::DYNSET_SREG_KEY, *key, w);
            if let Some(data) = data {
                register(number::DYNSET_SREG_DATA, *data, w);
            }
            if let Some(timeout) = timeout {
                w.u64(number::DYNSET_TIMEOUT, milliseconds(*timeout));
            }
            match &exprs[..] {
                [] => {}
                [only] => w.nest(number::DYNSET_EXPR, |w| one(only, w)),
                several => w.nest(number::DYNSET_EXPRESSIONS, |w| list(several, w)),
            }
            if !exprs.is_empty() {
                w.u32(number::DYNSET_FLAGS, number::DYNSET_F_EXPR);
            }
        }
        Expr::Counter { packets, bytes } => {
            w.u64(number::COUNTER_BYTES, *bytes);
            w.u64(number::COUNTER_PACKETS, *packets);
        }
        Expr::Limit { rate, unit, burst, inverted } => {
            w.u64(number::LIMIT_RATE, *rate);
            w.u64(number::LIMIT_UNIT, u64::from(unit.number()));
            w.u32(number::LIMIT_BURST, *burst);
            w.u32(number::LIMIT_TYPE, number::LIMIT_PACKETS);
            w.u32(number::LIMIT_FLAGS, if *inverted { number::LIMIT_INVERTED } else { 0 });
        }
        Expr::Objref { kind, name } => {
            w.u32(number::OBJREF_TYPE, kind.number());
            w.text(number::OBJREF_NAME, name);
        }
        // Notrack has no attributes; all others were written before this was called.
        _ => {}
    }
}

fn register(kind: u16, register: Register, w: &mut Writer) {
    w.u32(kind, register.number());
}

fn value(kind: u16, value: &Value, w: &mut Writer) {
    w.nest(kind, |w| w.bytes(data::VALUE, value.as_slice()));
}

fn bitwise(sreg: Register, dreg: Register, len: u32, op: u32, w: &mut Writer) {
    register(number::BITWISE_SREG, sreg, w);
    register(number::BITWISE_DREG, dreg, w);
    w.u32(number::BITWISE_LEN, len);
    w.u32(number::BITWISE_OP, op);
}

fn hash(dreg: Register, modulus: u32, offset: u32, kind: u32, w: &mut Writer) {
    register(number::HASH_DREG, dreg, w);
    w.u32(number::HASH_MODULUS, modulus);
    w.u32(number::HASH_OFFSET, offset);
    w.u32(number::HASH_TYPE, kind);
}

fn nat(nat: &Nat, w: &mut Writer) {
    w.u32(number::NAT_TYPE, nat.kind.number());
    w.u32(number::NAT_FAMILY, nat.family.number());
    pair(number::NAT_ADDR_MIN, number::NAT_ADDR_MAX, nat.addresses, w);
    pair(number::NAT_PROTO_MIN, number::NAT_PROTO_MAX, nat.ports, w);
    nat_flags(number::NAT_FLAGS, nat.flags, nat.ports.is_some(), w);
}

fn pair(low_kind: u16, high_kind: u16, registers: Option<(Register, Option<Register>)>, w: &mut Writer) {
    let Some((low, high)) = registers else { return };
    register(low_kind, low, w);
    if let Some(high) = high {
        register(high_kind, high, w);
    }
}

/// Without `NF_NAT_RANGE_PROTO_SPECIFIED`, masquerade takes ports from its registers and then does not look at them.
fn nat_flags(kind: u16, flags: NatFlags, ports: bool, w: &mut Writer) {
    let flags = flags.0 | if ports { number::NAT_RANGE_PROTO_SPECIFIED } else { 0 };
    if flags != 0 {
        w.u32(kind, flags);
    }
}

fn reject(kind: u32, code: u8, w: &mut Writer) {
    w.u32(number::REJECT_TYPE, kind);
    w.u8(number::REJECT_CODE, code);
}

/// A verdict, as data of an element or of an immediate.
pub(super) fn verdict(verdict: &Verdict, w: &mut Writer) {
    w.nest(data::VERDICT, |w| {
        w.u32(data::VERDICT_CODE, verdict.code() as u32);
        if let Some(chain) = verdict.chain() {
            w.text(data::VERDICT_CHAIN, chain);
        }
    });
}
