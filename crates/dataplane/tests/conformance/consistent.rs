//! Services whose nodes choose alike: two nodes, each with an endpoint, and a router that leads clients' packets to one of
//! them.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use dataplane::backend::{fake, nftables};
use dataplane::model::{
    EndpointSlice, IpMode, LoadBalancerAddress, Node, Protocol, Service, ServicePort, SliceEndpoint, SlicePort,
};
use dataplane::route::Packet;
use dataplane::trace::{Outcome, Tracer};
use dataplane::{Config, Dataplane, Family, Model, NamespacedName};
use testbed::{Lab, Namespace, TcpServer};

use crate::world::ip;

const VIP: &str = "198.51.100.1";
const CLIENT: &str = "192.0.2.10";
/// Enough that each endpoint has some.
const CONNECTIONS: usize = 24;

fn address(family: Family, text: &str) -> IpAddr {
    if family == Family::V4 { ip(text) } else { crate::world::v6(ip(text)) }
}

/// The node `n`, which knows how to reach the other.
fn node(family: Family, n: usize) -> Node {
    let name = |n: usize| format!("node-{n}").into();
    let at = |n: usize| vec![address(family, &format!("10.0.0.{n}"))];
    Node { name: name(n), addresses: at(n), takers: [(name(3 - n), at(3 - n))].into(), ..Node::default() }
}

/// Says that these endpoints serve: the number of the node, and the port.
fn tell(model: &mut Model, family: Family, endpoints: &[(usize, u16)]) {
    let own = NamespacedName::new("default", "web");
    let port = |number: u16| number.try_into().unwrap();
    model.set_service(
        own.clone(),
        Service {
            cluster_ips: vec![address(family, "10.96.0.9")],
            load_balancer: vec![LoadBalancerAddress { address: address(family, VIP), mode: IpMode::Vip }],
            ports: vec![ServicePort { name: "".into(), protocol: Protocol::Tcp, port: port(80), node_port: None }],
            consistent: true,
            ..Service::default()
        },
    );
    for number in [8080, 8081] {
        let of_port = endpoints.iter().filter(|(_, port)| *port == number).map(|(n, _)| SliceEndpoint {
            node: Some(format!("node-{n}").into()),
            ..SliceEndpoint::new(address(family, &format!("10.244.{n}.2")))
        });
        let ports = vec![SlicePort { name: "".into(), protocol: Protocol::Tcp, port: port(number) }];
        let slice = EndpointSlice { ports, endpoints: of_port.collect(), ..EndpointSlice::new(own.clone()) };
        model.set_slice(NamespacedName::new("default", &format!("web-{number}")), slice);
    }
}

#[test]
fn each_node_serves_its_own_endpoints_and_passes_the_rest_on() {
    for family in [Family::V4, Family::V6] {
        let config = Config { families: vec![family], ..Config::default() };
        let mut both = [1, 2].map(|n| Dataplane::new(fake::Backend::new(config.clone()), node(family, n)));
        for dataplane in &mut both {
            tell(dataplane.model_mut(), family, &[(1, 8080), (2, 8080)]);
            dataplane.sync().unwrap();
        }
        let packet = Packet {
            source: address(family, CLIENT),
            source_port: 40_000,
            destination: address(family, VIP),
            port: 80,
            protocol: 6,
            interface: Default::default(),
            made_here: false,
        };
        let mut served = [0_u32, 0];
        for slot in 0..u32::try_from(dataplane::route::SLOTS).unwrap() {
            let outcomes: Vec<Outcome> = both
                .iter()
                .map(|dataplane| {
                    let trace = Tracer::new(&dataplane.backend().ruleset).trace(&packet, &mut |_| slot).unwrap();
                    assert_eq!(trace.priority, 0, "{:?}", trace.steps);
                    trace.outcome
                })
                .collect();
            let n = usize::from(matches!(outcomes[0], Outcome::PassedOn { .. }));
            served[n] += 1;
            let to = address(family, &format!("10.0.0.{}", n + 1));
            assert_eq!(outcomes[1 - n], Outcome::PassedOn { to }, "{slot}");
            let pod = address(family, &format!("10.244.{}.2", n + 1));
            assert!(
                matches!(outcomes[n], Outcome::Forwarded { to, masquerade: true } if to.address == pod),
                "{slot}: {:?}",
                outcomes[n]
            );
        }
        assert!(served[0].abs_diff(served[1]) <= 1, "{served:?}");

        // A node that takes nothing any more is served by all.
        let without = Node { takers: Default::default(), ..node(family, 1) };
        both[0].model_mut().set_node(without);
        both[0].sync().unwrap();
        let mut seen = BTreeSet::new();
        for slot in 0..20 {
            seen.insert(Tracer::new(&both[0].backend().ruleset).trace(&packet, &mut |_| slot).unwrap().outcome);
        }
        assert!(seen.len() == 2 && seen.iter().all(|outcome| matches!(outcome, Outcome::Forwarded { .. })), "{seen:?}");
    }
}

/// A client behind a router, and two nodes with a Pod each.
struct World {
    client: Namespace,
    router: Namespace,
    kernels: Vec<Dataplane<nftables::Backend>>,
    _rest: (Vec<Namespace>, Vec<TcpServer>),
}

impl World {
    fn new() -> anyhow::Result<World> {
        let lab = Lab::new("consistent");
        let [client, router, one, two] =
            ["client", "router", "one", "two"].map(|place| lab.namespace(place)).map(Result::unwrap);
        let switch = lab.segment("switch", "eth0", &[&router, &one, &two])?;
        lab.veth((&client, "eth0"), (&router, "wan"))?;
        client.add_address("eth0", format!("{CLIENT}/24").parse()?)?;
        router.add_address("wan", "192.0.2.1/24".parse()?)?;
        router.add_address("eth0", "10.0.0.254/24".parse()?)?;
        client.add_route("0.0.0.0/0".parse()?, ip("192.0.2.1"))?;
        router.set_sysctl("net.ipv4.ip_forward", "1")?;
        let mut rest = (vec![switch], Vec::new());
        let mut kernels = Vec::new();
        for (n, place) in [(1, one), (2, two)] {
            let pod = lab.namespace(&format!("pod{n}"))?;
            lab.veth((&place, "pod"), (&pod, "eth0"))?;
            place.add_address("eth0", format!("10.0.0.{n}/24").parse()?)?;
            place.add_address("pod", format!("10.244.{n}.1/24").parse()?)?;
            pod.add_address("eth0", format!("10.244.{n}.2/24").parse()?)?;
            pod.add_route("0.0.0.0/0".parse()?, ip(&format!("10.244.{n}.1")))?;
            place.add_route("0.0.0.0/0".parse()?, ip("10.0.0.254"))?;
            place.add_route(format!("10.244.{}.0/24", 3 - n).parse()?, ip(&format!("10.0.0.{}", 3 - n)))?;
            for (key, value) in [("ip_forward", "1"), ("conf.all.rp_filter", "0"), ("conf.all.send_redirects", "0")] {
                place.set_sysctl(&format!("net.ipv4.{key}"), value)?;
            }
            place.set_sysctl("net.netfilter.nf_conntrack_tcp_be_liberal", "1")?;
            for port in [8080, 8081] {
                let at = SocketAddr::new(ip(&format!("10.244.{n}.2")), port);
                rest.1.push(TcpServer::start(&pod, at, &format!("pod{n}:{port}"))?);
            }
            let backend = place.run(|| nftables::Backend::new(Config::default()))??;
            kernels.push(Dataplane::new(backend, node(Family::V4, n)));
            rest.0.extend([pod, place]);
        }
        Ok(World { client, router, kernels, _rest: rest })
    }

    fn tell(&mut self, endpoints: &[(usize, u16)]) {
        for kernel in &mut self.kernels {
            tell(kernel.model_mut(), Family::V4, endpoints);
            kernel.sync().unwrap();
        }
    }

    /// Packets for the address go to a node from now on.
    fn lead_to(&self, n: usize) {
        let arguments = ["route", "replace", VIP, "via", &format!("10.0.0.{n}")];
        assert!(self.router.command("ip").args(arguments).status().unwrap().success());
    }

    fn connect(&self) -> Stream {
        let to = SocketAddr::new(ip(VIP), 80);
        let stream = self.client.run(|| TcpStream::connect_timeout(&to, Duration::from_secs(10))).unwrap().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        Stream { stream, server: line.split(' ').next().unwrap().to_owned() }
    }
}

struct Stream {
    stream: BufReader<TcpStream>,
    server: String,
}

impl Stream {
    fn lives(&mut self) -> bool {
        let mut back = [0; 4];
        self.stream.get_mut().write_all(b"ping").and_then(|()| self.stream.read_exact(&mut back)).is_ok()
            && &back == b"ping"
    }
}

/// How many of them live.
fn living(streams: &mut [Stream]) -> usize {
    streams.iter_mut().map(|stream| usize::from(stream.lives())).sum()
}

#[test]
fn a_connection_goes_on_when_the_router_leads_it_to_another_node() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let mut world = World::new()?;
    world.tell(&[(1, 8080), (2, 8080)]);
    world.lead_to(1);
    let mut streams: Vec<Stream> = (0..CONNECTIONS).map(|_| world.connect()).collect();
    let servers: BTreeSet<&str> = streams.iter().map(|stream| stream.server.as_str()).collect();
    assert_eq!(servers, BTreeSet::from(["pod1:8080", "pod2:8080"]));
    for n in [2, 1, 2] {
        world.lead_to(n);
        assert_eq!(living(&mut streams), CONNECTIONS, "by node {n}");
    }
    // An endpoint comes and goes: where connections go is remembered by the node that they come to.
    world.tell(&[(1, 8080), (1, 8081), (2, 8080), (2, 8081)]);
    assert_eq!(living(&mut streams), CONNECTIONS);
    let more: BTreeSet<String> = (0..CONNECTIONS).map(|_| world.connect().server).collect();
    assert!(more.len() > 2, "{more:?}");
    world.tell(&[(1, 8080), (2, 8080)]);
    assert_eq!(living(&mut streams), CONNECTIONS);
    // The agent begins anew: nothing changes.
    let backend = world._rest.0.last().unwrap().run(|| nftables::Backend::new(Config::default()))??;
    world.kernels[1] = Dataplane::new(backend, node(Family::V4, 2));
    tell(world.kernels[1].model_mut(), Family::V4, &[(1, 8080), (2, 8080)]);
    assert_eq!(world.kernels[1].sync()?.changes, 0);
    assert_eq!(living(&mut streams), CONNECTIONS);
    Ok(())
}

#[test]
fn without_it_a_connection_breaks() -> anyhow::Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let mut world = World::new()?;
    world.tell(&[(1, 8080), (2, 8080)]);
    for kernel in &mut world.kernels {
        let node = Node { takers: Default::default(), ..kernel.model().node().clone() };
        kernel.model_mut().set_node(node);
        kernel.sync()?;
    }
    world.lead_to(1);
    let mut streams: Vec<Stream> = (0..CONNECTIONS).map(|_| world.connect()).collect();
    assert_eq!(living(&mut streams), CONNECTIONS);
    world.lead_to(2);
    assert_eq!(living(&mut streams), 0);
    Ok(())
}
