//! What is committed is what is dumped, for every sort of object and expression.
#![allow(clippy::unwrap_used, reason = "what fails in a test's helper fails the test")]

use std::sync::Arc;
use std::time::Duration;

use nft::expr::{
    ByteOrder, CmpOp, CtKey, DynsetOp, FibFlags, FibResult, IcmpxCode, LimitUnit, Lookup, MetaKey, Nat, NatFamily,
    NatFlags, NatKind, NumgenMode, ObjectKind, PacketDirection, RegisterOp, Reject, Shift,
};
use nft::{
    BaseChain, Batch, Chain, ChainType, Counter, Data, Element, Expr, Family, Field, Hook, Object, ObjectId, Operation,
    Policy, Register, Rule, Set, SetData, SetFlags, Socket, Table, TableId, Type, Value, Verdict,
};
use testbed::{Namespace, skip_unless_root};

const R0: Register = Register::R0;
const R1: Register = Register::R1;
const R4: Register = Register::R4;

/// Runs the test with a socket in a namespace of its own.
fn inside(test: impl FnOnce(&mut Socket) + Send) {
    if skip_unless_root().is_some() {
        return;
    }
    let namespace = Namespace::new("nft").unwrap();
    namespace.run(|| test(&mut Socket::in_current_netns().unwrap())).unwrap();
}

fn commit(socket: &mut Socket, operations: Vec<Operation>) {
    let batch = Batch { operations, generation: None };
    socket.commit(&batch).unwrap_or_else(|error| panic!("{error}\n{batch}"));
}

fn host(number: u32) -> Value {
    Value::new().host_u32(number)
}

#[test]
fn tables_and_chains() {
    inside(|socket| {
        assert!(socket.tables().unwrap().is_empty());
        let mut wanted = Vec::new();
        for family in [Family::Inet, Family::Ip, Family::Ip6] {
            let id = TableId::new(family, "t");
            wanted.push(Table { comment: Some(format!("of {family}")), ..Table::new(id) });
        }
        commit(socket, wanted.iter().map(|t| Operation::Create(Object::Table(t.clone()))).collect());
        let mut dumped: Vec<Table> = socket.tables().unwrap().into_iter().map(|l| l.object).collect();
        dumped.sort_by_key(|t| t.id.clone());
        assert_eq!(dumped, wanted);

        let table = &wanted[0].id;
        let mut chains = vec![
            Chain { comment: Some("für alle".to_owned()), ..Chain::regular(table, "regular") },
            Chain::base(table, "prerouting", ChainType::Nat, Hook::Prerouting, -100),
            Chain::base(table, "postrouting", ChainType::Nat, Hook::Postrouting, 100),
            Chain::base(table, "output", ChainType::Route, Hook::Output, -150),
            Chain::base(table, "input", ChainType::Filter, Hook::Input, 0),
        ];
        let forward = BaseChain { kind: ChainType::Filter, hook: Hook::Forward, priority: 7, policy: Policy::Drop };
        chains.push(Chain { base: Some(forward), ..Chain::regular(table, "forward") });
        commit(socket, chains.iter().map(|c| Operation::Add(Object::Chain(c.clone()))).collect());
        let dumped: Vec<Chain> = socket.chains(table).unwrap().into_iter().map(|l| l.object).collect();
        assert_eq!(dumped, chains);
        assert!(socket.chains(&wanted[1].id).unwrap().is_empty());

        commit(
            socket,
            vec![
                Operation::Delete(ObjectId::Chain(table.clone(), "regular".into())),
                Operation::Delete(ObjectId::Table(wanted[1].id.clone())),
                Operation::Destroy(ObjectId::Table(wanted[1].id.clone())),
            ],
        );
        assert_eq!(socket.chains(table).unwrap().len(), 5);
        assert_eq!(socket.tables().unwrap().len(), 2);
    });
}

#[test]
fn sets_and_maps_with_their_elements() {
    inside(|socket| {
        let table = TableId::new(Family::Inet, "t");
        let minute = Duration::from_secs(60);
        let sets: Vec<(Set, Vec<Element>)> = vec![
            (
                Set { comment: Some("ports".to_owned()), ..Set::new(&table, "ports", &[Type::InetService]) },
                vec![Element::new(Value::new().u16(80)), Element::new(Value::new().u16(443)).with_comment("https")],
            ),
            (
                Set::map(&table, "services", &[Type::Ipv4Addr, Type::InetProto, Type::InetService], &[Type::Mark])
                    .with_size(1000),
                vec![Element::value(Value::new().ipv4([10, 96, 0, 1].into()).u8(6).u16(443), host(3))],
            ),
            (
                Set::map(
                    &table,
                    "endpoints6",
                    &[Type::Ipv6Addr, Type::InetProto, Type::InetService, Type::Mark],
                    &[Type::Ipv6Addr, Type::InetService],
                ),
                vec![Element::value(
                    Value::new().ipv6("fd00::1".parse().unwrap()).u8(17).u16(53).host_u32(2),
                    Value::new().ipv6("fd00::2".parse().unwrap()).u16(5353),
                )],
            ),
            (
                Set::map(&table, "port-to-port", &[Type::InetService], &[Type::InetService]),
                vec![Element::value(Value::new().u16(80), Value::new().u16(8080))],
            ),
            (
                Set::verdict_map(&table, "verdicts", &[Type::Mark]),
                vec![
                    Element::verdict(host(1), Verdict::Goto("other".into())),
                    Element::verdict(host(2), Verdict::Jump("other".into())),
                    Element::verdict(host(3), Verdict::Drop),
                    Element::verdict(host(4), Verdict::Accept),
                    Element::verdict(host(5), Verdict::Return),
                ],
            ),
            (
                Set { timeout: Some(minute), ..Set::new(&table, "clients", &[Type::Ipv4Addr]) }
                    .with_flags(SetFlags::DYNAMIC | SetFlags::TIMEOUT)
                    .with_size(65536),
                vec![
                    Element::new(Value::new().ipv4([10, 0, 0, 1].into())),
                    Element::new(Value::new().ipv4([10, 0, 0, 2].into())).with_timeout(3 * minute),
                ],
            ),
            (
                Set::new(&table, "sources", &[Type::Ipv4Addr, Type::InetService, Type::Ipv4Addr])
                    .with_flags(SetFlags::INTERVAL),
                vec![Element::range(
                    Value::new().ipv4([10, 0, 0, 1].into()).u16(80).ipv4([192, 168, 0, 0].into()),
                    Value::new().ipv4([10, 0, 0, 1].into()).u16(80).ipv4([192, 168, 255, 255].into()),
                )],
            ),
            (
                Set::new(&table, "networks", &[Type::Ipv4Addr]).with_flags(SetFlags::INTERVAL),
                Element::interval(
                    Value::new().ipv4([10, 0, 0, 0].into()),
                    Some(Value::new().ipv4([11, 0, 0, 0].into())),
                ),
            ),
            (
                Set { data: Some(SetData::Object(ObjectKind::Counter)), ..Set::new(&table, "counts", &[Type::IfName]) },
                vec![Element { data: Some(Data::Object("lost".into())), ..Element::new(Value::new().ifname("eth0")) }],
            ),
            (
                Set::map(&table, "with-default", &[Type::InetService], &[Type::Mark]),
                vec![Element { role: nft::Role::CatchAll, ..Element::value(Value::new(), host(9)) }],
            ),
            (
                Set::new(&table, "counted", &[Type::Ipv4Addr]),
                vec![
                    Element {
                        counter: Some(Counter { packets: 5, bytes: 300 }),
                        ..Element::new(Value::new().ipv4([10, 0, 0, 1].into()))
                    }
                    .with_comment("with both"),
                ],
            ),
            (Set::new(&table, "empty", &[Type::EtherAddr, Type::IfIndex]).with_flags(SetFlags::CONSTANT), vec![]),
        ];
        let lost = Object::Counter { table: table.clone(), name: "lost".into(), packets: 3, bytes: 4 };
        let mut batch = Batch::new();
        batch.add_table(Table::new(table.clone()));
        batch.add_chain(Chain::regular(&table, "other"));
        batch.push(Operation::Create(lost.clone()));
        let sets: Vec<(Arc<Set>, Vec<Element>)> = sets.into_iter().map(|(s, e)| (Arc::new(s), e)).collect();
        for (set, elements) in &sets {
            batch.add_set(set);
            batch.add_elements(set, elements.clone());
        }
        socket.commit(&batch).unwrap_or_else(|error| panic!("{error}"));

        let dumped: Vec<Set> = socket.sets(&table).unwrap().into_iter().map(|l| l.object).collect();
        for (set, elements) in &sets {
            assert_eq!(dumped.iter().find(|d| d.name == set.name), Some(&**set));
            let mut found = socket.elements(&table, &set.name).unwrap();
            for element in &mut found {
                if set.flags.contains(SetFlags::TIMEOUT) {
                    assert!(element.expires.unwrap() <= element.timeout.unwrap_or(minute), "{element:?}");
                    element.expires = None;
                    // The kernel says the set's own timeout with each element.
                    element.timeout = element.timeout.filter(|t| Some(*t) != set.timeout);
                }
            }
            // A set of intervals ends with one that holds nothing.
            found.retain(|e| !(e.role == nft::Role::IntervalEnd && e.key.as_slice() == [0; 4]));
            found.sort();
            let mut wanted = elements.clone();
            wanted.sort();
            assert_eq!(found, wanted, "{set}");
        }
        assert_eq!(socket.counters(&table).unwrap()[0].object, lost);

        let mut batch = Batch::new();
        for (set, elements) in &sets {
            batch.delete_elements(set, elements.clone());
        }
        batch.push(Operation::DestroyElements { set: Arc::clone(&sets[0].0), elements: sets[0].1.clone() });
        socket.commit(&batch).unwrap_or_else(|error| panic!("{error}\n{batch}"));
        for (set, _) in &sets {
            let left = socket.elements(&table, &set.name).unwrap();
            assert!(left.iter().all(|e| e.role == nft::Role::IntervalEnd), "{set}: {left:?}");
        }
    });
}

/// Every expression, each list a rule that the kernel accepts in the chain named.
fn rules() -> Vec<(&'static str, Vec<Expr>)> {
    let mut rules: Vec<(&str, Vec<Expr>)> = Vec::new();
    for key in [
        MetaKey::Len,
        MetaKey::Protocol,
        MetaKey::Priority,
        MetaKey::Mark,
        MetaKey::Iif,
        MetaKey::IifName,
        MetaKey::Nfproto,
        MetaKey::L4proto,
        MetaKey::PktType,
        MetaKey::Cpu,
        MetaKey::IifGroup,
        MetaKey::Random,
    ] {
        rules.push(("filter", vec![Expr::Meta { key, dreg: R4 }]));
    }
    for key in [MetaKey::SkUid, MetaKey::SkGid, MetaKey::Oif, MetaKey::OifName, MetaKey::OifGroup] {
        rules.push(("output", vec![Expr::Meta { key, dreg: R1 }]));
    }
    let zero = |dreg, len: usize| Expr::Immediate { dreg, value: Value::bytes(&vec![0; len]) };
    rules.push(("filter", vec![zero(R0, 4), Expr::MetaSet { key: MetaKey::Mark, sreg: R0 }]));
    rules.push(("filter", vec![zero(R0, 1), Expr::MetaSet { key: MetaKey::Nftrace, sreg: R0 }]));
    rules.push(("filter", vec![Field::CtMark.load(R0), Expr::CtSet { key: CtKey::Mark, sreg: R0 }]));
    for (key, direction) in [
        (CtKey::State, None),
        (CtKey::Direction, None),
        (CtKey::Status, None),
        (CtKey::Mark, None),
        (CtKey::Expiration, None),
        (CtKey::L3proto, None),
        (CtKey::Protocol, None),
        (CtKey::ProtoSrc, Some(PacketDirection::Reply)),
        (CtKey::ProtoDst, Some(PacketDirection::Original)),
        (CtKey::Zone, None),
        (CtKey::Ip4Saddr, Some(PacketDirection::Original)),
        (CtKey::Ip4Daddr, Some(PacketDirection::Reply)),
        (CtKey::Ip6Saddr, Some(PacketDirection::Original)),
        (CtKey::Ip6Daddr, Some(PacketDirection::Original)),
        (CtKey::Id, None),
    ] {
        rules.push(("filter", vec![Expr::Ct { key, dreg: R4, direction }]));
    }
    for (result, flags) in [
        (FibResult::AddrType, FibFlags::DADDR),
        (FibResult::AddrType, FibFlags::SADDR | FibFlags::IIF),
        (FibResult::Oif, FibFlags::SADDR | FibFlags::MARK),
        (FibResult::OifName, FibFlags::DADDR),
        (FibResult::Oif, FibFlags::SADDR | FibFlags::IIF | FibFlags::PRESENT),
    ] {
        rules.push(("prerouting", vec![Expr::Fib { result, flags, dreg: R4 }]));
    }
    rules.push(("filter", Field::concat(R0, &[Field::IpSaddr, Field::IpDaddr, Field::ThSport, Field::ThDport])));
    rules.push(("filter", Field::concat(R0, &[Field::Ip6Saddr, Field::Ip6Daddr, Field::L4proto])));
    rules.extend(computations());
    rules.extend(decisions());
    rules.extend(rewrites());
    rules
}

fn computations() -> Vec<(&'static str, Vec<Expr>)> {
    let mut rules = Vec::new();
    let load = || Field::Mark.load(R0);
    rules.push(("filter", vec![load(), Expr::or(R0, 0x4000)]));
    rules.push(("filter", vec![load(), Expr::and(R0, 0xff)]));
    rules.push((
        "filter",
        vec![
            Field::Ip6Saddr.load(R0),
            Expr::Bitwise { sreg: R0, dreg: R4, mask: Value::bytes(&[0xff; 16]), xor: Value::bytes(&[1; 16]) },
        ],
    ));
    for shift in [Shift::Left, Shift::Right] {
        rules.push(("filter", vec![load(), Expr::BitwiseShift { sreg: R0, dreg: R1, len: 4, shift, bits: 5 }]));
    }
    for op in [RegisterOp::And, RegisterOp::Or, RegisterOp::Xor] {
        let both =
            vec![load(), Field::CtMark.load(R1), Expr::BitwiseRegisters { op, sreg: R0, other: R1, dreg: R0, len: 4 }];
        rules.push(("filter", both));
    }
    for to in [ByteOrder::Host, ByteOrder::Network] {
        rules.push(("filter", vec![load(), Expr::Byteorder { sreg: R0, dreg: R1, to, len: 4, size: 4 }]));
    }
    for mode in [NumgenMode::Inc, NumgenMode::Random] {
        rules.push(("filter", vec![Expr::Numgen { dreg: R0, modulus: 3, offset: 7, mode }]));
    }
    for seed in [None, Some(0x1234_5678)] {
        let hash = Expr::Jhash { sreg: R0, len: 4, dreg: R1, modulus: 5, seed, offset: 1 };
        rules.push(("filter", vec![Field::IpSaddr.load(R0), hash]));
    }
    rules.push(("filter", vec![Expr::Symhash { dreg: R0, modulus: 2, offset: 0 }]));
    rules
}

fn decisions() -> Vec<(&'static str, Vec<Expr>)> {
    let mut rules = Vec::new();
    for op in [CmpOp::Eq, CmpOp::Ne, CmpOp::Lt, CmpOp::Le, CmpOp::Gt, CmpOp::Ge] {
        let value = Value::bytes(&80u16.to_be_bytes());
        rules.push(("filter", vec![Field::ThDport.load(R0), Expr::Cmp { op, sreg: R0, value }]));
    }
    rules.push(("filter", vec![Field::Ip6Saddr.load(R0), Expr::eq(R0, Value::bytes(&[7; 16]))]));
    for inverted in [false, true] {
        let (from, to) = (Value::bytes(&[0, 1]), Value::bytes(&[4, 0]));
        rules.push(("filter", vec![Field::ThDport.load(R0), Expr::Range { sreg: R0, inverted, from, to }]));
    }
    for verdict in [
        Verdict::Accept,
        Verdict::Drop,
        Verdict::Continue,
        Verdict::Break,
        Verdict::Return,
        Verdict::Jump("other".into()),
        Verdict::Goto("other".into()),
    ] {
        rules.push(("filter", vec![Expr::Verdict(verdict)]));
    }
    for result in [Lookup::Contained, Lookup::NotContained] {
        rules.push(("filter", vec![Field::IpSaddr.load(R0), Expr::Lookup { set: "clients".into(), key: R0, result }]));
    }
    let mut lookup = Field::concat(R0, &[Field::IpDaddr, Field::L4proto, Field::ThDport]);
    lookup.push(Expr::Lookup { set: "services".into(), key: R0, result: Lookup::Value(Register::R8) });
    lookup.push(Expr::Lookup { set: "verdicts".into(), key: Register::R8, result: Lookup::Verdict });
    rules.push(("filter", lookup));
    for code in [IcmpxCode::NoRoute, IcmpxCode::PortUnreachable, IcmpxCode::HostUnreachable, IcmpxCode::AdminProhibited]
    {
        rules.push(("filter", vec![Expr::Reject(Reject::Icmpx(code))]));
    }
    let tcp = [Field::L4proto.load(R0), Expr::eq(R0, Value::bytes(&[6]))];
    rules.push(("filter", [&tcp[..], &[Expr::Reject(Reject::TcpReset)]].concat()));
    let ipv4 = [Field::Nfproto.load(R0), Expr::eq(R0, Value::bytes(&[2]))];
    rules.push(("filter", [&ipv4[..], &[Expr::Reject(Reject::Icmp(3))]].concat()));
    for (op, timeout) in
        [(DynsetOp::Add, None), (DynsetOp::Update, Some(Duration::from_millis(10_800_500))), (DynsetOp::Delete, None)]
    {
        let set = "clients".into();
        let dynset = Expr::Dynset { set, op, key: R0, data: None, timeout, exprs: vec![] };
        rules.push(("filter", vec![Field::IpSaddr.load(R0), dynset]));
    }
    let dynset = Expr::Dynset {
        set: "affinity".into(),
        op: DynsetOp::Update,
        key: R0,
        data: Some(R4),
        timeout: Some(Duration::from_secs(10)),
        exprs: vec![],
    };
    rules.push(("filter", vec![Field::IpSaddr.load(R0), Field::Mark.load(R4), dynset]));
    let limited = Expr::Dynset {
        set: "limited".into(),
        op: DynsetOp::Add,
        key: R0,
        data: None,
        timeout: None,
        exprs: vec![Expr::Limit { rate: 10, unit: LimitUnit::Second, burst: 5, inverted: false }],
    };
    rules.push(("filter", vec![Field::IpSaddr.load(R0), limited]));
    rules.push(("filter", vec![Expr::counter(), Expr::Counter { packets: 7, bytes: 700 }]));
    for (unit, inverted) in [(LimitUnit::Second, false), (LimitUnit::Minute, true), (LimitUnit::Week, false)] {
        rules.push(("filter", vec![Expr::Limit { rate: 100, unit, burst: 5, inverted }]));
    }
    rules.push(("raw", vec![Expr::Notrack]));
    rules.push(("filter", vec![Expr::Objref { kind: ObjectKind::Counter, name: "lost".into() }]));
    rules
}

fn rewrites() -> Vec<(&'static str, Vec<Expr>)> {
    let mut rules = Vec::new();
    let constant = |dreg, bytes: &[u8]| Expr::Immediate { dreg, value: Value::bytes(bytes) };
    let loads = |len| vec![constant(R0, &vec![9; len]), constant(R4, &[0, 80]), constant(Register::R5, &[0, 90])];
    for (family, len) in [(NatFamily::Ip, 4), (NatFamily::Ip6, 16)] {
        for (kind, chain) in [(NatKind::Dnat, "nat-prerouting"), (NatKind::Snat, "nat-postrouting")] {
            let nat = Nat::to(kind, family, R0, Some(R4));
            rules.push((chain, [loads(len), vec![Expr::Nat(nat)]].concat()));
            let nat = Nat { ports: Some((R4, Some(Register::R5))), flags: NatFlags::FULLY_RANDOM, ..nat };
            rules.push((chain, [loads(len), vec![Expr::Nat(nat)]].concat()));
            let nat = Nat { ports: None, flags: NatFlags::RANDOM | NatFlags::PERSISTENT, ..nat };
            rules.push((chain, [loads(len), vec![Expr::Nat(nat)]].concat()));
        }
    }
    for flags in [NatFlags::NONE, NatFlags::FULLY_RANDOM] {
        rules.push(("nat-postrouting", vec![Expr::Masquerade { flags, ports: None }]));
        let ports = Some((R4, Some(Register::R5)));
        rules.push(("nat-postrouting", [loads(4), vec![Expr::Masquerade { flags, ports }]].concat()));
        rules.push(("nat-prerouting", vec![Expr::Redirect { ports: None, flags }]));
        rules.push(("nat-prerouting", [loads(4), vec![Expr::Redirect { ports: Some((R4, None)), flags }]].concat()));
    }
    rules
}

fn prepare(table: &TableId) -> Batch {
    let mut batch = Batch::new();
    batch.add_table(Table::new(table.clone()));
    for (name, kind, hook, priority) in [
        ("filter", ChainType::Filter, Hook::Input, 0),
        ("output", ChainType::Filter, Hook::Output, 0),
        ("prerouting", ChainType::Filter, Hook::Prerouting, 0),
        ("raw", ChainType::Filter, Hook::Prerouting, -300),
        ("nat-prerouting", ChainType::Nat, Hook::Prerouting, -100),
        ("nat-postrouting", ChainType::Nat, Hook::Postrouting, 100),
    ] {
        batch.add_chain(Chain::base(table, name, kind, hook, priority));
    }
    batch.add_chain(Chain::regular(table, "other"));
    let lost = Object::Counter { table: table.clone(), name: "lost".into(), packets: 0, bytes: 0 };
    batch.push(Operation::Add(lost));
    let dynamic = SetFlags::DYNAMIC | SetFlags::TIMEOUT;
    let services = [Type::Ipv4Addr, Type::InetProto, Type::InetService];
    for set in [
        Set::new(table, "clients", &[Type::Ipv4Addr]).with_flags(dynamic).with_size(100),
        Set::new(table, "limited", &[Type::Ipv4Addr]).with_flags(SetFlags::DYNAMIC).with_size(100),
        Set::map(table, "affinity", &[Type::Ipv4Addr], &[Type::Mark]).with_flags(dynamic).with_size(100),
        Set::map(table, "services", &services, &[Type::Mark]),
        Set::verdict_map(table, "verdicts", &[Type::Mark]),
    ] {
        batch.add_set(&Arc::new(set));
    }
    batch
}

#[test]
fn every_expression_is_accepted_and_dumped_as_it_was() {
    inside(|socket| {
        let table = TableId::new(Family::Inet, "t");
        socket.commit(&prepare(&table)).unwrap_or_else(|error| panic!("{error}"));
        let mut wanted: Vec<Rule> = Vec::new();
        for (n, (chain, exprs)) in rules().into_iter().enumerate() {
            let rule = Rule::new(&table, chain, exprs).with_comment(&format!("rule {n}"));
            // Each one alone, so that a refusal names it.
            commit(socket, vec![Operation::AppendRule(rule.clone())]);
            wanted.push(rule);
        }
        let dumped = socket.rules(&table).unwrap();
        assert_eq!(dumped.len(), wanted.len());
        for rule in &wanted {
            let found = dumped.iter().find(|l| l.object.comment == rule.comment).unwrap();
            assert_eq!(&found.object, rule, "{rule}");
            assert!(!rule.exprs.iter().any(|e| matches!(e, Expr::Raw { .. })));
        }
    });
}

#[test]
fn rules_are_appended_prepended_replaced_and_deleted() {
    inside(|socket| {
        let table = TableId::new(Family::Ip, "t");
        let rule = |comment: &str| Rule::new(&table, "c", vec![Expr::counter()]).with_comment(comment);
        let mut batch = Batch::new();
        batch.add_table(Table::new(table.clone()));
        batch.add_chain(Chain::regular(&table, "c"));
        batch.add_rule(rule("b"));
        batch.add_rule(rule("c"));
        batch.push(Operation::PrependRule(rule("a")));
        socket.commit(&batch).unwrap();
        let comments = |socket: &mut Socket| -> Vec<(u64, String)> {
            socket.rules(&table).unwrap().into_iter().map(|l| (l.handle, l.object.comment.unwrap())).collect()
        };
        let listed = comments(socket);
        let text: Vec<&str> = listed.iter().map(|(_, c)| c.as_str()).collect();
        assert_eq!(text, ["a", "b", "c"]);
        let (chain, handle) = ("c".into(), listed[0].0);
        commit(
            socket,
            vec![
                Operation::ReplaceRule { handle: listed[1].0, rule: rule("B") },
                Operation::DeleteRule { table: table.clone(), chain, handle },
            ],
        );
        let listed = comments(socket);
        let text: Vec<&str> = listed.iter().map(|(_, c)| c.as_str()).collect();
        assert_eq!(text, ["B", "c"]);
        commit(socket, vec![Operation::FlushChain(table.clone(), "c".into())]);
        assert!(comments(socket).is_empty());
        commit(socket, vec![Operation::AppendRule(rule("d")), Operation::FlushTable(table.clone())]);
        assert!(comments(socket).is_empty());
    });
}
