//! Packets through the rules: byte order and registers are right when connections arrive where they should.

#![allow(clippy::unwrap_used, reason = "what fails in a test's helper fails the test")]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use nft::expr::{DynsetOp, Lookup, MetaKey, Nat, NatFamily, NatFlags, NatKind, Reject};
use nft::expr::{IcmpxCode, NumgenMode, RegisterOp};
use nft::{
    Batch, Chain, ChainType, Element, Expr, Family, Field, Hook, Register, Rule, Set, SetFlags, Socket, Table, TableId,
    Type, Value, Verdict,
};
use testbed::{Lab, Namespace, TcpServer, UdpServer, ask_tcp, ask_udp, skip_unless_root};

const TCP: u8 = 6;
const UDP: u8 = 17;
const R0: Register = Register::R0;
const R8: Register = Register::R8;

/// A client, a node that rewrites and forwards, and two endpoints, each on a link of its own to the node.
struct World {
    client: Namespace,
    node: Namespace,
    _endpoints: Vec<Namespace>,
    _servers: Vec<(TcpServer, UdpServer)>,
}

fn world(lab: &Lab) -> World {
    let (client, node) = (lab.namespace("client").unwrap(), lab.namespace("node").unwrap());
    let endpoints: Vec<Namespace> = (1..3).map(|n| lab.namespace(&format!("endpoint{n}")).unwrap()).collect();
    for (n, namespace) in std::iter::once(&client).chain(&endpoints).enumerate() {
        let near = format!("veth{n}");
        lab.veth((&node, &near), (namespace, "eth0")).unwrap();
        for (network, mine, theirs) in [
            ("0.0.0.0/0", format!("10.0.{n}.1/24"), format!("10.0.{n}.2/24")),
            ("::/0", format!("fd00:{n}::1/64"), format!("fd00:{n}::2/64")),
        ] {
            let mine: testbed::Network = mine.parse().unwrap();
            node.add_address(&near, mine).unwrap();
            namespace.add_address("eth0", theirs.parse().unwrap()).unwrap();
            namespace.add_route(network.parse().unwrap(), mine.address).unwrap();
        }
    }
    node.set_sysctl("net.ipv4.ip_forward", "1").unwrap();
    node.set_sysctl("net.ipv6.conf.all.forwarding", "1").unwrap();
    let servers = endpoints.iter().enumerate().map(|(n, namespace)| {
        let (name, any) = (format!("endpoint{}", n + 1), IpAddr::from(Ipv6Addr::UNSPECIFIED));
        let tcp = TcpServer::start(namespace, SocketAddr::new(any, 8080), &name).unwrap();
        (tcp, UdpServer::start(namespace, SocketAddr::new(any, 5353), &name).unwrap())
    });
    let servers = servers.collect();
    World { client, node, _endpoints: endpoints, _servers: servers }
}

impl World {
    fn commit(&self, batch: &Batch) {
        let done = self.node.run(|| Socket::in_current_netns().unwrap().commit(batch)).unwrap();
        done.unwrap_or_else(|error| panic!("{error}\n{batch}"));
    }

    /// How often each endpoint answers so many connections.
    fn answers(&self, at: &str, count: usize) -> BTreeMap<String, usize> {
        let mut answers = BTreeMap::new();
        for _ in 0..count {
            *answers.entry(ask_tcp(&self.client, at.parse().unwrap()).unwrap().name).or_default() += 1;
        }
        answers
    }
}

fn table() -> TableId {
    TableId::new(Family::Inet, "services")
}

fn batch() -> Batch {
    let mut batch = Batch::new();
    batch.add_table(Table::new(table()));
    batch.add_chain(Chain::base(&table(), "prerouting", ChainType::Nat, Hook::Prerouting, -100));
    batch.add_chain(Chain::base(&table(), "postrouting", ChainType::Nat, Hook::Postrouting, 100));
    batch
}

/// Ends the rule unless the packet is of the family.
fn only(family: NatFamily) -> [Expr; 2] {
    [Field::Nfproto.load(R0), Expr::eq(R0, Value::bytes(&[family.number() as u8]))]
}

/// The endpoint's number n of either family, and a port.
fn endpoint(family: NatFamily, n: u16, port: u16) -> Value {
    match family {
        NatFamily::Ip => Value::new().ipv4(Ipv4Addr::new(10, 0, n as u8, 2)).u16(port),
        NatFamily::Ip6 => Value::new().ipv6(Ipv6Addr::new(0xfd00, n, 0, 0, 0, 0, 0, 2)).u16(port),
    }
}

/// `services`: address . protocol . port to a number of endpoints; `endpoints`: that and a slot to address . port.
/// A small map by that number picks the chain, through the mark. The mark's other bits stay if they are to be kept,
/// which needs an operation of two registers: Linux 6.13, and an nft newer than 1.0.6, which aborts on it.
fn flat(family: NatFamily, keep_mark: bool, batch: &mut Batch) -> (Arc<Set>, Arc<Set>) {
    let (address, words, daddr) = match family {
        NatFamily::Ip => (Type::Ipv4Addr, 1, Field::IpDaddr),
        NatFamily::Ip6 => (Type::Ipv6Addr, 4, Field::Ip6Daddr),
    };
    let name = |what: &str| format!("{what}-{}", family.text());
    let key = [address, Type::InetProto, Type::InetService];
    let services = Arc::new(Set::map(&table(), &name("services"), &key, &[Type::Mark]));
    let slots = [address, Type::InetProto, Type::InetService, Type::Mark];
    let endpoints = Arc::new(Set::map(&table(), &name("endpoints"), &slots, &[address, Type::InetService]));
    let class = Arc::new(Set::verdict_map(&table(), &name("class"), &[Type::Mark]));
    batch.add_set(&services);
    batch.add_set(&endpoints);
    batch.add_set(&class);
    let lookup = |set: &Set, key, result| Expr::Lookup { set: Arc::clone(&set.name), key, result };
    for n in 1..=2u32 {
        let chain = name(&format!("n{n}"));
        batch.add_chain(Chain::regular(&table(), &chain));
        let mut exprs = Field::concat(R0, &[daddr, Field::L4proto, Field::ThDport, Field::RandomMod(n)]);
        exprs.push(lookup(&endpoints, R0, Lookup::Value(R8)));
        exprs.push(Expr::Nat(Nat::to(NatKind::Dnat, family, R8, Some(R8.plus(words)))));
        batch.add_rule(Rule::new(&table(), &chain, exprs));
        batch.add_elements(&class, vec![Element::verdict(Value::new().host_u32(n << 8), Verdict::Goto(chain.into()))]);
    }
    // meta mark set meta mark & 0xffff00ff | services[…], then meta mark & 0xff00 vmap @class.
    let mut exprs = only(family).to_vec();
    exprs.extend(Field::concat(R0, &[daddr, Field::L4proto, Field::ThDport]));
    exprs.push(lookup(&services, R0, Lookup::Value(R8)));
    if keep_mark {
        exprs.extend([Field::Mark.load(R0), Expr::and(R0, 0xffff_00ff)]);
        exprs.push(Expr::BitwiseRegisters { op: RegisterOp::Or, sreg: R0, other: R8, dreg: R0, len: 4 });
        exprs.extend([Expr::MetaSet { key: MetaKey::Mark, sreg: R0 }, Expr::and(R0, 0xff00)]);
    } else {
        exprs.extend([Expr::MetaSet { key: MetaKey::Mark, sreg: R8 }, Field::Mark.load(R0)]);
    }
    exprs.push(lookup(&class, R0, Lookup::Verdict));
    batch.add_rule(Rule::new(&table(), "prerouting", exprs));
    (services, endpoints)
}

/// Elements for a service at an address and port with both endpoints.
fn service(family: NatFamily, address: IpAddr, protocol: u8, port: u16, target: u16) -> (Element, Vec<Element>) {
    let key = Value::new().ip(address).u8(protocol).u16(port);
    let slot = |n: u16| Element::value(key.clone().host_u32(u32::from(n) - 1), endpoint(family, n, target));
    (Element::value(key.clone(), Value::new().host_u32(2 << 8)), vec![slot(1), slot(2)])
}

#[test]
fn a_flat_map_spreads_connections_over_endpoints_in_both_families() {
    if skip_unless_root().is_some() {
        return;
    }
    let lab = Lab::new("flat");
    let world = world(&lab);
    let mut batch = batch();
    for (family, address) in [(NatFamily::Ip, "10.96.0.1"), (NatFamily::Ip6, "fd96::1")] {
        let (services, endpoints) = flat(family, true, &mut batch);
        for (protocol, port, target) in [(TCP, 80, 8080), (UDP, 53, 5353)] {
            let (entry, slots) = service(family, address.parse().unwrap(), protocol, port, target);
            batch.add_elements(&services, vec![entry]);
            batch.add_elements(&endpoints, slots);
        }
    }
    world.commit(&batch);
    for address in ["10.96.0.1", "[fd96::1]"] {
        let answers = world.answers(&format!("{address}:80"), 40);
        assert_eq!(answers.len(), 2, "{answers:?}");
        assert!(ask_udp(&world.client, format!("{address}:53").parse().unwrap()).is_ok());
    }
    assert!(ask_tcp(&world.client, "10.96.0.1:81".parse().unwrap()).is_err());
}

#[test]
fn a_change_of_elements_moves_new_connections() {
    if skip_unless_root().is_some() {
        return;
    }
    let lab = Lab::new("change");
    let world = world(&lab);
    let mut batch = batch();
    let (services, endpoints) = flat(NatFamily::Ip, false, &mut batch);
    let (entry, slots) = service(NatFamily::Ip, "10.96.0.1".parse().unwrap(), TCP, 80, 8080);
    batch.add_elements(&services, vec![entry.clone()]);
    batch.add_elements(&endpoints, slots.clone());
    world.commit(&batch);

    // Both slots lead to the second endpoint from now on.
    let mut change = Batch::new();
    change.delete_elements(&endpoints, vec![slots[0].clone()]);
    change.add_elements(&endpoints, vec![Element { data: slots[1].data.clone(), ..slots[0].clone() }]);
    world.commit(&change);
    assert_eq!(world.answers("10.96.0.1:80", 10), BTreeMap::from([("endpoint2".to_owned(), 10)]));

    let mut change = Batch::new();
    change.delete_elements(&services, vec![entry]);
    change.delete_elements(&endpoints, slots);
    world.commit(&change);
    assert!(ask_tcp(&world.client, "10.96.0.1:80".parse().unwrap()).is_err());
}

#[test]
fn a_client_stays_with_the_endpoint_that_a_dynamic_map_remembers() {
    if skip_unless_root().is_some() {
        return;
    }
    let lab = Lab::new("affinity");
    let world = world(&lab);
    let mut batch = batch();
    let dynamic = SetFlags::DYNAMIC | SetFlags::TIMEOUT;
    let affinity = Set::map(&table(), "affinity", &[Type::Ipv4Addr], &[Type::Mark]).with_flags(dynamic).with_size(100);
    batch.add_set(&Arc::new(affinity));
    let slots = Arc::new(Set::map(&table(), "slots", &[Type::Mark], &[Type::Ipv4Addr, Type::InetService]));
    batch.add_set(&slots);
    let slot = |n: u16| Element::value(Value::new().host_u32(n.into()), endpoint(NatFamily::Ip, n, 8080));
    batch.add_elements(&slots, vec![slot(1), slot(2)]);
    let lookup = |set: &str, key, dreg| Expr::Lookup { set: set.into(), key, result: Lookup::Value(dreg) };
    let dnat = Expr::Nat(Nat::to(NatKind::Dnat, NatFamily::Ip, R8, Some(R8.plus(1))));
    let remember = |op| Expr::Dynset {
        set: "affinity".into(),
        op,
        key: R0,
        data: Some(Register::R4),
        timeout: Some(Duration::from_secs(100)),
        exprs: vec![],
    };
    let mut known = only(NatFamily::Ip).to_vec();
    known.extend([Field::IpSaddr.load(R0), lookup("affinity", R0, Register::R4), remember(DynsetOp::Update)]);
    known.extend([lookup("slots", Register::R4, R8), dnat.clone()]);
    let mut fresh = only(NatFamily::Ip).to_vec();
    let choose = Expr::Numgen { dreg: Register::R4, modulus: 2, offset: 1, mode: NumgenMode::Random };
    fresh.extend([Field::IpSaddr.load(R0), choose, remember(DynsetOp::Add)]);
    fresh.extend([lookup("slots", Register::R4, R8), dnat]);
    batch.add_rule(Rule::new(&table(), "prerouting", known));
    batch.add_rule(Rule::new(&table(), "prerouting", fresh));
    world.commit(&batch);

    let first = world.answers("10.96.0.1:80", 12);
    assert_eq!(first.len(), 1, "{first:?}");
    let elements = world.node.run(|| Socket::in_current_netns().unwrap().elements(&table(), "affinity")).unwrap();
    let elements = elements.unwrap();
    assert_eq!(elements.len(), 1);
    assert_eq!(elements[0].key, Value::new().ipv4(Ipv4Addr::new(10, 0, 0, 2)));
    assert!(elements[0].expires.is_some_and(|left| left > Duration::from_secs(50)), "{elements:?}");
    let slot = if first.contains_key("endpoint1") { 1 } else { 2 };
    assert_eq!(elements[0].data, Some(nft::Data::Value(Value::new().host_u32(slot))));
}

#[test]
fn masquerade_reject_and_sources_do_as_they_say() {
    if skip_unless_root().is_some() {
        return;
    }
    let lab = Lab::new("policies");
    let world = world(&lab);
    let mut batch = batch();
    batch.add_chain(Chain::base(&table(), "forward", ChainType::Filter, Hook::Forward, 0));
    let sources = Set::new(&table(), "sources", &[Type::InetService, Type::Ipv4Addr]).with_flags(SetFlags::INTERVAL);
    let sources = Arc::new(sources);
    batch.add_set(&sources);
    let range = |port: u16, first: [u8; 4], last: [u8; 4]| {
        let key = |address: [u8; 4]| Value::new().u16(port).ipv4(address.into());
        Element::range(key(first), key(last))
    };
    batch.add_elements(
        &sources,
        vec![range(8080, [10, 0, 0, 0], [10, 0, 0, 255]), range(5353, [11, 0, 0, 0], [11, 0, 0, 9])],
    );
    let mut exprs = only(NatFamily::Ip).to_vec();
    exprs.extend([Field::CtDirection.load(R0), Expr::eq(R0, Value::bytes(&[0]))]);
    exprs.extend(Field::concat(R0, &[Field::ThDport, Field::IpSaddr]));
    exprs.push(Expr::Lookup { set: "sources".into(), key: R0, result: Lookup::NotContained });
    exprs.push(Expr::Reject(Reject::Icmpx(IcmpxCode::PortUnreachable)));
    batch.add_rule(Rule::new(&table(), "forward", exprs));
    batch.add_rule(Rule::new(&table(), "postrouting", {
        let masquerade = Expr::Masquerade { flags: NatFlags::FULLY_RANDOM, ports: None };
        vec![Field::OifName.load(R0), Expr::eq(R0, Value::new().ifname("veth1")), masquerade]
    }));
    world.commit(&batch);

    let seen = ask_tcp(&world.client, "10.0.1.2:8080".parse().unwrap()).unwrap().seen_as.ip().to_canonical();
    assert_eq!(seen, IpAddr::from([10, 0, 1, 1]), "masqueraded on this link");
    let seen = ask_tcp(&world.client, "10.0.2.2:8080".parse().unwrap()).unwrap().seen_as.ip().to_canonical();
    assert_eq!(seen, IpAddr::from([10, 0, 0, 2]), "not on the other");
    let error = ask_udp(&world.client, "10.0.2.2:5353".parse().unwrap()).unwrap_err();
    let refused = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    assert_eq!(refused, Some(std::io::ErrorKind::ConnectionRefused), "{error:?}");
}

/// What `nft list ruleset` says in the node's namespace.
fn listing(world: &World) -> String {
    let output = world.node.command("nft").args(["list", "ruleset"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn nft_lists_what_was_committed() {
    if skip_unless_root().is_some() {
        return;
    }
    if std::process::Command::new("nft").arg("--version").output().is_err() {
        testbed::privilege::skip("nft is not installed");
        return;
    }
    let lab = Lab::new("listing");
    let world = world(&lab);
    let mut batch = batch();
    let (services, endpoints) = flat(NatFamily::Ip, false, &mut batch);
    let (entry, slots) = service(NatFamily::Ip, "10.96.0.1".parse().unwrap(), TCP, 80, 8080);
    batch.add_elements(&services, vec![entry.with_comment("default/web")]);
    batch.add_elements(&endpoints, slots);
    batch.add_rule(Rule::new(&table(), "n1-ip", vec![Expr::counter()]).with_comment("never called"));
    world.commit(&batch);
    let ports = Set::new(&table(), "ports", &[Type::InetService]);
    let mut batch = Batch::new();
    let ports = Arc::new(Set { comment: Some("single field".to_owned()), ..ports });
    batch.add_set(&ports);
    batch.add_elements(&ports, vec![Element::new(Value::new().u16(443))]);
    world.commit(&batch);
    let listing = listing(&world);
    println!("{listing}");
    // In an inet table, nft names the address only where the same rule asks for the family.
    for line in [
        "type ipv4_addr . inet_proto . inet_service : mark",
        "elements = { 10.96.0.1 . tcp . 80 comment \"default/web\" : 0x00000200 }",
        "10.96.0.1 . tcp . 80 . 0x00000001 : 10.0.2.2 . 8080",
        "type inet_service",
        "comment \"single field\"",
        "elements = { 443 }",
        "0x00000200 : goto n2-ip",
        "type nat hook prerouting priority dstnat; policy accept;",
        "meta mark set ip daddr . meta l4proto . th dport map @services-ip",
        "meta mark vmap @class-ip",
        "dnat ip to @nh,128,32 . meta l4proto . th dport . numgen random mod 2 map @endpoints-ip",
        "counter packets 0 bytes 0 comment \"never called\"",
    ] {
        assert!(listing.contains(line), "not listed: {line}");
    }
}
