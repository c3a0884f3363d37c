use nft::conntrack::Tuple;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn port(n: u16) -> std::num::NonZeroU16 {
    std::num::NonZeroU16::new(n).unwrap()
}

fn vip(address: &str) -> Destination {
    Destination::Address { address: ip(address), protocol: Protocol::Udp, port: port(53) }
}

fn endpoint(address: &str) -> Endpoint {
    Endpoint { address: ip(address), port: port(5353) }
}

fn entry(to: (&str, u16), answered_by: (&str, u16), status: u32) -> Entry {
    let tuple = |source: (&str, u16), destination: (&str, u16)| Tuple {
        source: ip(source.0),
        destination: ip(destination.0),
        protocol: Above::Ports { number: 17, source: source.1, destination: destination.1 },
    };
    Entry {
        original: tuple(("10.244.9.1", 40000), to),
        reply: tuple(answered_by, ("10.244.9.1", 40000)),
        status: Status(status),
        mark: 0,
        timeout: None,
        id: 0,
        zone: 0,
    }
}

fn stale() -> StaleFlows {
    let node = Node { addresses: vec![ip("172.30.0.1")], loopback_relay: Some(port(40053)), ..Node::default() };
    let mut stale = StaleFlows::new(&node);
    stale.add(vip("10.96.0.10"), Some(&[endpoint("10.244.1.2"), endpoint("10.244.1.1")]));
    stale.add(vip("10.96.0.11"), Some(&[]));
    stale.add(vip("10.96.0.13"), None);
    let node_port = Destination::NodePort { family: Family::V4, protocol: Protocol::Udp, port: port(30053) };
    stale.add(node_port, Some(&[endpoint("10.244.1.1")]));
    stale.add(Destination::NodePort { family: Family::V4, protocol: Protocol::Udp, port: port(30054) }, None);
    stale
}

#[test]
fn a_flow_is_stale_if_nobody_who_serves_answers_it() {
    let stale = stale();
    let dnat = Status::DST_NAT.0;
    for (to, answered_by, status, expected) in [
        (("10.96.0.10", 53), ("10.244.1.1", 5353), dnat, false),
        (("10.96.0.10", 53), ("10.244.1.2", 5353), dnat, false),
        (("10.96.0.10", 53), ("10.244.1.3", 5353), dnat, true),
        (("10.96.0.10", 53), ("10.244.1.1", 53), dnat, true),
        // Made before there was a rule.
        (("10.96.0.10", 53), ("10.96.0.10", 53), 0, true),
        (("10.96.0.11", 53), ("10.244.1.1", 5353), dnat, true),
        // Others' ports and addresses.
        (("10.96.0.10", 54), ("10.244.1.3", 5353), dnat, false),
        (("10.96.0.12", 53), ("10.244.1.3", 5353), dnat, false),
        // Node ports: of this node, or rewritten here.
        (("172.30.0.1", 30053), ("10.244.1.1", 5353), dnat, false),
        (("172.30.0.1", 30053), ("10.244.1.9", 5353), dnat, true),
        (("172.30.0.1", 30053), ("172.30.0.1", 30053), 0, true),
        (("192.0.2.1", 30053), ("10.244.1.9", 5353), dnat, true),
        (("8.8.8.8", 30053), ("8.8.8.8", 30053), 0, false),
        // A Service that is gone.
        (("10.96.0.13", 53), ("10.244.1.1", 5353), dnat, true),
        (("172.30.0.1", 30054), ("10.244.1.1", 5353), dnat, true),
        // On loopback the relay answers, and a process of the machine's own where no Service is.
        (("127.0.0.1", 30053), ("127.0.0.1", 40053), dnat, false),
        (("127.0.0.7", 30053), ("127.0.0.1", 40053), dnat, false),
        (("127.0.0.1", 30053), ("127.0.0.1", 40000), dnat, true),
        (("127.0.0.1", 30053), ("127.0.0.1", 30053), 0, true),
        (("127.0.0.1", 30054), ("127.0.0.1", 40053), dnat, true),
        (("127.0.0.1", 30054), ("127.0.0.1", 30054), 0, false),
        (("127.0.0.1", 30055), ("127.0.0.1", 30055), 0, false),
    ] {
        assert_eq!(stale.is_stale(&entry(to, answered_by, status)), expected, "{to:?} answered by {answered_by:?}");
    }
    let mut tcp = entry(("10.96.0.11", 53), ("10.244.1.1", 5353), dnat);
    tcp.original.protocol = Above::Ports { number: 6, source: 40000, destination: 53 };
    assert!(!stale.is_stale(&tcp));
}

#[test]
fn few_destinations_are_looked_for_one_by_one_and_many_at_once() {
    let mut stale = StaleFlows::new(&Node::default());
    for last in 10..13 {
        stale.add(vip(&format!("10.96.0.{last}")), Some(&[]));
    }
    let stale_entry = entry(("10.96.0.10", 53), ("10.244.1.3", 5353), 32);
    assert_eq!(stale.filters().len(), 3);
    assert_eq!(stale.filters().iter().filter(|filter| filter.matches(&stale_entry)).count(), 1);
    for n in 0..100 {
        stale.add(vip(&format!("10.96.1.{n}")), Some(&[]));
    }
    assert_eq!(stale.filters().len(), 1);
    assert!(stale.filters()[0].matches(&stale_entry));
    stale.add(vip("fd00::1"), Some(&[]));
    assert_eq!(stale.filters().len(), 2);
}
