//! BGP: addresses are announced to routers, which then lead packets to every node that announces them, and spread
//! connections over these (ECMP).
//!
//! A [`Speaker`] keeps one session with one router, made again whenever it breaks, and announces what it is told to. It
//! only speaks: routes of others are not read. In reading order: [`message`] (the bytes), `connection` (TCP), [`door`] (for
//! routers that begin themselves), `session` (from OPEN to NOTIFICATION).

mod connection;
pub mod door;
pub mod message;
mod session;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bfd::{self, Hub, State, Target, Timers, Watch};
use door::{Door, Guest};
use message::Family;
use session::Session;
pub use session::SessionError;

/// The port of BGP.
pub const PORT: u16 = 179;
/// Between tries of a session: this, doubling.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// How long a session may take to say that it ends.
const GRACE: Duration = Duration::from_secs(2);

/// A router, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its AS number.
    pub peer_as: u32,
    /// The own AS number; the same: iBGP.
    pub local_as: u32,
    /// The own identifier: an address of the node.
    pub router: Ipv4Addr,
    /// From which address it is spoken to; `None`: the one that leads there.
    pub source: Option<IpAddr>,
    /// Where packets are to be sent, of a family that is not that of the session.
    pub other_next_hop: Option<IpAddr>,
    /// How long nothing may be said until the session is over; at least three seconds, or zero for never.
    pub hold: Duration,
    /// Whether the router begins the session; this side waits for it.
    pub passive: bool,
    /// Over how many hops; 1: on the same network.
    pub hops: u8,
    /// What signs each segment (TCP MD5, RFC 2385).
    pub password: Option<String>,
    /// For how many seconds the router is to keep the routes when the session breaks without a word (RFC 4724).
    pub restart: Option<u16>,
    /// How much the routes are liked, for iBGP.
    pub preference: Option<u32>,
    /// Communities of the routes, each `AS:VALUE` in two halves.
    pub communities: Vec<u32>,
    /// How fast both notice that the other is gone, by BFD (RFC 5882); `None`: after the hold time.
    pub bfd: Option<Timers>,
}

/// How far a session is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// There is none; why the last one ended.
    Idle(Option<String>),
    /// It is being connected.
    Connect,
    /// OPEN was sent.
    OpenSent,
    /// OPEN was agreed on.
    OpenConfirm,
    /// Routes are announced.
    Established,
}

impl Peer {
    /// Where packets of each family are to be sent.
    fn next_hops(&self, local: IpAddr) -> BTreeMap<Family, IpAddr> {
        let all = self.other_next_hop.into_iter().chain([self.source.unwrap_or(local)]);
        all.map(|address| (Family::of(address), address)).collect()
    }
}

impl Peer {
    fn target(&self) -> Option<Target> {
        let (address, source, is_neighbour) = (self.address.ip(), self.source, self.hops == 1);
        self.bfd.map(|timers| Target { address, source, is_neighbour, timers })
    }
}

/// What sessions of one node share, as far as one of them needs it.
#[derive(Debug, Default)]
pub struct Shared {
    /// For those with BFD. Without it they have none.
    pub bfd: Option<Hub>,
    /// For those that the router begins. Without it they never begin.
    pub door: Option<Door>,
}

/// A session with a router, kept until dropped or told to end.
#[derive(Debug)]
pub struct Speaker {
    routes: watch::Sender<BTreeSet<IpNet>>,
    phase: watch::Receiver<Phase>,
    bfd: Option<watch::Receiver<State>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Speaker {
    /// Begins to speak, in the calling thread's network namespace if the runtime's threads are there too.
    pub fn start(peer: Peer, shared: &Shared) -> Self {
        let (routes, told) = watch::channel(BTreeSet::new());
        let (tell, phase) = watch::channel(Phase::Idle(None));
        let stop = CancellationToken::new();
        let watch = shared.bfd.as_ref().and_then(|hub| peer.target().map(|target| hub.session(target)));
        let bfd = watch.as_ref().map(Watch::states);
        let way = if peer.passive { Way::In(expect(&peer, shared)) } else { Way::Out };
        let task = tokio::spawn(keep(peer, way, told, tell, watch, stop.clone()));
        Self { routes, phase, bfd, stop, task }
    }

    /// Announces exactly these prefixes, now and in each later session.
    pub fn announce(&self, prefixes: BTreeSet<IpNet>) {
        self.routes.send_if_modified(|held| {
            let changed = *held != prefixes;
            *held = prefixes;
            changed
        });
    }

    /// How far the session is.
    pub fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// How far BFD is; `None`: there is none.
    pub fn bfd(&self) -> Option<bfd::State> {
        self.bfd.as_ref().map(|state| *state.borrow())
    }

    /// Ends the session with a word: the router forgets its routes at once.
    pub async fn end(mut self) {
        self.stop.cancel();
        // One that does not end in time is ended when this is dropped.
        let _ = tokio::time::timeout(GRACE, &mut self.task).await;
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Who begins.
enum Way {
    Out,
    /// `None`: it cannot come in, which has been said.
    In(Option<Guest>),
}

fn expect(peer: &Peer, shared: &Shared) -> Option<Guest> {
    let guest = shared.door.as_ref()?.expect(peer);
    guest.inspect_err(|error| tracing::warn!(router = %peer.address, %error, "the router cannot be expected")).ok()
}

impl Way {
    async fn connect(&mut self, peer: &Peer) -> io::Result<TcpStream> {
        match self {
            Self::Out => connection::connect(peer.address, peer.source, peer.hops, peer.password.as_deref()).await,
            Self::In(Some(guest)) => guest.next().await,
            Self::In(None) => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

async fn keep(
    peer: Peer,
    mut way: Way,
    routes: watch::Receiver<BTreeSet<IpNet>>,
    phase: watch::Sender<Phase>,
    mut bfd: Option<Watch>,
    stop: CancellationToken,
) {
    let mut wait = FIRST_WAIT;
    loop {
        phase.send_replace(Phase::Connect);
        let connected = tokio::select! {
            () = stop.cancelled() => return,
            connected = way.connect(&peer) => connected,
        };
        let error = match connected {
            Ok(stream) => {
                let (routes, bfd) = (routes.clone(), &mut bfd);
                let session = Session { peer: &peer, routes, phase: &phase, bfd, stop: &stop };
                session.run(stream).await
            }
            Err(error) => error.into(),
        };
        if stop.is_cancelled() {
            return;
        }
        let was_up = matches!(*phase.borrow(), Phase::Established);
        wait = if was_up { FIRST_WAIT } else { wait };
        tracing::warn!(router = %peer.address, %error, "no BGP session; it is tried again");
        phase.send_replace(Phase::Idle(Some(error.to_string())));
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}
