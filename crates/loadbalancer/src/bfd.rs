//! BFD: whether a router still hears this node, and this node it, known within some packets' time (RFC 5880, asynchronous
//! mode, without authentication and echoes; one hop RFC 5881, several RFC 5883).
//!
//! A [`Hub`] listens for a whole node, since all sessions share their ports; [`Hub::session`] begins one with a router,
//! which ends, with a word, when nobody looks at its [`Watch`] any more. In reading order: [`packet`] (the bytes), [`session`] (the state
//! machine), `sockets`.

pub mod packet;
pub mod session;
mod sockets;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use packet::Packet;
pub use packet::State;
use session::Session;
pub use session::Timers;
use sockets::{Arrived, Sockets, sender};

/// Sessions that are begun and not yet known.
const WAITING: usize = 64;
/// How long to wait when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// A session as it is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The router.
    pub address: IpAddr,
    /// From which address it is spoken to; `None`: the one that leads there.
    pub source: Option<IpAddr>,
    /// Whether it is on the same network.
    pub is_neighbour: bool,
    /// How often is sent.
    pub timers: Timers,
}

/// How a session is; it ends when this is dropped, and all that was made of it.
#[derive(Debug)]
pub struct Watch {
    state: watch::Receiver<State>,
}

impl Watch {
    /// How far it is.
    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Tells how far it is, now and later.
    pub fn states(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Waits until it is not up any more, after it was. May be dropped and called again while it waits.
    pub async fn lost(&mut self) {
        let was_up = self.state.wait_for(|state| *state == State::Up).await.is_ok();
        if !was_up || self.state.wait_for(|state| *state != State::Up).await.is_err() {
            // Nobody looks any more: nothing is known, so nothing is lost.
            std::future::pending::<()>().await;
        }
    }
}

/// A session that is to be kept as long as somebody looks.
struct Begin {
    target: Target,
    tell: watch::Sender<State>,
}

/// Listens for all sessions of a node.
#[derive(Clone, Debug)]
pub struct Hub {
    begin: mpsc::Sender<Begin>,
}

impl Hub {
    /// Listens, in the calling thread's network namespace if the runtime's threads are there too, until all copies and
    /// sessions are gone.
    ///
    /// # Errors
    /// When the ports cannot be listened on: another daemon may have them.
    pub fn start() -> io::Result<Self> {
        let sockets = Sockets::open()?;
        let (begin, begun) = mpsc::channel(WAITING);
        tokio::spawn(run(sockets, begun));
        Ok(Self { begin })
    }

    /// Begins a session.
    pub fn session(&self, target: Target) -> Watch {
        let (tell, state) = watch::channel(State::Down);
        let begin = self.begin.clone();
        // The task outlives every hub; should it have died all the same, the session is never up.
        tokio::spawn(async move { begin.send(Begin { target, tell }).await });
        Watch { state }
    }
}

/// A session that is kept.
struct Live {
    begin: Begin,
    session: Session,
    socket: Option<UdpSocket>,
}

/// A router's address, and whether it is a neighbour.
type Key = (IpAddr, bool);

async fn run(sockets: Sockets, mut begun: mpsc::Receiver<Begin>) {
    let mut all: BTreeMap<Key, Live> = BTreeMap::new();
    let mut open = true;
    while open || !all.is_empty() {
        let due = all.values().map(|live| live.session.due()).min().unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            next = begun.recv(), if open => match next {
                Some(begin) => {
                    let key = (begin.target.address, begin.target.is_neighbour);
                    if let Some(mut old) = all.insert(key, Live::new(begin)) {
                        old.end();
                    }
                }
                None => open = false,
            },
            arrived = sockets.receive() => {
                if let Some(live) = all.get_mut(&(arrived.from, arrived.is_neighbour)) {
                    live.hear(&arrived);
                }
            }
            () = tokio::time::sleep_until(due.into()) => {}
        }
        let now = Instant::now();
        all.retain(|_, live| live.goes_on(now));
    }
}

/// A number that nobody can foretell.
fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl Live {
    fn new(begin: Begin) -> Self {
        let number = u32::try_from(chance() >> 32).unwrap_or(1);
        let session = Session::new(number, begin.target.timers, Instant::now());
        Self { begin, session, socket: None }
    }

    fn hear(&mut self, arrived: &Arrived) {
        if let Some(answer) = self.session.hear(&arrived.packet, Instant::now(), chance()) {
            self.send(&answer);
        }
    }

    /// Sends what is due, and tells how it is. False: nobody looks any more, and it has ended.
    fn goes_on(&mut self, now: Instant) -> bool {
        if self.begin.tell.is_closed() {
            self.end();
            return false;
        }
        if self.session.due() <= now
            && let Some(packet) = self.session.tick(now, chance())
        {
            self.send(&packet);
        }
        let state = self.session.state();
        let (router, number) = (self.begin.target.address, self.session.number());
        self.begin.tell.send_if_modified(|told| {
            if *told != state {
                tracing::info!(%router, number, ?state, "BFD");
            }
            std::mem::replace(told, state) != state
        });
        true
    }

    fn end(&mut self) {
        let last = self.session.end(Instant::now());
        self.send(&last);
    }

    fn send(&mut self, packet: &Packet) {
        let sent = match &self.socket {
            Some(socket) => socket.send(&packet.to_bytes()),
            None => sender(&self.begin.target, chance()).and_then(|socket| {
                let sent = socket.send(&packet.to_bytes());
                self.socket = Some(socket);
                sent
            }),
        };
        if let Err(error) = sent {
            // The next one is due soon; that nothing arrives is what this is there to notice.
            tracing::debug!(router = %self.begin.target.address, %error, "a BFD packet was not sent");
        }
    }
}
