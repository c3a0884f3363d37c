use proptest::prelude::*;

use super::*;

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn open() -> Open {
    Open {
        asn: 4_200_000_001,
        hold: 9,
        router: Ipv4Addr::new(10, 0, 0, 7),
        families: vec![Family::V4, Family::V6],
        wide: true,
        restart: Some(120),
    }
}

fn attributes(next_hop: &str, wide: bool) -> Attributes {
    let communities = vec![0xfde8_0064];
    Attributes { path: Some(65_000), wide, next_hop: next_hop.parse().unwrap(), preference: None, communities }
}

/// The number of a path attribute, and its value.
type Attribute = (u8, Vec<u8>);

/// The attributes of an update: code and value of each, in order; and what stands before and behind them.
fn parts(bytes: &[u8]) -> (Vec<u8>, Vec<Attribute>, Vec<u8>) {
    assert_eq!(read(bytes), Ok(Message::Update));
    let two = |at: usize| usize::from(u16::from_be_bytes([bytes[at], bytes[at + 1]]));
    let withdrawn = bytes[21..21 + two(19)].to_vec();
    let mut at = 21 + withdrawn.len();
    let end = at + 2 + two(at);
    at += 2;
    let mut found = Vec::new();
    while at < end {
        let length = two(at + 2);
        assert_ne!(bytes[at] & EXTENDED, 0);
        found.push((bytes[at + 1], bytes[at + 4..at + 4 + length].to_vec()));
        at += 4 + length;
    }
    (withdrawn, found, bytes[end..].to_vec())
}

#[test]
fn an_open_is_read_as_it_was_written() {
    let rows = [
        open(),
        Open { asn: 64_512, restart: None, ..open() },
        Open { families: vec![Family::V6], hold: 0, ..open() },
        Open { asn: 64_512, wide: false, families: vec![Family::V4], ..open() },
    ];
    for wanted in rows {
        assert_eq!(read(&wanted.to_bytes()), Ok(Message::Open(wanted)));
    }
    // Two bytes say no such number: AS_TRANS stands for it.
    assert_eq!(open().to_bytes()[20..22], AS_TRANS.to_be_bytes());
}

#[test]
fn what_cannot_be_is_refused_with_the_right_words() {
    let change = |at: usize, value: u8| {
        let mut bytes = open().to_bytes();
        bytes[at] = value;
        bytes
    };
    let rows = [
        ("a marker", change(3, 0), (1, 1)),
        ("a length", change(17, 18), (1, 2)),
        ("a type", change(18, 9), (1, 3)),
        ("a version", change(19, 3), (2, 1)),
        ("a hold time", change(23, 2), (2, 6)),
        ("a capability beyond the end", change(32, 200), (1, 2)),
    ];
    for (why, bytes, (code, subcode)) in rows {
        let error = read(&bytes).unwrap_err();
        assert_eq!((error.notification.code, error.notification.subcode), (code, subcode), "{why}");
    }
    let ended = Notification { code: 6, subcode: 2, data: vec![3, 98, 121, 101] };
    assert_eq!(read(&notification(&ended)), Ok(Message::Notification(ended)));
    assert_eq!(read(&keepalive()), Ok(Message::Keepalive));
}

#[test]
fn prefixes_are_announced_and_taken_back() {
    let [bytes] = &announce(&[net("10.1.2.3/32"), net("10.4.0.0/14")], &attributes("192.0.2.7", true))[..] else {
        panic!()
    };
    let (withdrawn, found, announced) = parts(bytes);
    assert!(withdrawn.is_empty());
    assert_eq!(announced, [32, 10, 1, 2, 3, 14, 10, 4]);
    let wanted: Vec<(u8, Vec<u8>)> =
        vec![(1, vec![0]), (2, vec![2, 1, 0, 0, 0xfd, 0xe8]), (3, vec![192, 0, 2, 7]), (8, vec![0xfd, 0xe8, 0, 0x64])];
    assert_eq!(found, wanted);
    let (withdrawn, found, announced) = parts(&withdraw(&[net("10.1.2.3/32")], Family::V4)[0]);
    assert_eq!((withdrawn, found, announced), (vec![32, 10, 1, 2, 3], vec![], vec![]));

    let (_, found, announced) = parts(&announce(&[net("2001:db8::/33")], &attributes("fd00::7", true))[0]);
    assert!(announced.is_empty());
    let (code, value) = found.last().unwrap();
    assert_eq!((*code, &value[..4], &value[20..]), (14, &[0, 2, 1, 16][..], &[0, 33, 0x20, 1, 0x0d, 0xb8, 0][..]));
    let (_, found, _) = parts(&withdraw(&[net("2001:db8::/33")], Family::V6)[0]);
    assert_eq!(found, [(15, vec![0, 2, 1, 33, 0x20, 1, 0x0d, 0xb8, 0])]);
    assert_eq!(end_of_routes(Family::V4).len(), 23);
}

#[test]
fn who_reads_two_bytes_is_told_the_whole_number_beside() {
    let large = Attributes { path: Some(4_200_000_001), ..attributes("192.0.2.7", false) };
    let (_, found, _) = parts(&announce(&[net("10.0.0.0/8")], &large)[0]);
    assert_eq!(found[1], (2, [&[2, 1], &AS_TRANS.to_be_bytes()[..]].concat()));
    assert_eq!(*found.last().unwrap(), (17, [&[2, 1], &4_200_000_001_u32.to_be_bytes()[..]].concat()));
    let inside = Attributes { path: None, preference: Some(200), ..large };
    let (_, found, _) = parts(&announce(&[net("10.0.0.0/8")], &inside)[0]);
    assert_eq!((&found[1], &found[3]), (&(2, vec![]), &(5, vec![0, 0, 0, 200])));
}

#[test]
fn many_prefixes_are_several_messages() {
    let many: Vec<IpNet> = (0..2000_u32).map(|n| IpNet::new(Ipv4Addr::from(n << 8).into(), 32).unwrap()).collect();
    let messages = announce(&many, &attributes("192.0.2.7", true));
    assert!(messages.len() > 1 && messages.iter().all(|bytes| bytes.len() <= LONGEST));
    let bytes: usize = messages.iter().map(|bytes| parts(bytes).2.len()).sum();
    assert_eq!(bytes, 5 * many.len());
}

proptest! {
    #[test]
    fn no_message_is_too_strange(body in prop::collection::vec(any::<u8>(), 0..200), kind in 0..7_u8, at in 19..60_usize, value: u8) {
        let _ = read(&message(kind, &body));
        let _ = read(&body);
        let mut bytes = open().to_bytes();
        if let Some(byte) = bytes.get_mut(at) {
            *byte = value;
        }
        let _ = read(&bytes);
    }
}
