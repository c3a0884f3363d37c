//! Whatever comes, what goes out is an answer that can be read and is no larger than was asked for, or nothing.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use hickory_proto::op::Message;
use proptest::prelude::*;

use super::net;
use crate::asking;
use crate::forward::stored::Stored;
use crate::forward::wanted::Wanted;
use crate::forward::{Forwarder, Settings};
use crate::protocol::{HEADER, rtype};
use crate::query::Query;
use crate::reply::Transport;
use crate::server::counters::Tally;
use crate::server::fairness::Fairness;
use crate::server::respond::{Asker, Handled, Later};
use crate::server::sources::Sources;

static SOURCES: LazyLock<Sources> = LazyLock::new(sources);

fn sources() -> Sources {
    let config = Settings::to(["127.0.0.1:53".parse().unwrap()]);
    let keep = config.routes[0].keep.clone();
    let forwarder = Forwarder::new(config).unwrap();
    let packet = asking::question("www.example.com", rtype::A, None);
    let mut answer = packet.clone();
    (answer[2], answer[7]) = (0x81, 30);
    for host in 0..30 {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 192, 0, 2, host]);
    }
    let wanted = Wanted::of(&Query::parse(&packet).unwrap());
    let stored = Stored::new(Message::from_vec(&answer).unwrap(), &wanted, &keep, Instant::now());
    forwarder.cache().put(Arc::new(stored.unwrap()), &keep, Instant::now());
    Sources { index: Some(net::index()), forwarder: Some(Arc::new(forwarder)), ..Sources::default() }
}

fn check(sources: &Sources, packet: &[u8], transport: Transport) {
    let mut buffer = vec![0xff; 65_535];
    let (tally, fairness) = (Tally::default(), Fairness::new(1));
    let asker = Asker { client: [10, 0, 0, 1].into(), transport, tally: &tally, fairness: &fairness };
    let length = match sources.respond(packet, &mut buffer, asker, 1) {
        Handled::Silence => {
            assert!(packet.len() < HEADER || packet[2] & 0x80 != 0);
            return;
        }
        Handled::Answer(length) | Handled::Later(Later::Chase { length, .. }) => length,
        Handled::Later(Later::Look) => return,
        Handled::Transfer(_) => panic!("nobody may have the zone"),
        Handled::Later(Later::Rewritten(_) | Later::Search(_)) => panic!("nothing is rewritten or searched for"),
    };
    let room = Query::parse(packet).map_or(HEADER, |query| transport.room(&query));
    assert!(length <= room, "{length} octets where {room} fit");
    assert_eq!((buffer[..2].to_vec(), buffer[2] & 0x80), (packet[..2].to_vec(), 0x80));
    let message = Message::from_vec(&buffer[..length]).unwrap();
    if let Ok(query) = Query::parse(packet) {
        assert_eq!(&buffer[HEADER..HEADER + query.question().len()], query.question());
        assert_eq!(message.edns.is_some(), query.edns.is_some());
    }
}

fn nearly_a_question() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        Just("web.shop.svc.cluster.local"),
        Just("_http._tcp.web.shop.svc.cluster.local"),
        Just("ext.shop.svc.cluster.local"),
        Just("10-1-2-3.shop.pod.cluster.local"),
        Just("9.0.96.10.in-addr.arpa"),
        Just("www.example.com"),
        Just(""),
    ];
    let kind = prop_oneof![Just(1u16), Just(28), Just(33), Just(12), Just(6), Just(255), any::<u16>()];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (name, kind, prop::option::of(any::<u16>()), changes, 0..5usize, prop::collection::vec(any::<u8>(), 0..3)).prop_map(
        |(name, kind, edns, changes, cut, tail)| {
            let mut packet = asking::question(name, kind, edns);
            for (at, value) in changes {
                let at = at.index(packet.len());
                packet[at] = value;
            }
            packet.truncate(packet.len().saturating_sub(cut));
            packet.extend(tail);
            packet
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn any_octets_are_answered_or_not(packet in prop::collection::vec(any::<u8>(), 0..200), tcp in any::<bool>()) {
        check(&SOURCES, &packet, if tcp { Transport::Tcp } else { Transport::Udp { most: 1232 } });
    }

    #[test]
    fn whatever_is_nearly_a_question_is_answered_or_not(packet in nearly_a_question(), tcp in any::<bool>()) {
        check(&SOURCES, &packet, if tcp { Transport::Tcp } else { Transport::Udp { most: 1232 } });
    }
}
