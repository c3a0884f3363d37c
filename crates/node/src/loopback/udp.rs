//! Datagrams: one socket towards the node's own address for each client.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dataplane::model::{Node, Protocol};
use nft::Conntrack;
use nft::conntrack::{Protocol as Above, Tuple};
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::counters::Counters;
use crate::loopback::own_address;

/// How long a client is remembered after its last datagram. Less than conntrack remembers it (30 s at least, unless
/// somebody chose otherwise): what it was sent to is asked once.
pub const IDLE: Duration = Duration::from_secs(20);

/// How long to wait after the kernel gave no datagram.
const AFTER_ERROR: Duration = Duration::from_millis(100);
/// The longest datagram.
const LONGEST: usize = 65_536;

/// All clients of a relay.
#[derive(Debug)]
pub(super) struct Flows {
    most: usize,
    conntrack: Mutex<Conntrack>,
    node: watch::Receiver<Node>,
    counters: Arc<Counters>,
    open: Mutex<HashMap<SocketAddr, Arc<Flow>>>,
    start: Instant,
}

/// One client.
#[derive(Debug)]
struct Flow {
    /// Connected to the node's own address.
    upstream: UdpSocket,
    /// When something was last sent either way, in milliseconds since the relay's start.
    used: AtomicU64,
}

/// Why a datagram was not relayed.
#[derive(Debug, thiserror::Error)]
enum DropReason {
    #[error("there are too many clients")]
    Full,
    #[error("nobody knows what it was sent to")]
    Unknown,
    #[error("the node has no address of its family at which node ports answer")]
    NoAddress,
    #[error(transparent)]
    Conntrack(#[from] nft::ConntrackError),
    #[error(transparent)]
    Socket(#[from] io::Error),
}

impl Flows {
    pub(super) fn new(
        most: usize,
        conntrack: Conntrack,
        node: watch::Receiver<Node>,
        counters: Arc<Counters>,
    ) -> Flows {
        let (conntrack, open) = (Mutex::new(conntrack), Mutex::new(HashMap::new()));
        Flows { most, conntrack, node, counters, open, start: Instant::now() }
    }

    /// Relays what comes to these sockets, until told to stop.
    pub(super) async fn relay(self, sockets: Vec<UdpSocket>, own: NonZeroU16, stop: CancellationToken) {
        let flows = Arc::new(self);
        let mut parts = JoinSet::new();
        for socket in sockets {
            parts.spawn(flows.clone().receive(Arc::new(socket), own, stop.clone()));
        }
        parts.join_all().await;
    }

    async fn receive(self: Arc<Self>, socket: Arc<UdpSocket>, own: NonZeroU16, stop: CancellationToken) {
        let mut answering = JoinSet::new();
        let mut buffer = vec![0; LONGEST];
        loop {
            let (len, client) = tokio::select! {
                () = stop.cancelled() => return,
                Some(_) = answering.join_next() => continue,
                received = socket.recv_from(&mut buffer) => match received {
                    Ok(received) => received,
                    Err(error) => {
                        tracing::warn!(error = &error as &dyn std::error::Error, "no datagram to node ports of loopback");
                        tokio::time::sleep(AFTER_ERROR).await;
                        continue;
                    }
                }
            };
            let known = self.open.lock().get(&client).cloned();
            let sent = match known {
                Some(flow) => self.send(&flow, &buffer[..len]),
                None => self.open(&socket, client, own).await.and_then(|flow| {
                    answering.spawn(self.clone().answer(flow.clone(), socket.clone(), client));
                    self.send(&flow, &buffer[..len])
                }),
            };
            if let Err(reason) = sent {
                self.counters.loopback_datagrams_dropped.increment();
                tracing::debug!(%client, %reason, "a datagram to a node port of loopback was dropped");
            }
        }
    }

    fn send(&self, flow: &Flow, datagram: &[u8]) -> Result<(), DropReason> {
        self.touch(flow);
        // What the socket cannot take now is dropped, as on any other way of a datagram.
        flow.upstream.try_send(datagram)?;
        Ok(())
    }

    async fn open(&self, socket: &UdpSocket, client: SocketAddr, own: NonZeroU16) -> Result<Arc<Flow>, DropReason> {
        if self.open.lock().len() >= self.most {
            return Err(DropReason::Full);
        }
        let asked = self.asked(socket.local_addr()?, client)?.ok_or(DropReason::Unknown)?;
        // Somebody who sent to the relay itself.
        if asked.port() == own.get() {
            return Err(DropReason::Unknown);
        }
        let address = own_address(&self.node.borrow(), asked.ip()).ok_or(DropReason::NoAddress)?;
        let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let upstream = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
        upstream.connect(SocketAddr::new(address, asked.port())).await?;
        // A fresh socket is not known to be writable before the kernel was asked.
        upstream.writable().await?;
        let flow = Arc::new(Flow { upstream, used: AtomicU64::new(self.now()) });
        self.open.lock().insert(client, flow.clone());
        self.counters.loopback_flows.increment();
        self.counters.loopback_flows_open.increment();
        Ok(flow)
    }

    /// What a client's datagrams are sent to. A datagram does not tell: it was redirected. Conntrack does, at once: it
    /// is asked for one entry.
    fn asked(&self, own: SocketAddr, client: SocketAddr) -> Result<Option<SocketAddr>, DropReason> {
        let number = Protocol::Udp.number();
        let protocol = Above::Ports { number, source: own.port(), destination: client.port() };
        let answers = Tuple { source: own.ip(), destination: client.ip(), protocol };
        let entry = self.conntrack.lock().answered(&answers)?;
        let asked = entry.and_then(|entry| {
            let (_, port) = entry.original.protocol.ports()?;
            Some(SocketAddr::new(entry.original.destination, port))
        });
        Ok(asked)
    }

    /// Relays answers until the client has been silent, and was told nothing, for long enough.
    async fn answer(self: Arc<Self>, flow: Arc<Flow>, socket: Arc<UdpSocket>, client: SocketAddr) {
        loop {
            let idle = self.since_use(&flow);
            let Some(left) = IDLE.checked_sub(idle).filter(|left| !left.is_zero()) else { break };
            let Ok(readable) = tokio::time::timeout(left, flow.upstream.readable()).await else { continue };
            if readable.is_err() || self.pass_on(&flow, &socket, client).is_err() {
                break;
            }
        }
        self.open.lock().remove(&client);
        self.counters.loopback_flows_open.decrement();
    }

    /// All answers that are there. An error: nobody listens at the node port.
    fn pass_on(&self, flow: &Flow, socket: &UdpSocket, client: SocketAddr) -> io::Result<()> {
        // Not kept: most clients wait for one answer, and there may be thousands.
        let mut buffer = vec![0; LONGEST];
        loop {
            match flow.upstream.try_recv(&mut buffer) {
                Ok(len) => {
                    self.touch(flow);
                    // A client that is gone, or whose socket is full, does not hear it.
                    _ = socket.try_send_to(&buffer[..len], client);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn touch(&self, flow: &Flow) {
        flow.used.store(self.now(), Ordering::Relaxed);
    }

    fn since_use(&self, flow: &Flow) -> Duration {
        Duration::from_millis(self.now().saturating_sub(flow.used.load(Ordering::Relaxed)))
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
