//! What passes on the wire: every frame that says who has an address is recorded as it enters the switch, with the time
//! at which the kernel had it there, and a client asks again and again.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use loadbalancer::arp::{BROADCAST, Operation, Packet};
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt};
use testbed::Namespace;

/// Between two questions.
const EVERY: Duration = Duration::from_millis(10);
/// One word: when (by the clock of [`now`]), for which address, by whom.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    pub at: Duration,
    pub address: IpAddr,
    pub mac: [u8; 6],
}

/// The kernel's clock for what it stamps.
pub fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}

type Words = Arc<Mutex<Vec<Word>>>;

/// The recording.
pub struct Wire {
    words: Words,
    over: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

fn packet_socket(protocol: i32) -> OwnedFd {
    // SAFETY: no memory is involved.
    let file = unsafe {
        libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, i32::from((protocol as u16).to_be()))
    };
    assert!(file >= 0, "{}", io::Error::last_os_error());
    // SAFETY: the kernel just gave us this descriptor; nobody else has it.
    unsafe { OwnedFd::from_raw_fd(file) }
}

impl Wire {
    /// Records in a namespace that is a switch, until dropped.
    pub fn record(switch: &Namespace) -> Self {
        let socket = switch.run(|| packet_socket(libc::ETH_P_ALL)).unwrap();
        let patience = nix::sys::time::TimeVal::new(0, 50_000);
        setsockopt(&socket, sockopt::ReceiveTimeout, &patience).unwrap();
        // A frame is stamped where it comes in, before it waits for anybody: stamps tell the order of what was sent.
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).unwrap();
        // A thousand addresses that move at once are some thousand frames in a moment.
        setsockopt(&socket, sockopt::RcvBufForce, &(64 << 20)).unwrap();
        let (words, over) = (Words::default(), Arc::<AtomicBool>::default());
        let (heard, ended) = (words.clone(), over.clone());
        let listening = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                if let Some(word) = hear(&socket) {
                    heard.lock().unwrap().push(word);
                }
            }
        });
        Self { words, over, listening: Some(listening) }
    }

    /// All that was said for an address, in order.
    pub fn words(&self, address: IpAddr) -> Vec<Word> {
        let words = self.words.lock().unwrap();
        let mut words: Vec<Word> = words.iter().filter(|word| word.address == address).copied().collect();
        words.sort_by_key(|word| word.at);
        words
    }

    /// Who spoke for an address last.
    pub fn last(&self, address: IpAddr) -> Option<[u8; 6]> {
        self.words.lock().unwrap().iter().rev().find(|word| word.address == address).map(|word| word.mac)
    }

    /// Who spoke last for each address.
    pub fn speakers(&self) -> BTreeMap<IpAddr, [u8; 6]> {
        self.words.lock().unwrap().iter().map(|word| (word.address, word.mac)).collect()
    }

    /// How many words there were since a moment, and how many at most within a second.
    pub fn pace(&self, since: Duration) -> (usize, usize) {
        let mut seconds = BTreeMap::<u64, usize>::new();
        for word in self.words.lock().unwrap().iter().filter(|word| word.at >= since) {
            *seconds.entry((word.at - since).as_secs()).or_default() += 1;
        }
        (seconds.values().sum(), seconds.values().max().copied().unwrap_or(0))
    }

    /// Who spoke for an address, each in its turn, and how long the turn was.
    pub fn turns(&self, address: IpAddr) -> Vec<([u8; 6], Duration)> {
        let mut turns: Vec<(Word, Word)> = Vec::new();
        for word in self.words(address) {
            match turns.last_mut() {
                Some((_, last)) if last.mac == word.mac => *last = word,
                _ => turns.push((word, word)),
            }
        }
        turns.into_iter().map(|(first, last)| (first.mac, last.at - first.at)).collect()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        _ = self.listening.take().map(JoinHandle::join);
    }
}

/// The next frame, if it says who has an address of the pool.
fn hear(socket: &OwnedFd) -> Option<Word> {
    let mut frame = [0; 128];
    let mut space = nix::cmsg_space!(nix::sys::time::TimeSpec);
    let mut into = [io::IoSliceMut::new(&mut frame)];
    // None came in time.
    let got = recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut into, Some(&mut space), MsgFlags::empty()).ok()?;
    // What goes out of a port came in at another.
    if got.address?.pkttype() == libc::PACKET_OUTGOING {
        return None;
    }
    let stamp = got.cmsgs().unwrap().find_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
        _ => None,
    });
    let (len, at) = (got.bytes, stamp.expect("the kernel stamps each frame"));
    let packet = Packet::from_frame(&frame[..len])?;
    let address = packet.sender.into();
    (packet.sender.octets()[..3] != [192, 0, 2] || packet.sender.octets()[3] >= 200).then_some(Word {
        at,
        address,
        mac: packet.sender_mac,
    })
}

/// Asks for an address again and again, until dropped.
pub struct Asker {
    over: Arc<AtomicBool>,
    asking: Option<JoinHandle<()>>,
}

impl Asker {
    pub fn start(namespace: &Namespace, interface: &str, sender: Ipv4Addr, target: IpAddr) -> Self {
        let IpAddr::V4(target) = target else { panic!("no IPv4 address: {target}") };
        let link = namespace.link(interface).unwrap();
        let socket = namespace.run(|| packet_socket(libc::ETH_P_ARP)).unwrap();
        let question = Packet {
            destination: BROADCAST,
            source: link.mac,
            operation: Operation::Request,
            sender_mac: link.mac,
            sender,
            target_mac: [0; 6],
            target,
        }
        .to_frame();
        let over = Arc::<AtomicBool>::default();
        let ended = over.clone();
        let asking = std::thread::spawn(move || {
            // SAFETY: all zeros is a valid sockaddr_ll.
            let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
            to.sll_family = libc::AF_PACKET as libc::sa_family_t;
            to.sll_protocol = (libc::ETH_P_ARP as u16).to_be();
            to.sll_ifindex = i32::try_from(link.index).unwrap();
            let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            while !ended.load(Ordering::Relaxed) {
                let (file, bytes) = (socket.as_raw_fd(), question.as_ptr().cast());
                // SAFETY: both pointers are to live memory of the lengths given.
                unsafe { libc::sendto(file, bytes, question.len(), 0, (&raw const to).cast(), len) };
                std::thread::sleep(EVERY);
            }
        });
        Self { over, asking: Some(asking) }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        _ = self.asking.take().map(JoinHandle::join);
    }
}
