//! Interfaces, and sockets that send and receive ARP on one of them.

use std::io;
use std::mem;
use std::net::Ipv4Addr;
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

    /// The interface with an address in the calling thread's network namespace.
    pub fn by_address(address: Ipv4Addr) -> Result<Interface, AnnounceError> {
        let mut all = nix::ifaddrs::getifaddrs().map_err(|error| AnnounceError::Interfaces(error.into()))?;
        let held = |one: &nix::ifaddrs::InterfaceAddress| {
            one.address.and_then(|a| a.as_sockaddr_in().map(|a| a.ip())) == Some(address)
        };
        let found = all.find(held).ok_or_else(|| AnnounceError::NoInterface(address.to_string()))?;
        Interface::by_name(&found.interface_name)
    }
}

/// A packet socket for whole ARP frames of one interface.
#[derive(Debug)]
pub(super) struct ArpSocket {
    file: OwnedFd,
}

impl ArpSocket {
    /// In the calling thread's network namespace.
    pub(super) fn open(index: u32) -> io::Result<ArpSocket> {
        // Without a protocol it receives nothing until it is bound to the one interface.
        let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        // SAFETY: no memory is involved.
        let file = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if file < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel just gave us this descriptor; nobody else has it.
        let file = unsafe { OwnedFd::from_raw_fd(file) };
        // SAFETY: all zeros is a valid sockaddr_ll.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as libc::sa_family_t;
        address.sll_protocol = (libc::ETH_P_ARP as u16).to_be();
        address.sll_ifindex = i32::try_from(index).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
        let len = mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the pointer is to a live address of the length given.
        if unsafe { libc::bind(file.as_raw_fd(), (&raw const address).cast(), len) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(ArpSocket { file })
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

impl AsRawFd for ArpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
