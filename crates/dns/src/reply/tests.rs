use hickory_proto::op::{Message, ResponseCode};
use proptest::prelude::*;

use super::*;
use crate::asking;
use crate::index::{Index, IndexOptions, ServiceRecord, Shape};
use crate::protocol::rcode;

fn written(packet: &[u8], write: impl FnOnce(&mut Reply<'_>) -> (u16, Flags)) -> Message {
    let query = Query::parse(packet).unwrap();
    let mut buffer = [0xff; 4096];
    let mut reply = Reply::start(&mut buffer, &query, Transport::Udp { most: 4096 });
    let (code, flags) = write(&mut reply);
    let length = reply.finish(code, flags);
    Message::from_vec(&buffer[..length]).unwrap()
}

#[test]
fn the_header_repeats_what_it_must() {
    let mut packet = asking::question("WeB.local", rtype::A, Some(1232));
    packet[3] = 0x10;
    let all = Flags { authoritative: true, recursion_available: true, authentic_data: true };
    let message = written(&packet, |_| (rcode::NXDOMAIN, all));
    let metadata = &message.metadata;
    assert_eq!(metadata.id, 0x1234);
    assert!(metadata.authoritative && metadata.recursion_available && metadata.authentic_data);
    assert!(metadata.recursion_desired && metadata.checking_disabled && !metadata.truncation);
    assert_eq!(metadata.response_code, ResponseCode::NXDomain);
    assert_eq!(message.queries[0].name().to_string(), "WeB.local.");
    assert_eq!(message.edns.as_ref().map(|edns| edns.max_payload()), Some(UDP_ASKED_MAX));
    packet[2] = 0;
    packet[3] = 0;
    let message = written(&packet, |_| (rcode::NOERROR, Flags::default()));
    let metadata = &message.metadata;
    assert!(!metadata.recursion_desired && !metadata.checking_disabled && !metadata.authoritative);
    assert!(!metadata.recursion_available && !metadata.authentic_data);
}

#[test]
fn an_extended_response_code_stands_in_the_opt_record() {
    let packet = asking::question("web.local", rtype::A, Some(1232));
    let message = written(&packet, |_| (rcode::BADVERS, Flags::default()));
    assert_eq!(u16::from(message.metadata.response_code), rcode::BADVERS);
}

#[test]
fn dnssec_ok_is_repeated() {
    let mut packet = asking::question("web.local", rtype::A, Some(1232));
    let at = packet.len() - 4;
    packet[at] = 0x80;
    let message = written(&packet, |_| (rcode::NOERROR, Flags::default()));
    assert!(message.edns.is_some_and(|edns| edns.flags().dnssec_ok));
}

#[test]
fn records_that_do_not_fit_are_left_out_and_can_be_taken_back() {
    let packet = asking::question("web.local", rtype::A, None);
    let message = written(&packet, |reply| {
        let owner = Spelled::at(Pointer::QUESTION);
        let free = reply.free();
        assert!(reply.record(Section::Answer, owner, rtype::TXT, 1, free - 11).is_none());
        assert!(reply.is_truncated());
        reply.clear();
        assert!(!reply.is_truncated() && reply.answers() == 0 && reply.free() == free);
        assert!(reply.record(Section::Answer, owner, rtype::TXT, 1, free - 12).is_some());
        assert_eq!(reply.free(), 0);
        assert!(!reply.address(Section::Additional, owner, 1, [10, 0, 0, 1].into()));
        assert!(!reply.is_truncated());
        reply.clear();
        assert!(reply.address(Section::Answer, owner, 7, [10, 0, 0, 1].into()));
        assert!(reply.append(&[0; 500], [1, 0, 0]).is_none());
        (rcode::NOERROR, Flags::default())
    });
    assert_eq!(asking::told(&message), "web.local. A 10.0.0.1");
    assert_eq!(message.answers[0].ttl, 7);
}

#[test]
fn names_are_pointed_at() {
    let packet = asking::question("a.web.local", rtype::CNAME, None);
    let message = written(&packet, |reply| {
        let into = Pointer::into_question(2);
        let target = Spelled { labels: b"\x01b", rest: Some(into) };
        let place = reply.named(Section::Answer, Spelled::at(Pointer::QUESTION), rtype::CNAME, 5, target).unwrap();
        assert_eq!(reply.next_owner(), Some(place.plus(4)));
        reply.address(Section::Answer, Spelled::at(place), 5, "fd00::1".parse().unwrap());
        (rcode::NOERROR, Flags::default())
    });
    assert_eq!(asking::told(&message), "a.web.local. CNAME b.web.local. + b.web.local. AAAA fd00::1");
}

#[test]
fn a_bare_answer_is_a_header() {
    let mut buffer = [0xff; 20];
    let bare = Bare { id: 7, opcode: 4, recursion_desired: true, rcode: rcode::NOTIMP };
    let length = write_bare(&mut buffer, bare);
    assert_eq!(buffer[..length], [0, 7, 0xa1, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
}

fn small_index() -> Index {
    let index = Index::new(&IndexOptions::default()).unwrap();
    let record =
        |name: &str, shape| ServiceRecord { namespace: "n".to_owned(), name: name.to_owned(), shape, ports: vec![] };
    index.set_service(&record("a", Shape::ExternalName("b.n.svc.cluster.local".to_owned()))).unwrap();
    index.set_service(&record("b", Shape::ExternalName("x.example.com".to_owned()))).unwrap();
    index.set_synced(true);
    index
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever is asked, the answer can be read and is no larger than was asked for.
    #[test]
    fn answers_can_be_read(
        labels in prop::collection::vec(prop_oneof![Just("a"), Just("B"), Just("n"), Just("svc"), Just("pod"), Just("_x"),
            Just("10-0-0-1"), Just("dns"), Just("ns"), Just("dns-version"), Just("10"), Just("*")], 0..7),
        zone in prop_oneof![Just("cluster.local"), Just("Cluster.LOCAL"), Just("in-addr.arpa"), Just("ip6.arpa")],
        qtype in prop_oneof![0..70u16, Just(255), any::<u16>()],
        edns in prop::option::of(0..2000u16),
        turn in any::<u32>(),
    ) {
        let index = small_index();
        let name = [labels.join("."), zone.to_owned()].join(".");
        let packet = asking::question(name.trim_start_matches('.'), qtype, edns);
        let (_, message) = asking::ask_in_turn(&index, &packet, Transport::Udp { most: 1232 }, turn);
        prop_assert_eq!(message.queries.len(), 1);
    }
}
