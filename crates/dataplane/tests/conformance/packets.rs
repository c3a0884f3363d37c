//! The third judge: a kernel. The node is a namespace with the rules in it, between namespaces for its Pods, for the
//! other nodes with their Pods, and for the world outside.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::num::NonZeroU16;
use std::time::Duration;

use dataplane::backend::nftables;
use dataplane::route::{Choice, Endpoint};
use dataplane::{Config, Dataplane, Family};
use testbed::sctp::SCTP;
use testbed::{Lab, Namespace, Network, SctpServer, TcpServer, UdpServer};

use crate::row::{Expected, Row};
use crate::world::{self, HOSTS, Host, host};

/// How long nothing must come before it counts as dropped. Between namespaces of one machine an answer takes less than
/// a millisecond; a busy machine may take longer.
const SILENCE: Duration = Duration::from_millis(400);
/// So many answers may be late.
const PATIENCE: usize = 5;
/// After so many tries each of five endpoints has been met, but for one run in a million.
const TRIES: usize = 80;

/// The namespaces. Servers answer as long as it lives.
pub struct Cluster {
    pub node: Namespace,
    pods: Vec<(&'static str, Namespace)>,
    far: Namespace,
    outside: Namespace,
    _tcp: Vec<TcpServer>,
    _udp: Vec<UdpServer>,
    /// None where the kernel does not track SCTP.
    sctp: Vec<SctpServer>,
}

/// What a client met.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Met {
    /// Somebody with this name, who saw this source.
    Server(String, IpAddr),
    /// The kernel said that nobody listens.
    Refused,
    /// No answer.
    Silence,
    /// Another error, as of a network that is not there.
    Other(ErrorKind),
}

impl Cluster {
    pub fn new(test: &str) -> anyhow::Result<Cluster> {
        let lab = Lab::new(test);
        let (node, far, outside) = (lab.namespace("node")?, lab.namespace("far")?, lab.namespace("outside")?);
        for (key, value) in [
            ("net.ipv4.ip_forward", "1"),
            ("net.ipv6.conf.all.forwarding", "1"),
            ("net.ipv4.conf.all.rp_filter", "0"),
            ("net.ipv4.conf.default.rp_filter", "0"),
            // Without limit, else the kernel tells only some of those that are rejected.
            ("net.ipv4.icmp_ratelimit", "0"),
            ("net.ipv6.icmp.ratelimit", "0"),
        ] {
            node.set_sysctl(key, value)?;
        }
        lab.veth((&node, "lan"), (&far, "lan"))?;
        lab.veth((&node, "wan"), (&outside, "wan"))?;
        for (place, link, address) in [
            (&node, "lan", "172.30.0.1/24"),
            (&far, "lan", "172.30.0.2/24"),
            (&far, "lan", "172.30.0.3/24"),
            (&node, "wan", "192.0.2.1/24"),
            (&outside, "wan", "192.0.2.10/24"),
            (&outside, "wan", "192.0.2.77/24"),
        ] {
            add_address(place, link, address)?;
        }
        add_route(&node, "0.0.0.0/0", "172.30.0.2")?;
        add_route(&outside, "0.0.0.0/0", "192.0.2.1")?;
        for range in ["192.0.2.0/24", "10.244.1.0/24", "10.96.0.0/16", "198.51.100.0/24", "203.0.113.0/24"] {
            add_route(&far, range, "172.30.0.1")?;
        }
        let mut cluster =
            Cluster { node, pods: Vec::new(), far, outside, _tcp: Vec::new(), _udp: Vec::new(), sctp: Vec::new() };
        for host in &HOSTS {
            cluster.add(&lab, host)?;
        }
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let at = SocketAddr::new(address, world::RELAY_PORT);
            cluster._tcp.push(TcpServer::start(&cluster.node, at, "relay")?);
            cluster._udp.push(UdpServer::start(&cluster.node, at, "relay")?);
        }
        Ok(cluster)
    }

    /// A Pod of this node has a namespace of its own, behind a veth; a Pod of another node is an address there.
    fn add(&mut self, lab: &Lab, host: &'static Host) -> anyhow::Result<()> {
        let is_pod = host.address.starts_with("10.244.");
        let own = format!("{}/32", host.address);
        if is_pod && host.node == "here" {
            let (pod, outer) = (lab.namespace(host.name)?, format!("pod-{}", host.name));
            lab.veth((&self.node, &outer), (&pod, "eth0"))?;
            add_address(&self.node, &outer, "10.244.1.254/32")?;
            add_address(&pod, "eth0", &own)?;
            for own in both(&own)? {
                self.node.add_link_route(own, &outer)?;
            }
            // IPv4: everything is behind the one link; the node answers ARP for all that it has a route to.
            self.node.set_sysctl(&format!("net.ipv4.conf.{outer}.proxy_arp"), "1")?;
            self.node.set_sysctl(&format!("net.ipv4.neigh.{outer}.proxy_delay"), "0")?;
            pod.add_link_route("0.0.0.0/0".parse()?, "eth0")?;
            // IPv6: the node is the gateway.
            let gateway = world::v6(world::ip("10.244.1.254"));
            pod.add_link_route(format!("{gateway}/128").parse()?, "eth0")?;
            pod.add_route("::/0".parse()?, gateway)?;
            self.pods.push((host.name, pod));
        } else if is_pod {
            add_address(&self.far, "lan", &own)?;
            add_route(&self.node, &own, "172.30.0.2")?;
        }
        if "abcdehr".contains(host.name) {
            let address = world::ip(host.address);
            for address in [address, world::v6(address)] {
                if self.node.run(testbed::sctp::is_tracked)? {
                    let ports = [world::TARGET_PORT, 8081];
                    let server = SctpServer::start(self.place(host.name), address, &ports, host.name)?;
                    self.sctp.push(server);
                }
                for port in [world::TARGET_PORT, 8081] {
                    let (at, name) = (SocketAddr::new(address, port), format!("{}:{port}", host.name));
                    let place = self.place(host.name);
                    let servers = (TcpServer::start(place, at, &name)?, UdpServer::start(place, at, &name)?);
                    self._tcp.push(servers.0);
                    self._udp.push(servers.1);
                }
            }
        }
        Ok(())
    }

    /// Where a host's processes are.
    pub fn place(&self, name: &str) -> &Namespace {
        match (name, host(name).node) {
            (_, "") => &self.outside,
            ("h" | "host", _) => &self.node,
            (_, "here") => self.pods.iter().find(|(pod, _)| *pod == name).map_or(&self.node, |(_, place)| place),
            _ => &self.far,
        }
    }

    /// Opens the node's kernel.
    pub fn dataplane(&self, config: Config) -> anyhow::Result<Dataplane<nftables::Backend>> {
        let backend = self.node.run(|| nftables::Backend::new(config))??;
        Ok(Dataplane::new(backend, world::node()))
    }

    /// One connection, or one datagram from a new socket.
    pub fn ask(&self, who: &str, protocol: u8, to: SocketAddr) -> anyhow::Result<Met> {
        Ok(match self.answer(who, protocol, to)? {
            Ok(line) => match parse(&line) {
                Some((name, seen_as)) => Met::Server(name, seen_as.ip()),
                None => anyhow::bail!("an answer of {line:?}"),
            },
            Err(error) => match error.kind() {
                ErrorKind::ConnectionRefused => Met::Refused,
                ErrorKind::TimedOut | ErrorKind::WouldBlock => Met::Silence,
                kind => Met::Other(kind),
            },
        })
    }

    /// The source address and port that the server of one connection sees; `None` where there is no answer.
    pub fn seen_as(&self, who: &str, protocol: u8, to: SocketAddr) -> anyhow::Result<Option<SocketAddr>> {
        let line = self.answer(who, protocol, to)?.ok();
        Ok(line.and_then(|line| parse(&line)).map(|(_, seen_as)| seen_as))
    }

    fn answer(&self, who: &str, protocol: u8, to: SocketAddr) -> anyhow::Result<std::io::Result<String>> {
        // A process of the node takes the address that its kernel chooses.
        let from = match (who, to.ip()) {
            ("host", IpAddr::V4(_)) => Ipv4Addr::UNSPECIFIED.into(),
            ("host", IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
            (_, IpAddr::V4(_)) => world::ip(host(who).address),
            (_, IpAddr::V6(_)) => world::v6(world::ip(host(who).address)),
        };
        let from = SocketAddr::new(from, 0);
        self.place(who).run(|| match protocol {
            6 => ask_tcp(from, to),
            17 => ask_udp(from, to),
            SCTP => testbed::ask_sctp(from.ip(), to, SILENCE),
            other => panic!("no client for protocol {other}"),
        })
    }
}

/// A range in both families.
fn both(range: &str) -> anyhow::Result<[Network; 2]> {
    let v6 = match range {
        "0.0.0.0/0" => "::/0".to_owned(),
        range => {
            let (address, len) = range.split_once('/').unwrap();
            format!("{}/{}", world::v6(world::ip(address)), len.parse::<u8>()? + 96)
        }
    };
    Ok([range.parse()?, v6.parse()?])
}

fn add_address(place: &Namespace, link: &str, address: &str) -> anyhow::Result<()> {
    both(address)?.into_iter().try_for_each(|address| place.add_address(link, address))
}

fn add_route(place: &Namespace, range: &str, gateway: &str) -> anyhow::Result<()> {
    let gateway = world::ip(gateway);
    let [v4, v6] = both(range)?;
    place.add_route(v4, gateway)?;
    place.add_route(v6, world::v6(gateway))
}

fn ask_tcp(from: SocketAddr, to: SocketAddr) -> std::io::Result<String> {
    use nix::sys::socket::{
        AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
    };
    use std::os::fd::AsRawFd as _;
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    let patience = nix::sys::time::TimeVal::new(0, SILENCE.as_micros() as i64);
    setsockopt(&socket, sockopt::SendTimeout, &patience)?;
    bind(socket.as_raw_fd(), &SockaddrStorage::from(from))?;
    connect(socket.as_raw_fd(), &SockaddrStorage::from(to)).map_err(|error| match error {
        // What connect says when the time to send is over.
        nix::errno::Errno::EINPROGRESS => ErrorKind::TimedOut.into(),
        error => std::io::Error::from(error),
    })?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut line = Vec::new();
    let mut byte = [0];
    while stream.read(&mut byte)? == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn ask_udp(from: SocketAddr, to: SocketAddr) -> std::io::Result<String> {
    let socket = UdpSocket::bind(from)?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(SILENCE))?;
    match socket.send(b"?") {
        // What the output hook says to a process of the node itself; whether it is told more is read below.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
        sent => drop(sent?),
    }
    let mut buffer = [0; 512];
    let len = socket.recv(&mut buffer)?;
    let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// A server's name, and whom it sees.
fn parse(line: &str) -> Option<(String, SocketAddr)> {
    let (name, seen_as) = line.split_once(' ')?;
    Some((name.to_owned(), seen_as.parse().ok()?))
}

/// The choice that an answer proves.
fn choice(name: &str, seen_as: IpAddr, row: &Row, expected: &BTreeSet<Choice>) -> Choice {
    let (name, port) = name.split_once(':').unwrap();
    let address = world::ip(host(name).address);
    let address = if seen_as.is_ipv4() { address } else { world::v6(address) };
    let endpoint = Endpoint { address, port: NonZeroU16::new(port.parse().unwrap()).unwrap() };
    let own = seen_as == row.packet.source;
    let nodes = crate::is_local(seen_as);
    // A process of the node that is masqueraded to the same address cannot be told from one that is not.
    let masquerade = match (own, nodes) {
        (true, true) => expected.iter().any(|choice| choice.endpoint == endpoint && choice.masquerade),
        (false, true) => true,
        (true, false) => false,
        (false, false) => panic!("{}: the endpoint sees {seen_as}, which is neither client nor node", row.name),
    };
    Choice { endpoint, masquerade }
}

/// What becomes of the row's packet.
fn verdict(cluster: &Cluster, row: &Row) -> anyhow::Result<Expected> {
    let to = SocketAddr::new(row.packet.destination, row.packet.port);
    let none = BTreeSet::new();
    let expected = match &row.expected {
        Expected::OneOf(expected) => expected,
        _ => &none,
    };
    let mut met = BTreeSet::new();
    let mut silences = 0;
    for _ in 0..TRIES {
        match cluster.ask(row.asker, row.packet.protocol, to)? {
            Met::Server(name, _) if name == "relay" => return Ok(Expected::Relay),
            Met::Server(name, seen_as) => {
                let choice = choice(&name, seen_as, row, expected);
                // Straight to an endpoint, without any rule of ours.
                let straight = (choice.endpoint.address, choice.endpoint.port.get()) == (to.ip(), to.port());
                if straight && (!choice.masquerade || row.packet.made_here) {
                    return Ok(Expected::Pass);
                }
                met.insert(choice);
            }
            // To an address of the node, or beyond it: our rules leave both alone.
            Met::Refused if is_nodes(to.ip()) && row.expected == Expected::Pass => return Ok(Expected::Pass),
            Met::Refused => return Ok(Expected::Reject),
            Met::Other(_) => return Ok(Expected::Pass),
            // What is left alone and goes nowhere is silent too.
            Met::Silence if row.expected == Expected::Pass => return Ok(Expected::Pass),
            // On a busy machine an answer may be late: it is not missing before it was late several times.
            Met::Silence if row.expected != Expected::Drop && silences < PATIENCE => silences += 1,
            Met::Silence => return Ok(Expected::Drop),
        }
        if met == *expected {
            break;
        }
    }
    if row.service.affinity.is_some() && met.len() == 1 && met.is_subset(expected) {
        return Ok(row.expected.clone());
    }
    Ok(Expected::OneOf(met))
}

fn is_nodes(address: IpAddr) -> bool {
    let other = world::ip("172.30.0.2");
    crate::is_local(address) || address == other || address == world::v6(other)
}

/// Endpoints of other nodes answer Pods of other nodes directly; only such that came this way for a cluster IP, which
/// Pods do not do (their own nodes rewrite it), would have to be answered this way.
fn is_answered_past_the_node(row: &Row) -> bool {
    let Expected::OneOf(choices) = &row.expected else { return false };
    let far = ["c", "d"].map(|name| world::ip(host(name).address));
    let far = |choice: &Choice| far.iter().any(|far| [*far, world::v6(*far)].contains(&choice.endpoint.address));
    row.asker == "q" && choices.iter().any(|choice| far(choice) && !choice.masquerade)
}

fn judged_by_packets(family: Family) -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let cluster = Cluster::new("conformance")?;
    let mut dataplane = cluster.dataplane(Config { families: vec![family], ..Config::default() })?;
    let sctp = !cluster.sctp.is_empty();
    let mut skipped = 0;
    crate::judge(family, |row| {
        let client = [6, 17].contains(&row.packet.protocol) || sctp && row.packet.protocol == SCTP;
        if !client || is_answered_past_the_node(row) {
            skipped += 1;
            return row.expected.clone();
        }
        for state in row.states() {
            state.apply(dataplane.model_mut());
            let report = dataplane.sync().unwrap_or_else(|error| panic!("{}: {error:?}", row.name));
            assert!(report.flows_error.is_none(), "{}: {:?}", row.name, report.flows_error);
        }
        verdict(&cluster, row).unwrap_or_else(|error| panic!("{}: {error:?}", row.name))
    });
    let why = if sctp { "ICMP" } else { "ICMP, and SCTP, which this kernel does not track" };
    println!("skipped: {skipped} rows without packets: {why}; and answers that take another way");
    Ok(())
}

#[test]
fn packets() -> anyhow::Result<()> {
    judged_by_packets(Family::V4)
}

#[test]
fn packets_v6() -> anyhow::Result<()> {
    judged_by_packets(Family::V6)
}
