//! Rules as text: the expressions are followed through the registers, so that a rule reads as nft writes it.
//!
//! The text is for people, deterministic, and says everything that the rule does; nft may not accept each of it.

use std::fmt::Write as _;
use std::time::Duration;

use crate::expr::{CmpOp, DynsetOp, Expr, IcmpxCode, Lookup, Nat, NatFamily, NatFlags, Register, Reject};
use crate::value::{Type, Value, hex};

mod load;
mod registers;

use registers::Registers;

/// A rule's expressions as one line.
pub(crate) fn rule_text(exprs: &[Expr]) -> String {
    let mut registers = Registers::default();
    let mut parts = Vec::new();
    for expr in exprs {
        if let Some(part) = statement(expr, &mut registers) {
            parts.push(part);
        }
    }
    parts.join(" ")
}

/// What the expression adds to the line; `None` for loads, which show where the register is used.
fn statement(expr: &Expr, registers: &mut Registers) -> Option<String> {
    if load::follow(expr, registers) {
        return None;
    }
    Some(match expr {
        Expr::Cmp { op, sreg, value } => comparison(registers, *op, *sreg, value),
        Expr::Range { sreg, inverted, from, to } => {
            let loaded = registers.get(*sreg);
            let not = if *inverted { "!= " } else { "" };
            format!("{} {not}{}-{}", loaded.text, loaded.constant(from), loaded.constant(to))
        }
        Expr::MetaSet { key, sreg } => format!("meta {} set {}", key.text(), registers.mark(*sreg)),
        Expr::CtSet { key, sreg } => format!("ct {} set {}", key.text(), registers.mark(*sreg)),
        Expr::Verdict(verdict) => verdict.to_string(),
        Expr::Lookup { set, key, result } => {
            let word = match result {
                Lookup::Contained => "",
                Lookup::NotContained => "!= ",
                Lookup::Verdict | Lookup::Value(_) => "vmap ",
            };
            format!("{} {word}@{set}", registers.key(*key))
        }
        Expr::Nat(nat) => nat_text(nat, registers),
        Expr::Masquerade { flags, ports } => {
            format!("masquerade{}{}", ports_text(*ports, registers), flags_text(*flags))
        }
        Expr::Redirect { ports, flags } => format!("redirect{}{}", ports_text(*ports, registers), flags_text(*flags)),
        Expr::Dup { address } => format!("dup to {}", registers.key(*address)),
        Expr::Reject(reject) => reject_text(*reject),
        Expr::Dynset { set, op, key, data, timeout, exprs } => {
            dynset_text(set, *op, &registers.key(*key), data.map(|d| registers.key(d)), *timeout, exprs)
        }
        Expr::Counter { packets, bytes } => format!("counter packets {packets} bytes {bytes}"),
        Expr::Limit { rate, unit, burst, inverted } => {
            let over = if *inverted { "over " } else { "" };
            format!("limit rate {over}{rate}/{} burst {burst} packets", unit.text())
        }
        Expr::Notrack => "notrack".to_owned(),
        Expr::Objref { kind, name } => format!("{} name {name:?}", kind.text()),
        Expr::Raw { name, data } => format!("{name} [{}]", hex(data)),
        loads => format!("{loads:?}"),
    })
}

fn comparison(registers: &Registers, op: CmpOp, sreg: Register, value: &Value) -> String {
    let loaded = registers.get(sreg);
    let zero = value.as_slice().iter().all(|b| *b == 0);
    if let (Some((source, mask)), Some(Type::CtState), CmpOp::Ne, true) = (&loaded.masked, loaded.kind, op, zero) {
        return format!("{source} {}", loaded.constant(mask));
    }
    let op = match op {
        CmpOp::Eq if loaded.masked.is_none() => "",
        other => &format!("{} ", other.text()),
    };
    let mut text = format!("{} {op}{}", loaded.text, loaded.constant(value));
    if let Some(prefix) = loaded.prefix {
        _ = write!(text, "/{prefix}");
    }
    text
}

fn nat_text(nat: &Nat, registers: &Registers) -> String {
    let Nat { kind, family, addresses, ports, flags } = nat;
    let address_type = match family {
        NatFamily::Ip => Type::Ipv4Addr,
        NatFamily::Ip6 => Type::Ipv6Addr,
    };
    let mut text = format!("{} {} to ", kind.text(), family.text());
    if let Some((low, high)) = addresses {
        text += &registers.typed(*low, address_type);
        if let Some(high) = high {
            _ = write!(text, "-{}", registers.typed(*high, address_type));
        }
    }
    text += &ports_of(*ports, registers);
    text + &flags_text(*flags)
}

/// `:80`, or nothing when the port comes out of the same look-up as the address.
fn ports_of(ports: Option<(Register, Option<Register>)>, registers: &Registers) -> String {
    let Some((low, high)) = ports.filter(|(low, _)| registers.is_loaded(*low)) else { return String::new() };
    let mut text = format!(":{}", registers.typed(low, Type::InetService));
    if let Some(high) = high {
        _ = write!(text, "-{}", registers.typed(high, Type::InetService));
    }
    text
}

fn ports_text(ports: Option<(Register, Option<Register>)>, registers: &Registers) -> String {
    match ports {
        Some(_) => format!(" to {}", ports_of(ports, registers)),
        None => String::new(),
    }
}

fn flags_text(flags: NatFlags) -> String {
    let names =
        [(NatFlags::RANDOM, "random"), (NatFlags::FULLY_RANDOM, "fully-random"), (NatFlags::PERSISTENT, "persistent")];
    let set: Vec<&str> = names.iter().filter(|(flag, _)| flags.0 & flag.0 != 0).map(|(_, name)| *name).collect();
    if set.is_empty() { String::new() } else { format!(" {}", set.join(",")) }
}

fn reject_text(reject: Reject) -> String {
    match reject {
        Reject::TcpReset => "reject with tcp reset".to_owned(),
        Reject::Icmpx(IcmpxCode::PortUnreachable) => "reject".to_owned(),
        Reject::Icmpx(code) => format!("reject with icmpx {}", code.text()),
        Reject::Icmp(code) => format!("reject with icmp {code}"),
    }
}

fn dynset_text(
    set: &str,
    op: DynsetOp,
    key: &str,
    data: Option<String>,
    timeout: Option<Duration>,
    exprs: &[Expr],
) -> String {
    let mut text = format!("{} @{set} {{ {key}", op.text());
    if let Some(timeout) = timeout {
        _ = write!(text, " timeout {timeout:?}");
    }
    if !exprs.is_empty() {
        _ = write!(text, " {}", rule_text(exprs));
    }
    if let Some(data) = data {
        _ = write!(text, " : {data}");
    }
    text + " }"
}

#[cfg(test)]
mod tests;
