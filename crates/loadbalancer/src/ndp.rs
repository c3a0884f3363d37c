//! IPv6 neighbour discovery on Ethernet (RFC 4861), as frames: what ARP is for IPv4. Pure.

use std::net::Ipv6Addr;

use crate::arp::Mac;

/// Bytes of a solicitation or an advertisement with one option: Ethernet's and IPv6's headers, 24 bytes of ICMPv6, 8 of
/// the option. Longer ones are read as far as this.
pub const FRAME: usize = 86;

const ETHERTYPE_IPV6: u16 = 0x86dd;
const ICMPV6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const OPTION_SOURCE: u8 = 1;
const OPTION_TARGET: u8 = 2;
/// Of an advertisement: it answers a solicitation; what was known before is wrong.
const FLAG_SOLICITED: u8 = 0x40;
const FLAG_OVERRIDE: u8 = 0x20;

/// All nodes of the link.
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Asks who has an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Solicitation {
    /// Where the frame came from.
    pub mac: Mac,
    /// Who asks; unspecified when it only asks whether an address is taken (RFC 4862).
    pub source: Ipv6Addr,
    /// What is asked for.
    pub target: Ipv6Addr,
}

/// Says who has an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advertisement {
    /// Where the address is.
    pub mac: Mac,
    /// The address.
    pub target: Ipv6Addr,
}

/// The group in which who has an address listens (RFC 4291, 2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]))
}

/// The Ethernet address of a group (RFC 2464, 7).
fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

impl Solicitation {
    /// The question whether an address is taken, of a machine that need not have an address itself.
    pub fn probe(target: Ipv6Addr, mac: Mac) -> Vec<u8> {
        let group = solicited_node(target);
        frame(group_mac(group), mac, (Ipv6Addr::UNSPECIFIED, group), &body(SOLICITATION, 0, target, None))
    }

    /// The answer: the address is at `mac`. Who has no address yet cannot be answered alone, so all are told.
    pub fn answer(&self, mac: Mac) -> Vec<u8> {
        if self.source.is_unspecified() {
            return unsolicited(self.target, mac);
        }
        let body = body(ADVERTISEMENT, FLAG_SOLICITED | FLAG_OVERRIDE, self.target, Some((OPTION_TARGET, mac)));
        frame(self.mac, mac, (self.target, self.source), &body)
    }
}

/// Tells everybody unasked that an address is at `mac`.
pub fn unsolicited(address: Ipv6Addr, mac: Mac) -> Vec<u8> {
    let body = body(ADVERTISEMENT, FLAG_OVERRIDE, address, Some((OPTION_TARGET, mac)));
    frame(group_mac(ALL_NODES), mac, (address, ALL_NODES), &body)
}

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// A question.
    Solicitation(Solicitation),
    /// An answer, or an announcement.
    Advertisement(Advertisement),
}

impl Message {
    /// From a frame. `None`: it is cut short, is something else, or is not valid (RFC 4861, 7.1).
    pub fn from_frame(frame: &[u8]) -> Option<Message> {
        let mac = |at: usize| -> Option<Mac> { frame.get(at..at + 6)?.try_into().ok() };
        let address = |at: usize| -> Option<Ipv6Addr> {
            let octets: [u8; 16] = frame.get(at..at + 16)?.try_into().ok()?;
            Some(Ipv6Addr::from(octets))
        };
        let two = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
        // A hop limit of 255 shows that no router has passed it on.
        if two(12)? != ETHERTYPE_IPV6 || frame.get(14)? >> 4 != 6 || *frame.get(20)? != ICMPV6 || *frame.get(21)? != 255
        {
            return None;
        }
        let length = usize::from(two(18)?);
        let (source, destination) = (address(22)?, address(38)?);
        let body = frame.get(54..54 + length)?;
        if length < 24 || body[1] != 0 || checksum(source, destination, body) != 0 {
            return None;
        }
        let target = address(62)?;
        let from = mac(6)?;
        if target.is_multicast() || from[0] & 1 != 0 {
            return None;
        }
        let option = |kind| link_address(&body[24..], kind);
        match body[0] {
            SOLICITATION => {
                let asks_if_taken = source.is_unspecified();
                if asks_if_taken && (destination != solicited_node(target) || option(OPTION_SOURCE).is_some()) {
                    return None;
                }
                let mac = option(OPTION_SOURCE).unwrap_or(from);
                Some(Message::Solicitation(Solicitation { mac, source, target }))
            }
            ADVERTISEMENT => {
                let mac = option(OPTION_TARGET).unwrap_or(from);
                Some(Message::Advertisement(Advertisement { mac, target }))
            }
            _ => None,
        }
    }
}

/// The Ethernet address in an option of a kind.
fn link_address(mut options: &[u8], kind: u8) -> Option<Mac> {
    while let [found, length, ..] = *options {
        let bytes = usize::from(length) * 8;
        if bytes == 0 || bytes > options.len() {
            return None;
        }
        if found == kind {
            let mac: Mac = options.get(2..8)?.try_into().ok()?;
            return (mac[0] & 1 == 0).then_some(mac);
        }
        options = &options[bytes..];
    }
    None
}

fn body(kind: u8, flags: u8, target: Ipv6Addr, option: Option<(u8, Mac)>) -> Vec<u8> {
    let mut body = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    body.extend(target.octets());
    if let Some((kind, mac)) = option {
        body.extend([kind, 1]);
        body.extend(mac);
    }
    body
}

fn frame(to: Mac, from: Mac, (source, destination): (Ipv6Addr, Ipv6Addr), body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(FRAME);
    frame.extend(to);
    frame.extend(from);
    frame.extend(ETHERTYPE_IPV6.to_be_bytes());
    frame.extend([0x60, 0, 0, 0]);
    // A body is 24 or 32 bytes.
    frame.extend([0, body.len() as u8, ICMPV6, 255]);
    frame.extend(source.octets());
    frame.extend(destination.octets());
    let at = frame.len();
    frame.extend(body);
    let sum = checksum(source, destination, body).to_be_bytes();
    frame[at + 2..at + 4].copy_from_slice(&sum);
    frame
}

/// The checksum of a body with its pseudo-header (RFC 8200, 8.1); 0 for a body that bears the right one.
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, body: &[u8]) -> u16 {
    let mut sum = u32::from(ICMPV6) + body.len() as u32;
    let words = |bytes: &[u8]| {
        bytes
            .chunks(2)
            .map(|two| u32::from(u16::from_be_bytes([two[0], two.get(1).copied().unwrap_or(0)])))
            .sum::<u32>()
    };
    sum += words(&source.octets()) + words(&destination.octets()) + words(body);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests;
