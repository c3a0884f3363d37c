//! UDP clients that keep their socket, while endpoints and Services come and go.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use dataplane::Node;

use crate::packets::Cluster;
use crate::scene::{Kernel, cluster, remove, set, vip};
use crate::world;

/// A client with one socket for ever.
struct Client(UdpSocket);

impl Client {
    fn new(cluster: &Cluster, who: &str, to: SocketAddr) -> anyhow::Result<Client> {
        let from = if who == "host" { "0.0.0.0" } else { world::host(who).address };
        let socket = cluster.place(who).run(|| -> std::io::Result<UdpSocket> {
            let socket = UdpSocket::bind(SocketAddr::new(world::ip(from), 0))?;
            socket.connect(to)?;
            socket.set_read_timeout(Some(Duration::from_millis(400)))?;
            Ok(socket)
        })??;
        Ok(Client(socket))
    }

    /// Who answers the next datagram; `None`: refused, or nobody.
    fn ask(&self) -> Option<String> {
        match self.0.send(b"?") {
            Ok(_) => {}
            Err(error) if [ErrorKind::ConnectionRefused, ErrorKind::PermissionDenied].contains(&error.kind()) => {}
            Err(error) => panic!("sending: {error}"),
        }
        let mut buffer = [0; 512];
        let len = self.0.recv(&mut buffer).ok()?;
        let line = String::from_utf8_lossy(&buffer[..len]).into_owned();
        line.split(':').next().map(str::to_owned)
    }

    /// The same, when an old refusal may still be waiting in the socket.
    fn ask_until_answered(&self) -> anyhow::Result<String> {
        testbed::wait_for(Duration::from_secs(5), "an answer", || self.ask())
    }
}

fn sync(kernel: &mut Kernel) -> anyhow::Result<usize> {
    let report = kernel.sync()?;
    assert!(report.flows_error.is_none(), "{:?}", report.flows_error);
    Ok(report.flows_ended)
}

/// From the first endpoint to the next, to nobody, back again, and to the end of the Service.
fn life(test: &str, who: &str, given: &str, to: SocketAddr) -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster(test)?;
    let client = Client::new(&cluster, who, to)?;
    // Before there is a Service: the kernel makes a connection that leads nowhere, or to a closed port of the node.
    client.ask();
    set(kernel.model_mut(), "s", 10, given, "");
    sync(&mut kernel)?;
    assert_eq!(client.ask(), None, "nobody serves");
    set(kernel.model_mut(), "s", 10, given, "a!");
    sync(&mut kernel)?;
    assert_eq!(client.ask(), None, "nobody is ready");
    set(kernel.model_mut(), "s", 10, given, "a");
    sync(&mut kernel)?;
    assert_eq!(client.ask_until_answered()?, "a");

    set(kernel.model_mut(), "s", 10, given, "a c");
    assert_eq!(sync(&mut kernel)?, 0, "its endpoint still serves");
    assert_eq!(client.ask_until_answered()?, "a");
    set(kernel.model_mut(), "s", 10, given, "a~ c");
    assert_eq!(sync(&mut kernel)?, 0, "its endpoint is going, but still serves");
    assert_eq!(client.ask_until_answered()?, "a");
    set(kernel.model_mut(), "s", 10, given, "a- c");
    assert_eq!(sync(&mut kernel)?, 1, "its endpoint no longer serves");
    assert_eq!(client.ask_until_answered()?, "c");

    set(kernel.model_mut(), "s", 10, given, "");
    assert_eq!(sync(&mut kernel)?, 1, "nobody serves");
    assert_eq!(client.ask(), None);
    set(kernel.model_mut(), "s", 10, given, "b");
    sync(&mut kernel)?;
    assert_eq!(client.ask_until_answered()?, "b");
    set(kernel.model_mut(), "s", 10, given, "b:8081");
    assert_eq!(sync(&mut kernel)?, 1, "the endpoint's port changed");
    assert_eq!(client.ask_until_answered()?, "b");

    remove(kernel.model_mut(), "s");
    assert_eq!(sync(&mut kernel)?, 1, "the Service is deleted");
    assert_eq!(client.ask(), None);
    assert_eq!(sync(&mut kernel)?, 0);
    Ok(())
}

#[test]
fn cluster_ip_from_a_pod() -> anyhow::Result<()> {
    life("flows-pod", "p", "udp", vip(10))
}

#[test]
fn cluster_ip_from_the_host() -> anyhow::Result<()> {
    life("flows-host", "host", "udp", vip(10))
}

#[test]
fn cluster_ip_with_affinity() -> anyhow::Result<()> {
    life("flows-affinity", "p", "udp affinity=60", vip(10))
}

#[test]
fn node_port_from_outside() -> anyhow::Result<()> {
    let node_port = SocketAddr::new(world::ip("172.30.0.1"), world::NODE_PORT);
    life("flows-node-port", "out", "udp np", node_port)
}

#[test]
fn load_balancer_from_outside() -> anyhow::Result<()> {
    let balanced = SocketAddr::new(world::ip(world::BALANCED), world::PORT);
    life("flows-balanced", "out", "udp lb", balanced)
}

#[test]
fn external_ip_from_outside() -> anyhow::Result<()> {
    let external = SocketAddr::new(world::ip(world::EXTERNAL), world::PORT);
    life("flows-external", "out", "udp ext", external)
}

/// Many Services at once are looked through in one pass; others' flows, and flows to the same port number elsewhere,
/// are left alone.
#[test]
fn only_stale_flows_are_ended() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("flows-many")?;
    for last in 1..=20 {
        let endpoint = if last <= 10 { "a" } else { "b" };
        set(kernel.model_mut(), &format!("s{last}-x"), last, "udp", endpoint);
    }
    sync(&mut kernel)?;
    let clients = (1..=20).map(|last| Client::new(&cluster, "p", vip(last))).collect::<anyhow::Result<Vec<_>>>()?;
    let direct = Client::new(&cluster, "p", SocketAddr::new(world::ip("10.244.1.1"), world::TARGET_PORT))?;
    for client in clients.iter().chain([&direct]) {
        client.ask_until_answered()?;
    }
    for last in 1..=10 {
        set(kernel.model_mut(), &format!("s{last}-x"), last, "udp", "c");
    }
    assert_eq!(sync(&mut kernel)?, 10);
    for (n, client) in clients.iter().enumerate() {
        assert_eq!(client.ask_until_answered()?, if n < 10 { "c" } else { "b" });
    }
    assert_eq!(direct.ask_until_answered()?, "a");
    Ok(())
}

/// An agent that was away finds the flows that went stale meanwhile.
#[test]
fn a_restart_ends_what_went_stale_meanwhile() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("flows-restart")?;
    set(kernel.model_mut(), "s", 10, "udp", "a");
    sync(&mut kernel)?;
    let client = Client::new(&cluster, "p", vip(10))?;
    assert_eq!(client.ask_until_answered()?, "a");
    let mut kernel = cluster.dataplane(dataplane::Config::default())?;
    kernel.model_mut().set_node(Node { ..world::node() });
    set(kernel.model_mut(), "s", 10, "udp", "c");
    assert_eq!(sync(&mut kernel)?, 1);
    assert_eq!(client.ask_until_answered()?, "c");
    Ok(())
}

/// The same when the Service itself went meanwhile: what the kernel still holds of it says which flows were its.
#[test]
fn a_restart_ends_flows_of_services_that_went_meanwhile() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    for (test, who, given, to) in [
        ("flows-gone", "p", "udp", vip(10)),
        ("flows-gone-np", "out", "udp np", SocketAddr::new(world::ip("172.30.0.1"), world::NODE_PORT)),
    ] {
        let (cluster, mut kernel) = cluster(test)?;
        set(kernel.model_mut(), "stays", 9, "udp", "a");
        set(kernel.model_mut(), "s", 10, given, "a");
        sync(&mut kernel)?;
        let (client, other) = (Client::new(&cluster, who, to)?, Client::new(&cluster, "p", vip(9))?);
        assert_eq!((client.ask_until_answered()?, other.ask_until_answered()?), ("a".to_owned(), "a".to_owned()));
        let mut kernel = cluster.dataplane(dataplane::Config::default())?;
        set(kernel.model_mut(), "stays", 9, "udp", "a");
        assert_eq!(sync(&mut kernel)?, 1);
        assert_eq!(client.ask(), None);
        assert_eq!(other.ask_until_answered()?, "a");
    }
    Ok(())
}

/// Before a Service has an address, packets to it go wherever the routes lead, and conntrack remembers that. When it
/// appears, in a kernel that is in step already, its clients are not held to that.
#[test]
fn a_service_that_appears_gets_the_clients_that_called_before() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let balanced = SocketAddr::new(world::ip(world::BALANCED), world::PORT);
    let node_port = SocketAddr::new(world::ip("172.30.0.1"), world::NODE_PORT);
    for (test, who, given, to) in [
        ("flows-new-lb", "out", "udp lb", balanced),
        ("flows-new-lb-pod", "p", "udp lb", balanced),
        ("flows-new-np", "out", "udp np", node_port),
        ("flows-new-np-host", "host", "udp np", node_port),
    ] {
        let (cluster, mut kernel) = cluster(test)?;
        set(kernel.model_mut(), "other", 9, "udp", "a");
        sync(&mut kernel)?;
        // Somebody listens at the node's own port, so that the node-port client's flow is a real one.
        let port = SocketAddr::new(world::ip("0.0.0.0"), world::NODE_PORT);
        let _own = testbed::UdpServer::start(&cluster.node, port, "own")?;
        let client = Client::new(&cluster, who, to)?;
        client.ask();
        set(kernel.model_mut(), "s", 10, given, "a");
        assert_eq!(sync(&mut kernel)?, 1, "{test}: the flow from before is still there");
        assert_eq!(client.ask_until_answered()?, "a", "{test}");
    }
    Ok(())
}

/// What slipped through, here by another agent's hand, is found without any change of a Service.
#[test]
fn the_invariant_is_checked_without_a_change() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let (cluster, mut kernel) = cluster("flows-check")?;
    let mut other = cluster.dataplane(dataplane::Config { table: "other".into(), ..Default::default() })?;
    set(other.model_mut(), "s", 10, "udp", "c");
    set(other.model_mut(), "t", 11, "udp", "b");
    other.sync()?;
    let (stale, right) = (Client::new(&cluster, "p", vip(10))?, Client::new(&cluster, "p", vip(11))?);
    let direct = Client::new(&cluster, "p", SocketAddr::new(world::ip("10.244.2.1"), world::TARGET_PORT))?;
    let answers = [stale.ask_until_answered()?, right.ask_until_answered()?, direct.ask_until_answered()?];
    assert_eq!(answers, ["c", "b", "c"]);
    other.backend_mut().cleanup()?;

    assert_eq!(kernel.check_flows()?.ended, 0, "nothing is known yet");
    set(kernel.model_mut(), "s", 10, "udp", "a");
    set(kernel.model_mut(), "t", 11, "udp", "a~ b");
    sync(&mut kernel)?;
    assert_eq!(stale.ask_until_answered()?, "a");
    // Behind the agent's back the flow goes over to an endpoint that is not the Service's.
    let table = nft::TableId::new(nft::Family::Ip, "portolan");
    let mut damage = nft::Batch::new();
    damage.delete(nft::ObjectId::Table(table));
    cluster.node.run(|| anyhow::Ok(nft::Socket::in_current_netns()?.commit(&damage)?))??;
    let mut other = cluster.dataplane(dataplane::Config { table: "other".into(), ..Default::default() })?;
    set(other.model_mut(), "s", 10, "udp", "c");
    other.sync()?;
    assert_eq!(stale.ask_until_answered()?, "c");
    other.backend_mut().cleanup()?;
    let report = kernel.check_flows()?;
    assert_eq!((report.connections, report.ended), (3, 1));
    assert_eq!(kernel.check_flows()?.ended, 0);
    kernel.forget();
    sync(&mut kernel)?;
    assert_eq!(stale.ask_until_answered()?, "a");
    assert_eq!((right.ask_until_answered()?, direct.ask_until_answered()?), ("b".to_owned(), "c".to_owned()));
    Ok(())
}
