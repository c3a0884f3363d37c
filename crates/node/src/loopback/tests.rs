use std::time::Duration;

use testbed::Lab;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_first_address_of_the_family_at_which_node_ports_answer() {
    for (addresses, chosen, asked, expected) in [
        ("172.30.0.1 fd00::1", "", "127.0.0.1", Some("172.30.0.1")),
        ("172.30.0.1 fd00::1", "", "::1", Some("fd00::1")),
        ("172.30.0.1", "", "::1", None),
        ("172.30.0.1 192.0.2.1", "192.0.2.0/24", "127.0.0.5", Some("192.0.2.1")),
        ("172.30.0.1 192.0.2.1", "198.51.100.0/24", "127.0.0.1", None),
        ("172.30.0.1 fd00::1", "172.30.0.0/24", "::1", None),
        ("", "", "127.0.0.1", None),
    ] {
        let node = Node {
            addresses: addresses.split_whitespace().map(ip).collect(),
            node_port_addresses: chosen.split_whitespace().map(|net| net.parse().unwrap()).collect(),
            ..Node::default()
        };
        assert_eq!(own_address(&node, ip(asked)), expected.map(ip), "{asked} of {addresses} with {chosen:?}");
    }
}

/// Two relays of one network, as of two nodes on one machine, and one after the other, as at a restart.
#[test]
fn one_port_for_both_protocols_and_families() {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let place = Lab::new("relay").namespace("node").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    place
        .run(|| {
            runtime.block_on(async {
                let first = Relay::bind().unwrap();
                assert_eq!(first.port().get(), USUAL_PORT);
                let second = Relay::bind().unwrap();
                assert_ne!(second.port(), first.port());
                for relay in [&first, &second] {
                    let expected: Vec<SocketAddr> =
                        ["127.0.0.1", "::1"].map(|address| SocketAddr::new(ip(address), relay.port().get())).into();
                    let addresses = |(tcp, udp): &(TcpListener, UdpSocket)| {
                        assert_eq!(tcp.local_addr().unwrap(), udp.local_addr().unwrap());
                        tcp.local_addr().unwrap()
                    };
                    assert_eq!(relay.sockets.iter().map(addresses).collect::<Vec<_>>(), expected);
                }
                drop(first);
                assert_eq!(Relay::bind().unwrap().port().get(), USUAL_PORT);
            });
        })
        .unwrap();
}

/// Beyond its bounds a relay says so: a connection is reset, a datagram dropped and counted.
#[test]
fn what_is_beyond_the_bounds_is_refused() {
    if testbed::skip_unless_root().is_some() {
        return;
    }
    let place = Lab::new("relay-full").namespace("node").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let full = async {
        let (counters, stop) = (Arc::<Counters>::default(), CancellationToken::new());
        let Relay { port, mut sockets, conntrack } = Relay::bind().unwrap();
        let (_tell, node) = watch::channel(Node::default());
        let connections = tcp::Connections::new(0, node.clone(), counters.clone());
        let (listener, socket) = sockets.remove(0);
        tokio::spawn(connections.accept(listener, port, stop.clone()));
        let flows = udp::Flows::new(0, conntrack, node, counters.clone());
        tokio::spawn(flows.relay(vec![socket], port, stop.clone()));

        let mut client = TcpStream::connect(("127.0.0.1", port.get())).await.unwrap();
        let met = client.read(&mut [0]).await.unwrap_err();
        assert_eq!(met.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(counters.loopback_connections_refused.get(), 1);
        let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        client.send_to(b"?", ("127.0.0.1", port.get())).await.unwrap();
        while counters.loopback_datagrams_dropped.get() == 0 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    place
        .run(|| runtime.block_on(async { tokio::time::timeout(PATIENCE, full).await.expect("within some seconds") }))
        .unwrap();
}
