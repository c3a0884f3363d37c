use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::Message;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::asking;
use crate::name::Name;
use crate::protocol::rtype;
use crate::query::Query;
use crate::reply::{Flags, Reply, Transport};

const FILE: &str = "
# comment
127.0.0.1       localhost
192.0.2.10      db.example.com  DB   # both names
192.0.2.11      db.example.com
2001:db8::1     db.example.com
fe80::1%eth0    link.example.com
192.0.2.20      *.wild.example.com
192.0.2.21      own.wild.example.com
not-an-address  lost.example.com
192.0.2.30      bad..name good.example.com
";

fn zones(zones: &[&str]) -> Vec<Name> {
    zones.iter().map(|zone| Name::parse(zone).unwrap()).collect()
}

fn inline(change: impl FnOnce(&mut Settings)) -> Hosts {
    let mut settings = Settings { inline: FILE.to_owned(), ttl: 60, ..Settings::default() };
    change(&mut settings);
    Hosts::new(settings)
}

fn told(hosts: &Hosts, name: &str, qtype: u16) -> String {
    let packet = asking::question(name, qtype, None);
    let query = Query::parse(&packet).unwrap();
    let mut buffer = [0; 512];
    let mut reply = Reply::start(&mut buffer, &query, Transport::Tcp);
    match hosts.answer(&query, &mut reply) {
        Verdict::NotOurs => "not ours".to_owned(),
        Verdict::Answered(code) => {
            let length = reply.finish(code, Flags::default());
            let message = Message::from_vec(&buffer[..length]).unwrap();
            assert!(message.answers.iter().all(|record| record.ttl == 60));
            asking::told(&message)
        }
    }
}

#[test]
fn names_have_addresses_and_addresses_names() {
    let hosts = inline(|_| {});
    let rows = [
        ("localhost", rtype::A, "localhost. A 127.0.0.1"),
        ("db.example.com", rtype::A, "db.example.com. A 192.0.2.10 + db.example.com. A 192.0.2.11"),
        ("DB.example.com", rtype::AAAA, "DB.example.com. AAAA 2001:db8::1"),
        ("db", rtype::A, "db. A 192.0.2.10"),
        ("db", rtype::AAAA, "NOERROR"),
        ("db", rtype::TXT, "NOERROR"),
        ("link.example.com", rtype::AAAA, "link.example.com. AAAA fe80::1"),
        ("any.wild.example.com", rtype::A, "any.wild.example.com. A 192.0.2.20"),
        ("own.wild.example.com", rtype::A, "own.wild.example.com. A 192.0.2.21"),
        ("wild.example.com", rtype::A, "SERVFAIL"),
        ("a.b.wild.example.com", rtype::A, "SERVFAIL"),
        ("good.example.com", rtype::A, "good.example.com. A 192.0.2.30"),
        ("lost.example.com", rtype::A, "SERVFAIL"),
        (
            "10.2.0.192.in-addr.arpa",
            rtype::PTR,
            "10.2.0.192.in-addr.arpa. PTR db. + 10.2.0.192.in-addr.arpa. PTR db.example.com.",
        ),
        ("20.2.0.192.in-addr.arpa", rtype::PTR, "not ours"),
        ("x.2.0.192.in-addr.arpa", rtype::PTR, "not ours"),
        ("2.0.192.in-addr.arpa", rtype::PTR, "not ours"),
    ];
    for (name, qtype, want) in rows {
        assert_eq!(told(&hosts, name, qtype), want, "{name}");
    }
    let reverse = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa";
    assert_eq!(told(&hosts, reverse, rtype::PTR), format!("{reverse}. PTR db.example.com."));
    assert_eq!(hosts.counts().entries, 7);
}

#[test]
fn what_is_not_known_is_asked_for_elsewhere_where_that_is_said() {
    let hosts = inline(|settings| settings.fallthrough = zones(&["example.com"]));
    assert_eq!(told(&hosts, "new.example.com", rtype::A), "not ours");
    assert_eq!(told(&hosts, "new.example.org", rtype::A), "SERVFAIL");
    assert_eq!(told(&hosts, "db.example.com", rtype::TXT), "NOERROR");
    let hosts = inline(|settings| {
        settings.fallthrough = zones(&["."]);
        settings.fallthrough_types = true;
    });
    assert_eq!(told(&hosts, "db.example.com", rtype::TXT), "not ours");
    assert_eq!(told(&hosts, "db", rtype::AAAA), "NOERROR");
}

#[test]
fn other_zones_are_not_looked_at() {
    let hosts = inline(|settings| {
        settings.zones = zones(&["example.com"]);
        settings.reverse = false;
    });
    assert_eq!(told(&hosts, "db", rtype::A), "not ours");
    assert_eq!(told(&hosts, "xexample.com", rtype::A), "not ours");
    assert_eq!(told(&hosts, "own.wild.example.com", rtype::A), "own.wild.example.com. A 192.0.2.21");
    assert_eq!(told(&hosts, "10.2.0.192.in-addr.arpa", rtype::PTR), "not ours");
    let hosts = inline(|settings| settings.except = zones(&["wild.example.com"]));
    assert_eq!(told(&hosts, "own.wild.example.com", rtype::A), "not ours");
    assert_eq!(told(&hosts, "db", rtype::A), "db. A 192.0.2.10");
}

#[tokio::test]
async fn the_file_is_followed() {
    let path = std::env::temp_dir().join(format!("dns-hosts-{}", std::process::id()));
    let settings = Settings {
        file: Some(path.clone()),
        inline: "192.0.2.1 fixed".to_owned(),
        ttl: 60,
        reload: Duration::from_millis(2),
        ..Settings::default()
    };
    let hosts = Arc::new(Hosts::new(settings));
    assert_eq!(told(&hosts, "fixed", rtype::A), "fixed. A 192.0.2.1");
    assert_eq!(told(&hosts, "file", rtype::A), "SERVFAIL");
    let stop = CancellationToken::new();
    let following = tokio::spawn(Arc::clone(&hosts).follow(stop.clone()));
    let becomes = async |want: &str| {
        let seen = async {
            while told(&hosts, "file", rtype::A) != want {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), seen).await.unwrap();
        assert_eq!(told(&hosts, "fixed", rtype::A), "fixed. A 192.0.2.1");
    };
    std::fs::write(&path, "192.0.2.2 file").unwrap();
    becomes("file. A 192.0.2.2").await;
    std::fs::write(&path, "192.0.2.33 file").unwrap();
    becomes("file. A 192.0.2.33").await;
    std::fs::remove_file(&path).unwrap();
    becomes("SERVFAIL").await;
    stop.cancel();
    following.await.unwrap();
}
