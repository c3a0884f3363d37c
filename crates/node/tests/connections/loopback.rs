//! Node ports at 127.0.0.1 and ::1.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use dataplane::Family;
use dataplane::model::{Protocol, TrafficPolicy};
use node::counters::Counters;
use node::loopback::Relay;
use testbed::{TcpServer, UdpServer, ask_tcp, ask_udp, wait_until};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::bed::{self, Bed, Kernel, NODE, NODE_PORT, PORT, of, target};

const PATIENCE: Duration = Duration::from_secs(5);
const ENDPOINT: &str = "10.244.2.1";

/// A node with a relay and one endpoint.
struct World {
    bed: Bed,
    kernel: Kernel,
    endpoint: testbed::Namespace,
    counters: Arc<Counters>,
    stop: CancellationToken,
    _runtime: tokio::runtime::Runtime,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn world(test: &str, protocol: Protocol, endpoints: &[&str]) -> Result<World> {
    let bed = Bed::new(test)?;
    let endpoint = bed.neighbour("c", ENDPOINT)?;
    let runtime = bed.runtime()?;
    let (counters, stop) = (Arc::<Counters>::default(), CancellationToken::new());
    let (told, cancel) = (counters.clone(), stop.clone());
    // The relay is of the namespace of the thread that makes it: a thread of the runtime.
    let port = runtime.block_on(async move {
        let task = tokio::spawn(async move {
            let relay = Relay::bind().unwrap();
            let port = relay.port();
            let (_, node) = watch::channel(bed::node(Some(port)));
            tokio::spawn(relay.run(node, told, cancel));
            port
        });
        task.await
    })?;
    let mut kernel = bed.kernel(Some(port))?;
    bed::set(&mut kernel, "web", bed::service(protocol), endpoints);
    kernel.sync()?;
    Ok(World { bed, kernel, endpoint, counters, stop, _runtime: runtime })
}

fn loopback(family: Family, port: u16) -> SocketAddr {
    SocketAddr::new(of(family, "127.0.0.1"), port)
}

impl World {
    fn connect(&self, to: SocketAddr) -> Result<TcpStream> {
        let stream = self.bed.node.run(|| TcpStream::connect_timeout(&to, PATIENCE))??;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }
}

const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

#[test]
fn tcp() -> Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let mut world = world("loopback-tcp", Protocol::Tcp, &[ENDPOINT])?;
    for family in FAMILIES {
        let _server = TcpServer::start(&world.endpoint, target(family, ENDPOINT), "c")?;
        let answer = ask_tcp(&world.bed.node, loopback(family, NODE_PORT))?;
        // Masqueraded, as any process of the node is: by the address of the link to the endpoint.
        assert_eq!((answer.name.as_str(), answer.seen_as.ip()), ("c", of(family, "10.244.2.254")));
        // The node's own address works as before.
        assert_eq!(ask_tcp(&world.bed.node, SocketAddr::new(of(family, NODE), NODE_PORT))?.name, "c");
        // Other ports of loopback are not touched.
        let _own = TcpServer::start(&world.bed.node, loopback(family, PORT), "own")?;
        assert_eq!(ask_tcp(&world.bed.node, loopback(family, PORT))?.name, "own");
        // Nor is one who is at the node port itself reached while the Service has it.
        let _covered = TcpServer::start(&world.bed.node, loopback(family, NODE_PORT), "covered")?;
        assert_eq!(ask_tcp(&world.bed.node, loopback(family, NODE_PORT))?.name, "c");
    }
    let _server = TcpServer::start(&world.endpoint, target(Family::V4, ENDPOINT), "c")?;
    assert_eq!(ask_tcp(&world.bed.node, "127.9.9.9:30080".parse()?)?.name, "c");
    assert_eq!(world.counters.loopback_connections.get(), 5);
    wait_until(PATIENCE, "all are closed", || world.counters.loopback_connections_open.get() == 0)?;

    // `externalTrafficPolicy: Local`, no endpoint here: the node itself is served all the same.
    let local = dataplane::model::Service { external_policy: TrafficPolicy::Local, ..bed::service(Protocol::Tcp) };
    bed::set(&mut world.kernel, "web", local, &[ENDPOINT]);
    world.kernel.sync()?;
    assert_eq!(ask_tcp(&world.bed.node, loopback(Family::V4, NODE_PORT))?.name, "c");

    world.kernel.model_mut().remove_service(&bed::name("web"));
    world.kernel.sync()?;
    let _own = TcpServer::start(&world.bed.node, loopback(Family::V4, NODE_PORT), "own")?;
    assert_eq!(ask_tcp(&world.bed.node, loopback(Family::V4, NODE_PORT))?.name, "own");
    Ok(())
}

/// Each direction ends by itself: a client that has said all it has to say still hears the answer.
#[test]
fn a_connection_is_closed_half_by_half() -> Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let world = world("loopback-half", Protocol::Tcp, &[ENDPOINT])?;
    for family in FAMILIES {
        let listener = world.endpoint.run(|| TcpListener::bind(target(family, ENDPOINT)))??;
        let mut client = world.connect(loopback(family, NODE_PORT))?;
        let question: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
        let server = std::thread::spawn(move || -> std::io::Result<Vec<u8>> {
            let (mut server, _) = listener.accept()?;
            let mut heard = Vec::new();
            server.read_to_end(&mut heard)?;
            server.write_all(&heard)?;
            Ok(heard)
        });
        client.write_all(&question)?;
        client.shutdown(Shutdown::Write)?;
        let mut answer = Vec::new();
        client.read_to_end(&mut answer)?;
        assert!(server.join().unwrap()? == question && answer == question);
    }
    wait_until(PATIENCE, "all are closed", || world.counters.loopback_connections_open.get() == 0)
}

#[test]
fn a_reset_on_one_side_is_one_on_the_other() -> Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let world = world("loopback-reset", Protocol::Tcp, &[ENDPOINT])?;
    for family in FAMILIES {
        let listener = world.endpoint.run(|| TcpListener::bind(target(family, ENDPOINT)))??;
        let mut client = world.connect(loopback(family, NODE_PORT))?;
        let (server, _) = listener.accept()?;
        socket2::SockRef::from(&server).set_linger(Some(Duration::ZERO))?;
        drop(server);
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);

        let client = world.connect(loopback(family, NODE_PORT))?;
        let (mut server, _) = listener.accept()?;
        server.set_read_timeout(Some(PATIENCE))?;
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO))?;
        drop(client);
        assert_eq!(server.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
    Ok(())
}

/// Nobody listens at the endpoint; there is no endpoint; somebody connects to the relay itself.
#[test]
fn who_cannot_be_served_is_reset() -> Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let mut world = world("loopback-refused", Protocol::Tcp, &[ENDPOINT])?;
    let relay = world.kernel.model().node().loopback_relay.unwrap().get();
    let refused = |world: &World, port| -> Result<()> {
        for family in FAMILIES {
            // The connection may be reset before the client has seen that it was made.
            let met = world.bed.node.run(|| -> std::io::Result<usize> {
                let mut stream = TcpStream::connect_timeout(&loopback(family, port), PATIENCE)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.read(&mut [0])
            })?;
            assert_eq!(met.unwrap_err().kind(), ErrorKind::ConnectionReset, "{family}, port {port}");
        }
        Ok(())
    };
    refused(&world, NODE_PORT)?;
    refused(&world, relay)?;
    bed::set_endpoints(&mut world.kernel, "web", Protocol::Tcp, &[]);
    world.kernel.sync()?;
    refused(&world, NODE_PORT)?;
    assert_eq!(world.counters.loopback_connections_refused.get(), 6);
    assert_eq!(world.counters.loopback_connections.get(), 0);
    Ok(())
}

#[test]
fn udp() -> Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let mut world = world("loopback-udp", Protocol::Udp, &[ENDPOINT])?;
    let mut clients = Vec::new();
    let mut servers = Vec::new();
    for family in FAMILIES {
        servers.push(UdpServer::start(&world.endpoint, target(family, ENDPOINT), "c")?);
        let answer = ask_udp(&world.bed.node, loopback(family, NODE_PORT))?;
        assert_eq!((answer.name.as_str(), answer.seen_as.ip()), ("c", of(family, "10.244.2.254")));

        // One socket, many datagrams: one client. Large ones too.
        let client = world.bed.node.run(|| UdpSocket::bind(loopback(family, 0)))??;
        client.connect(loopback(family, NODE_PORT))?;
        client.set_read_timeout(Some(PATIENCE))?;
        for len in [1, 1000, 20_000] {
            let mut buffer = vec![0; 65_536];
            client.send(&vec![b'x'; len])?;
            let heard = client.recv(&mut buffer)?;
            let text = String::from_utf8_lossy(&buffer[..heard]);
            let (line, echo) = text.split_once('\n').unwrap();
            assert!(line.starts_with("c ") && echo.len() == len, "{line} with {} bytes", echo.len());
        }
        clients.push(client);
    }
    assert_eq!((world.counters.loopback_flows.get(), world.counters.loopback_flows_open.get()), (4, 4));

    // The relay's own flows are what they should be: nothing is stale.
    assert_eq!(world.kernel.check_flows()?.ended, 0);
    // When the Service goes, a socket that goes on sending reaches whoever is there.
    world.kernel.model_mut().remove_service(&bed::name("web"));
    world.kernel.sync()?;
    for (client, family) in clients.iter().zip(FAMILIES) {
        let _own = UdpServer::start(&world.bed.node, loopback(family, NODE_PORT), "own")?;
        let mut buffer = [0; 512];
        client.send(b"?")?;
        let len = client.recv(&mut buffer)?;
        assert!(buffer[..len].starts_with(b"own "), "{}", String::from_utf8_lossy(&buffer[..len]));
    }
    Ok(())
}

/// Two node ports, one client socket: each datagram goes where it was sent to.
#[test]
fn one_socket_may_ask_two_services() -> Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let mut world = world("loopback-two", Protocol::Udp, &[ENDPOINT])?;
    let other = world.bed.neighbour("d", "10.244.3.1")?;
    let mut second = bed::service(Protocol::Udp);
    second.ports[0].node_port = Some(bed::number(30081));
    second.cluster_ips = vec![bed::ip("10.96.0.11"), bed::v6(bed::ip("10.96.0.11"))];
    second.load_balancer.clear();
    bed::set(&mut world.kernel, "second", second, &["10.244.3.1"]);
    world.kernel.sync()?;
    for family in FAMILIES {
        let _first = UdpServer::start(&world.endpoint, target(family, ENDPOINT), "first")?;
        let _second = UdpServer::start(&other, target(family, "10.244.3.1"), "second")?;
        let client = world.bed.node.run(|| UdpSocket::bind(loopback(family, 0)))??;
        client.set_read_timeout(Some(PATIENCE))?;
        for (port, name) in [(NODE_PORT, "first"), (30081, "second"), (NODE_PORT, "first"), (30081, "second")] {
            let to = loopback(family, port);
            client.send_to(b"?", to)?;
            let mut buffer = [0; 512];
            let (len, from) = client.recv_from(&mut buffer)?;
            assert_eq!(from, to);
            assert!(buffer[..len].starts_with(name.as_bytes()), "{port}: {}", String::from_utf8_lossy(&buffer[..len]));
        }
    }
    Ok(())
}
