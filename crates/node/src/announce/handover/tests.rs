//! A client, two nodes that translate an address to a server and masquerade, and connections that live while the
//! address moves from one node to the other.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use nft::expr::{Nat, NatFamily, NatFlags, NatKind};
use testbed::{Lab, Namespace, TcpServer, wait_for};

use super::*;

const SOON: Duration = Duration::from_secs(30);

/// Translates an address to a server, as an agent does with the policy Cluster.
fn translates(node: &Namespace, address: IpAddr, server: SocketAddr) -> Socket {
    let (family, nat, destination) = match address {
        IpAddr::V4(_) => (Family::Ip, NatFamily::Ip, Field::IpDaddr),
        IpAddr::V6(_) => (Family::Ip6, NatFamily::Ip6, Field::Ip6Daddr),
    };
    let table = TableId::new(family, "services");
    let mut batch = Batch::new();
    batch.add_table(Table { owned: true, ..Table::new(table.clone()) });
    batch.add_chain(Chain::base(&table, "prerouting", ChainType::Nat, Hook::Prerouting, -100));
    batch.add_chain(Chain::base(&table, "postrouting", ChainType::Nat, Hook::Postrouting, 100));
    let exprs = vec![
        destination.load(Register::R0),
        Expr::eq(Register::R0, Value::new().ip(address)),
        Expr::Immediate { dreg: Register::R0, value: Value::new().ip(server.ip()) },
        Expr::Nat(Nat::to(NatKind::Dnat, nat, Register::R0, None)),
    ];
    batch.add_rule(Rule::new(&table, "prerouting", exprs));
    let exprs = vec![
        destination.load(Register::R0),
        Expr::eq(Register::R0, Value::new().ip(server.ip())),
        // Never the port of the client, so that the other node's choice is another connection for the server.
        Expr::Masquerade { flags: NatFlags::FULLY_RANDOM, ports: None },
    ];
    batch.add_rule(Rule::new(&table, "postrouting", exprs));
    let mut socket = node.run(|| Socket::in_current_netns().unwrap()).unwrap();
    socket.commit(&batch).unwrap();
    socket
}

struct World {
    client: Namespace,
    nodes: [Namespace; 2],
    at: [IpAddr; 2],
    address: IpAddr,
    network: &'static str,
    _rest: (Namespace, Namespace, TcpServer, [Socket; 2]),
}

impl World {
    /// The client sends to the first node. `None` where it cannot be, which has been said.
    fn new(test: &str, v6: bool) -> Option<Self> {
        if testbed::skip_unless_root().is_some() {
            return None;
        }
        let lab = Lab::new(test);
        let [client, one, other, pod] = ["client", "one", "other", "pod"].map(|place| lab.namespace(place).unwrap());
        let switch = lab.segment("switch", "eth0", &[&client, &one, &other, &pod]).unwrap();
        let (prefix, length) = if v6 { ("fd00::", 64) } else { ("10.0.0.", 24) };
        for (n, namespace) in [&client, &one, &other, &pod].into_iter().enumerate() {
            namespace.add_address("eth0", format!("{prefix}{}/{length}", n + 1).parse().unwrap()).unwrap();
        }
        for node in [&one, &other] {
            for key in ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] {
                node.set_sysctl(key, "1").unwrap();
            }
        }
        let at = [2, 3].map(|n| format!("{prefix}{n}").parse().unwrap());
        let server = SocketAddr::new(format!("{prefix}4").parse().unwrap(), 80);
        let served = wait_for(SOON, "the server's address", || TcpServer::start(&pod, server, "pod").ok()).unwrap();
        let (address, network, whole) =
            if v6 { ("fd01::9", "fd01::9/128", "fd01::/64") } else { ("10.9.0.9", "10.9.0.9/32", "10.9.0.0/24") };
        let address = address.parse().unwrap();
        let rules = [&one, &other].map(|node| translates(node, address, server));
        client.add_route(whole.parse().unwrap(), at[0]).unwrap();
        Some(Self { client, nodes: [one, other], at, address, network, _rest: (switch, pod, served, rules) })
    }

    fn connect(&self) -> BufReader<TcpStream> {
        let to = SocketAddr::new(self.address, 80);
        let stream =
            wait_for(SOON, "a connection", || self.client.run(|| TcpStream::connect(to)).unwrap().ok()).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut stream = BufReader::new(stream);
        stream.read_line(&mut String::new()).unwrap();
        stream
    }

    /// The client sends to the second node from now on.
    fn moved(&self) {
        self.client.add_route(self.network.parse().unwrap(), self.at[1]).unwrap();
    }
}

/// Whether a connection brings back what is sent.
fn lives(stream: &mut BufReader<TcpStream>) -> bool {
    let mut back = [0; 4];
    stream.get_mut().write_all(b"ping").and_then(|()| stream.read_exact(&mut back)).is_ok() && &back == b"ping"
}

#[test]
fn connections_live_on_when_their_address_moves() {
    for v6 in [false, true] {
        let Some(world) = World::new(if v6 { "handover6" } else { "handover4" }, v6) else { return };
        let mut before = world.connect();
        assert!(lives(&mut before));
        let mut second = world.nodes[1].run(|| Socket::in_current_netns().unwrap()).unwrap();
        let passed = BTreeMap::from([(world.address, world.at[0])]);
        second.commit(&rules(&passed)).unwrap();
        world.moved();
        assert!(lives(&mut before));
        // The new node serves new ones, which it knows itself.
        let mut after = world.connect();
        assert!(lives(&mut after) && lives(&mut before));
        // The rules are put in place of themselves, and go with their owner.
        second.commit(&rules(&passed)).unwrap();
        assert!(lives(&mut after) && lives(&mut before));
        drop(second);
        assert!(lives(&mut after) && !lives(&mut before));
    }
}

#[test]
fn a_connection_breaks_that_nobody_passes_on() {
    let Some(world) = World::new("handover-none", false) else { return };
    let mut before = world.connect();
    world.moved();
    assert!(!lives(&mut before));
}
