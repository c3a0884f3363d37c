use etherparse::{Icmpv6Type, PacketHeaders, TransportHeader};
use proptest::prelude::*;

use super::*;

const OWN: Mac = [2, 0, 0, 0, 0, 1];
const CLIENT: Mac = [2, 0, 0, 0, 0, 9];

fn ip(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// A question of a machine that has an address, as Linux sends it.
fn question(target: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node(target);
    frame(
        group_mac(group),
        CLIENT,
        (ip("fd00::9"), group),
        &body(SOLICITATION, 0, target, Some((OPTION_SOURCE, CLIENT))),
    )
}

#[test]
fn another_reader_finds_the_frames_valid() {
    let target = ip("2001:db8::c8");
    let asked = Solicitation { mac: CLIENT, source: ip("fd00::9"), target };
    let frames = [question(target), Solicitation::probe(target, OWN), asked.answer(OWN), unsolicited(target, OWN)];
    for bytes in frames {
        let headers = PacketHeaders::from_ethernet_slice(&bytes).unwrap();
        let (Some(etherparse::NetHeaders::Ipv6(outer, _)), Some(TransportHeader::Icmpv6(inner))) =
            (headers.net, headers.transport)
        else {
            panic!("{bytes:?}");
        };
        assert_eq!((outer.hop_limit, usize::from(outer.payload_length)), (255, bytes.len() - 54));
        let valid = inner.icmp_type.calc_checksum(outer.source, outer.destination, headers.payload.slice()).unwrap();
        assert_eq!(inner.checksum, valid);
        assert!(matches!(inner.icmp_type, Icmpv6Type::NeighborSolicitation | Icmpv6Type::NeighborAdvertisement(_)));
    }
}

#[test]
fn a_question_is_read_and_answered() {
    let target = ip("2001:db8::c8");
    let asked = Solicitation { mac: CLIENT, source: ip("fd00::9"), target };
    assert_eq!(Message::from_frame(&question(target)), Some(Message::Solicitation(asked)));
    let answer = asked.answer(OWN);
    assert_eq!(Message::from_frame(&answer), Some(Message::Advertisement(Advertisement { mac: OWN, target })));
    assert_eq!((&answer[0..6], answer[58]), (&CLIENT[..], FLAG_SOLICITED | FLAG_OVERRIDE));

    let probe = Solicitation { mac: CLIENT, source: Ipv6Addr::UNSPECIFIED, target };
    assert_eq!(Message::from_frame(&Solicitation::probe(target, CLIENT)), Some(Message::Solicitation(probe)));
    let answer = probe.answer(OWN);
    assert_eq!((&answer[0..6], answer[58]), (&[0x33, 0x33, 0, 0, 0, 1][..], FLAG_OVERRIDE));
}

#[test]
fn what_is_not_valid_is_nothing() {
    let good = question(ip("fd00::c8"));
    let change = |at: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[at] = value;
        bytes
    };
    let rows = [
        ("another protocol", change(20, 17)),
        ("a router passed it on", change(21, 254)),
        ("a wrong checksum", change(56, good[56] ^ 1)),
        ("a code", change(55, 1)),
        ("a length beyond the frame", change(19, 40)),
        ("an option without length", change(79, 0)),
        ("cut short", good[..80].to_vec()),
        ("a group asks", change(6, 0x33)),
    ];
    for (why, bytes) in rows {
        // An option of no length leaves a wrong checksum behind too.
        assert_eq!(Message::from_frame(&bytes), None, "{why}");
    }
    let target = ip("ff02::1");
    assert_eq!(Message::from_frame(&unsolicited(target, OWN)), None, "nobody has a group's address");
}

#[test]
fn who_has_an_address_listens_in_its_group() {
    assert_eq!(solicited_node(ip("2001:db8::1234:5678")), ip("ff02::1:ff34:5678"));
}

proptest! {
    #[test]
    fn no_frame_is_too_strange(bytes in prop::collection::vec(any::<u8>(), 0..120), at in 0..86_usize, value: u8) {
        Message::from_frame(&bytes);
        let mut good = question("fd00::c8".parse().unwrap());
        good[at] = value;
        Message::from_frame(&good);
    }
}
