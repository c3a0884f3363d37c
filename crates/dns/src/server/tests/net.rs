//! A namespace with a runtime in it, a server to ask, and ways to ask it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::asking;
use crate::forward::{Forwarder, Settings};
use crate::index::{Index, IndexOptions, PortRecord, ServiceRecord, Shape};
use crate::protocol::rtype;
use crate::server::{Config, Server};

/// Longer than anything here may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Long enough for an answer that must not come.
pub(super) const SILENCE: Duration = Duration::from_millis(150);
pub(super) const LOCAL: &str = "127.0.0.1:0";
pub(super) const WEB: &str = "web.shop.svc.cluster.local";

/// Runs a test in a fresh namespace whose loopback has these addresses too.
pub(super) fn inside<F: Future<Output = ()>>(test: &str, addresses: &[&str], body: impl FnOnce() -> F + Send) {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let lab = testbed::Lab::new(test);
    let namespace = lab.namespace("dns").unwrap();
    for address in addresses {
        namespace.add_address("lo", address.parse().unwrap()).unwrap();
    }
    namespace
        .run(|| {
            for address in addresses {
                let ip = address.split('/').next().unwrap_or_default().parse().unwrap();
                testbed::wait_until(PATIENCE, "the address is reached", || is_reached(ip)).unwrap();
            }
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(body());
        })
        .unwrap();
}

/// Whether a datagram to an address of this namespace arrives. The kernel makes the local route of a fresh IPv6 address
/// a moment after the address itself, and loses what is sent before.
fn is_reached(ip: std::net::IpAddr) -> bool {
    let reach = || {
        let socket = std::net::UdpSocket::bind((ip, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        socket.send_to(b"x", socket.local_addr()?)?;
        socket.recv(&mut [0])
    };
    reach().is_ok()
}

pub(super) fn index() -> Arc<Index> {
    let index = Index::new(&IndexOptions::default()).unwrap();
    let set = |name: &str, shape| {
        let ports = vec![PortRecord { name: "http".to_owned(), number: Some(80), ..PortRecord::default() }];
        let record = ServiceRecord { namespace: "shop".to_owned(), name: name.to_owned(), shape, ports };
        index.set_service(&record).unwrap();
    };
    set("web", Shape::ClusterIp(vec!["10.96.0.9".parse().unwrap()]));
    set("ext", Shape::ExternalName("www.example.com".to_owned()));
    index.set_synced(true);
    Arc::new(index)
}

pub(super) fn config(listen: &str) -> Config {
    Config { listen: vec![listen.parse().unwrap()], workers: 2, ..Config::default() }
}

/// A server of cluster names alone.
pub(super) fn cluster_server(change: impl FnOnce(&mut Config)) -> (Server, SocketAddr) {
    let mut config = config(LOCAL);
    change(&mut config);
    let server = Server::start(&config, Some(index()), None).unwrap();
    let address = server.addresses()[0];
    (server, address)
}

/// A server of cluster names that forwards the others.
pub(super) fn forwarding_server(upstreams: &[SocketAddr], change: impl FnOnce(&mut Settings)) -> Forwarding {
    let mut config = Settings::to(upstreams.iter().copied());
    config.routes[0].patience = Duration::from_millis(200);
    config.deadline = Duration::from_millis(1500);
    change(&mut config);
    let forwarder = Arc::new(Forwarder::new(config).unwrap());
    let server = Server::start(&self::config(LOCAL), Some(index()), Some(Arc::clone(&forwarder))).unwrap();
    let address = server.addresses()[0];
    Forwarding { server, address, forwarder }
}

pub(super) struct Forwarding {
    pub(super) server: Server,
    pub(super) address: SocketAddr,
    pub(super) forwarder: Arc<Forwarder>,
}

impl Forwarding {
    pub(super) async fn told(&self, name: &str) -> String {
        asking::told(&udp(self.address, &question(name)).await)
    }
}

pub(super) fn question(name: &str) -> Vec<u8> {
    asking::question(name, rtype::A, Some(1232))
}

/// The answer to a datagram.
pub(super) async fn udp(server: SocketAddr, packet: &[u8]) -> Message {
    let answer = udp_within(server, packet, PATIENCE).await.unwrap_or_else(|| panic!("no answer comes from {server}"));
    Message::from_vec(&answer).unwrap()
}

/// The answer to a datagram, if one comes in time.
pub(super) async fn udp_within(server: SocketAddr, packet: &[u8], patience: Duration) -> Option<Vec<u8>> {
    let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).await.unwrap();
    // Connected: an answer from another address than was asked does not arrive.
    socket.connect(server).await.unwrap();
    socket.send(packet).await.unwrap();
    let mut buffer = vec![0; 65_535];
    let length = timeout(patience, socket.recv(&mut buffer)).await.ok()?.unwrap();
    buffer.truncate(length);
    Some(buffer)
}

pub(super) async fn send(stream: &mut TcpStream, packet: &[u8]) {
    let framed = [&(packet.len() as u16).to_be_bytes(), packet].concat();
    stream.write_all(&framed).await.unwrap();
}

/// The next answer on a connection, or `None` at its end.
pub(super) async fn receive(stream: &mut TcpStream) -> Option<Message> {
    let next = async {
        let length = stream.read_u16().await.ok()?;
        let mut packet = vec![0; usize::from(length)];
        stream.read_exact(&mut packet).await.ok()?;
        Some(Message::from_vec(&packet).unwrap())
    };
    timeout(PATIENCE, next).await.expect("an answer or the end comes")
}

/// The answer to one question over TCP.
pub(super) async fn tcp(server: SocketAddr, packet: &[u8]) -> Message {
    let mut stream = TcpStream::connect(server).await.unwrap();
    send(&mut stream, packet).await;
    receive(&mut stream).await.expect("an answer comes")
}

/// Waits until a condition holds.
pub(super) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let poll = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, poll).await.unwrap_or_else(|_| panic!("never: {what}"));
}
