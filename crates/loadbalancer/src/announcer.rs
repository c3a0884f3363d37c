//! The announcer: answers ARP and neighbour discovery for addresses that no interface has, and tells everybody when it
//! takes one.
//!
//! A load balancer's address is not configured on any interface: packets for it are rewritten by the data plane before
//! they are routed. So the kernel never answers for it, and one node of the link must: this is that node's voice. An
//! address that is configured on an interface all the same would be answered for by the kernel of each such node.
//!
//! What [`Announcer::release`] gives up is not answered for any more once the call has returned: question and answer
//! are one step under the lock that the release takes. And right before each word it looks at its [`Fence`]: a process
//! that was stopped and goes on says nothing for what may be another's by now.
//!
//! It also asks for addresses of other nodes, when told to, and says who answers ([`Announcer::observed`]).

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::arp::Mac;
use crate::claims::{Claims, Heard};
use crate::fence::Fence;
use crate::ndp::solicited_node;
use crate::packet::{FRAME, Packet};
use crate::watched::Watched;

mod interface;

pub use interface::Interface;
use interface::{FrameSocket, Groups, Protocol};

/// Frames that are read at a time before it is looked whether something else is due.
const FRAMES_AT_A_TIME: usize = 64;
/// How long nothing is read after reading failed: the interface is down.
const PAUSE: Duration = Duration::from_millis(100);
/// How long to wait when nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// Why an announcer was not started.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// There is no such interface in this network namespace.
    #[error("there is no Ethernet interface {0}")]
    NoInterface(String),
    /// The interfaces were not listed.
    #[error("listing the interfaces")]
    Interfaces(#[source] io::Error),
    /// No packet socket: the right `CAP_NET_RAW` is missing.
    #[error("opening a packet socket on {interface}")]
    Socket {
        /// The interface.
        interface: String,
        /// The reason.
        source: io::Error,
    },
}

/// What an announcer has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Questions answered.
    pub answers: u64,
    /// Announcements sent; each of an IPv4 address is two frames.
    pub announcements: u64,
    /// Packets of others that say to have an address that is ours.
    pub conflicts: u64,
    /// Frames that were neither ARP nor neighbour discovery, or were cut short, or came from no single machine.
    pub malformed: u64,
    /// Frames that were not sent, and failures to read.
    pub errors: u64,
    /// Frames that were not sent because the fence was closed.
    pub fenced: u64,
}

#[derive(Debug, Default)]
struct Counts {
    answers: AtomicU64,
    announcements: AtomicU64,
    conflicts: AtomicU64,
    malformed: AtomicU64,
    errors: AtomicU64,
    fenced: AtomicU64,
}

/// What the announcer and its task share.
#[derive(Debug)]
struct Shared {
    interface: Interface,
    fence: Arc<Fence>,
    claims: Mutex<Claims>,
    watched: Mutex<Watched>,
    groups: Option<Groups>,
    changed: Notify,
    /// Who answers for another's address was not known before.
    news: Notify,
    counts: Counts,
}

/// Announces addresses on one interface. Gives all up when dropped.
#[derive(Debug)]
pub struct Announcer {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Announcer {
    /// Starts on an interface of the calling thread's network namespace; nothing is announced yet. Needs a tokio runtime,
    /// which may be of another namespace.
    pub fn start(interface: Interface, fence: Arc<Fence>) -> Result<Announcer, AnnounceError> {
        let failed = |source| AnnounceError::Socket { interface: interface.name.clone(), source };
        let open = |protocol| -> io::Result<AsyncFd<FrameSocket>> {
            let socket = FrameSocket::open(interface.index, protocol)?;
            // SAFETY: the socket owns its descriptor, never exchanges it, and closes it only when it is dropped, which
            // the AsyncFd does.
            Ok(unsafe { AsyncFd::register(socket) }?)
        };
        let sockets = Sockets {
            arp: open(Protocol::Arp).map_err(failed)?,
            neighbours: open(Protocol::Neighbours).map_err(failed)?,
        };
        let shared = Arc::new(Shared {
            claims: Mutex::new(Claims::new(interface.mac)),
            watched: Mutex::new(Watched::new(interface.mac)),
            groups: Groups::open(interface.index),
            interface,
            fence,
            changed: Notify::new(),
            news: Notify::new(),
            counts: Counts::default(),
        });
        let task = tokio::spawn(run(sockets, Arc::clone(&shared)));
        Ok(Announcer { shared, task })
    }

    /// Takes an address: answered for from now on, announced at once and again. One that is taken already stays.
    pub fn take(&self, address: IpAddr) {
        if self.shared.claims().take(address, Instant::now()) {
            self.shared.took(address);
            self.shared.changed.notify_one();
        }
    }

    /// Gives an address up. When this returns nothing more is said about it.
    pub fn release(&self, address: IpAddr) {
        if self.shared.claims().release(address) {
            self.shared.gave_up(address);
        }
    }

    /// Takes and gives up so that exactly these addresses are announced.
    pub fn set(&self, wanted: &BTreeSet<IpAddr>) {
        let (taken, gone) = self.shared.claims().set(wanted, Instant::now());
        gone.into_iter().for_each(|address| self.shared.gave_up(address));
        let any = !taken.is_empty();
        taken.into_iter().for_each(|address| self.shared.took(address));
        if any {
            self.shared.changed.notify_one();
        }
    }

    /// Gives everything up, as a node must that cannot say any more that it is alive.
    pub fn release_all(&self) {
        self.set(&BTreeSet::new());
    }

    /// The addresses that are announced.
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        self.shared.claims().addresses()
    }

    /// Asks for exactly these addresses of others, again and again, to see who answers.
    pub fn watch(&self, addresses: &BTreeSet<IpAddr>) {
        if self.shared.watched().set(addresses, Instant::now()) {
            self.shared.changed.notify_one();
        }
    }

    /// Who answers for each of the addresses that are [watched](Announcer::watch) and answered for.
    pub fn observed(&self) -> BTreeMap<IpAddr, Mac> {
        self.shared.watched().answers()
    }

    /// Waits until [`Announcer::observed`] tells more than it did.
    pub async fn news(&self) {
        self.shared.news.notified().await;
    }

    /// The interface.
    pub fn interface(&self) -> &Interface {
        &self.shared.interface
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        let Counts { answers, announcements, conflicts, malformed, errors, fenced } = &self.shared.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            answers: read(answers),
            announcements: read(announcements),
            conflicts: read(conflicts),
            malformed: read(malformed),
            errors: read(errors),
            fenced: read(fenced),
        }
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.release_all();
        self.task.abort();
    }
}

impl Shared {
    fn claims(&self) -> MutexGuard<'_, Claims> {
        // A panic elsewhere leaves the claims whole: each change is one call.
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        // As above.
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn took(&self, address: IpAddr) {
        tracing::info!(%address, interface = self.interface.name, "announcing");
        if let (IpAddr::V6(address), Some(groups)) = (address, &self.groups)
            && let Err(error) = groups.join(solicited_node(address))
        {
            count(&self.counts.errors);
            tracing::warn!(%address, %error, "the address' multicast group cannot be joined");
        }
    }

    fn gave_up(&self, address: IpAddr) {
        tracing::info!(%address, interface = self.interface.name, "no longer announcing");
        let IpAddr::V6(address) = address else { return };
        let group = solicited_node(address);
        let others = self.claims().addresses();
        let needed = others.iter().any(|other| matches!(other, IpAddr::V6(other) if solicited_node(*other) == group));
        if let (false, Some(groups)) = (needed, &self.groups)
            && let Err(error) = groups.leave(group)
        {
            tracing::debug!(%address, %error, "the address' multicast group cannot be left");
        }
    }

    /// Sends a frame, or counts that it was not sent: it is asked for, or due, again.
    fn send(&self, sockets: &Sockets, frame: &[u8]) -> bool {
        let sent = sockets.of(frame).send(frame);
        if let Err(error) = &sent {
            count(&self.counts.errors);
            tracing::debug!(%error, interface = self.interface.name, "frame not sent");
        }
        sent.is_ok()
    }

    /// Sends what only who has an address may say.
    fn speak(&self, sockets: &Sockets, frame: &[u8]) -> bool {
        if !self.fence.is_open() {
            count(&self.counts.fenced);
            return false;
        }
        self.send(sockets, frame)
    }

    fn announce_due(&self, sockets: &Sockets) {
        let mut claims = self.claims();
        for forms in claims.due(Instant::now()) {
            let sent = forms.iter().filter(|frame| self.speak(sockets, frame)).count();
            if sent > 0 {
                count(&self.counts.announcements);
            }
        }
        drop(claims);
        for frame in self.watched().due(Instant::now()) {
            self.send(sockets, &frame);
        }
    }

    fn hear(&self, sockets: &Sockets, frame: &[u8]) {
        let Some(packet) = Packet::from_frame(frame) else {
            count(&self.counts.malformed);
            return;
        };
        if self.watched().hear(&packet, Instant::now()) {
            self.news.notify_one();
        }
        let mut claims = self.claims();
        match claims.hear(&packet, Instant::now()) {
            Heard::Question(answer) => {
                if self.speak(sockets, &answer) {
                    count(&self.counts.answers);
                }
            }
            Heard::Conflict { address, mac, first } => {
                count(&self.counts.conflicts);
                if first {
                    tracing::warn!(%address, mac = shown(mac), "another machine says to have this address");
                }
            }
            Heard::Other => {}
        }
    }

    /// Reads what has come, some frames at a time.
    fn read(&self, from: &FrameSocket, sockets: &Sockets) -> io::Result<()> {
        // What is longer is cut off: nothing of it is needed.
        let mut frame = [0; FRAME];
        for _ in 0..FRAMES_AT_A_TIME {
            let len = from.receive(&mut frame)?;
            self.hear(sockets, &frame[..len.min(FRAME)]);
        }
        Ok(())
    }

    fn next_due(&self) -> Instant {
        let due = [self.claims().next_due(), self.watched().next_due()];
        due.into_iter().flatten().min().unwrap_or_else(|| Instant::now() + IDLE)
    }
}

/// An Ethernet address as it is written.
pub fn shown(mac: Mac) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// The sockets of an interface.
struct Sockets {
    arp: AsyncFd<FrameSocket>,
    neighbours: AsyncFd<FrameSocket>,
}

impl Sockets {
    /// The one that a frame is sent by.
    fn of(&self, frame: &[u8]) -> &FrameSocket {
        let is_arp = frame.get(12..14) == Some(&0x0806_u16.to_be_bytes());
        if is_arp { self.arp.get_ref() } else { self.neighbours.get_ref() }
    }
}

fn count(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

async fn run(sockets: Sockets, shared: Arc<Shared>) {
    loop {
        let due = shared.next_due();
        tokio::select! {
            () = shared.changed.notified() => {}
            () = tokio::time::sleep_until(due.into()) => {}
            failed = readable(&sockets.arp, &sockets, &shared) => if failed { tokio::time::sleep(PAUSE).await },
            failed = readable(&sockets.neighbours, &sockets, &shared) => if failed { tokio::time::sleep(PAUSE).await },
        }
        shared.announce_due(&sockets);
    }
}

/// Reads when there is something. Whether that failed.
async fn readable(socket: &AsyncFd<FrameSocket>, sockets: &Sockets, shared: &Shared) -> bool {
    let Ok(mut ready) = socket.readable().await else { return true };
    // An Err of try_io itself: nothing there any more.
    let Ok(Err(error)) = ready.try_io(|socket| shared.read(socket.get_ref(), sockets)) else { return false };
    count(&shared.counts.errors);
    tracing::debug!(%error, interface = shared.interface.name, "reading frames failed");
    true
}
