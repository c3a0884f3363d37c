use std::time::Duration;

use crate::expr::{
    DynsetOp, Expr, Field, IcmpxCode, Lookup, MetaKey, Nat, NatFamily, NatFlags, NatKind, Register, RegisterOp, Reject,
};
use crate::value::Value;
use crate::{Family, Rule, TableId};

fn text(exprs: Vec<Expr>) -> String {
    Rule::new(&TableId::new(Family::Ip, "t"), "c", exprs).text()
}

fn host(number: u32) -> Value {
    Value::new().host_u32(number)
}

#[test]
fn dnat_through_a_map_reads_as_nft_writes_it() {
    let mut exprs = Field::concat(Register::R0, &[Field::IpDaddr, Field::L4proto, Field::ThDport, Field::RandomMod(3)]);
    exprs.push(Expr::Lookup { set: "endpoints".into(), key: Register::R0, result: Lookup::Value(Register::R8) });
    exprs.push(Expr::Nat(Nat::to(NatKind::Dnat, NatFamily::Ip, Register::R8, Some(Register::R9))));
    assert_eq!(text(exprs), "dnat ip to ip daddr . meta l4proto . th dport . numgen random mod 3 map @endpoints");
}

#[test]
fn rules_of_every_shape_have_their_text() {
    let r0 = Register::R0;
    let mark = |sreg| Expr::MetaSet { key: MetaKey::Mark, sreg };
    let rows: Vec<(&str, Vec<Expr>)> = vec![
        (
            "ip daddr 10.96.0.0/16 drop",
            vec![
                Field::IpDaddr.load(r0),
                Expr::Bitwise { sreg: r0, dreg: r0, mask: Value::bytes(&[255, 255, 0, 0]), xor: Value::bytes(&[0; 4]) },
                Expr::eq(r0, Value::bytes(&[10, 96, 0, 0])),
                Expr::Verdict(crate::Verdict::Drop),
            ],
        ),
        ("meta mark set meta mark | 0x00004000", vec![Field::Mark.load(r0), Expr::or(r0, 0x4000), mark(r0)]),
        (
            "meta mark & 0x00004000 == 0x00004000 meta mark set meta mark ^ 0x00004000 masquerade fully-random",
            vec![
                Field::Mark.load(r0),
                Expr::and(r0, 0x4000),
                Expr::eq(r0, host(0x4000)),
                Field::Mark.load(r0),
                Expr::Bitwise { sreg: r0, dreg: r0, mask: host(u32::MAX), xor: host(0x4000) },
                mark(r0),
                Expr::Masquerade { flags: NatFlags::FULLY_RANDOM, ports: None },
            ],
        ),
        (
            "meta mark set (meta mark | ip daddr map @class)",
            vec![
                Field::IpDaddr.load(r0),
                Expr::Lookup { set: "class".into(), key: r0, result: Lookup::Value(Register::R4) },
                Field::Mark.load(r0),
                Expr::BitwiseRegisters { op: RegisterOp::Or, sreg: r0, other: Register::R4, dreg: r0, len: 4 },
                mark(r0),
            ],
        ),
        (
            "ct state established,related accept",
            vec![
                Field::CtState.load(r0),
                Expr::Bitwise { sreg: r0, dreg: r0, mask: host(6), xor: host(0) },
                Expr::ne(r0, host(0)),
                Expr::Verdict(crate::Verdict::Accept),
            ],
        ),
        (
            "fib daddr type local meta l4proto . th dport vmap @nodeports",
            vec![
                Field::FibDaddrType.load(r0),
                Expr::eq(r0, host(2)),
                Field::L4proto.load(r0),
                Field::ThDport.load(Register::R1),
                Expr::Lookup { set: "nodeports".into(), key: r0, result: Lookup::Verdict },
            ],
        ),
        ("ip saddr . ip daddr . meta l4proto . th dport != @sources reject with icmpx admin-prohibited", {
            let mut exprs = Field::concat(r0, &[Field::IpSaddr, Field::IpDaddr, Field::L4proto, Field::ThDport]);
            exprs.push(Expr::Lookup { set: "sources".into(), key: r0, result: Lookup::NotContained });
            exprs.push(Expr::Reject(Reject::Icmpx(IcmpxCode::AdminProhibited)));
            exprs
        }),
        (
            "update @affinity { ip saddr . ip daddr timeout 10800s : 0x07000000 }",
            vec![
                Field::IpSaddr.load(r0),
                Field::IpDaddr.load(Register::R1),
                Expr::Immediate { dreg: Register::R4, value: Value::bytes(&[7, 0, 0, 0]) },
                Expr::Dynset {
                    set: "affinity".into(),
                    op: DynsetOp::Update,
                    key: r0,
                    data: Some(Register::R4),
                    timeout: Some(Duration::from_secs(10_800)),
                    exprs: vec![],
                },
            ],
        ),
        (
            "dnat ip to 10.244.1.2:8080",
            vec![
                Expr::Immediate { dreg: r0, value: Value::bytes(&[10, 244, 1, 2]) },
                Expr::Immediate { dreg: Register::R1, value: Value::bytes(&8080u16.to_be_bytes()) },
                Expr::Nat(Nat::to(NatKind::Dnat, NatFamily::Ip, r0, Some(Register::R1))),
            ],
        ),
    ];
    for (wanted, exprs) in rows {
        assert_eq!(text(exprs), wanted);
    }
}
