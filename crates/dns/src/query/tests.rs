use hickory_proto::op::Message;
use proptest::prelude::*;

use super::*;
use crate::asking;

fn refused(packet: &[u8]) -> Refusal {
    Query::parse(packet).expect_err("the message is refused")
}

fn with_rcode(packet: &[u8]) -> Option<u16> {
    match refused(packet) {
        Refusal::Silence => None,
        Refusal::Bare(bare) => Some(bare.rcode),
    }
}

fn plain() -> Vec<u8> {
    asking::question("web.shop.svc.cluster.local", rtype::A, None)
}

#[test]
fn a_question_is_read() {
    let mut packet = asking::question("Web.Shop.svc.Cluster.local", rtype::SRV, Some(1400));
    packet[3] = 0x30;
    let at = packet.len() - 4;
    packet[at] = 0x80;
    let query = Query::parse(&packet).unwrap();
    assert_eq!((query.id, query.recursion_desired, query.qtype, query.qclass), (0x1234, true, rtype::SRV, class::IN));
    assert!(query.authentic_data && query.checking_disabled && query.dnssec_ok() && query.is_internet());
    assert_eq!(query.edns, Some(Edns { udp_size: 1400, version: 0, dnssec_ok: true }));
    assert_eq!(query.name.wire(), b"\x03web\x04shop\x03svc\x07cluster\x05local\x00");
    assert!(query.name.has_capitals());
    assert_eq!(query.name.label_count(), 5);
    assert_eq!((query.name.label(0), query.name.label(4)), (b"web".as_slice(), b"local".as_slice()));
    assert_eq!((query.name.label_start(5), query.name.label_start(99)), (27, 27));
    assert_eq!(query.question(), &packet[12..12 + 28 + 4]);
    assert_eq!(format!("{:?}", query.name), "web.shop.svc.cluster.local.");
}

#[test]
fn a_name_lies_in_a_zone_by_whole_labels() {
    let name = AskedName::read(asking::name("a.xcluster.local").wire()).unwrap();
    let zone = |text| asking::name(text);
    assert_eq!(name.labels_before(zone("cluster.local").wire(), 2), None);
    assert_eq!(name.labels_before(zone("xcluster.local").wire(), 2), Some(1));
    assert_eq!(name.labels_before(zone("a.xcluster.local").wire(), 3), Some(0));
    assert_eq!(name.labels_before(zone("b.a.xcluster.local").wire(), 4), None);
    assert_eq!(name.labels_before(zone(".").wire(), 0), Some(3));
}

#[test]
fn the_root_and_the_longest_name_are_read() {
    assert_eq!(Query::parse(&asking::question(".", rtype::NS, None)).unwrap().name.wire(), [0]);
    let long = [vec!["x".repeat(63); 3], vec!["y".repeat(61)]].concat().join(".");
    assert_eq!(Query::parse(&asking::question(&long, rtype::A, None)).unwrap().name.wire().len(), 255);
    let deep = vec!["a"; 127].join(".");
    assert_eq!(Query::parse(&asking::question(&deep, rtype::A, None)).unwrap().name.label_count(), 127);
}

#[test]
fn silence_meets_scraps_and_responses() {
    let packet = plain();
    for length in 0..HEADER {
        assert_eq!(refused(&packet[..length]), Refusal::Silence);
    }
    let mut response = packet.clone();
    response[2] |= 0x80;
    assert_eq!(refused(&response), Refusal::Silence);
    response[5] = 9;
    assert_eq!(refused(&response), Refusal::Silence);
}

#[test]
fn other_opcodes_are_not_implemented() {
    for opcode in 1..16u8 {
        let mut packet = plain();
        packet[2] = opcode << 3 | 1;
        let bare = Bare { id: 0x1234, opcode, recursion_desired: true, rcode: rcode::NOTIMP };
        assert_eq!(refused(&packet), Refusal::Bare(bare));
    }
}

#[test]
fn malformed_questions_are_formerr() {
    let change = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = plain();
        change(&mut packet);
        with_rcode(&packet)
    };
    let formerr = Some(rcode::FORMERR);
    assert_eq!(change(&|p| p[5] = 0), formerr, "no question");
    assert_eq!(change(&|p| p[5] = 2), formerr, "two questions announced, one there");
    assert_eq!(
        change(&|p| {
            p[5] = 2;
            p.extend(plain().split_off(HEADER));
        }),
        formerr,
        "two questions"
    );
    assert_eq!(change(&|p| p[12] = 0xc0), formerr, "a compressed name in the question");
    assert_eq!(change(&|p| p[12] = 64), formerr, "a label of 64 octets");
    assert_eq!(change(&|p| p[12] = 0x80), formerr, "a label of a kind that is not defined");
    assert_eq!(change(&|p| p.truncate(p.len() - 1)), formerr, "half a class");
    assert_eq!(change(&|p| p.truncate(20)), formerr, "half a name");
    assert_eq!(change(&|p| p.push(0)), formerr, "an octet after the end");
    assert_eq!(change(&|p| p[7] = 1), formerr, "an answer announced that is not there");
    assert_eq!(change(&|p| p[11] = 1), formerr, "an additional record announced that is not there");
    for labels in [128, 200] {
        assert_eq!(with_rcode(&asking::question(&vec!["a"; labels].join("."), 1, None)), formerr, "{labels} labels");
    }
    let long = [vec!["x".repeat(63); 3], vec!["y".repeat(62)]].concat().join(".");
    assert_eq!(with_rcode(&asking::question(&long, rtype::A, None)), formerr, "256 octets");
}

#[test]
fn odd_opt_records_are_formerr() {
    let opt = b"\0\0\x29\x04\xd0\0\0\0\0\0\0";
    let with = |additional: &[&[u8]]| {
        let mut packet = plain();
        packet[11] = additional.len() as u8;
        packet.extend(additional.concat());
        packet
    };
    assert!(Query::parse(&with(&[opt])).is_ok());
    let formerr = Some(rcode::FORMERR);
    assert_eq!(with_rcode(&with(&[opt, opt])), formerr, "two OPT records");
    assert_eq!(with_rcode(&with(&[b"\x01a\0\0\x29\x04\xd0\0\0\0\0\0\0"])), formerr, "an OPT record with a name");
    assert_eq!(with_rcode(&with(&[b"\0\0\x29\x04\xd0\0\0\0\0\0\x05\0\x0a\0\x02\0"])), formerr, "half an option");
    assert_eq!(with_rcode(&with(&[b"\0\0\x29\x04\xd0\0\0\0\0\0\x09"])), formerr, "data past the end");
    let cookie = b"\0\0\x29\x04\xd0\0\0\0\0\0\x0c\0\x0a\0\x08abcdefgh";
    assert!(Query::parse(&with(&[cookie])).unwrap().edns.is_some(), "a cookie is left alone");
    let padding = b"\0\0\x29\x04\xd0\0\0\0\0\0\x08\0\x0c\0\x04\0\0\0\0";
    assert!(Query::parse(&with(&[padding])).unwrap().edns.is_some(), "padding is left alone");
    let mut answer = with(&[opt]);
    (answer[7], answer[11]) = (1, 0);
    assert_eq!(with_rcode(&answer), formerr, "an OPT record among the answers");
    let version = b"\0\0\x29\x04\xd0\0\x07\0\0\0\0";
    assert_eq!(Query::parse(&with(&[version])).unwrap().edns.map(|edns| edns.version), Some(7));
}

#[test]
fn other_records_are_walked_over() {
    let record = |owner: &[u8]| [owner, b"\0\x01\0\x01\0\0\0\x05\0\x04\x0a\0\0\x01"].concat();
    let with = |owner: &[u8]| {
        let mut packet = plain();
        packet[11] = 1;
        packet.extend(record(owner));
        packet
    };
    assert!(Query::parse(&with(b"\xc0\x0c")).is_ok());
    assert!(Query::parse(&with(b"\x01a\xc0\x0c")).is_ok());
    for (owner, what) in [
        (b"\xc0\x2c".as_slice(), "a pointer to itself"),
        (b"\xc0\x30", "a pointer forward"),
        (b"\xc0\x04", "a pointer into the header"),
        (b"\x01a\xc0\x2c", "a pointer to the name's own start"),
        (b"\x40", "a label of 64 octets"),
    ] {
        assert_eq!(with_rcode(&with(owner)), Some(rcode::FORMERR), "{what}");
    }
}

/// What the oracle makes of a message, where it can be compared: one question, opcode 0.
fn oracle(packet: &[u8]) -> Option<(Message, hickory_proto::rr::Name, u16, u16)> {
    let message = Message::from_vec(packet).ok()?;
    let [query] = message.queries.as_slice() else {
        return None;
    };
    let (name, qtype, qclass) = (query.name().to_lowercase(), query.query_type(), query.query_class());
    Some((message.clone(), name, qtype.into(), qclass.into()))
}

/// Whatever is read is read as hickory reads it.
fn agrees(packet: &[u8]) {
    let Ok(query) = Query::parse(packet) else {
        return;
    };
    let Some((message, name, qtype, qclass)) = oracle(packet) else {
        // Hickory also looks into records that are only walked over here, and into EDNS options.
        assert!(packet.len() > HEADER + query.question().len(), "hickory cannot read {packet:02x?}");
        return;
    };
    assert_eq!((query.qtype, query.qclass), (qtype, qclass));
    assert_eq!(query.id, message.metadata.id);
    assert_eq!(query.recursion_desired, message.metadata.recursion_desired);
    assert_eq!(query.checking_disabled, message.metadata.checking_disabled);
    assert_eq!(query.authentic_data, message.metadata.authentic_data);
    let labels: Vec<Vec<u8>> = name.iter().map(<[u8]>::to_vec).collect();
    let read: Vec<Vec<u8>> = (0..query.name.label_count()).map(|at| query.name.label(at).to_vec()).collect();
    assert_eq!(read, labels);
    assert_eq!(query.edns.is_some(), message.edns.is_some());
    if let (Some(ours), Some(theirs)) = (query.edns, &message.edns) {
        assert_eq!((ours.version, ours.dnssec_ok), (theirs.version(), theirs.flags().dnssec_ok));
        assert_eq!(ours.udp_size.max(512), theirs.max_payload());
    }
}

/// Octets that look like a question often enough to get somewhere.
fn nearly_a_question() -> impl Strategy<Value = Vec<u8>> {
    let label = prop_oneof![
        4 => "[a-zA-Z0-9_*-]{1,12}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 1..63),
    ];
    let start = (prop::collection::vec(label, 0..8), any::<u16>(), prop::option::of(any::<u16>()));
    let change = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (start, change, 0..4usize).prop_map(|((labels, qtype, edns), changes, cut)| {
        let mut packet = asking::question("", qtype, edns);
        let name: Vec<u8> = labels.iter().flat_map(|label| [&[label.len() as u8], label.as_slice()].concat()).collect();
        packet.splice(HEADER..HEADER, name);
        for (at, value) in changes {
            let at = at.index(packet.len());
            packet[at] = value;
        }
        packet.truncate(packet.len() - cut.min(packet.len()));
        packet
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_octets_are_read_as_hickory_reads_them_or_refused(packet in prop::collection::vec(any::<u8>(), 0..300)) {
        agrees(&packet);
    }

    #[test]
    fn mutated_questions_are_read_as_hickory_reads_them_or_refused(packet in nearly_a_question()) {
        agrees(&packet);
    }

    #[test]
    fn whole_questions_are_read(
        labels in prop::collection::vec("[a-zA-Z0-9_-]{1,20}", 0..10),
        qtype in any::<u16>(),
        edns in prop::option::of(any::<u16>()),
    ) {
        let packet = asking::question(&labels.join("."), qtype, edns);
        let query = Query::parse(&packet).unwrap();
        prop_assert_eq!(query.name.label_count(), labels.len());
        agrees(&packet);
    }
}
