//! Many datagrams in one system call: `recvmmsg` and `sendmmsg`.
//!
//! An answer goes back along the path that its question came: to the same peer and, where the socket has no address
//! of its own, from the address that was asked, which stands in the packet information that came along.

use std::io;
use std::mem::zeroed;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use crate::reply::UDP_ASKED_MAX;

/// The most datagrams that one call carries.
pub(super) const BATCH: usize = 32;
/// Room for a question.
const QUESTION: usize = UDP_ASKED_MAX as usize;
/// Room for one control message with the larger of the two kinds of packet information, aligned as the kernel wants.
const CONTROL: usize = 8;

/// Who asked, and which address.
#[derive(Clone, Copy)]
pub(super) struct Path {
    peer: libc::sockaddr_storage,
    peer_length: libc::socklen_t,
    control: [u64; CONTROL],
    control_length: usize,
}

impl Path {
    fn empty() -> Self {
        // SAFETY: all octets zero is a valid sockaddr_storage, of family AF_UNSPEC.
        Self { peer: unsafe { zeroed() }, peer_length: 0, control: [0; CONTROL], control_length: 0 }
    }

    /// The peer; `None` when there is none, as in what wakes a socket that is shut.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        let peer: *const libc::sockaddr_storage = &raw const self.peer;
        match i32::from(self.peer.ss_family) {
            libc::AF_INET if self.peer_length as usize >= size_of::<libc::sockaddr_in>() => {
                // SAFETY: the family says that it is a sockaddr_in, which a sockaddr_storage can hold.
                let address = unsafe { &*peer.cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
                Some((ip, u16::from_be(address.sin_port)).into())
            }
            libc::AF_INET6 if self.peer_length as usize >= size_of::<libc::sockaddr_in6>() => {
                // SAFETY: as above, of a sockaddr_in6.
                let address = unsafe { &*peer.cast::<libc::sockaddr_in6>() };
                Some((Ipv6Addr::from(address.sin6_addr.s6_addr), u16::from_be(address.sin6_port)).into())
            }
            _ => None,
        }
    }

    /// Makes the packet information of a question fit for its answer: the route decides on the interface, except for
    /// link-local addresses, where the interface is part of the address.
    fn turn_round(&mut self) {
        let control: *mut u64 = self.control.as_mut_ptr();
        if self.control_length < size_of::<libc::cmsghdr>() {
            self.control_length = 0;
            return;
        }
        // SAFETY: the buffer is aligned for a cmsghdr and the kernel wrote at least one.
        let (level, kind, length) = unsafe {
            let header = control.cast::<libc::cmsghdr>();
            ((*header).cmsg_level, (*header).cmsg_type, (*header).cmsg_len)
        };
        // SAFETY: CMSG_DATA of the first header points into the buffer, 16 octets from its start.
        let data = unsafe { libc::CMSG_DATA(control.cast()) };
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let info = data.cast::<libc::in_pktinfo>();
                // SAFETY: level and type say that the data is an in_pktinfo, written by the kernel.
                unsafe { (*info).ipi_ifindex = 0 };
                self.control_length = aligned(length);
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let info = data.cast::<libc::in6_pktinfo>();
                // SAFETY: level and type say that the data is an in6_pktinfo, written by the kernel.
                unsafe {
                    if !Ipv6Addr::from((*info).ipi6_addr.s6_addr).is_unicast_link_local() {
                        (*info).ipi6_ifindex = 0;
                    }
                }
                self.control_length = aligned(length);
            }
            _ => self.control_length = 0,
        }
    }

    fn header(&mut self, data: &mut libc::iovec) -> libc::msghdr {
        // SAFETY: all octets zero is a valid msghdr without name, data or control.
        let mut header: libc::msghdr = unsafe { zeroed() };
        header.msg_name = (&raw mut self.peer).cast();
        header.msg_namelen = self.peer_length;
        header.msg_iov = data;
        header.msg_iovlen = 1;
        if self.control_length > 0 {
            header.msg_control = self.control.as_mut_ptr().cast();
            header.msg_controllen = self.control_length;
        }
        header
    }
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(size_of::<usize>()).min(CONTROL * size_of::<u64>())
}

/// Questions that came together, and their answers. Made and used by one thread.
///
/// The headers hold the addresses of the buffers. Buffers are vectors that never grow, so those addresses hold when
/// the batch moves, and a call prepares only what the one before it used up.
pub(super) struct Batch {
    questions: Vec<[u8; QUESTION]>,
    paths: Vec<Path>,
    answers: Vec<u8>,
    answer_room: usize,
    received: Vec<libc::mmsghdr>,
    sending: Vec<libc::mmsghdr>,
    question_data: Vec<libc::iovec>,
    answer_data: Vec<libc::iovec>,
    /// How many datagrams the last call brought.
    count: usize,
    /// How many answers are ready.
    ready: usize,
}

impl Batch {
    /// Buffers for answers of at most `answer_room` octets.
    pub(super) fn new(answer_room: usize) -> Self {
        let no_data = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        // SAFETY: all octets zero is a valid mmsghdr that refers to nothing.
        let no_header: libc::mmsghdr = unsafe { zeroed() };
        let mut batch = Self {
            questions: vec![[0; QUESTION]; BATCH],
            paths: vec![Path::empty(); BATCH],
            answers: vec![0; answer_room * BATCH],
            answer_room,
            received: vec![no_header; BATCH],
            sending: vec![no_header; BATCH],
            question_data: vec![no_data; BATCH],
            answer_data: vec![no_data; BATCH],
            count: BATCH,
            ready: 0,
        };
        for (data, question) in batch.question_data.iter_mut().zip(&mut batch.questions) {
            *data = libc::iovec { iov_base: question.as_mut_ptr().cast(), iov_len: QUESTION };
        }
        batch
    }

    /// Receives what is there; waits for the first datagram if `wait`. Returns how many came.
    pub(super) fn receive(&mut self, socket: &UdpSocket, wait: bool) -> io::Result<usize> {
        for at in 0..self.count {
            let path = &mut self.paths[at];
            path.peer_length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
            path.control_length = size_of_val(&path.control);
            self.received[at].msg_hdr = path.header(&mut self.question_data[at]);
        }
        (self.count, self.ready) = (0, 0);
        let flags = if wait { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        // SAFETY: the headers refer to buffers of `self`, which live, stay where they are and do not overlap.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.received.as_mut_ptr(),
                BATCH as libc::c_uint,
                flags as _,
                std::ptr::null_mut(),
            )
        };
        self.count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for (header, path) in self.received.iter().zip(&mut self.paths).take(self.count) {
            path.peer_length = header.msg_hdr.msg_namelen;
            path.control_length = header.msg_hdr.msg_controllen;
            path.turn_round();
        }
        Ok(self.count)
    }

    /// Datagram `at`, the buffer for its answer, and where it came from.
    pub(super) fn exchange(&mut self, at: usize) -> (&[u8], &mut [u8], &Path) {
        let length = (self.received[at].msg_len as usize).min(QUESTION);
        let answer = &mut self.answers[at * self.answer_room..(at + 1) * self.answer_room];
        (&self.questions[at][..length], answer, &self.paths[at])
    }

    /// Says that the answer to datagram `at`, of `length` octets, stands in its buffer.
    pub(super) fn answered(&mut self, at: usize, length: usize) {
        let answer = &mut self.answers[at * self.answer_room..][..length.min(self.answer_room)];
        let data = &mut self.answer_data[self.ready];
        *data = libc::iovec { iov_base: answer.as_mut_ptr().cast(), iov_len: answer.len() };
        self.sending[self.ready].msg_hdr = self.paths[at].header(data);
        self.ready += 1;
    }

    /// How many answers are ready.
    pub(super) fn ready(&self) -> usize {
        self.ready
    }

    /// Sends all answers that are ready. Returns how many of them the kernel did not take.
    pub(super) fn send(&mut self, socket: &UdpSocket) -> usize {
        let mut left = &mut self.sending[..self.ready];
        let mut unsent = 0;
        while !left.is_empty() {
            // SAFETY: the headers refer to buffers of `self`, which live and stay where they are.
            let count = unsafe { libc::sendmmsg(socket.as_raw_fd(), left.as_mut_ptr(), left.len() as _, 0) };
            // The first one failed: it is left out and the others go on.
            let done = usize::try_from(count).unwrap_or_else(|_| {
                unsent += 1;
                1
            });
            left = &mut left[done.max(1)..];
        }
        self.ready = 0;
        unsent
    }
}

/// Sends one answer without waiting for room.
pub(super) fn send_one(socket: &UdpSocket, path: &Path, answer: &[u8]) -> io::Result<()> {
    let mut path = *path;
    let mut data = libc::iovec { iov_base: answer.as_ptr().cast_mut().cast(), iov_len: answer.len() };
    let header = path.header(&mut data);
    // SAFETY: the header refers to `path`, `data` and `answer`, which outlive the call; sending writes to none of them.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
