use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::net::*;
use super::upstream::{Manner, Upstream};
use crate::asking;
use crate::server::TcpLimits;

fn limits(change: impl FnOnce(&mut TcpLimits)) -> TcpLimits {
    let mut limits = TcpLimits::default();
    change(&mut limits);
    limits
}

fn numbered(id: u16, name: &str) -> Vec<u8> {
    let mut packet = question(name);
    packet[..2].copy_from_slice(&id.to_be_bytes());
    packet
}

#[test]
fn questions_on_one_connection_are_all_answered() {
    inside("dns-pipe", &[], || async {
        let (server, address) = cluster_server(|_| {});
        let mut stream = TcpStream::connect(address).await.unwrap();
        let mut all = Vec::new();
        for id in 0..500u16 {
            let packet = numbered(id, WEB);
            all.extend((packet.len() as u16).to_be_bytes());
            all.extend(packet);
        }
        let (mut reading, mut writing) = stream.split();
        let write = async { writing.write_all(&all).await.unwrap() };
        let read = async {
            use tokio::io::AsyncReadExt;
            for id in 0..500u16 {
                let length = reading.read_u16().await.unwrap();
                let mut packet = vec![0; usize::from(length)];
                reading.read_exact(&mut packet).await.unwrap();
                assert_eq!(packet[..2], id.to_be_bytes());
            }
        };
        tokio::time::timeout(PATIENCE, async { tokio::join!(write, read) }).await.unwrap();
        assert_eq!(server.counts().tcp, 500);
        server.shutdown().await;
    });
}

#[test]
fn an_answer_that_waits_does_not_hold_up_the_next() {
    inside("dns-order", &[], || async {
        let upstream = Upstream::start(Manner::Slow(Duration::from_millis(100))).await;
        let forwarding = forwarding_server(&[upstream.address], |_| {});
        let mut stream = TcpStream::connect(forwarding.address).await.unwrap();
        send(&mut stream, &numbered(1, "slow.example.com")).await;
        send(&mut stream, &numbered(2, WEB)).await;
        // Half closed: what was asked is answered all the same.
        stream.shutdown().await.unwrap();
        assert_eq!(receive(&mut stream).await.unwrap().metadata.id, 2);
        let slow = receive(&mut stream).await.unwrap();
        assert_eq!((slow.metadata.id, asking::told(&slow)), (1, "slow.example.com. A 192.0.2.1".to_owned()));
        assert!(receive(&mut stream).await.is_none());
        forwarding.server.shutdown().await;
    });
}

#[test]
fn silent_and_half_spoken_connections_are_closed() {
    inside("dns-idle", &[], || async {
        let idle = Duration::from_millis(100);
        let (server, address) = cluster_server(|config| config.tcp = limits(|limits| limits.idle = idle));
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(&[0, 30, 1, 2, 3]).await.unwrap();
        assert!(receive(&mut silent).await.is_none());
        assert!(receive(&mut half).await.is_none());
        server.shutdown().await;
    });
}

#[test]
fn a_connection_that_waits_for_an_answer_is_not_idle() {
    inside("dns-patient", &[], || async {
        let upstream = Upstream::start(Manner::Slow(Duration::from_millis(300))).await;
        let to = crate::forward::Settings::to([upstream.address]);
        let forwarder = std::sync::Arc::new(crate::Forwarder::new(to).unwrap());
        let mut config = config(LOCAL);
        config.tcp.idle = Duration::from_millis(50);
        let server = crate::Server::start(&config, None, Some(forwarder)).unwrap();
        let mut stream = TcpStream::connect(server.addresses()[0]).await.unwrap();
        send(&mut stream, &question("slow.example.com")).await;
        assert_eq!(asking::told(&receive(&mut stream).await.unwrap()), "slow.example.com. A 192.0.2.1");
        server.shutdown().await;
    });
}

#[test]
fn connections_are_bounded_for_all_and_for_each() {
    inside("dns-bound", &["10.9.0.1/32", "10.9.0.2/32"], || async {
        let (server, address) = cluster_server(|config| {
            config.listen = vec!["0.0.0.0:53".parse().unwrap()];
            config.tcp = limits(|limits| (limits.connections, limits.per_client) = (3, 2));
        });
        let open = |ip: &str| {
            let address = std::net::SocketAddr::new(ip.parse().unwrap(), address.port());
            async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                send(&mut stream, &question(WEB)).await;
                receive(&mut stream).await.map(|_| stream)
            }
        };
        let first = open("10.9.0.1").await.unwrap();
        let _second = open("10.9.0.1").await.unwrap();
        assert!(open("10.9.0.1").await.is_none(), "a third of one client");
        let _other = open("10.9.0.2").await.unwrap();
        assert!(open("127.0.0.1").await.is_none(), "a fourth of all");
        assert_eq!(server.counts().turned_away, 2);
        drop(first);
        let start = std::time::Instant::now();
        while open("127.0.0.1").await.is_none() {
            assert!(start.elapsed() < PATIENCE, "a place is free again");
        }
        server.shutdown().await;
    });
}

#[test]
fn bad_streams_end_without_harm() {
    inside("dns-streams", &[], || async {
        let (server, address) = cluster_server(|_| {});
        let mut oversized = TcpStream::connect(address).await.unwrap();
        oversized.write_all(&[0xff, 0xff, 0, 0]).await.unwrap();
        assert!(receive(&mut oversized).await.is_none());
        let mut scrap = TcpStream::connect(address).await.unwrap();
        send(&mut scrap, &[1, 2, 3]).await;
        assert!(receive(&mut scrap).await.is_none());
        let mut broken = TcpStream::connect(address).await.unwrap();
        let mut packet = question(WEB);
        packet.truncate(20);
        send(&mut broken, &packet).await;
        send(&mut broken, &question(WEB)).await;
        assert_eq!(asking::told(&receive(&mut broken).await.unwrap()), "FORMERR");
        assert_eq!(receive(&mut broken).await.unwrap().answers.len(), 1);
        drop(broken);
        assert_eq!(tcp(address, &question(WEB)).await.answers.len(), 1);
        server.shutdown().await;
    });
}
