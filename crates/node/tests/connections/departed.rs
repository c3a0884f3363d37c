//! Endpoints that leave without a word, and those that only seem to.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use dataplane::Family;
use dataplane::model::{Protocol, Service};
use node::connections::Connections;
use node::counters::Counters;
use testbed::{Namespace, TcpServer, wait_until};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::bed::{self, BALANCED, Bed, Kernel, NODE, NODE_PORT, PORT, TARGET_PORT, VIP, of, target};

/// A grace of two seconds and three of asking are among what is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
const FAMILIES: [Family; 2] = [Family::V4, Family::V6];

type Change = Box<dyn FnOnce(&mut Kernel) + Send>;

/// The node's loop, as far as connections are concerned.
struct Agent {
    changes: mpsc::Sender<(Change, oneshot::Sender<()>)>,
    counters: Arc<Counters>,
    stop: CancellationToken,
    runtime: tokio::runtime::Runtime,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Agent {
    fn start(bed: &Bed, mut kernel: Kernel) -> Result<Agent> {
        let runtime = bed.runtime()?;
        let (counters, stop) = (Arc::<Counters>::default(), CancellationToken::new());
        let (changes, mut told) = mpsc::channel::<(Change, oneshot::Sender<()>)>(1);
        let (own, cancel) = (counters.clone(), stop.clone());
        runtime.spawn(async move {
            let mut parts = JoinSet::new();
            let (_tell, node) = tokio::sync::watch::channel(bed::node(None));
            let mut connections = Connections::start(&mut parts, node, own, cancel.clone());
            loop {
                tokio::select! {
                    () = cancel.cancelled() => return,
                    Some((change, done)) = told.recv() => {
                        change(&mut kernel);
                        let report = kernel.sync().unwrap();
                        connections.synced(&report, &mut kernel);
                        done.send(()).unwrap();
                    }
                    due = connections.due() => connections.act(due, &mut kernel),
                }
            }
        });
        Ok(Agent { changes, counters, stop, runtime })
    }

    /// Changes what is wanted, and waits until the kernel holds it.
    fn change(&self, change: impl FnOnce(&mut Kernel) + Send + 'static) -> Result<()> {
        let (done, answer) = oneshot::channel();
        let sent = self.runtime.block_on(self.changes.send((Box::new(change), done)));
        sent.ok().context("the loop has ended")?;
        Ok(self.runtime.block_on(answer)?)
    }
}

/// A client with an open connection.
struct Client {
    what: String,
    stream: TcpStream,
}

impl Client {
    /// Connects, and hears the server's greeting.
    fn new(what: &str, place: &Namespace, to: SocketAddr) -> Result<Client> {
        let stream = place.run(|| TcpStream::connect_timeout(&to, PATIENCE))?.with_context(|| what.to_owned())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Client { what: format!("{what} to {to}"), stream };
        client.hear(b'\n')?;
        Ok(client)
    }

    fn hear(&mut self, last: u8) -> Result<()> {
        let mut byte = [0];
        while byte[0] != last {
            self.stream.read_exact(&mut byte).with_context(|| self.what.clone())?;
        }
        Ok(())
    }

    /// Whether what it says comes back.
    fn is_served(&mut self) -> Result<()> {
        self.stream.write_all(b"!").with_context(|| self.what.clone())?;
        self.hear(b'!')
    }

    /// Only listens, until there is nothing more to listen to.
    fn met_by_listening(&mut self) -> ErrorKind {
        match self.stream.read(&mut [0]) {
            Ok(len) => panic!("{}: heard {len} bytes", self.what),
            Err(error) => error.kind(),
        }
    }

    /// Says something from time to time, until it cannot.
    fn met_by_sending(&mut self) -> ErrorKind {
        self.stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let end = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < end {
            if let Err(error) = self.stream.write_all(b"?") {
                return error.kind();
            }
            match self.stream.read(&mut [0]) {
                Ok(len) => panic!("{}: heard {len} bytes", self.what),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return error.kind(),
            }
        }
        ErrorKind::TimedOut
    }
}

/// The ways an endpoint's machine may go.
#[derive(Debug, Clone, Copy)]
enum End {
    /// It does not answer, not even who it is.
    NoNeighbour,
    /// It takes what is sent to it and says nothing.
    Silence,
}

impl End {
    /// To be kept as long as it is to last.
    fn of(self, bed: &Bed, endpoint: &Namespace) -> Result<Option<Namespace>> {
        match self {
            End::NoNeighbour => endpoint.set_down("eth0").map(|()| None),
            End::Silence => {
                // What it sends, to others and to the node itself, leaves by a link to nowhere.
                let nowhere = bed.lab.namespace("nowhere")?;
                bed.lab.veth((endpoint, "eth1"), (&nowhere, "eth1"))?;
                let node = bed::v6(bed::ip("10.244.2.254"));
                let nodes = ["10.244.2.254/32".to_owned(), format!("{node}/128")];
                let others = ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"].map(str::to_owned);
                for range in nodes.into_iter().chain(others) {
                    endpoint.add_link_route(range.parse()?, "eth1")?;
                }
                endpoint.set_sysctl("net.ipv4.conf.all.rp_filter", "0")?;
                Ok(Some(nowhere))
            }
        }
    }
}

/// Every sort of client, one that sends and one that only listens; their endpoint goes, and another may be there.
fn reset(test: &str, end: End, left: &'static [&'static str]) -> Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let bed = Bed::new(test)?;
    let (endpoint, other) = (bed.neighbour("c", "10.244.2.1")?, bed.neighbour("d", "10.244.3.1")?);
    let (pod, outside) = (bed.neighbour("p", "10.244.1.9")?, bed.neighbour("out", "192.0.2.10")?);
    // The node's processes need a way to cluster IPs, whichever: it is not taken.
    for (range, gateway) in [("0.0.0.0/0", bed::ip("192.0.2.10")), ("::/0", bed::v6(bed::ip("192.0.2.10")))] {
        bed.node.add_route(range.parse()?, gateway)?;
    }
    let mut servers = Vec::new();
    for family in FAMILIES {
        servers.push(TcpServer::start(&endpoint, target(family, "10.244.2.1"), "c")?);
        servers.push(TcpServer::start(&other, target(family, "10.244.3.1"), "d")?);
    }
    let agent = Agent::start(&bed, bed.kernel(None)?)?;
    agent.change(|kernel| bed::set(kernel, "web", bed::service(Protocol::Tcp), &["10.244.2.1"]))?;

    let (mut senders, mut listeners) = (Vec::new(), Vec::new());
    for family in FAMILIES {
        let at = |address, port| SocketAddr::new(of(family, address), port);
        for (what, place, to) in [
            ("a Pod", &pod, at(VIP, PORT)),
            ("a Pod", &pod, at(NODE, NODE_PORT)),
            ("the node", &bed.node, at(VIP, PORT)),
            ("the node", &bed.node, at(NODE, NODE_PORT)),
            ("outside", &outside, at(NODE, NODE_PORT)),
            ("outside", &outside, at(BALANCED, PORT)),
        ] {
            senders.push(Client::new(what, place, to)?);
            listeners.push(Client::new(what, place, to)?);
        }
    }
    let untouched = SocketAddr::new(of(Family::V4, "10.244.3.1"), TARGET_PORT);
    let mut untouched = Client::new("past the Service", &pod, untouched)?;
    let count = (senders.len() + listeners.len()) as u64;

    let _end = end.of(&bed, &endpoint)?;
    agent.change(move |kernel| bed::set_endpoints(kernel, "web", Protocol::Tcp, left))?;
    let met: Vec<(String, ErrorKind)> = std::thread::scope(|scope| {
        let listening = listeners
            .iter_mut()
            .map(|client| scope.spawn(|| (format!("{}, listening", client.what), client.met_by_listening())));
        let sending = senders
            .iter_mut()
            .map(|client| scope.spawn(|| (format!("{}, sending", client.what), client.met_by_sending())));
        let all: Vec<_> = listening.chain(sending).collect();
        all.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let wrong: Vec<_> = met.iter().filter(|(_, kind)| *kind != ErrorKind::ConnectionReset).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(agent.counters.departed_flows_reset.get(), count);
    assert_eq!((agent.counters.departed_probes.get(), agent.counters.departed_dead.get()), (2, 2));
    untouched.is_served()
}

#[test]
fn clients_of_an_endpoint_that_is_not_there_are_reset() -> Result<()> {
    reset("departed-no-neighbour", End::NoNeighbour, &["10.244.3.1"])
}

#[test]
fn clients_of_an_endpoint_that_is_silent_are_reset() -> Result<()> {
    reset("departed-silent", End::Silence, &["10.244.3.1"])
}

#[test]
fn clients_of_a_service_that_has_nobody_left_are_reset() -> Result<()> {
    reset("departed-nobody", End::NoNeighbour, &[])
}

/// A Pod that lost its label keeps its connections; so does one whose Service does not want this, whether it lives or
/// not; and one that is not ready, or terminating.
#[test]
fn connections_to_who_lives_go_on() -> Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let bed = Bed::new("departed-alive")?;
    let pod = bed.neighbour("p", "10.244.1.9")?;
    let (alive, dead) = (bed.neighbour("c", "10.244.2.1")?, bed.neighbour("d", "10.244.3.1")?);
    let _alive = TcpServer::start(&alive, target(Family::V4, "10.244.2.1"), "c")?;
    let _dead = TcpServer::start(&dead, target(Family::V4, "10.244.3.1"), "d")?;
    let agent = Agent::start(&bed, bed.kernel(None)?)?;
    let second = |keep_departed| {
        let mut second = Service { keep_departed, ..bed::service(Protocol::Tcp) };
        second.cluster_ips = vec![bed::ip("10.96.0.11"), bed::v6(bed::ip("10.96.0.11"))];
        second.load_balancer.clear();
        second.ports[0].node_port = None;
        second
    };
    agent.change(move |kernel| {
        bed::set(kernel, "web", bed::service(Protocol::Tcp), &["10.244.2.1"]);
        bed::set(kernel, "patient", second(true), &["10.244.3.1"]);
    })?;
    let vip = |address| SocketAddr::new(bed::ip(address), PORT);
    let mut unlabelled = Client::new("unlabelled", &pod, vip(VIP))?;
    let mut patient = Client::new("patient", &pod, vip("10.96.0.11"))?;

    dead.set_down("eth0")?;
    agent.change(|kernel| {
        bed::set_endpoints(kernel, "web", Protocol::Tcp, &[]);
        bed::set_endpoints(kernel, "patient", Protocol::Tcp, &[]);
    })?;
    wait_until(PATIENCE, "the endpoint that lives is asked", || agent.counters.departed_probes.get() == 1)?;
    unlabelled.is_served()?;
    // Both were looked at together.
    assert_eq!((agent.counters.departed_dead.get(), agent.counters.departed_flows_reset.get()), (0, 0));
    dead.set_up("eth0")?;
    // Its routes went with the link.
    dead.add_route("0.0.0.0/0".parse()?, bed::ip("10.244.3.254"))?;
    patient.is_served()?;

    // It leaves no slice when it is only not ready any more.
    agent.change(|kernel| bed::set_endpoints(kernel, "web", Protocol::Tcp, &["10.244.2.1", "10.244.3.1"]))?;
    let mut unready = Client::new("unready", &pod, vip(VIP))?;
    agent.change(|kernel| {
        bed::set_conditions(kernel, "web", &["10.244.2.1", "10.244.3.1"], (false, false, true));
    })?;
    unready.is_served()?;
    unlabelled.is_served()?;
    assert_eq!(agent.counters.departed_flows_reset.get(), 0);
    Ok(())
}

/// The endpoint went while no agent ran: the next one does not know that it was ever there.
#[test]
fn who_left_while_no_agent_ran_is_found() -> Result<()> {
    if testbed::skip_unless_root().is_some() {
        return Ok(());
    }
    let bed = Bed::new("departed-restart")?;
    let pod = bed.neighbour("p", "10.244.1.9")?;
    let (endpoint, other) = (bed.neighbour("c", "10.244.2.1")?, bed.neighbour("d", "10.244.3.1")?);
    let _gone = TcpServer::start(&endpoint, target(Family::V4, "10.244.2.1"), "c")?;
    let _stays = TcpServer::start(&other, target(Family::V4, "10.244.3.1"), "d")?;
    let mut first = bed.kernel(None)?;
    bed::set(&mut first, "web", bed::service(Protocol::Tcp), &["10.244.2.1"]);
    first.sync()?;
    let mut client = Client::new("a Pod", &pod, SocketAddr::new(bed::ip(VIP), PORT))?;
    drop(first);
    bed.node.delete_link("c")?;
    let agent = Agent::start(&bed, bed.kernel(None)?)?;
    agent.change(|kernel| bed::set(kernel, "web", bed::service(Protocol::Tcp), &["10.244.3.1"]))?;
    let mut stays = Client::new("a Pod", &pod, SocketAddr::new(bed::ip(VIP), PORT))?;
    assert_eq!(client.met_by_listening(), ErrorKind::ConnectionReset);
    stays.is_served()
}
