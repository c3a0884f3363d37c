use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use super::{Claims, Heard};
use crate::arp::{BROADCAST, Mac, Operation};
use crate::packet::{Packet, announcement};
use crate::{arp, ndp};

const OWN: Mac = [2, 0, 0, 0, 0, 1];
const OTHER: Mac = [2, 0, 0, 0, 0, 9];
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 200);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

fn request(sender: Ipv4Addr, target: Ipv4Addr) -> Packet {
    let target_mac = [0; 6];
    let operation = Operation::Request;
    Packet::Arp(arp::Packet {
        destination: BROADCAST,
        source: OTHER,
        operation,
        sender_mac: OTHER,
        sender,
        target_mac,
        target,
    })
}

fn rival(operation: Operation, mac: Mac) -> Packet {
    Packet::Arp(arp::Packet::gratuitous(operation, ADDRESS, mac))
}

#[test]
fn an_address_is_announced_at_once_then_less_and_less_often() {
    let begin = Instant::now();
    let mut claims = Claims::new(OWN);
    assert_eq!(claims.next_due(), None);
    assert!(claims.take(ADDRESS.into(), begin));
    assert!(!claims.take(ADDRESS.into(), begin + Duration::from_secs(1)));
    let mut times = Vec::new();
    while times.len() < 7 {
        let due = claims.next_due().unwrap();
        times.push((due - begin).as_millis());
        assert_eq!(claims.due(due), [announcement(ADDRESS.into(), OWN)]);
        assert!(claims.due(due).is_empty());
    }
    assert_eq!(times, [0, 100, 500, 1000, 2000, 32_000, 62_000]);
    assert!(claims.release(ADDRESS.into()));
    assert!(!claims.release(ADDRESS.into()));
    assert_eq!(claims.next_due(), None);
}

#[test]
fn questions_for_own_addresses_are_answered_and_no_others() {
    let now = Instant::now();
    let mut claims = Claims::new(OWN);
    claims.take(ADDRESS.into(), now);
    let question = request(CLIENT, ADDRESS);
    assert_eq!(claims.hear(&question, now), Heard::Question(question.answer(OWN).unwrap()));
    let probe = request(Ipv4Addr::UNSPECIFIED, ADDRESS);
    assert_eq!(claims.hear(&probe, now), Heard::Question(probe.answer(OWN).unwrap()));
    assert_eq!(claims.hear(&request(CLIENT, Ipv4Addr::new(10, 0, 0, 201)), now), Heard::Other);
    let Packet::Arp(asked) = question else { panic!() };
    let reply = Packet::Arp(arp::Packet { operation: Operation::Reply, ..asked });
    assert_eq!(claims.hear(&reply, now), Heard::Other);
    claims.release(ADDRESS.into());
    assert_eq!(claims.hear(&question, now), Heard::Other);
}

#[test]
fn another_owner_is_told_once_and_ones_own_echo_is_nobody() {
    let now = Instant::now();
    let mut claims = Claims::new(OWN);
    claims.take(ADDRESS.into(), now);
    claims.due(now);
    let rival = rival(Operation::Reply, OTHER);
    assert_eq!(claims.hear(&rival, now), Heard::Conflict { address: ADDRESS.into(), mac: OTHER, first: true });
    assert_eq!(claims.due(now).len(), 1);
    assert_eq!(claims.hear(&rival, now), Heard::Conflict { address: ADDRESS.into(), mac: OTHER, first: false });
    assert!(claims.due(now).is_empty());
    assert_eq!(claims.hear(&self::rival(Operation::Request, OWN), now), Heard::Other);
}

#[test]
fn setting_the_whole_takes_what_is_new_and_gives_up_what_is_gone() {
    let now = Instant::now();
    let mut claims = Claims::new(OWN);
    let addresses = |last: &[u8]| last.iter().map(|n| IpAddr::from([10, 0, 0, *n])).collect::<BTreeSet<_>>();
    let list = |last: &[u8]| addresses(last).into_iter().collect::<Vec<_>>();
    assert_eq!(claims.set(&addresses(&[1, 2, 3]), now), (list(&[1, 2, 3]), vec![]));
    assert_eq!(claims.due(now).len(), 3);
    assert_eq!(claims.set(&addresses(&[2, 4]), now), (list(&[4]), list(&[1, 3])));
    assert_eq!(claims.addresses(), addresses(&[2, 4]));
    assert_eq!(claims.due(now).len(), 1, "only the new one is announced from the begin");
    assert_eq!(claims.set(&BTreeSet::new(), now), (vec![], list(&[2, 4])));
}

#[test]
fn neighbour_discovery_is_answered_as_arp_is() {
    let (address, now) = ("2001:db8::c8".parse().unwrap(), Instant::now());
    let mut claims = Claims::new(OWN);
    let question = Packet::Neighbour(ndp::Message::Solicitation(ndp::Solicitation {
        mac: OTHER,
        source: "fd00::9".parse().unwrap(),
        target: address,
    }));
    assert_eq!(claims.hear(&question, now), Heard::Other);
    claims.take(address.into(), now);
    assert_eq!(claims.hear(&question, now), Heard::Question(question.answer(OWN).unwrap()));
    assert_eq!(claims.due(now), [vec![ndp::unsolicited(address, OWN)]]);
    let rival = ndp::Message::Advertisement(ndp::Advertisement { mac: OTHER, target: address });
    let conflict = Heard::Conflict { address: address.into(), mac: OTHER, first: true };
    assert_eq!(claims.hear(&Packet::Neighbour(rival), now), conflict);
}
