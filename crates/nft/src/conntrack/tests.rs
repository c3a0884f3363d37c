use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use proptest::prelude::*;
use testbed::{Lab, Namespace, UdpServer, ask_udp_from, skip_unless_root};

use super::{Conntrack, ConntrackError, Entry, Filter, Protocol, ProtocolFilter, Status, Tuple, TupleFilter, format};
use crate::expr::{Expr, Field, Nat, NatFamily, NatKind, Register};
use crate::wire::{Attributes, Writer};
use crate::{Batch, Chain, ChainType, Family, Hook, Rule, Socket, Table, TableId, Value};

const UDP: u8 = 17;

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// A client, and a router that rewrites UDP connections to 10.96.0.1 and fd96::1, port 53, to its own address and
/// port 5353.
struct World {
    client: Namespace,
    router: Namespace,
    _servers: Vec<UdpServer>,
}

fn world(lab: &Lab) -> World {
    let (client, router) = (lab.namespace("client").unwrap(), lab.namespace("router").unwrap());
    lab.veth((&client, "eth0"), (&router, "eth0")).unwrap();
    for (namespace, networks) in [(&client, ["10.0.0.1/24", "fd00::1/64"]), (&router, ["10.0.0.2/24", "fd00::2/64"])] {
        for network in networks {
            namespace.add_address("eth0", network.parse().unwrap()).unwrap();
        }
    }
    client.add_route("10.96.0.0/16".parse().unwrap(), address("10.0.0.2")).unwrap();
    client.add_route("fd96::/64".parse().unwrap(), address("fd00::2")).unwrap();
    let rewrite = |family, bytes: &[u8]| {
        let (nfproto, load) = match family {
            NatFamily::Ip => (2, Field::IpDaddr),
            NatFamily::Ip6 => (10, Field::Ip6Daddr),
        };
        let own: &[u8] =
            if bytes.len() == 4 { &[10, 0, 0, 2] } else { &[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2] };
        vec![
            Field::Nfproto.load(Register::R0),
            Expr::eq(Register::R0, Value::bytes(&[nfproto])),
            load.load(Register::R0),
            Expr::eq(Register::R0, Value::bytes(bytes)),
            Expr::Immediate { dreg: Register::R0, value: Value::bytes(own) },
            Expr::Immediate { dreg: Register::R4, value: Value::bytes(&5353u16.to_be_bytes()) },
            Expr::Nat(Nat::to(NatKind::Dnat, family, Register::R0, Some(Register::R4))),
        ]
    };
    let table = TableId::new(Family::Inet, "t");
    let mut batch = Batch::new();
    batch.add_table(Table::new(table.clone()));
    batch.add_chain(Chain::base(&table, "c", ChainType::Nat, Hook::Prerouting, -100));
    let service6: std::net::Ipv6Addr = "fd96::1".parse().unwrap();
    batch.add_rule(Rule::new(&table, "c", rewrite(NatFamily::Ip, &[10, 96, 0, 1])));
    batch.add_rule(Rule::new(&table, "c", rewrite(NatFamily::Ip6, &service6.octets())));
    router.run(|| Socket::in_current_netns().unwrap().commit(&batch)).unwrap().unwrap();
    let servers = ["10.0.0.2:5353", "[fd00::2]:5353", "10.0.0.2:7"]
        .map(|at| UdpServer::start(&router, at.parse().unwrap(), "server").unwrap());
    World { client, router, _servers: servers.into() }
}

impl World {
    fn ask(&self, port: u16, at: &str) {
        let at: SocketAddr = at.parse().unwrap();
        let from: SocketAddr =
            if at.is_ipv4() { ([10, 0, 0, 1], port).into() } else { SocketAddr::new(address("fd00::1"), port) };
        ask_udp_from(&self.client, from, at).unwrap();
    }

    fn conntrack(&self) -> Conntrack {
        self.router.run(Conntrack::in_current_netns).unwrap().unwrap()
    }
}

fn sources(conntrack: &mut Conntrack, filter: &Filter) -> Vec<u16> {
    let mut ports: Vec<u16> =
        conntrack.list(filter).unwrap().iter().map(|entry| entry.original.protocol.ports().unwrap().0).collect();
    ports.sort_unstable();
    ports
}

#[test]
fn entries_say_what_was_rewritten() {
    if skip_unless_root().is_some() {
        return;
    }
    let lab = Lab::new("conntrack");
    let world = world(&lab);
    world.ask(4001, "10.96.0.1:53");
    world.ask(4001, "[fd96::1]:53");
    let mut conntrack = world.conntrack();
    let found = conntrack.list(&Filter::to(address("10.96.0.1"), UDP, 53)).unwrap();
    let ports = |source, destination| Protocol::Ports { number: UDP, source, destination };
    let (client, service, endpoint) = (address("10.0.0.1"), address("10.96.0.1"), address("10.0.0.2"));
    assert_eq!(found.len(), 1);
    let entry = found[0];
    assert_eq!(entry.original, Tuple { source: client, destination: service, protocol: ports(4001, 53) });
    assert_eq!(entry.reply, Tuple { source: endpoint, destination: client, protocol: ports(5353, 4001) });
    assert!(entry.status.contains(Status::DST_NAT) && entry.status.contains(Status::SEEN_REPLY), "{entry}");
    assert!(!entry.status.contains(Status::SRC_NAT));
    assert!(entry.timeout.is_some_and(|t| t <= Duration::from_secs(180)), "{entry:?}");
    assert_eq!((entry.mark, entry.zone), (0, 0));
    let found = conntrack.list(&Filter::ipv6().answered_by(address("fd00::2"), UDP, 5353)).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].original.destination, address("fd96::1"));
}

#[test]
fn one_connection_is_found_by_its_answers() {
    if skip_unless_root().is_some() {
        return;
    }
    let world = world(&Lab::new("conntrack"));
    for port in 4001..=4003 {
        world.ask(port, "10.96.0.1:53");
        world.ask(port, "[fd96::1]:53");
    }
    let mut conntrack = world.conntrack();
    for (endpoint, client, service) in [("10.0.0.2", "10.0.0.1", "10.96.0.1"), ("fd00::2", "fd00::1", "fd96::1")] {
        let protocol = Protocol::Ports { number: UDP, source: 5353, destination: 4002 };
        let mut answers = Tuple { source: address(endpoint), destination: address(client), protocol };
        let found = conntrack.answered(&answers).unwrap().unwrap();
        assert_eq!((found.original.destination, found.reply), (address(service), answers));
        assert_eq!(found.original.protocol, Protocol::Ports { number: UDP, source: 4002, destination: 53 });
        answers.protocol = Protocol::Ports { number: UDP, source: 5353, destination: 4009 };
        assert_eq!(conntrack.answered(&answers).unwrap(), None);
    }
}

/// Deletes by several filters; `new` says whether the kernel's own filtered deletion is used.
fn deletes(new: bool) {
    if skip_unless_root().is_some() {
        return;
    }
    let lab = Lab::new("conntrack");
    let world = world(&lab);
    for port in 4001..=4005 {
        world.ask(port, "10.96.0.1:53");
    }
    world.ask(4006, "10.0.0.2:5353");
    world.ask(4007, "10.0.0.2:7");
    world.ask(4008, "[fd96::1]:53");
    world.ask(4009, "[fd00::2]:5353");
    let mut conntrack = world.conntrack();
    conntrack.deletes_by_filter = new;
    let all = Filter::ipv4();
    assert_eq!(sources(&mut conntrack, &all), [4001, 4002, 4003, 4004, 4005, 4006, 4007]);

    // One client of a Service, by a whole name together with its endpoint: other endpoint, no deletion.
    let mut one = Filter::to(address("10.96.0.1"), UDP, 53);
    one.original.source = Some(address("10.0.0.1"));
    one.original.protocol = Some(ProtocolFilter { number: UDP, source_port: Some(4001), destination_port: Some(53) });
    conntrack.delete(&one.answered_by(address("10.0.0.9"), UDP, 5353)).unwrap();
    assert_eq!(sources(&mut conntrack, &all).len(), 7);
    conntrack.delete(&one).unwrap();
    assert_eq!(sources(&mut conntrack, &all), [4002, 4003, 4004, 4005, 4006, 4007]);

    let deleted = conntrack.delete_where(&all, |e| e.original.protocol.ports().unwrap().0 == 4002).unwrap();
    assert_eq!(deleted, 1);
    let service = Filter::to(address("10.96.0.1"), UDP, 53);
    conntrack.delete(&service.answered_by(address("10.0.0.2"), UDP, 7)).unwrap();
    assert_eq!(sources(&mut conntrack, &service), [4003, 4004, 4005]);
    conntrack.delete(&service).unwrap();
    assert_eq!(sources(&mut conntrack, &all), [4006, 4007]);
    conntrack.delete(&Filter::ipv4().to_port(UDP, 7)).unwrap();
    assert_eq!(sources(&mut conntrack, &all), [4006]);
    conntrack.delete(&Filter::ipv4().answered_by(address("10.0.0.2"), UDP, 5353)).unwrap();
    assert!(sources(&mut conntrack, &all).is_empty());
    // Nothing matches: no error; the other family was never touched.
    conntrack.delete(&service).unwrap();
    assert_eq!(sources(&mut conntrack, &Filter::ipv6()), [4008, 4009]);
    conntrack.delete(&Filter::to(address("fd96::1"), UDP, 53)).unwrap();
    assert_eq!(sources(&mut conntrack, &Filter::ipv6()), [4009]);
    conntrack.delete(&Filter::ipv6().to_port(UDP, 5353)).unwrap();
    assert!(sources(&mut conntrack, &Filter::ipv6()).is_empty());
}

#[test]
fn deletes_by_filter_in_the_kernel() {
    deletes(true);
}

#[test]
fn deletes_by_listing_where_the_kernel_has_no_filter() {
    deletes(false);
}

#[test]
fn many_entries_are_deleted_in_few_datagrams_and_the_gone_ones_not_counted() {
    if skip_unless_root().is_some() {
        return;
    }
    let lab = Lab::new("conntrack");
    let world = world(&lab);
    for port in 4000..4040 {
        world.ask(port, "10.96.0.1:53");
    }
    let mut conntrack = world.conntrack();
    let entries = conntrack.list(&Filter::ipv4()).unwrap();
    assert_eq!(entries.len(), 40);
    assert_eq!(conntrack.delete_entries(&entries[..10]).unwrap(), 10);
    // Names of connections that are gone, repeated beyond what one datagram holds.
    let many: Vec<Entry> = entries.iter().copied().cycle().take(8000).collect();
    assert_eq!(conntrack.delete_entries(&many).unwrap(), 30);
    assert!(conntrack.list(&Filter::ipv4()).unwrap().is_empty());
}

#[test]
fn a_filter_of_everything_deletes_nothing() {
    if skip_unless_root().is_some() {
        return;
    }
    let namespace = Namespace::new("conntrack").unwrap();
    let mut conntrack = namespace.run(Conntrack::in_current_netns).unwrap().unwrap();
    assert!(matches!(conntrack.delete(&Filter::ipv4()), Err(ConntrackError::EmptyFilter)));
    let unmarked = Filter::ipv6().marked(7, 0);
    assert!(matches!(conntrack.delete(&unmarked), Err(ConntrackError::EmptyFilter)));
    let mixed = Filter::ipv6().answered_by(address("10.0.0.1"), UDP, 1);
    assert!(matches!(conntrack.delete(&mixed), Err(ConntrackError::MixedFamilies)));
    assert!(conntrack.list(&Filter::ipv4()).unwrap().is_empty());
}

fn any_protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![
        (any::<u8>(), any::<u16>(), any::<u16>()).prop_map(|(number, source, destination)| Protocol::Ports {
            number,
            source,
            destination
        }),
        any::<u8>().prop_map(Protocol::Other),
    ]
}

proptest! {
    #[test]
    fn names_survive_encoding_and_decoding(
        addresses in prop_oneof![
            any::<([u8; 4], [u8; 4])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
            any::<([u8; 16], [u8; 16])>().prop_map(|(a, b)| (IpAddr::from(a), IpAddr::from(b))),
        ],
        protocol in any_protocol(),
        id in any::<u32>(),
        zone in any::<u16>(),
    ) {
        let original = Tuple { source: addresses.0, destination: addresses.1, protocol };
        let entry = Entry { original, reply: original, status: Status(0), mark: 0, timeout: None, id, zone };
        let mut writer = Writer::default();
        format::name(&entry, &mut writer);
        let mut bytes = writer.finish().unwrap();
        // What only the kernel writes: the other direction, and a status.
        let reply: Vec<u8> = bytes[..usize::from(u16::from_ne_bytes([bytes[0], bytes[1]]))].to_vec();
        let at = bytes.len();
        bytes.extend_from_slice(&reply);
        bytes[at + 2] = 2;
        bytes.extend_from_slice(&[8, 0, 3, 0, 0, 0, 0, 0]);
        prop_assert_eq!(format::entry(Attributes(&bytes)), Some(entry));
    }

    #[test]
    fn arbitrary_bytes_are_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        _ = format::entry(Attributes(&bytes));
    }
}

#[test]
fn a_condition_on_a_port_never_matches_what_has_none() {
    let icmp = Protocol::Icmp { number: 1, id: 1, kind: 8, code: 0 };
    let tuple = Tuple { source: address("10.0.0.1"), destination: address("10.0.0.2"), protocol: icmp };
    let entry = Entry { original: tuple, reply: tuple, status: Status(0), mark: 5, timeout: None, id: 1, zone: 0 };
    assert!(Filter::ipv4().matches(&entry));
    assert!(!Filter::ipv4().to_port(1, 0).matches(&entry));
    let protocol = Some(ProtocolFilter { number: 1, source_port: None, destination_port: None });
    let mut any_icmp = Filter::ipv4();
    any_icmp.original = TupleFilter { protocol, ..TupleFilter::default() };
    assert!(any_icmp.matches(&entry));
    assert!(Filter::ipv4().marked(1, 3).matches(&entry));
    assert!(!Filter::ipv4().marked(2, 3).matches(&entry));
    assert!(!Filter::ipv6().matches(&entry));
}
