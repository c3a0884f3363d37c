//! Packets that conntrack cannot place: out of a connection's window (kubernetes#74839), or of a connection of which
//! only one direction passes here. The first must not reach a client with the endpoint's own address, which the client
//! would answer with a reset; the second must pass. The answer is one switch of the kernel and no rule: with
//! `nf_conntrack_tcp_be_liberal` a packet out of the window is one of its connection's.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use dataplane::Config;
use etherparse::PacketBuilder;
use socket2::{Domain, Protocol, Socket, Type};
use testbed::Lab;

use crate::packets::Cluster;
use crate::scene::{self, Kernel};
use crate::world;

const LIBERAL: &str = "net.netfilter.nf_conntrack_tcp_be_liberal";
const PATIENCE: Duration = Duration::from_secs(5);
/// Further than any window. (Ahead: since Linux 6.1 conntrack lets old packets be, whatever the switch says.)
const FAR_AHEAD: u32 = 1 << 28;

/// The numbers of the next byte to be sent and to be received, out of a live connection (tcp_repair).
fn sequence(stream: &TcpStream) -> anyhow::Result<(u32, u32)> {
    let set = |option: libc::c_int, value: libc::c_int| {
        let len = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the pointer is to one live int.
        let done =
            unsafe { libc::setsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, option, (&raw const value).cast(), len) };
        if done < 0 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
    };
    let get = |queue: libc::c_int| {
        set(libc::TCP_REPAIR_QUEUE, queue)?;
        let (mut value, mut len) = (0u32, size_of::<u32>() as libc::socklen_t);
        // SAFETY: the pointers are to a live number and its length.
        let done = unsafe {
            let value = (&raw mut value).cast();
            libc::getsockopt(stream.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_QUEUE_SEQ, value, &raw mut len)
        };
        if done < 0 { Err(std::io::Error::last_os_error()) } else { Ok(value) }
    };
    set(libc::TCP_REPAIR, 1)?;
    // TCP_RECV_QUEUE, TCP_SEND_QUEUE of linux/tcp.h; -1 leaves without a window probe.
    let (received, sent) = (get(1)?, get(2)?);
    set(libc::TCP_REPAIR, -1)?;
    Ok((sent, received))
}

/// Sends a bare acknowledgement as the kernel at `from` would.
fn inject(from: SocketAddr, to: SocketAddr, sequence: u32, acknowledged: u32) -> anyhow::Result<()> {
    let packet = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), 64),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), 64),
        _ => anyhow::bail!("{from} and {to} are of two families"),
    };
    let packet = packet.tcp(from.port(), to.port(), sequence, 1000).ack(acknowledged);
    let mut bytes = Vec::new();
    packet.write(&mut bytes, &[])?;
    let socket = Socket::new(Domain::for_address(to), Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))?;
    // A raw socket takes no port.
    socket.send_to(&bytes, &SocketAddr::new(to.ip(), 0).into())?;
    Ok(())
}

/// What becomes of a connection through a Service when the endpoint sends a packet out of its window; `None`: it lives.
fn after_a_stray_packet(
    cluster: &Cluster,
    (vip, endpoint): (SocketAddr, SocketAddr),
) -> anyhow::Result<Option<ErrorKind>> {
    let far = cluster.place("c");
    let listener = far.run(|| TcpListener::bind(endpoint))??;
    let client = cluster.place("p").run(|| TcpStream::connect_timeout(&vip, PATIENCE))??;
    let (server, peer) = listener.accept()?;
    for stream in [&client, &server] {
        stream.set_read_timeout(Some(PATIENCE))?;
    }
    let (sent, received) = sequence(&server)?;
    far.run(|| inject(endpoint, peer, sent.wrapping_add(FAR_AHEAD), received))??;
    // The stray packet is on its way before this one.
    let exchange = || -> std::io::Result<()> {
        let mut byte = [0];
        for (mut one, mut other) in [(&server, &client), (&client, &server), (&server, &client)] {
            one.write_all(b"x")?;
            other.read_exact(&mut byte)?;
        }
        Ok(())
    };
    Ok(exchange().err().map(|error| error.kind()))
}

fn kernel(cluster: &Cluster) -> anyhow::Result<Kernel> {
    let families = vec![dataplane::Family::V4, dataplane::Family::V6];
    let mut kernel = cluster.dataplane(Config { families, ..Config::default() })?;
    scene::set(kernel.model_mut(), "s", 10, "", "c:9000");
    let six = scene::row("", "c:9000").into_v6();
    kernel.model_mut().set_service(dataplane::NamespacedName::new("default", "six"), six.service);
    for slice in six.slices {
        let own = dataplane::NamespacedName::new("default", "six");
        kernel.model_mut().set_slice(own.clone(), dataplane::model::EndpointSlice { service: own, ..slice });
    }
    kernel.sync()?;
    Ok(kernel)
}

#[test]
fn a_packet_out_of_the_window_resets_no_connection() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let cluster = Cluster::new("window")?;
    let _kernel = kernel(&cluster)?;
    let (vip, endpoint) = (world::ip(world::VIP), world::ip(world::host("c").address));
    for (vip, endpoint) in [(vip, endpoint), (world::v6(vip), world::v6(endpoint))] {
        let at = (SocketAddr::new(vip, world::PORT), SocketAddr::new(endpoint, 9000));
        cluster.node.set_sysctl(LIBERAL, "0")?;
        let met = after_a_stray_packet(&cluster, at)?;
        assert_eq!(met, Some(ErrorKind::ConnectionReset), "{vip}: without the switch this would not be worth a test");
        cluster.node.set_sysctl(LIBERAL, "1")?;
        assert_eq!(after_a_stray_packet(&cluster, at)?, None, "{vip}");
    }
    Ok(())
}

/// Only one direction of a connection passes the node; to conntrack it is all out of place. It is no Service's, and
/// must pass.
#[test]
fn half_of_a_connection_passes() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let lab = Lab::new("asymmetric");
    let (client, node, server) = (lab.namespace("client")?, lab.namespace("node")?, lab.namespace("server")?);
    for (key, value) in [("net.ipv4.ip_forward", "1"), ("net.ipv4.conf.all.rp_filter", "0"), (LIBERAL, "1")] {
        node.set_sysctl(key, value)?;
    }
    lab.veth((&client, "direct"), (&server, "direct"))?;
    lab.veth((&client, "node"), (&node, "client"))?;
    lab.veth((&server, "node"), (&node, "server"))?;
    for place in [&client, &server] {
        for link in ["all", "direct", "node"] {
            place.set_sysctl(&format!("net.ipv4.conf.{link}.rp_filter"), "0")?;
        }
    }
    for (place, link, address) in [
        (&client, "direct", "192.0.2.1/32"),
        (&server, "direct", "192.0.2.2/32"),
        (&client, "node", "10.0.1.1/24"),
        (&node, "client", "10.0.1.2/24"),
        (&server, "node", "10.0.2.1/24"),
        (&node, "server", "10.0.2.2/24"),
    ] {
        place.add_address(link, address.parse()?)?;
    }
    // From the client straight to the server; from the server through the node to the client.
    client.add_link_route("192.0.2.2/32".parse()?, "direct")?;
    server.add_route("192.0.2.1/32".parse()?, world::ip("10.0.2.2"))?;
    node.add_route("192.0.2.1/32".parse()?, world::ip("10.0.1.1"))?;
    node.add_route("192.0.2.2/32".parse()?, world::ip("10.0.2.1"))?;
    let backend = node.run(|| dataplane::backend::nftables::Backend::new(Config::default()))??;
    let mut kernel = dataplane::Dataplane::new(backend, world::node());
    scene::set(kernel.model_mut(), "s", 10, "np lb ext", "c");
    kernel.sync()?;

    let _echo = testbed::TcpServer::start(&server, "192.0.2.2:80".parse()?, "server")?;
    let from = SocketAddr::new(world::ip("192.0.2.1"), 0);
    let answer = testbed::ask_tcp_from(&client, from, "192.0.2.2:80".parse()?)?;
    assert_eq!((answer.name.as_str(), answer.seen_as.ip()), ("server", from.ip()));
    // And the other half: requests through the node, replies past it.
    client.add_route("192.0.2.2/31".parse()?, world::ip("10.0.1.2"))?;
    let _other = testbed::TcpServer::start(&client, "192.0.2.1:80".parse()?, "client")?;
    let answer = testbed::ask_tcp_from(&server, SocketAddr::new(world::ip("192.0.2.2"), 0), "192.0.2.1:80".parse()?)?;
    assert_eq!((answer.name.as_str(), answer.seen_as.ip()), ("client", world::ip("192.0.2.2")));
    // It did come this way.
    let forwarded = node.run(|| std::fs::read_to_string("/proc/thread-self/net/snmp"))??;
    let ip: Vec<&str> = forwarded.lines().filter(|line| line.starts_with("Ip:")).collect();
    let column = ip[0].split_whitespace().position(|name| name == "ForwDatagrams").unwrap();
    let count: u64 = ip[1].split_whitespace().nth(column).unwrap().parse()?;
    assert!(count >= 6, "only {count} packets were forwarded");
    Ok(())
}
