//! Expressions that only load registers, in nft's words.

use super::registers::{Loaded, Registers};
use crate::expr::{CtKey, Expr, FibFlags, FibResult, Lookup, MetaKey, PayloadBase};
use crate::value::{Type, Value};

/// Notes what the expression loads. False: it is none that only loads.
pub(super) fn follow(expr: &Expr, registers: &mut Registers) -> bool {
    let (dreg, loaded) = match expr {
        Expr::Meta { key, dreg } => (*dreg, Loaded::new(meta_text(*key), meta_type(*key))),
        Expr::Payload { base, offset, len, dreg } => (*dreg, payload(*base, *offset, *len)),
        Expr::Ct { key, dreg, direction } => {
            let side = direction.map(|d| format!("{} ", d.text())).unwrap_or_default();
            (*dreg, Loaded::new(format!("ct {side}{}", key.text()), ct_type(*key)))
        }
        Expr::Fib { result, flags, dreg } => (*dreg, fib(*result, *flags)),
        Expr::Numgen { dreg, modulus, offset, mode } => {
            let text = format!("numgen {} mod {modulus}{}", mode.text(), offset_text(*offset));
            (*dreg, Loaded::new(text, Type::Mark))
        }
        Expr::Jhash { sreg, dreg, modulus, seed, offset, .. } => {
            let seed = seed.map(|s| format!(" seed 0x{s:x}")).unwrap_or_default();
            let text = format!("jhash {} mod {modulus}{seed}{}", registers.key(*sreg), offset_text(*offset));
            (*dreg, Loaded::new(text, Type::Mark))
        }
        Expr::Symhash { dreg, modulus, offset } => {
            (*dreg, Loaded::new(format!("symhash mod {modulus}{}", offset_text(*offset)), Type::Mark))
        }
        Expr::Immediate { dreg, value } => {
            let text = value.display(&[]).to_string();
            let words = value.len().div_ceil(4) as u32;
            (*dreg, Loaded { text, kind: None, value: Some(value.clone()), prefix: None, words, masked: None })
        }
        Expr::Lookup { set, key, result: Lookup::Value(dreg) } => {
            let text = format!("{} map @{set}", registers.key(*key));
            (*dreg, Loaded { text, kind: None, value: None, prefix: None, words: 1, masked: None })
        }
        Expr::Bitwise { sreg, dreg, mask, xor } if sreg == dreg => {
            let changed = bitwise(&registers.get(*sreg), mask, xor);
            registers.change(*dreg, changed);
            return true;
        }
        Expr::Bitwise { sreg, dreg, mask, xor } => (*dreg, bitwise(&registers.get(*sreg), mask, xor)),
        Expr::BitwiseShift { sreg, dreg, shift, bits, .. } => {
            let source = registers.get(*sreg);
            (*dreg, Loaded { text: format!("{} {} {bits}", source.text, shift.text()), value: None, ..source })
        }
        Expr::BitwiseRegisters { op, sreg, other, dreg, .. } => {
            let (left, right) = (registers.get(*sreg), registers.typed(*other, Type::Mark));
            (*dreg, Loaded { text: format!("({} {} {right})", left.text, op.text()), value: None, ..left })
        }
        Expr::Byteorder { sreg, dreg, to, .. } => {
            let source = registers.get(*sreg);
            (*dreg, Loaded { text: format!("{}({})", to.text(), source.text), value: None, kind: None, ..source })
        }
        _ => return false,
    };
    registers.set(dreg, loaded);
    true
}

fn offset_text(offset: u32) -> String {
    if offset == 0 { String::new() } else { format!(" offset {offset}") }
}

fn meta_text(key: MetaKey) -> String {
    match key {
        MetaKey::Iif | MetaKey::Oif | MetaKey::IifName | MetaKey::OifName => key.text().to_owned(),
        _ => format!("meta {}", key.text()),
    }
}

fn meta_type(key: MetaKey) -> Type {
    match key {
        MetaKey::IifName | MetaKey::OifName => Type::IfName,
        MetaKey::Iif | MetaKey::Oif => Type::IfIndex,
        MetaKey::L4proto => Type::InetProto,
        MetaKey::Nfproto => Type::Nfproto,
        MetaKey::Protocol => Type::Other { id: 10, len: 2 },
        MetaKey::Nftrace | MetaKey::PktType => Type::Other { id: 4, len: 1 },
        _ => Type::Mark,
    }
}

fn ct_type(key: CtKey) -> Type {
    match key {
        CtKey::State => Type::CtState,
        CtKey::Saddr | CtKey::Daddr | CtKey::Ip4Saddr | CtKey::Ip4Daddr => Type::Ipv4Addr,
        CtKey::Ip6Saddr | CtKey::Ip6Daddr => Type::Ipv6Addr,
        CtKey::Protocol => Type::InetProto,
        CtKey::L3proto => Type::Nfproto,
        CtKey::ProtoSrc | CtKey::ProtoDst => Type::InetService,
        CtKey::Direction => Type::Other { id: 27, len: 1 },
        CtKey::Zone => Type::Other { id: 4, len: 2 },
        CtKey::Status | CtKey::Mark | CtKey::Expiration | CtKey::Id => Type::Mark,
    }
}

fn payload(base: PayloadBase, offset: u32, len: u32) -> Loaded {
    let (text, kind) = match (base, offset, len) {
        (PayloadBase::Network, 12, 4) => ("ip saddr", Type::Ipv4Addr),
        (PayloadBase::Network, 16, 4) => ("ip daddr", Type::Ipv4Addr),
        (PayloadBase::Network, 8, 16) => ("ip6 saddr", Type::Ipv6Addr),
        (PayloadBase::Network, 24, 16) => ("ip6 daddr", Type::Ipv6Addr),
        (PayloadBase::Network, 9, 1) => ("ip protocol", Type::InetProto),
        (PayloadBase::Transport, 0, 2) => ("th sport", Type::InetService),
        (PayloadBase::Transport, 2, 2) => ("th dport", Type::InetService),
        _ => {
            let text = format!("{},{},{}", base.text(), u64::from(offset) * 8, u64::from(len) * 8);
            return Loaded { text, kind: None, value: None, prefix: None, words: len.div_ceil(4), masked: None };
        }
    };
    Loaded::new(text.to_owned(), kind)
}

fn fib(result: FibResult, flags: FibFlags) -> Loaded {
    let names = [
        (FibFlags::SADDR, "saddr"),
        (FibFlags::DADDR, "daddr"),
        (FibFlags::MARK, "mark"),
        (FibFlags::IIF, "iif"),
        (FibFlags::OIF, "oif"),
    ];
    let asked: Vec<&str> = names.iter().filter(|(flag, _)| flags.0 & flag.0 != 0).map(|(_, name)| *name).collect();
    let exists = if flags.0 & FibFlags::PRESENT.0 != 0 { " exists" } else { "" };
    let kind = match result {
        FibResult::Oif => Type::IfIndex,
        FibResult::OifName => Type::IfName,
        FibResult::AddrType => Type::FibAddrType,
    };
    Loaded::new(format!("fib {} {}{exists}", asked.join(" . "), result.text()), kind)
}

/// `x & mask`, `x | bits`, `x ^ bits`, or the general form; a netmask on an address shows at the comparison.
fn bitwise(source: &Loaded, mask: &Value, xor: &Value) -> Loaded {
    let show = |value: &Value| source.constant(value);
    let flipped: Vec<u8> = mask.as_slice().iter().map(|b| !b).collect();
    let no_xor = xor.as_slice().iter().all(|b| *b == 0);
    let whole_mask = mask.as_slice().iter().all(|b| *b == 0xff);
    if no_xor
        && matches!(source.kind, Some(Type::Ipv4Addr | Type::Ipv6Addr))
        && let Some(prefix) = prefix_len(mask.as_slice())
    {
        return Loaded { prefix: Some(prefix), value: None, ..source.clone() };
    }
    let text = match () {
        () if no_xor => format!("{} & {}", source.text, show(mask)),
        () if xor.as_slice() == flipped => format!("{} | {}", source.text, show(xor)),
        () if whole_mask => format!("{} ^ {}", source.text, show(xor)),
        () => format!("{} & {} ^ {}", source.text, show(mask), show(xor)),
    };
    Loaded { text, value: None, masked: Some((source.text.clone(), mask.clone())), ..source.clone() }
}

/// How many bits of a mask are set, if they are the first ones.
fn prefix_len(mask: &[u8]) -> Option<u32> {
    let ones: u32 = mask.iter().map(|b| b.count_ones()).sum();
    let leading: u32 = {
        let full = mask.iter().take_while(|b| **b == 0xff).count();
        full as u32 * 8 + mask.get(full).map_or(0, |b| b.leading_ones())
    };
    (ones == leading).then_some(ones)
}
