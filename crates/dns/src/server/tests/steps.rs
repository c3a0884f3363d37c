//! Names that are rewritten or come from a file, and what is written down of them, over sockets.

use std::sync::Arc;

use tokio::net::TcpStream;

use super::net::*;
use super::upstream::{Manner, Upstream};
use crate::asking;
use crate::forward::{Forwarder, Settings};
use crate::hosts::{self, Hosts};
use crate::querylog::{self, QueryLog, Sink};
use crate::rewrite::{AnswerRule, Matching, Rewriter, Rule};
use crate::server::{Server, Sources};

fn suffix(from: &str, to: &str) -> Rule {
    let matching = Matching::Suffix { from: from.to_owned(), to: to.to_owned() };
    Rule { zones: Vec::new(), except: Vec::new(), matching, answers: vec![AnswerRule::Auto], goes_on: false }
}

#[test]
fn names_of_the_cluster_and_of_elsewhere_are_rewritten() {
    inside("steps-rewrite", &[], || async {
        let upstream = Upstream::start(Manner::Knows(60)).await;
        let rules = vec![
            suffix(".corp.", ".svc.cluster.local."),
            suffix(".old.test.", ".example.com."),
            Rule { matching: Matching::Prefix { from: "bad.".to_owned(), to: "a..b.".to_owned() }, ..suffix("", "") },
        ];
        let sources = Sources {
            index: Some(index()),
            forwarder: Some(Arc::new(Forwarder::new(Settings::to([upstream.address])).unwrap())),
            rewriter: Rewriter::new(rules),
            ..Sources::default()
        };
        let server = Server::start_with(&config(LOCAL), sources).unwrap();
        let address = server.addresses()[0];
        let rows = [
            ("Web.shop.corp", "Web.shop.corp. A 10.96.0.9"),
            ("gone.shop.corp", "NXDOMAIN cluster.local."),
            (WEB, "web.shop.svc.cluster.local. A 10.96.0.9"),
            ("www.old.test", "www.old.test. A 192.0.2.1"),
            ("www.old.test", "www.old.test. A 192.0.2.1"),
            ("ext.shop.corp", "ext.shop.corp. CNAME www.old.test. + www.old.test. A 192.0.2.1"),
            ("bad.example.com", "SERVFAIL"),
        ];
        let mut stream = TcpStream::connect(address).await.unwrap();
        for (name, want) in rows {
            // The alias' target is of the other rule's zone, but rules are tried once for a question.
            let want = want.replace("CNAME www.old.test. + www.old.test.", "CNAME www.example.com. + www.example.com.");
            assert_eq!(asking::told(&udp(address, &question(name)).await).to_lowercase(), want.to_lowercase());
            send(&mut stream, &question(name)).await;
            let message = receive(&mut stream).await.unwrap();
            assert_eq!(asking::told(&message).to_lowercase(), want.to_lowercase());
            assert_eq!(message.queries[0].name().to_string(), format!("{name}."));
        }
        assert_eq!(upstream.asked(), 1, "one name was asked for, under what it became");
        server.shutdown().await;
    });
}

#[test]
fn names_from_a_file_come_first() {
    inside("steps-hosts", &[], || async {
        let upstream = Upstream::start(Manner::Knows(60)).await;
        let inline = format!("192.0.2.9 db.example.com\n192.0.2.10 {WEB}\n");
        let fallthrough = vec![crate::name::Name::parse(".").unwrap()];
        let hosts = Hosts::new(hosts::Settings { inline, fallthrough, ..hosts::Settings::default() });
        let sources = Sources {
            index: Some(index()),
            forwarder: Some(Arc::new(Forwarder::new(Settings::to([upstream.address])).unwrap())),
            hosts: vec![Arc::new(hosts)],
            ..Sources::default()
        };
        let server = Server::start_with(&config(LOCAL), sources).unwrap();
        let told = async |name: &str| asking::told(&udp(server.addresses()[0], &question(name)).await);
        assert_eq!(told("db.example.com").await, "db.example.com. A 192.0.2.9");
        assert_eq!(told(WEB).await, format!("{WEB}. A 192.0.2.10"));
        assert_eq!(told("www.example.com").await, "www.example.com. A 192.0.2.1");
        assert_eq!(told("gone.shop.svc.cluster.local").await, "NXDOMAIN cluster.local.");
        assert_eq!(upstream.asked(), 1);
        let plugins: Vec<_> = server.figures().answered.iter().map(|answered| answered.maker.plugin()).collect();
        assert!(plugins.contains(&"hosts"), "{plugins:?}");
        server.shutdown().await;
    });
}

#[test]
fn every_answer_is_written_down() {
    inside("steps-log", &[], || async {
        let path = std::env::temp_dir().join(format!("dns-steps-log-{}", std::process::id()));
        let settings = querylog::Settings { sink: Sink::File(path.clone()), ..querylog::Settings::default() };
        let log = Arc::new(QueryLog::start(settings).unwrap());
        let upstream = Upstream::start(Manner::Knows(60)).await;
        let sources = Sources {
            index: Some(index()),
            forwarder: Some(Arc::new(Forwarder::new(Settings::to([upstream.address])).unwrap())),
            log: Some(Arc::clone(&log)),
            ..Sources::default()
        };
        let server = Server::start_with(&config(LOCAL), sources).unwrap();
        let address = server.addresses()[0];
        for name in [WEB, "www.example.com", "gone.shop.svc.cluster.local"] {
            udp(address, &question(name)).await;
            tcp(address, &question(name)).await;
        }
        eventually("all is written", || log.counts().written == 6).await;
        server.shutdown().await;
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut told: Vec<_> = lines
            .iter()
            .map(|line| {
                assert_eq!(line["query_address"], "127.0.0.1");
                assert!(line["query_port"].as_u64().unwrap() > 0);
                let field = |name: &str| line[name].as_str().unwrap().to_owned();
                format!("{} {} {} {}", field("socket_protocol"), field("name"), field("rcode"), line["answers"])
            })
            .collect();
        told.sort();
        let want = [
            "TCP gone.shop.svc.cluster.local. NXDOMAIN 0",
            "TCP web.shop.svc.cluster.local. NOERROR 1",
            "TCP www.example.com. NOERROR 1",
            "UDP gone.shop.svc.cluster.local. NXDOMAIN 0",
            "UDP web.shop.svc.cluster.local. NOERROR 1",
            "UDP www.example.com. NOERROR 1",
        ];
        assert_eq!(told, want);
    });
}
