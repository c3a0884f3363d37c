//! ARP for IPv4 on Ethernet (RFC 826), as frames. Pure.

use std::net::Ipv4Addr;

/// An Ethernet address.
pub type Mac = [u8; 6];

/// To everybody on the link.
pub const BROADCAST: Mac = [0xff; 6];
/// Bytes of a frame without padding: Ethernet's header and ARP's packet.
pub const FRAME: usize = 42;

/// The type of Ethernet frames that carry ARP, and of the addresses that it resolves.
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV4: u16 = 0x0800;
const HARDWARE_ETHERNET: u16 = 1;

/// What a packet does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Asks who has the target's address.
    Request,
    /// Says that the sender has the sender's address.
    Reply,
}

/// A packet, and the Ethernet addresses around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// The frame's destination.
    pub destination: Mac,
    /// The frame's source.
    pub source: Mac,
    /// What it does.
    pub operation: Operation,
    /// The sender's Ethernet address: where packets for its address are to be sent.
    pub sender_mac: Mac,
    /// The sender's address; unspecified when it only asks whether an address is taken (RFC 5227).
    pub sender: Ipv4Addr,
    /// The target's Ethernet address; meaningless in a request.
    pub target_mac: Mac,
    /// The target's address.
    pub target: Ipv4Addr,
}

impl Packet {
    /// The answer to a request for an address: it is at `mac`.
    pub fn reply_to(request: &Packet, mac: Mac) -> Packet {
        Packet {
            destination: request.sender_mac,
            source: mac,
            operation: Operation::Reply,
            sender_mac: mac,
            sender: request.target,
            target_mac: request.sender_mac,
            target: request.sender,
        }
    }

    /// The question who has an address, of a machine that names none of its own (RFC 5227).
    pub fn probe(target: Ipv4Addr, mac: Mac) -> Packet {
        Packet {
            destination: BROADCAST,
            source: mac,
            operation: Operation::Request,
            sender_mac: mac,
            sender: Ipv4Addr::UNSPECIFIED,
            target_mac: [0; 6],
            target,
        }
    }

    /// Tells everybody unasked that an address is at `mac`. Some listen only to requests, some only to replies, so both
    /// forms are sent. In both, sender and target are the same address; a reply counts as gratuitous for Linux only if
    /// its target's Ethernet address is the sender's too.
    pub fn gratuitous(operation: Operation, address: Ipv4Addr, mac: Mac) -> Packet {
        let target_mac = match operation {
            Operation::Request => [0; 6],
            Operation::Reply => mac,
        };
        Packet {
            destination: BROADCAST,
            source: mac,
            operation,
            sender_mac: mac,
            sender: address,
            target_mac,
            target: address,
        }
    }

    /// As a frame.
    pub fn to_frame(&self) -> [u8; FRAME] {
        let mut frame = [0; FRAME];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            frame[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&self.destination);
        put(&self.source);
        put(&ETHERTYPE_ARP.to_be_bytes());
        put(&HARDWARE_ETHERNET.to_be_bytes());
        put(&ETHERTYPE_IPV4.to_be_bytes());
        put(&[6, 4]);
        let operation: u16 = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        put(&operation.to_be_bytes());
        put(&self.sender_mac);
        put(&self.sender.octets());
        put(&self.target_mac);
        put(&self.target.octets());
        frame
    }

    /// From a frame, which may be padded. `None`: it is cut short, or is no ARP for IPv4 on Ethernet, or its sender is no
    /// single machine, to which one must never answer.
    pub fn from_frame(frame: &[u8]) -> Option<Packet> {
        let packet = frame.get(..FRAME)?;
        let two = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        let mac = |at: usize| -> Option<Mac> { packet.get(at..at + 6)?.try_into().ok() };
        let address = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
        if two(12) != ETHERTYPE_ARP || two(14) != HARDWARE_ETHERNET || two(16) != ETHERTYPE_IPV4 {
            return None;
        }
        if packet[18..20] != [6, 4] {
            return None;
        }
        let operation = match two(20) {
            1 => Operation::Request,
            2 => Operation::Reply,
            _ => return None,
        };
        let sender_mac = mac(22)?;
        let is_group = sender_mac[0] & 1 != 0;
        if is_group || sender_mac == [0; 6] {
            return None;
        }
        Some(Packet {
            destination: mac(0)?,
            source: mac(6)?,
            operation,
            sender_mac,
            sender: address(28),
            target_mac: mac(32)?,
            target: address(38),
        })
    }
}

#[cfg(test)]
mod tests;
