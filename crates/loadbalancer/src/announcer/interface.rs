//! Interfaces, and sockets that send and receive whole frames on one of them.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsRawFd, FromRawFd as _, OwnedFd, RawFd};

use super::AnnounceError;
use crate::arp::Mac;

/// An Ethernet interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Its Ethernet address.
    pub mac: Mac,
}

impl Interface {
    /// The interface with a name in the calling thread's network namespace.
    pub fn by_name(name: &str) -> Result<Interface, AnnounceError> {
        let all = nix::ifaddrs::getifaddrs().map_err(|error| AnnounceError::Interfaces(error.into()))?;
        all.filter(|one| one.interface_name == name)
            .find_map(|one| {
                let address = one.address?;
                let link = address.as_link_addr()?;
                Some(Interface { name: name.to_owned(), index: u32::try_from(link.ifindex()).ok()?, mac: link.addr()? })
            })
            .ok_or_else(|| AnnounceError::NoInterface(name.to_owned()))
    }

    /// Whether packets can leave by it: it is up, and there is a carrier (`IFF_RUNNING`).
    pub fn is_running(&self) -> bool {
        let Ok(mut all) = nix::ifaddrs::getifaddrs() else { return true };
        all.any(|one| one.interface_name == self.name && one.flags.contains(nix::net::if_::InterfaceFlags::IFF_RUNNING))
    }

    /// The interface with an address in the calling thread's network namespace.
    pub fn by_address(address: IpAddr) -> Result<Interface, AnnounceError> {
        let mut all = nix::ifaddrs::getifaddrs().map_err(|error| AnnounceError::Interfaces(error.into()))?;
        let held = |one: &nix::ifaddrs::InterfaceAddress| {
            let Some(found) = one.address else { return false };
            match address {
                IpAddr::V4(address) => found.as_sockaddr_in().is_some_and(|found| found.ip() == address),
                IpAddr::V6(address) => found.as_sockaddr_in6().is_some_and(|found| found.ip() == address),
            }
        };
        let found = all.find(held).ok_or_else(|| AnnounceError::NoInterface(address.to_string()))?;
        Interface::by_name(&found.interface_name)
    }
}

/// What a socket receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// All ARP.
    Arp,
    /// Of IPv6, solicitations and advertisements of neighbours.
    Neighbours,
}

/// Passes frames whose IPv6 header is followed by ICMPv6 of the types 135 and 136: next header at 20, type at 54.
const NEIGHBOURS: [libc::sock_filter; 7] = [
    statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, 20),
    statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 4, 58),
    statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, 54),
    statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 1, 0, 135),
    statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, 136),
    statement(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
    statement(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
];

const fn statement(code: u32, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt, jf, k }
}

/// A packet socket for whole frames of one protocol and one interface.
#[derive(Debug)]
pub(super) struct FrameSocket {
    file: OwnedFd,
}

impl FrameSocket {
    /// In the calling thread's network namespace.
    pub(super) fn open(index: u32, protocol: Protocol) -> io::Result<FrameSocket> {
        // Without a protocol it receives nothing until it is bound to the one interface.
        let file = socket(libc::AF_PACKET, libc::SOCK_RAW)?;
        if protocol == Protocol::Neighbours {
            let mut filter = NEIGHBOURS;
            let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
            option(&file, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)?;
        }
        let number = match protocol {
            Protocol::Arp => libc::ETH_P_ARP,
            Protocol::Neighbours => libc::ETH_P_IPV6,
        };
        // SAFETY: all zeros is a valid sockaddr_ll.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as libc::sa_family_t;
        address.sll_protocol = (number as u16).to_be();
        address.sll_ifindex = i32::try_from(index).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
        let len = mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the pointer is to a live address of the length given.
        if unsafe { libc::bind(file.as_raw_fd(), (&raw const address).cast(), len) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(FrameSocket { file })
    }

    /// Sends a frame; a full queue is an error.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        nix::sys::socket::send(self.file.as_raw_fd(), frame, nix::sys::socket::MsgFlags::empty())?;
        Ok(())
    }

    /// The begin of the next frame, and how much of it that is.
    pub(super) fn receive(&self, into: &mut [u8]) -> io::Result<usize> {
        Ok(nix::sys::socket::recv(self.file.as_raw_fd(), into, nix::sys::socket::MsgFlags::empty())?)
    }
}

/// The multicast groups in which who has an IPv6 address listens for questions. Switches that follow memberships (MLD)
/// pass the questions on only to who is in the group.
#[derive(Debug)]
pub(super) struct Groups {
    file: OwnedFd,
    index: u32,
}

impl Groups {
    /// None yet, in the calling thread's network namespace; `None` where the machine has no IPv6.
    pub(super) fn open(index: u32) -> Option<Groups> {
        Some(Groups { file: socket(libc::AF_INET6, libc::SOCK_DGRAM).ok()?, index })
    }

    /// Joins a group. To be in it already is no error: several addresses may have one group.
    pub(super) fn join(&self, group: Ipv6Addr) -> io::Result<()> {
        match self.change(libc::IPV6_ADD_MEMBERSHIP, group) {
            Err(error) if error.raw_os_error() == Some(libc::EADDRINUSE) => Ok(()),
            done => done,
        }
    }

    /// Leaves a group.
    pub(super) fn leave(&self, group: Ipv6Addr) -> io::Result<()> {
        self.change(libc::IPV6_DROP_MEMBERSHIP, group)
    }

    fn change(&self, what: libc::c_int, group: Ipv6Addr) -> io::Result<()> {
        let address = libc::in6_addr { s6_addr: group.octets() };
        let request = libc::ipv6_mreq { ipv6mr_multiaddr: address, ipv6mr_interface: self.index };
        option(&self.file, libc::IPPROTO_IPV6, what, &request)
    }
}

fn socket(family: libc::c_int, kind: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved.
    let file = unsafe { libc::socket(family, kind | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC, 0) };
    if file < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just gave us this descriptor; nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(file) })
}

fn option<T>(file: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> io::Result<()> {
    let len = mem::size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer is to a live value of the length given, and the kernel only reads it.
    let failed = unsafe { libc::setsockopt(file.as_raw_fd(), level, name, (&raw const *value).cast(), len) } != 0;
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

impl AsRawFd for FrameSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
