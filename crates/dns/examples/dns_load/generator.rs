//! Questions in bulk: many connected sockets, `sendmmsg` and `recvmmsg`.

use std::io;
use std::mem::zeroed;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

const BATCH: usize = 32;
/// A question without an answer for so long is lost.
const LOST: Duration = Duration::from_millis(500);

/// How much to ask.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Sockets, each with a source port of its own.
    pub sockets: usize,
    /// Questions under way on each, where there is no rate.
    pub window: usize,
    /// Questions a second, of all sockets together.
    pub rate: Option<f64>,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    pub answers: u64,
    pub lost: u64,
    pub took: Duration,
    /// The 50th, 99th and 99.9th percentile, where there was a rate.
    pub latencies: Option<[Duration; 3]>,
}

struct Asker {
    socket: UdpSocket,
    /// When the question with each ID left; IDs go round.
    sent: Box<[Option<Instant>; 256]>,
    next: u8,
    under_way: usize,
    last: Instant,
}

pub struct Generator {
    askers: Vec<Asker>,
    questions: Vec<Vec<u8>>,
    at: usize,
    load: Load,
    buffers: Box<[[u8; 4096]; BATCH]>,
    latencies: Vec<u32>,
    answers: u64,
    lost: u64,
}

impl Generator {
    pub fn new(target: SocketAddr, load: Load, questions: Vec<Vec<u8>>) -> io::Result<Self> {
        let asker = |_| {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.connect(target)?;
            socket.set_nonblocking(true)?;
            Ok(Asker { socket, sent: Box::new([None; 256]), next: 0, under_way: 0, last: Instant::now() })
        };
        Ok(Self {
            askers: (0..load.sockets).map(asker).collect::<io::Result<_>>()?,
            questions,
            at: 0,
            load,
            buffers: Box::new([[0; 4096]; BATCH]),
            latencies: Vec::new(),
            answers: 0,
            lost: 0,
        })
    }

    /// Asks for so long.
    pub fn run(&mut self, time: Duration) -> io::Result<Report> {
        (self.answers, self.lost) = (0, 0);
        self.latencies.clear();
        let start = Instant::now();
        let mut asked = 0u64;
        while start.elapsed() < time {
            for at in 0..self.askers.len() {
                let room = self.load.window.min(255) - self.askers[at].under_way.min(self.load.window);
                let count = match self.load.rate {
                    Some(rate) => ((start.elapsed().as_secs_f64() * rate) as u64).saturating_sub(asked).min(1) as usize,
                    // A window at a time, so that a call carries many.
                    None if room == self.load.window => room,
                    None => 0,
                };
                if count > 0 {
                    self.ask(at, count)?;
                    asked += count as u64;
                }
                self.hear(at)?;
            }
        }
        let took = start.elapsed();
        let latencies = self.load.rate.map(|_| {
            self.latencies.sort_unstable();
            [0.5, 0.99, 0.999].map(|share| {
                let at = (self.latencies.len() as f64 * share) as usize;
                Duration::from_nanos(u64::from(self.latencies.get(at).copied().unwrap_or(0)))
            })
        });
        Ok(Report { answers: self.answers, lost: self.lost, took, latencies })
    }

    fn ask(&mut self, at: usize, count: usize) -> io::Result<()> {
        let asker = &mut self.askers[at];
        let count = count.min(BATCH);
        // SAFETY: all octets zero are valid iovecs and mmsghdrs that refer to nothing.
        let (mut data, mut headers): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) = unsafe { (zeroed(), zeroed()) };
        let mut ids = [[0u8; 2]; BATCH];
        let mut parts: [[libc::iovec; 2]; BATCH] =
            [[libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; 2]; BATCH];
        for slot in 0..count {
            let question = &self.questions[(self.at + slot) % self.questions.len()];
            ids[slot] = [0, asker.next.wrapping_add(slot as u8)];
            parts[slot] = [
                libc::iovec { iov_base: ids[slot].as_ptr().cast_mut().cast(), iov_len: 2 },
                libc::iovec { iov_base: question[2..].as_ptr().cast_mut().cast(), iov_len: question.len() - 2 },
            ];
            data[slot] = parts[slot][0];
            headers[slot].msg_hdr.msg_iov = parts[slot].as_mut_ptr();
            headers[slot].msg_hdr.msg_iovlen = 2;
        }
        // SAFETY: the headers refer to arrays of this call and to questions of `self`, which outlive it.
        let sent = unsafe { libc::sendmmsg(asker.socket.as_raw_fd(), headers.as_mut_ptr(), count as u32, 0) };
        let now = Instant::now();
        for _ in 0..usize::try_from(sent).unwrap_or(0) {
            asker.sent[usize::from(asker.next)] = Some(now);
            asker.next = asker.next.wrapping_add(1);
            asker.under_way += 1;
            self.at += 1;
        }
        asker.last = now;
        Ok(())
    }

    fn hear(&mut self, at: usize) -> io::Result<()> {
        let asker = &mut self.askers[at];
        if asker.under_way == 0 {
            return Ok(());
        }
        // SAFETY: as in `ask`.
        let (mut data, mut headers): ([libc::iovec; BATCH], [libc::mmsghdr; BATCH]) = unsafe { (zeroed(), zeroed()) };
        for ((header, data), buffer) in headers.iter_mut().zip(&mut data).zip(self.buffers.iter_mut()) {
            *data = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            header.msg_hdr.msg_iov = data;
            header.msg_hdr.msg_iovlen = 1;
        }
        let wanted = asker.under_way.min(BATCH) as u32;
        // SAFETY: the headers refer to buffers of `self` and of this call, which outlive it and do not overlap.
        let count = unsafe {
            libc::recvmmsg(
                asker.socket.as_raw_fd(),
                headers.as_mut_ptr(),
                wanted,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let now = Instant::now();
        for buffer in self.buffers.iter().take(usize::try_from(count).unwrap_or(0)) {
            // Only what answers a question that is under way counts: response bit, known ID.
            if buffer[2] & 0x80 != 0
                && let Some(sent) = asker.sent[usize::from(buffer[1])].take()
            {
                self.answers += 1;
                asker.under_way -= 1;
                if self.load.rate.is_some() {
                    self.latencies.push((now - sent).as_nanos().min(u128::from(u32::MAX)) as u32);
                }
            }
        }
        if asker.under_way > 0 && now - asker.last > LOST {
            self.lost += asker.under_way as u64;
            asker.under_way = 0;
            asker.sent.fill(None);
        }
        Ok(())
    }
}

/// Pins a thread, 0 for the calling one, to a processor.
pub fn pin(thread: u32, processor: usize) -> io::Result<()> {
    pin_to(thread, &[processor])
}

/// Lets a thread, 0 for the calling one, run on these processors alone. Allocates nothing.
pub fn pin_to(thread: u32, processors: &[usize]) -> io::Result<()> {
    // SAFETY: all octets zero are an empty set, CPU_SET stays within it for any processor of this machine, and the
    // call only reads it.
    let result = unsafe {
        let mut set: libc::cpu_set_t = zeroed();
        for processor in processors {
            libc::CPU_SET(processor % libc::CPU_SETSIZE as usize, &mut set);
        }
        libc::sched_setaffinity(thread as libc::pid_t, size_of_val(&set), &raw const set)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Processor time that the calling thread has taken.
pub fn own_time() -> io::Result<Duration> {
    clock(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Processor time that a thread of this process has taken.
pub fn thread_time(thread: u32) -> io::Result<Duration> {
    // The kernel's name for a thread's clock of scheduled time: CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED.
    clock(!(thread as libc::clockid_t) << 3 | 6)
}

/// Processor time that all threads of a process have taken.
pub fn process_time(process: u32) -> io::Result<Duration> {
    clock(!(process as libc::clockid_t) << 3 | 2)
}

fn clock(id: libc::clockid_t) -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes to `time` alone.
    if unsafe { libc::clock_gettime(id, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// A question as it is sent.
pub fn question(name: &str, qtype: u16) -> Vec<u8> {
    let mut packet = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    packet.extend(qtype.to_be_bytes());
    packet.extend([0, 1]);
    packet
}
