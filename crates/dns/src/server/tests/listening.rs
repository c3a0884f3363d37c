use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::net::*;
use crate::asking;
use crate::forward::{Forwarder, Settings};
use crate::index::{PortRecord, ServiceRecord, Shape};
use crate::protocol::rtype;
use crate::server::{Config, Server, ServerError};

#[test]
fn cluster_names_are_answered_over_udp_and_tcp() {
    inside("dns-both", &[], || async {
        let (server, address) = cluster_server(|_| {});
        let want = format!("{WEB}. A 10.96.0.9");
        assert_eq!(asking::told(&udp(address, &question(WEB)).await), want);
        assert_eq!(asking::told(&tcp(address, &question(WEB)).await), want);
        let counts = server.counts();
        assert_eq!((counts.udp, counts.tcp, counts.noerror), (1, 1, 2));
        server.shutdown().await;
    });
}

#[test]
fn answers_leave_from_the_address_that_was_asked() {
    inside("dns-from", &["10.9.0.1/32", "10.9.0.2/32", "fd00:9::1/128", "fd00:9::2/128"], || async {
        let listen = vec!["0.0.0.0:53".parse().unwrap(), "[::]:53".parse().unwrap()];
        let config = Config { listen, workers: 1, ..Config::default() };
        let server = Server::start(&config, Some(index()), None).unwrap();
        for address in ["10.9.0.1:53", "10.9.0.2:53", "127.0.0.1:53", "[fd00:9::1]:53", "[fd00:9::2]:53", "[::1]:53"] {
            let address: SocketAddr = address.parse().unwrap();
            let message = udp(address, &question(WEB)).await;
            assert_eq!(message.answers.len(), 1, "{address}");
            assert_eq!(tcp(address, &question(WEB)).await.answers.len(), 1, "{address}");
        }
        server.shutdown().await;
    });
}

#[test]
fn many_askers_are_spread_and_all_answered() {
    inside("dns-many", &[], || async {
        let (server, address) = cluster_server(|_| {});
        let tasks: Vec<_> =
            (0..200).map(|_| tokio::spawn(async move { udp(address, &question(WEB)).await.answers.len() })).collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), 1);
        }
        assert_eq!(server.counts().udp, 200);
        server.shutdown().await;
    });
}

#[test]
fn a_change_is_seen_by_the_next_question() {
    inside("dns-change", &[], || async {
        let index = index();
        let server = Server::start(&config(LOCAL), Some(Arc::clone(&index)), None).unwrap();
        let address = server.addresses()[0];
        for host in 1..=50u8 {
            let record = ServiceRecord {
                namespace: "shop".to_owned(),
                name: "moving".to_owned(),
                shape: Shape::ClusterIp(vec![[10, 96, 1, host].into()]),
                ports: vec![PortRecord::default()],
            };
            index.set_service(&record).unwrap();
            let message = udp(address, &question("moving.shop.svc.cluster.local")).await;
            assert_eq!(asking::line(&message.answers[0]), format!("moving.shop.svc.cluster.local. A 10.96.1.{host}"));
        }
        index.remove_service("shop", "moving");
        let message = udp(address, &question("moving.shop.svc.cluster.local")).await;
        assert_eq!(asking::told(&message), "NXDOMAIN cluster.local.");
        server.shutdown().await;
    });
}

#[test]
fn a_server_that_is_shut_down_leaves_its_address_free() {
    inside("dns-stop", &[], || async {
        let (server, address) = cluster_server(|_| {});
        udp(address, &question(WEB)).await;
        // A connection that is open and idle does not hold it up.
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        send(&mut stream, &question(WEB)).await;
        assert!(receive(&mut stream).await.is_some());
        let start = Instant::now();
        server.shutdown().await;
        assert!(start.elapsed() < Duration::from_secs(2), "it took {:?}", start.elapsed());
        assert!(receive(&mut stream).await.is_none(), "the connection is closed");
        let again = Server::start(&config(&address.to_string()), Some(index()), None).unwrap();
        assert_eq!(udp(address, &question(WEB)).await.answers.len(), 1);
        drop(again);
        let third = || Server::start(&config(&address.to_string()), Some(index()), None);
        eventually("the address of a dropped server is free", || third().is_ok()).await;
    });
}

#[test]
fn an_address_in_use_or_unknown_is_an_error() {
    inside("dns-in-use", &[], || async {
        let start = |listen: SocketAddr| Server::start(&config(&listen.to_string()), Some(index()), None).map(|_| ());
        let (server, address) = cluster_server(|_| {});
        assert!(matches!(start(address), Err(ServerError::Listen { protocol: "TCP", .. })));
        // Another server whose UDP sockets would share the address.
        let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        other.set_reuse_port(true).unwrap();
        let shared: SocketAddr = "127.0.0.1:5300".parse().unwrap();
        other.bind(&shared.into()).unwrap();
        let error = start(shared).unwrap_err();
        assert!(matches!(error, ServerError::Listen { protocol: "UDP", .. }));
        assert!(error.to_string().starts_with("cannot listen on UDP 127.0.0.1:5300: "), "{error}");
        assert!(start("192.0.2.1:53".parse().unwrap()).is_err(), "an address that the machine does not have");
        server.shutdown().await;
    });
}

#[test]
fn a_server_needs_an_address_something_to_answer_from_and_no_circle() {
    inside("dns-config", &[], || async {
        let forwarder = |upstream: &str| {
            let config = Settings::to([upstream.parse().unwrap()]);
            Some(Arc::new(Forwarder::new(config).unwrap()))
        };
        let start = |listen: &[&str], upstream: Option<&str>| {
            let listen = listen.iter().map(|address| address.parse().unwrap()).collect();
            let config = Config { listen, workers: 1, ..Config::default() };
            Server::start(&config, None, upstream.and_then(forwarder)).map(|_| ())
        };
        assert!(matches!(start(&[], Some("127.0.0.2:53")), Err(ServerError::NoAddress)));
        assert!(matches!(start(&["127.0.0.1:53"], None), Err(ServerError::NoSource)));
        assert!(matches!(start(&["127.0.0.1:53"], Some("127.0.0.1:53")), Err(ServerError::Loop { .. })));
        assert!(matches!(start(&["0.0.0.0:53"], Some("127.0.0.7:53")), Err(ServerError::Loop { .. })));
        assert!(start(&["127.0.0.1:53"], Some("127.0.0.2:53")).is_ok());
        assert!(Forwarder::new(Settings::default()).is_err());
        for upstream in ["0.0.0.0:53", "127.0.0.1:0"] {
            let upstreams = vec![upstream.parse().unwrap()];
            assert!(Forwarder::new(Settings::to(upstreams)).is_err());
        }
    });
    assert!(matches!(Server::start(&config(LOCAL), Some(index()), None), Err(ServerError::Runtime(_))));
}

#[test]
fn who_is_no_client_meets_silence() {
    inside("dns-clients", &["10.9.0.1/32"], || async {
        let (server, address) = cluster_server(|config| {
            config.listen = vec!["0.0.0.0:53".parse().unwrap()];
            config.clients = Some(vec!["10.9.0.0/24".parse().unwrap()]);
        });
        let at = |ip: &str| SocketAddr::new(ip.parse().unwrap(), address.port());
        // On loopback a question to an address leaves from that address.
        assert!(udp_within(at("10.9.0.1"), &question(WEB), PATIENCE).await.is_some());
        assert!(udp_within(at("127.0.0.1"), &question(WEB), SILENCE).await.is_none());
        assert_eq!(tcp(at("10.9.0.1"), &question(WEB)).await.answers.len(), 1);
        let mut stream = tokio::net::TcpStream::connect(at("127.0.0.1")).await.unwrap();
        assert!(receive(&mut stream).await.is_none());
        assert_eq!(server.counts().silent, 2);
        server.shutdown().await;
    });
}

#[test]
fn large_udp_answers_are_cut_and_whole_over_tcp() {
    inside("dns-large", &[], || async {
        let index = index();
        let addresses = (1..=200u8).map(|host| [10, 1, 0, host].into()).collect();
        let record = ServiceRecord {
            namespace: "shop".to_owned(),
            name: "wide".to_owned(),
            shape: Shape::ClusterIp(addresses),
            ports: vec![PortRecord::default()],
        };
        index.set_service(&record).unwrap();
        let server = Server::start(&config(LOCAL), Some(index), None).unwrap();
        let address = server.addresses()[0];
        let wide = "wide.shop.svc.cluster.local";
        let cut = udp(address, &asking::question(wide, rtype::A, None)).await;
        assert!(cut.metadata.truncation && cut.answers.len() < 30);
        assert_eq!(udp(address, &asking::question(wide, rtype::A, Some(4096))).await.answers.len(), 200);
        assert_eq!(tcp(address, &asking::question(wide, rtype::A, None)).await.answers.len(), 200);
        assert_eq!(server.counts().truncated, 1);
        server.shutdown().await;
    });
}
