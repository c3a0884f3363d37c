//! A client finds an address at the node that announces it, and at the next one after a take-over.

#![allow(clippy::unwrap_used, reason = "what fails in a test's helper fails the test")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use loadbalancer::arp::{BROADCAST, FRAME, Operation, Packet};
use loadbalancer::fence::{Fence, Moment};
use loadbalancer::{AnnounceError, Announcer, Interface};
use testbed::{Lab, Namespace, TcpServer, ask_tcp, skip_unless_root, wait_until};
use tokio::runtime::Runtime;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 200);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 201);
const SOON: Duration = Duration::from_secs(5);

/// A client and two nodes on one segment. Both nodes would serve the address, and their kernels answer ARP for nothing.
struct World {
    runtime: Runtime,
    client: Namespace,
    nodes: [Namespace; 2],
    _switch: Namespace,
    _servers: Vec<TcpServer>,
}

fn world(lab: &Lab) -> World {
    let [client, a, b] = ["client", "a", "b"].map(|name| lab.namespace(name).unwrap());
    let switch = lab.segment("switch", "eth0", &[&client, &a, &b]).unwrap();
    for (n, namespace) in [&client, &a, &b].into_iter().enumerate() {
        namespace.add_address("eth0", format!("10.0.0.{}/24", n + 1).parse().unwrap()).unwrap();
    }
    let mut servers = Vec::new();
    for (name, node) in [("a", &a), ("b", &b)] {
        // In place of the data plane's rewrite: the address is on the loopback, where ARP does not look.
        node.add_address("lo", format!("{ADDRESS}/32").parse().unwrap()).unwrap();
        node.set_sysctl("net.ipv4.conf.eth0.arp_ignore", "8").unwrap();
        servers.push(TcpServer::start(node, SocketAddr::new(ADDRESS.into(), 80), name).unwrap());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    World { runtime, client, nodes: [a, b], _switch: switch, _servers: servers }
}

impl World {
    fn announcer(&self, node: usize) -> Announcer {
        let start = || {
            let _runtime = self.runtime.enter();
            Announcer::start(Interface::by_name("eth0").unwrap(), Arc::new(Fence::none())).unwrap()
        };
        self.nodes[node].run(start).unwrap()
    }

    fn mac(&self, node: usize) -> [u8; 6] {
        self.nodes[node].link("eth0").unwrap().mac
    }

    fn answered_by(&self) -> String {
        ask_tcp(&self.client, SocketAddr::new(ADDRESS.into(), 80)).unwrap().name
    }

    /// The client's question for an address, as a frame.
    fn question(&self, target: Ipv4Addr) -> [u8; FRAME] {
        let mac = self.client.link("eth0").unwrap().mac;
        Packet {
            destination: BROADCAST,
            source: mac,
            operation: Operation::Request,
            sender_mac: mac,
            sender: [10, 0, 0, 1].into(),
            target_mac: [0; 6],
            target,
        }
        .to_frame()
    }

    /// Sends frames from the client's interface.
    fn send(&self, frames: &[&[u8]]) {
        let send = || {
            let index = Interface::by_name("eth0").unwrap().index;
            let socket = nix::sys::socket::socket(
                nix::sys::socket::AddressFamily::Packet,
                nix::sys::socket::SockType::Raw,
                nix::sys::socket::SockFlag::empty(),
                None,
            )
            .unwrap();
            // SAFETY: all zeros is a valid sockaddr_ll.
            let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            to.sll_family = libc::AF_PACKET as libc::sa_family_t;
            to.sll_protocol = (libc::ETH_P_ARP as u16).to_be();
            to.sll_ifindex = index as i32;
            let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            for frame in frames {
                let (file, bytes) = (socket.as_raw_fd(), frame.as_ptr().cast());
                // SAFETY: both pointers are to live memory of the lengths given.
                let sent = unsafe { libc::sendto(file, bytes, frame.len(), 0, (&raw const to).cast(), len) };
                assert_eq!(sent, frame.len() as isize);
            }
        };
        self.client.run(send).unwrap();
    }
}

#[test]
fn a_client_finds_the_address_and_follows_it_to_the_next_node() {
    if skip_unless_root().is_some() {
        return;
    }
    let world = world(&Lab::new("takeover"));
    let (a, b) = (world.announcer(0), world.announcer(1));
    assert!(ask_tcp(&world.client, SocketAddr::new(ADDRESS.into(), 80)).is_err(), "nobody announces it");

    a.take(ADDRESS.into());
    assert_eq!(world.answered_by(), "a");
    assert_eq!(world.client.neighbour(ADDRESS).unwrap(), Some(world.mac(0)));
    wait_until(SOON, "repeated announcements", || a.counters().announcements >= 3).unwrap();

    // The client asks nothing meanwhile: that b's address is known now is b's announcement.
    a.release(ADDRESS.into());
    b.take(ADDRESS.into());
    wait_until(SOON, "the neighbour's new Ethernet address", || {
        world.client.neighbour(ADDRESS).unwrap() == Some(world.mac(1))
    })
    .unwrap();
    assert_eq!(world.answered_by(), "b");
    assert_eq!(a.addresses(), BTreeSet::new());
    assert_eq!(b.addresses(), BTreeSet::from([ADDRESS.into()]));
}

#[test]
fn what_was_released_is_not_answered_for_and_other_addresses_never_were() {
    if skip_unless_root().is_some() {
        return;
    }
    let world = world(&Lab::new("release"));
    let a = world.announcer(0);
    a.set(&BTreeSet::from([ADDRESS, OTHER].map(IpAddr::from)));
    let ask = |target| world.question(target);
    world.send(&[&ask(ADDRESS), &ask(Ipv4Addr::new(10, 0, 0, 202)), &ask(OTHER)]);
    wait_until(SOON, "two answers", || a.counters().answers == 2).unwrap();
    a.release(ADDRESS.into());
    // Frames are read in order: when the last is answered, the first was heard and not answered.
    world.send(&[&ask(ADDRESS), &ask(OTHER)]);
    wait_until(SOON, "one more answer", || a.counters().answers == 3).unwrap();
    a.release_all();
    let announced = a.counters().announcements;
    // A malformed frame behind the questions shows that they were read.
    world.send(&[&ask(ADDRESS), &ask(OTHER), &ask(OTHER)[..30]]);
    wait_until(SOON, "the malformed frame", || a.counters().malformed == 1).unwrap();
    let counters = a.counters();
    assert_eq!((counters.answers, counters.announcements), (3, announced));
}

#[test]
fn malformed_frames_are_counted_and_nothing_else_happens() {
    if skip_unless_root().is_some() {
        return;
    }
    let world = world(&Lab::new("malformed"));
    let a = world.announcer(0);
    a.take(ADDRESS.into());
    let good = world.question(ADDRESS);
    let mut from_group = good;
    from_group[22] |= 1;
    let mut unknown = good;
    unknown[21] = 9;
    // Frames shorter than ARP's fixed part do not even pass the bridge.
    for round in 1..=100 {
        world.send(&[&good[..30], &good[..41], &from_group, &unknown]);
        // Round by round, so that the socket's queue does not overflow.
        let counted = wait_until(SOON, "all counted", || a.counters().malformed == 4 * round);
        assert!(counted.is_ok(), "round {round}: {:?}", a.counters());
    }
    assert_eq!(a.counters().answers, 0);
    assert_eq!(world.answered_by(), "a");
}

#[test]
fn another_owner_is_noticed() {
    if skip_unless_root().is_some() {
        return;
    }
    let world = world(&Lab::new("conflict"));
    let (a, b) = (world.announcer(0), world.announcer(1));
    a.take(ADDRESS.into());
    b.take(ADDRESS.into());
    wait_until(SOON, "a hears b", || a.counters().conflicts > 0).unwrap();
    wait_until(SOON, "b hears a", || b.counters().conflicts > 0).unwrap();
}

#[test]
fn an_interface_that_goes_down_and_comes_back_is_announced_on_again() {
    if skip_unless_root().is_some() {
        return;
    }
    let world = world(&Lab::new("down"));
    let a = world.announcer(0);
    a.take(ADDRESS.into());
    assert_eq!(world.answered_by(), "a");
    world.nodes[0].set_down("eth0").unwrap();
    wait_until(SOON, "a failure", || a.counters().errors > 0).unwrap();
    world.nodes[0].set_up("eth0").unwrap();
    let answers = a.counters().answers;
    // The bridge forwards again a while after the link is up.
    wait_until(SOON, "an answer", || {
        world.send(&[&world.question(ADDRESS)]);
        a.counters().answers > answers
    })
    .unwrap();
    assert_eq!(world.answered_by(), "a");
}

#[test]
fn an_interface_is_found_by_its_name_or_its_address() {
    if skip_unless_root().is_some() {
        return;
    }
    let world = world(&Lab::new("interface"));
    let look = || (Interface::by_name("eth0").unwrap(), Interface::by_address([10, 0, 0, 2].into()).unwrap());
    let (by_name, by_address) = world.nodes[0].run(look).unwrap();
    assert_eq!(by_name, by_address);
    let link = world.nodes[0].link("eth0").unwrap();
    assert_eq!((by_name.index, by_name.mac), (link.index, link.mac));
    let missing = world.nodes[0].run(|| Interface::by_address([10, 0, 0, 9].into())).unwrap().unwrap_err();
    assert_eq!(missing.to_string(), "there is no Ethernet interface 10.0.0.9");
}

#[test]
fn a_missing_interface_is_named() {
    let error = Interface::by_name("no-such-link").unwrap_err();
    assert!(matches!(error, AnnounceError::NoInterface(_)));
    assert_eq!(error.to_string(), "there is no Ethernet interface no-such-link");
}

#[test]
fn ipv6_is_found_and_followed_as_ipv4_is() {
    if skip_unless_root().is_some() {
        return;
    }
    let world = world(&Lab::new("six"));
    let address: Ipv6Addr = "fd00::c8".parse().unwrap();
    let mut servers = Vec::new();
    world.client.add_address("eth0", "fd00::1/64".parse().unwrap()).unwrap();
    for (name, node) in ["a", "b"].into_iter().zip(&world.nodes) {
        // The kernel does not answer for what is on the loopback.
        node.add_address("eth0", format!("fd00::{name}/64").parse().unwrap()).unwrap();
        node.add_address("lo", format!("{address}/128").parse().unwrap()).unwrap();
        servers.push(TcpServer::start(node, SocketAddr::new(address.into(), 80), name).unwrap());
    }
    let (a, b) = (world.announcer(0), world.announcer(1));
    let ask = || ask_tcp(&world.client, SocketAddr::new(address.into(), 80));
    assert!(ask().is_err(), "nobody announces it");
    a.take(address.into());
    let answered = |by: &'static str| wait_until(SOON, by, || ask().is_ok_and(|answer| answer.name == by)).unwrap();
    answered("a");
    // Another node sees that it is answered for, and by whom.
    b.watch(&BTreeSet::from([address.into(), ADDRESS.into()]));
    wait_until(SOON, "b sees a", || b.observed().get(&IpAddr::from(address)) == Some(&world.mac(0))).unwrap();
    assert!(a.counters().answers > 0, "b has asked");
    assert_eq!(b.observed().len(), 1, "nobody answers for the other");
    b.watch(&BTreeSet::new());

    a.release(address.into());
    b.take(address.into());
    answered("b");
}

#[test]
fn a_closed_fence_says_nothing_whatever_is_held() {
    if skip_unless_root().is_some() {
        return;
    }
    let world = world(&Lab::new("fence"));
    let fence = Arc::new(Fence::default());
    let start = || {
        let _runtime = world.runtime.enter();
        Announcer::start(Interface::by_name("eth0").unwrap(), Arc::clone(&fence)).unwrap()
    };
    let a = world.nodes[0].run(start).unwrap();
    a.take(ADDRESS.into());
    world.send(&[&world.question(ADDRESS)]);
    wait_until(SOON, "a question that is not answered", || a.counters().fenced > 0).unwrap();
    fence.set(Moment::now().plus(Duration::from_secs(3600)));
    assert_eq!(world.answered_by(), "a");
    fence.set(Moment::now());
    let answers = a.counters().answers;
    // A malformed frame behind the question shows that it was read.
    world.send(&[&world.question(ADDRESS), &world.question(ADDRESS)[..30]]);
    wait_until(SOON, "the malformed frame", || a.counters().malformed == 1).unwrap();
    assert_eq!(a.counters().answers, answers);
}
