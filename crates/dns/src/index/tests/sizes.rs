use super::cluster;
use crate::asking;
use crate::protocol::rtype;
use crate::reply::Transport;

const MANY: &str = "many.shop.svc.cluster.local.";
const UDP: Transport = Transport::Udp { most: 4096 };

#[test]
fn udp_answers_keep_to_512_octets_or_to_what_edns_says() {
    let index = cluster::index();
    // 12 of header, 33 of question, 16 for each address; 11 for OPT.
    for (edns, most, fits) in [
        (None, 4096, 29),
        (Some(0), 4096, 28),
        (Some(512), 4096, 28),
        (Some(700), 4096, 40),
        (Some(1232), 4096, 60),
        (Some(65_535), 4096, 60),
        (Some(65_535), 600, 34),
        (Some(65_535), 0, 28),
    ] {
        let packet = asking::question(MANY, rtype::A, edns);
        let (_, message) = asking::ask(&index, &packet, Transport::Udp { most });
        assert_eq!(message.answers.len(), fits, "{edns:?} {most}");
        assert_eq!(message.metadata.truncation, fits < 60, "{edns:?} {most}");
        assert_eq!(message.edns.is_some(), edns.is_some());
    }
}

#[test]
fn additional_records_that_do_not_fit_are_left_out_without_a_word() {
    let index = cluster::index();
    let packet = asking::question("db.shop.svc.cluster.local", rtype::SRV, None);
    let (_, whole) = asking::ask(&index, &packet, UDP);
    assert_eq!((whole.answers.len(), whole.additionals.len(), whole.metadata.truncation), (2, 2, false));
    let packet = asking::question(MANY, rtype::SRV, Some(2048));
    let (_, cut) = asking::ask(&index, &packet, UDP);
    assert_eq!(cut.answers.len(), 60);
    assert!(cut.additionals.len() < 60);
    assert!(!cut.metadata.truncation);
    let (_, short) = asking::ask(&index, &asking::question(MANY, rtype::SRV, None), UDP);
    assert!(short.metadata.truncation);
    assert!(short.answers.len() < 60);
    assert!(short.additionals.is_empty());
}

#[test]
fn tcp_answers_carry_everything() {
    let index = cluster::index();
    let (_, message) = asking::ask(&index, &asking::question(MANY, rtype::SRV, None), Transport::Tcp);
    assert_eq!((message.answers.len(), message.additionals.len()), (60, 60));
}

#[test]
fn a_service_of_five_thousand_endpoints_fills_a_tcp_answer() {
    let index = cluster::index();
    let list: Vec<_> = (0..5000).map(|n| format!("10.2.{}.{}", n / 256, n % 256)).collect();
    index.set_service(&cluster::service("shop", "huge", crate::index::Shape::Headless, "a/1")).unwrap();
    for (at, part) in list.chunks(100).enumerate() {
        index.set_slice(&cluster::slice("shop", &format!("huge-{at}"), "huge", &part.join(" "), "a/1")).unwrap();
    }
    let name = "HUGE.shop.svc.cluster.local";
    for (qtype, capitals) in [(rtype::A, false), (rtype::A, true), (rtype::SRV, false), (rtype::SRV, true)] {
        let name = if capitals { name.to_owned() } else { name.to_lowercase() };
        let (_, message) = asking::ask(&index, &asking::question(&name, qtype, None), Transport::Tcp);
        assert!(message.metadata.truncation);
        assert!(message.answers.len() > 1000, "{} answers", message.answers.len());
    }
    let (_, one) = asking::ask(&index, &asking::question(&format!("10-2-19-7.{name}"), rtype::A, None), UDP);
    assert_eq!(asking::told(&one), "10-2-19-7.huge.shop.svc.cluster.local. A 10.2.19.7");
}

#[test]
fn answers_take_turns() {
    let index = cluster::index();
    let first = |name: &str, turn| {
        let packet = asking::question(name, rtype::A, None);
        let (_, message) = asking::ask_in_turn(&index, &packet, UDP, turn);
        asking::line(&message.answers[0])
    };
    let firsts: std::collections::BTreeSet<_> = (0..60).map(|turn| first(MANY, turn)).collect();
    assert_eq!(firsts.len(), 60);
    assert_eq!(first(MANY, 60), first(MANY, 0));
    assert_eq!(first("web.shop.svc.cluster.local.", u32::MAX), "web.shop.svc.cluster.local. A 10.96.7.1");
}

#[test]
fn ttls_are_five_seconds_and_one_for_denials() {
    let index = cluster::index();
    let (_, message) = asking::ask(&index, &asking::question(MANY, rtype::A, None), UDP);
    assert!(message.answers.iter().all(|record| record.ttl == 5));
    let (_, message) = asking::ask(&index, &asking::question("gone.svc.cluster.local", rtype::A, None), UDP);
    let hickory_proto::rr::RData::SOA(soa) = &message.authorities[0].data else { panic!("no SOA") };
    assert_eq!((message.authorities[0].ttl, soa.minimum), (1, 1));
    assert_eq!(soa.mname.to_string(), "ns.dns.cluster.local.");
    assert_eq!(soa.rname.to_string(), "hostmaster.cluster.local.");
    assert_eq!(soa.serial, index.stats().serial);
    let (_, message) = asking::ask(&index, &asking::question("dns-version.cluster.local", rtype::TXT, None), UDP);
    assert_eq!(message.answers[0].ttl, 28_800);
}
