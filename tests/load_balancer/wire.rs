//! What passes on the wire: every frame that says who has an address is recorded as it enters the switch, and a client
//! asks again and again.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use loadbalancer::arp::{BROADCAST, Operation, Packet};
use testbed::Namespace;

/// Between two questions.
const EVERY: Duration = Duration::from_millis(10);
/// Two that both answer are heard in turns, each within the time between two questions. Who comes back as soon as it may
/// takes longer: its epoch has to settle, and the other's claim to go.
const SHORTEST: Duration = Duration::from_millis(20);

/// One word: when, for which address, by whom.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    pub at: Instant,
    pub address: IpAddr,
    pub mac: [u8; 6],
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
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::ReceiveTimeout, &patience).unwrap();
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
        self.words.lock().unwrap().iter().filter(|word| word.address == address).copied().collect()
    }

    /// Who spoke for an address last.
    pub fn last(&self, address: IpAddr) -> Option<[u8; 6]> {
        self.words.lock().unwrap().iter().rev().find(|word| word.address == address).map(|word| word.mac)
    }

    /// Checks that at no time two spoke for an address: who was followed by another is not heard again at once.
    pub fn assert_never_two(&self, address: IpAddr) {
        let words = self.words(address);
        assert!(words.len() > 10, "nobody asked");
        let mut runs: Vec<(Word, Word)> = Vec::new();
        for word in words {
            match runs.last_mut() {
                Some((_, last)) if last.mac == word.mac => *last = word,
                _ => runs.push((word, word)),
            }
        }
        for three in runs.windows(3) {
            let between = three[2].0.at - three[1].0.at;
            assert!(
                between >= SHORTEST || three[0].1.mac != three[2].0.mac,
                "two speak for {address}: {:?} was heard {between:?} after {:?} had followed it",
                three[2].0.mac,
                three[1].0.mac
            );
        }
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
    // SAFETY: all zeros is a valid sockaddr_ll.
    let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    let mut len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    let (file, bytes) = (socket.as_raw_fd(), frame.as_mut_ptr().cast());
    // SAFETY: all pointers are to live memory of the lengths given.
    let got = unsafe { libc::recvfrom(file, bytes, frame.len(), 0, (&raw mut from).cast(), &raw mut len) };
    // What goes out of a port came in at another.
    if got <= 0 || from.sll_pkttype == libc::PACKET_OUTGOING {
        return None;
    }
    let packet = Packet::from_frame(&frame[..usize::try_from(got).unwrap()])?;
    (packet.sender.octets()[3] >= 200).then(|| Word {
        at: Instant::now(),
        address: packet.sender.into(),
        mac: packet.sender_mac,
    })
}

/// Asks for an address again and again, until dropped.
pub struct Asker {
    over: Arc<AtomicBool>,
    asking: Option<JoinHandle<()>>,
}

impl Asker {
    pub fn start(namespace: &Namespace, sender: Ipv4Addr, target: IpAddr) -> Self {
        let IpAddr::V4(target) = target else { panic!("no IPv4 address: {target}") };
        let link = namespace.link("eth0").unwrap();
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
