//! Search paths that are gone through by the server.

use std::net::SocketAddr;
use std::sync::Arc;

use super::net::*;
use super::upstream::{Manner, Upstream};
use crate::asking;
use crate::forward::{Forwarder, Settings};
use crate::index::{Index, IndexOptions, PodRecord, SearchOptions};
use crate::server::Server;

const ASKED: &str = "www.example.com.shop.svc.cluster.local";

fn start(upstreams: &[SocketAddr], further: &[&str]) -> Server {
    let further = further.iter().map(|domain| (*domain).to_owned()).collect();
    let options = IndexOptions { search: Some(SearchOptions { further }), ..IndexOptions::default() };
    let index = Index::new(&options).unwrap();
    index.set_namespace("shop").unwrap();
    let (namespace, name) = ("shop".to_owned(), "a".to_owned());
    let addresses = vec!["127.0.0.1".parse().unwrap()];
    index.set_pod(&PodRecord { namespace, name, addresses, searches: true }).unwrap();
    index.set_synced(true);
    let forwarder = Forwarder::new(Settings::to(upstreams.iter().copied())).unwrap();
    Server::start(&config(LOCAL), Some(Arc::new(index)), Some(Arc::new(forwarder))).unwrap()
}

#[test]
fn a_name_from_outside_is_found_by_the_first_question() {
    inside("search-found", &[], || async {
        let upstream = Upstream::start(Manner::Knows(60)).await;
        let server = start(&[upstream.address], &[]);
        let want = format!("www.example.com. A 192.0.2.1 + {ASKED}. CNAME www.example.com.");
        for _ in 0..3 {
            let message = udp(server.addresses()[0], &question(ASKED)).await;
            assert_eq!(asking::told(&message), want);
            assert!(message.metadata.authoritative && message.metadata.recursion_available);
        }
        assert_eq!(asking::told(&tcp(server.addresses()[0], &question(ASKED)).await), want);
        assert_eq!((upstream.asked(), server.counts().searched), (1, 4));
        server.shutdown().await;
    });
}

#[test]
fn what_is_not_found_is_denied_as_if_nobody_had_looked() {
    inside("search-denied", &[], || async {
        for (manner, asked) in [(Manner::Code(3), 2), (Manner::Code(2), 1)] {
            let upstream = Upstream::start(manner).await;
            let server = start(&[upstream.address], &["corp.example"]);
            for _ in 0..2 {
                let message = udp(server.addresses()[0], &question(ASKED)).await;
                assert_eq!(asking::told(&message), "NXDOMAIN cluster.local.", "{manner:?}");
            }
            assert!(upstream.asked() >= asked, "{manner:?}: {} questions", upstream.asked());
            assert_eq!(server.counts().searched, 0);
            server.shutdown().await;
        }
    });
}

#[test]
fn the_nodes_domain_is_asked_before_the_name_itself() {
    inside("search-order", &[], || async {
        let upstream = Upstream::start(Manner::Knows(60)).await;
        let server = start(&[upstream.address], &["corp.example"]);
        let message = udp(server.addresses()[0], &question(ASKED)).await;
        let target = "www.example.com.corp.example.";
        assert_eq!(asking::told(&message), format!("{target} A 192.0.2.1 + {ASKED}. CNAME {target}"));
        server.shutdown().await;
    });
}
