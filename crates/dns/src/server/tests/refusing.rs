use hickory_proto::op::ResponseCode;

use super::net::*;
use crate::asking;
use crate::protocol::{rcode, rtype};

#[test]
fn bad_messages_get_what_the_rfcs_say_and_the_next_question_its_answer() {
    inside("dns-bad", &[], || async {
        let (server, address) = cluster_server(|_| {});
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut packet = question(WEB);
            change(&mut packet);
            packet
        };
        let silent = [
            ("nothing", vec![]),
            ("eleven octets", with(&|p| p.truncate(11))),
            ("a response", with(&|p| p[2] |= 0x80)),
            ("a broken response", with(&|p| (p[2], p[5]) = (0x80, 9))),
        ];
        for (what, packet) in silent {
            assert!(udp_within(address, &packet, SILENCE).await.is_none(), "{what}");
        }
        let bare = [
            ("no question", rcode::FORMERR, with(&|p| p[5] = 0)),
            ("two questions", rcode::FORMERR, with(&|p| p[5] = 2)),
            ("a label of 64 octets", rcode::FORMERR, with(&|p| p[12] = 64)),
            ("a compressed question", rcode::FORMERR, with(&|p| p[12] = 0xc0)),
            ("half a message", rcode::FORMERR, with(&|p| p.truncate(20))),
            ("octets after the end", rcode::FORMERR, with(&|p| p.push(1))),
            ("more than is read", rcode::FORMERR, with(&|p| p.resize(5000, 0))),
            ("NOTIFY", rcode::NOTIMP, with(&|p| p[2] = 4 << 3)),
            ("UPDATE", rcode::NOTIMP, with(&|p| p[2] = 5 << 3)),
            ("STATUS", rcode::NOTIMP, with(&|p| p[2] = 2 << 3)),
        ];
        for (what, code, packet) in bare {
            let answer = udp_within(address, &packet, PATIENCE).await.expect(what);
            assert_eq!((answer.len(), u16::from(answer[3])), (12, code), "{what}");
            assert_eq!(answer[..2], packet[..2], "{what}");
        }
        let class = |class: u16| {
            let mut packet = asking::question(WEB, rtype::A, None);
            let at = packet.len() - 2;
            packet[at..].copy_from_slice(&class.to_be_bytes());
            packet
        };
        let coded = [
            ("class CH", ResponseCode::Refused, class(3)),
            ("class ANY", ResponseCode::Refused, class(255)),
            ("AXFR", ResponseCode::Refused, asking::question("cluster.local", rtype::AXFR, None)),
            ("IXFR", ResponseCode::Refused, asking::question("cluster.local", rtype::IXFR, None)),
            ("TSIG", ResponseCode::Refused, asking::question("cluster.local", rtype::TSIG, None)),
            ("OPT", ResponseCode::FormErr, asking::question("cluster.local", rtype::OPT, None)),
            ("MAILB", ResponseCode::NotImp, asking::question("cluster.local", rtype::MAILB, None)),
            ("a name of others", ResponseCode::Refused, asking::question("example.com", rtype::A, None)),
        ];
        for (what, code, packet) in coded {
            let message = udp(address, &packet).await;
            assert_eq!(message.metadata.response_code, code, "{what}");
            assert!(message.answers.is_empty() && !message.metadata.recursion_available, "{what}");
        }
        let mut version = question(WEB);
        let at = version.len() - 5;
        version[at] = 1;
        let message = udp(address, &version).await;
        assert_eq!(u16::from(message.metadata.response_code), rcode::BADVERS);
        assert_eq!(message.edns.map(|edns| edns.version()), Some(0));
        assert_eq!(udp(address, &question(WEB)).await.answers.len(), 1);
        let counts = server.counts();
        assert_eq!((counts.silent, counts.formerr, counts.notimp, counts.refused, counts.other), (4, 8, 4, 6, 1));
        server.shutdown().await;
    });
}

#[test]
fn an_answer_to_a_small_question_stays_small() {
    inside("dns-small", &[], || async {
        let (server, address) = cluster_server(|_| {});
        for qtype in [rtype::ANY, rtype::TXT, rtype::SOA, rtype::NS, rtype::AXFR] {
            let packet = asking::question("cluster.local", qtype, Some(4096));
            let answer = udp_within(address, &packet, PATIENCE).await.unwrap();
            // The largest is a denial: an SOA record takes 66 octets, and its names some more.
            assert!(answer.len() < packet.len() + 120, "{} octets for {} of type {qtype}", answer.len(), packet.len());
        }
        server.shutdown().await;
    });
}
