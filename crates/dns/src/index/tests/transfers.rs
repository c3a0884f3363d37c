//! A whole zone.

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;

use super::cluster::{self, slice};
use crate::asking;
use crate::index::{Index, IndexOptions, Shape};
use crate::protocol::rtype;
use crate::query::Query;

/// The messages of a transfer, and all their records in lines.
fn transferred(index: &Index, zone: &str) -> Option<(Vec<Message>, Vec<String>)> {
    let packet = asking::question(zone, rtype::AXFR, None);
    let transfer = index.transfer(&Query::parse(&packet).unwrap())?;
    let messages: Vec<_> = transfer.map(|message| Message::from_vec(&message).unwrap()).collect();
    let lines = messages.iter().flat_map(|message| &message.answers).map(asking::line).collect();
    Some((messages, lines))
}

#[test]
fn a_zone_is_transferred_between_two_soa_records() {
    let index = cluster::index();
    let (messages, lines) = transferred(&index, "cluster.local").unwrap();
    assert!(messages.iter().all(|message| message.metadata.authoritative && message.metadata.id == 0x1234));
    assert_eq!((lines[0].as_str(), lines.last().unwrap().as_str()), ("cluster.local. SOA", "cluster.local. SOA"));
    assert_eq!(lines.iter().filter(|line| line.ends_with(" SOA")).count(), 2);
    for wanted in [
        "dns-version.cluster.local. TXT 1.1.0",
        "web.shop.svc.cluster.local. A 10.96.7.1",
        "dual.shop.svc.cluster.local. AAAA fd00:96::4",
        "_http._tcp.web.shop.svc.cluster.local. SRV 0 100 80 web.shop.svc.cluster.local.",
        "db.shop.svc.cluster.local. A 10.1.0.1",
        "db-0.db.shop.svc.cluster.local. A 10.1.0.1",
        "_pg._tcp.db.shop.svc.cluster.local. SRV 0 50 5432 db-0.db.shop.svc.cluster.local.",
        "10-1-1-1.nohost.shop.svc.cluster.local. A 10.1.1.1",
        "ext.shop.svc.cluster.local. CNAME target.example.com.",
    ] {
        assert_eq!(lines.iter().filter(|line| *line == wanted).count(), 1, "{wanted}\n{}", lines.join("\n"));
    }
    assert!(!lines.iter().any(|line| line.contains("10.1.0.3") || line.contains("orphan")));
}

/// Every record that is transferred is also what a question of its name and type gets.
#[test]
fn what_is_transferred_is_what_is_answered() {
    let options = IndexOptions { name_servers: cluster::addresses("10.96.0.10 fd00:96::a"), ..IndexOptions::default() };
    let index = cluster::index_with(&options);
    let (messages, _) = transferred(&index, "cluster.local").unwrap();
    for record in messages.iter().flat_map(|message| &message.answers) {
        let qtype = record.record_type();
        let packet = asking::question(&record.name.to_string(), qtype.into(), None);
        let (_, message) = asking::ask(&index, &packet, crate::reply::Transport::Tcp);
        let same = |answer: &hickory_proto::rr::Record| match qtype {
            // Weights are shares of what was asked for.
            RecordType::SRV => answer.name == record.name,
            _ => answer == record,
        };
        assert!(message.answers.iter().any(same), "{}", asking::line(record));
    }
}

#[test]
fn a_large_zone_takes_many_messages_and_loses_nothing() {
    let index = cluster::index();
    index.set_service(&cluster::service("shop", "huge", Shape::Headless, "a/1")).unwrap();
    let list: Vec<_> = (0..2000).map(|n| format!("10.2.{}.{}", n / 256, n % 256)).collect();
    for (at, part) in list.chunks(100).enumerate() {
        index.set_slice(&slice("shop", &format!("huge-{at}"), "huge", &part.join(" "), "a/1")).unwrap();
    }
    let (messages, lines) = transferred(&index, "CLUSTER.local").unwrap();
    assert!(messages.len() > 5, "{} messages", messages.len());
    assert!(messages.iter().all(|message| !message.metadata.truncation && !message.answers.is_empty()));
    let of_huge = |end: &str| lines.iter().filter(|line| line.contains("huge.shop") && line.contains(end)).count();
    assert_eq!((of_huge(" A "), of_huge(" SRV ")), (4000, 2000));
}

#[test]
fn only_the_clusters_own_zones_are_transferred_when_they_are_known() {
    let zones = vec!["cluster.local".to_owned(), "old.example.org".to_owned()];
    let index = cluster::index_with(&IndexOptions { zones, ..IndexOptions::default() });
    for none in ["svc.cluster.local", "local", "in-addr.arpa", "example.org"] {
        assert!(transferred(&index, none).is_none(), "{none}");
    }
    let (_, lines) = transferred(&index, "old.example.org").unwrap();
    assert!(lines.iter().any(|line| line.contains("SRV 0 100 80 web.shop.svc.old.example.org.")), "{lines:?}");
    index.set_synced(false);
    assert!(transferred(&index, "cluster.local").is_none());
}
