//! The announcer: answers ARP for addresses that no interface has, and tells everybody when it takes one.
//!
//! A load balancer's address is not configured on any interface: packets for it are rewritten by the data plane before
//! they are routed. So the kernel never answers for it, and one node of the link must: this is that node's voice. An
//! address that is configured on an interface all the same would be answered for by the kernel of each such node.
//!
//! What [`Announcer::release`] gives up is not answered for any more once the call has returned: question and answer
//! are one step under the lock that the release takes.

use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::arp::{FRAME, Packet};
use crate::claims::{Claims, Heard};

mod interface;

use interface::ArpSocket;
pub use interface::Interface;

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
    /// Announcements sent; each is two frames.
    pub announcements: u64,
    /// Packets of others that say to have an address that is ours.
    pub conflicts: u64,
    /// Frames that were no ARP, or were cut short, or came from no single machine.
    pub malformed: u64,
    /// Frames that were not sent, and failures to read.
    pub errors: u64,
}

#[derive(Debug, Default)]
struct Counts {
    answers: AtomicU64,
    announcements: AtomicU64,
    conflicts: AtomicU64,
    malformed: AtomicU64,
    errors: AtomicU64,
}

/// What the announcer and its task share.
#[derive(Debug)]
struct Shared {
    interface: Interface,
    claims: Mutex<Claims>,
    changed: Notify,
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
    pub fn start(interface: Interface) -> Result<Announcer, AnnounceError> {
        let failed = |source| AnnounceError::Socket { interface: interface.name.clone(), source };
        let socket = ArpSocket::open(interface.index).map_err(failed)?;
        // SAFETY: the socket owns its descriptor, never exchanges it, and closes it only when it is dropped, which the
        // AsyncFd does.
        let socket = unsafe { AsyncFd::register(socket) }.map_err(|error| failed(error.into()))?;
        let claims = Mutex::new(Claims::new(interface.mac));
        let shared = Arc::new(Shared { interface, claims, changed: Notify::new(), counts: Counts::default() });
        let task = tokio::spawn(run(socket, Arc::clone(&shared)));
        Ok(Announcer { shared, task })
    }

    /// Takes an address: answered for from now on, announced at once and again. One that is taken already stays.
    pub fn take(&self, address: Ipv4Addr) {
        if self.shared.claims().take(address, Instant::now()) {
            self.shared.took(address);
            self.shared.changed.notify_one();
        }
    }

    /// Gives an address up. When this returns nothing more is said about it.
    pub fn release(&self, address: Ipv4Addr) {
        if self.shared.claims().release(address) {
            self.shared.gave_up(address);
        }
    }

    /// Takes and gives up so that exactly these addresses are announced.
    pub fn set(&self, wanted: &BTreeSet<Ipv4Addr>) {
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
    pub fn addresses(&self) -> BTreeSet<Ipv4Addr> {
        self.shared.claims().addresses()
    }

    /// The interface.
    pub fn interface(&self) -> &Interface {
        &self.shared.interface
    }

    /// What was done so far.
    pub fn counters(&self) -> Counters {
        let Counts { answers, announcements, conflicts, malformed, errors } = &self.shared.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counters {
            answers: read(answers),
            announcements: read(announcements),
            conflicts: read(conflicts),
            malformed: read(malformed),
            errors: read(errors),
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

    fn took(&self, address: Ipv4Addr) {
        tracing::info!(%address, interface = self.interface.name, "announcing");
    }

    fn gave_up(&self, address: Ipv4Addr) {
        tracing::info!(%address, interface = self.interface.name, "no longer announcing");
    }

    /// Sends a frame, or counts that it was not sent: it is asked for, or due, again.
    fn send(&self, socket: &ArpSocket, packet: &Packet) -> bool {
        let sent = socket.send(&packet.to_frame());
        if let Err(error) = &sent {
            count(&self.counts.errors);
            tracing::debug!(%error, interface = self.interface.name, "ARP frame not sent");
        }
        sent.is_ok()
    }

    fn announce_due(&self, socket: &ArpSocket) {
        let mut claims = self.claims();
        for forms in claims.due(Instant::now()).chunks(2) {
            let sent = forms.iter().filter(|packet| self.send(socket, packet)).count();
            if sent > 0 {
                count(&self.counts.announcements);
            }
        }
    }

    fn hear(&self, socket: &ArpSocket, frame: &[u8]) {
        let Some(packet) = Packet::from_frame(frame) else {
            count(&self.counts.malformed);
            return;
        };
        let mut claims = self.claims();
        match claims.hear(&packet, Instant::now()) {
            Heard::Question(answer) => {
                if self.send(socket, &answer) {
                    count(&self.counts.answers);
                }
            }
            Heard::Conflict { address, mac, first } => {
                count(&self.counts.conflicts);
                if first {
                    let [a, b, c, d, e, f] = mac;
                    let mac = format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
                    tracing::warn!(%address, mac, "another machine says to have this address");
                }
            }
            Heard::Other => {}
        }
    }

    /// Reads what has come, some frames at a time.
    fn read(&self, socket: &ArpSocket) -> io::Result<()> {
        // One byte more than needed shows nothing; padding is cut off.
        let mut frame = [0; FRAME];
        for _ in 0..FRAMES_AT_A_TIME {
            let len = socket.receive(&mut frame)?;
            self.hear(socket, &frame[..len.min(FRAME)]);
        }
        Ok(())
    }
}

fn count(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

async fn run(socket: AsyncFd<ArpSocket>, shared: Arc<Shared>) {
    loop {
        let due = shared.claims().next_due().unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            () = shared.changed.notified() => {}
            () = tokio::time::sleep_until(due.into()) => {}
            readable = socket.readable() => {
                let Ok(mut ready) = readable else { return };
                // An Err of try_io itself: nothing there any more.
                if let Ok(Err(error)) = ready.try_io(|socket| shared.read(socket.get_ref())) {
                    count(&shared.counts.errors);
                    tracing::debug!(%error, interface = shared.interface.name, "reading ARP failed");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        shared.announce_due(socket.get_ref());
    }
}
