//! What a server answers from, and for whom, changes while it runs; zones are transferred; what it did is counted.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::net::*;
use super::upstream::{Manner, Upstream};
use crate::asking;
use crate::forward::{Forwarder, Settings};
use crate::protocol::rtype;
use crate::server::counters::{Answered, Asked, Maker};
use crate::server::{Server, Sources};

const ZONE: &str = "cluster.local";

fn sources() -> Sources {
    Sources { index: Some(index()), ..Sources::default() }
}

#[test]
fn sources_are_replaced_without_dropping_a_question() {
    inside("dns-swap", &[], || async {
        let upstream = Upstream::start(Manner::Slow(Duration::from_secs(1))).await;
        let forwarder = Forwarder::new(Settings::to([upstream.address]));
        let old = Sources { forwarder: Some(Arc::new(forwarder.unwrap())), ..sources() };
        let server = Server::start_with(&config(LOCAL), old).unwrap();
        let address = server.addresses()[0];
        let mut stream = TcpStream::connect(address).await.unwrap();
        send(&mut stream, &question("slow.example.com")).await;
        let waits = tokio::spawn(async move { udp(address, &question("slow.example.com")).await });
        eventually("both questions wait", || server.waiting() == 2).await;
        server.set_sources(sources()).unwrap();
        assert_eq!(asking::told(&udp(address, &question("other.example.com")).await), "REFUSED");
        assert_eq!(asking::told(&udp(address, &question(WEB)).await), format!("{WEB}. A 10.96.0.9"));
        send(&mut stream, &question("other.example.com")).await;
        assert_eq!(asking::told(&receive(&mut stream).await.unwrap()), "REFUSED");
        assert_eq!(asking::told(&receive(&mut stream).await.unwrap()), "slow.example.com. A 192.0.2.1");
        assert_eq!(asking::told(&waits.await.unwrap()), "slow.example.com. A 192.0.2.1");
        assert!(server.set_sources(Sources::default()).is_err(), "nothing to answer from");
        assert_eq!(udp(address, &question(WEB)).await.answers.len(), 1);
        server.shutdown().await;
    });
}

#[test]
fn strangers_meet_silence_until_they_are_served() {
    inside("dns-strangers", &[], || async {
        let only = |network: &str| Sources { clients: Some(vec![network.parse().unwrap()]), ..sources() };
        let server = Server::start_with(&config(LOCAL), only("10.0.0.0/8")).unwrap();
        let address = server.addresses()[0];
        assert!(udp_within(address, &question(WEB), SILENCE).await.is_none());
        let mut stream = TcpStream::connect(address).await.unwrap();
        assert!(receive(&mut stream).await.is_none());
        assert_eq!(server.counts().strangers, 2);
        server.set_sources(only("127.0.0.0/8")).unwrap();
        assert_eq!(udp(address, &question(WEB)).await.answers.len(), 1);
        assert_eq!(tcp(address, &question(WEB)).await.answers.len(), 1);
        server.shutdown().await;
    });
}

#[test]
fn a_zone_goes_to_whom_it_may_over_tcp_alone() {
    inside("dns-axfr", &[], || async {
        let allowed = Sources { transfer: vec!["127.0.0.0/8".parse().unwrap()], ..sources() };
        let server = Server::start_with(&config(LOCAL), allowed).unwrap();
        let address = server.addresses()[0];
        let refused = |message: hickory_proto::op::Message| asking::told(&message) == "REFUSED";
        for qtype in [rtype::AXFR, rtype::IXFR] {
            let packet = asking::question(ZONE, qtype, None);
            let zone = tcp(address, &packet).await;
            let lines: Vec<_> = zone.answers.iter().map(asking::line).collect();
            assert_eq!(lines.first(), lines.last());
            assert!(lines.contains(&format!("{WEB}. A 10.96.0.9")), "{lines:?}");
            assert!(refused(udp(address, &packet).await));
        }
        let part = asking::question("shop.svc.cluster.local", rtype::AXFR, None);
        assert!(refused(tcp(address, &part).await));
        server.set_sources(sources()).unwrap();
        assert!(refused(tcp(address, &asking::question(ZONE, rtype::AXFR, None)).await));
        server.shutdown().await;
    });
}

#[test]
fn one_asker_of_slow_names_leaves_room_for_others() {
    inside("dns-fair", &["10.9.0.1/32"], || async {
        let upstream = Upstream::start(Manner::Silence).await;
        let forwarder =
            Forwarder::new(Settings { deadline: Duration::from_secs(2), ..Settings::to([upstream.address]) });
        let mut config = config("0.0.0.0:0");
        config.waiting = 8;
        let source = Sources { forwarder: Some(Arc::new(forwarder.unwrap())), ..sources() };
        let server = Server::start_with(&config, source).unwrap();
        let address = std::net::SocketAddr::new([127, 0, 0, 1].into(), server.addresses()[0].port());
        let flood: Vec<_> = (0..20)
            .map(|n| tokio::spawn(async move { udp(address, &question(&format!("{n}.example.com"))).await }))
            .collect();
        eventually("what may not wait is turned away", || server.counts().turned_away == 16).await;
        assert_eq!(server.waiting(), 4, "a half of what may wait");
        for task in flood {
            assert_eq!(asking::told(&task.await.unwrap()), "SERVFAIL");
        }
        server.shutdown().await;
    });
}

#[test]
fn what_was_done_is_counted_by_kind() {
    inside("dns-figures", &[], || async {
        let server = Server::start_with(&config(LOCAL), sources()).unwrap();
        let address = server.addresses()[0];
        udp(address, &question(WEB)).await;
        udp(address, &asking::question(WEB, rtype::SRV, None)).await;
        udp(address, &asking::question("gone.shop.svc.cluster.local", rtype::A, None)).await;
        tcp(address, &asking::question(WEB, 9999, None)).await;
        udp(address, &asking::question("example.com", rtype::A, None)).await;
        eventually("all answers are timed", || server.figures().took.counts.iter().sum::<u64>() == 5).await;
        let figures = server.figures();
        let asked = |tcp, rtype, count| Asked { tcp, v6: false, rtype, count };
        assert_eq!(figures.asked, [asked(false, "A", 3), asked(false, "SRV", 1), asked(true, "other", 1)]);
        let answered = |maker, rcode, count| Answered { maker, rcode, count };
        let want = [
            answered(Maker::Server, "REFUSED", 1),
            answered(Maker::Index, "NOERROR", 3),
            answered(Maker::Index, "NXDOMAIN", 1),
        ];
        assert_eq!(figures.answered, want);
        let octets = |histograms: &[crate::server::counters::Histogram; 2]| {
            histograms.each_ref().map(|histogram| histogram.counts.iter().sum::<u64>())
        };
        assert_eq!((octets(&figures.question_octets), octets(&figures.answer_octets)), ([4, 1], [4, 1]));
        assert!(figures.took.sum > 0);
        server.shutdown().await;
    });
}
