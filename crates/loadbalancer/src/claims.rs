//! The addresses that a node announces, and when each is announced next. Pure: time is given.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::arp::{Mac, Operation, Packet};

/// Between an address' first announcements, which are for those that did not hear one: at 0, 0.1, 0.5, 1 and 2 s.
const FIRST_GAPS: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(500), Duration::from_secs(1)];
/// Between all later ones, which end what a wrong announcement of somebody else has done.
const GAP: Duration = Duration::from_secs(30);

/// One node's claims.
#[derive(Debug)]
pub(crate) struct Claims {
    mac: Mac,
    owned: BTreeMap<Ipv4Addr, Announcement>,
}

/// When an address is announced next.
#[derive(Debug, Clone, Copy)]
struct Announcement {
    done: usize,
    due: Instant,
    contested: bool,
}

/// What a received packet means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Somebody asks for an address that is ours: this is the answer.
    Question(Packet),
    /// Somebody else says to have an address that is ours; `first` since we took it.
    Conflict { address: Ipv4Addr, mac: Mac, first: bool },
    /// None of our business.
    Other,
}

impl Claims {
    /// None yet, for the interface with an Ethernet address.
    pub(crate) fn new(mac: Mac) -> Claims {
        Claims { mac, owned: BTreeMap::new() }
    }

    /// Takes an address: it is due at once. False: it was ours already.
    pub(crate) fn take(&mut self, address: Ipv4Addr, now: Instant) -> bool {
        if self.owned.contains_key(&address) {
            return false;
        }
        self.owned.insert(address, Announcement { done: 0, due: now, contested: false });
        true
    }

    /// Gives an address up. False: it was not ours.
    pub(crate) fn release(&mut self, address: Ipv4Addr) -> bool {
        self.owned.remove(&address).is_some()
    }

    /// Takes and gives up so that exactly these are ours; what was taken, what was given up.
    pub(crate) fn set(&mut self, wanted: &BTreeSet<Ipv4Addr>, now: Instant) -> (Vec<Ipv4Addr>, Vec<Ipv4Addr>) {
        let gone: Vec<Ipv4Addr> = self.owned.keys().filter(|address| !wanted.contains(address)).copied().collect();
        for address in &gone {
            self.release(*address);
        }
        (wanted.iter().copied().filter(|address| self.take(*address, now)).collect(), gone)
    }

    /// All addresses that are ours.
    pub(crate) fn addresses(&self) -> BTreeSet<Ipv4Addr> {
        self.owned.keys().copied().collect()
    }

    /// When something is due next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.owned.values().map(|announcement| announcement.due).min()
    }

    /// What is to be sent by now: both forms for each address that is due. Each is then due again later.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Packet> {
        let mut packets = Vec::new();
        for (address, announcement) in &mut self.owned {
            if announcement.due > now {
                continue;
            }
            let gap = FIRST_GAPS.get(announcement.done).copied().unwrap_or(GAP);
            announcement.done += 1;
            announcement.due = now + gap;
            packets.extend([Operation::Request, Operation::Reply].map(|o| Packet::gratuitous(o, *address, self.mac)));
        }
        packets
    }

    /// What a received packet means. A conflict makes the address due at once, once every announcement: two nodes that
    /// both think to own it do not shout at each other without end.
    pub(crate) fn hear(&mut self, packet: &Packet, now: Instant) -> Heard {
        if packet.sender_mac == self.mac {
            return Heard::Other;
        }
        if let Some(announcement) = self.owned.get_mut(&packet.sender) {
            let first = !announcement.contested;
            if first {
                announcement.contested = true;
                announcement.due = now;
            }
            return Heard::Conflict { address: packet.sender, mac: packet.sender_mac, first };
        }
        let is_ours = self.owned.contains_key(&packet.target);
        if packet.operation == Operation::Request && is_ours {
            return Heard::Question(Packet::reply_to(packet, self.mac));
        }
        Heard::Other
    }
}

#[cfg(test)]
mod tests;
