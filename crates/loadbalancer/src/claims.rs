//! The addresses that a node announces, and when each is announced next. Pure: time is given.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::arp::Mac;
use crate::packet::{self, Packet};

/// Between an address' first announcements, which are for those that did not hear one: at 0, 0.1, 0.5, 1 and 2 s.
const FIRST_GAPS: [Duration; 4] =
    [Duration::from_millis(100), Duration::from_millis(400), Duration::from_millis(500), Duration::from_secs(1)];
/// Between all later ones, which end what a wrong announcement of somebody else has done.
const GAP: Duration = Duration::from_secs(30);

/// One node's claims.
#[derive(Debug)]
pub(crate) struct Claims {
    mac: Mac,
    owned: BTreeMap<IpAddr, Announcement>,
}

/// When an address is announced next.
#[derive(Debug, Clone, Copy)]
struct Announcement {
    done: usize,
    due: Instant,
    contested: bool,
}

/// What a received packet means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Somebody asks for an address that is ours: this frame is the answer.
    Question(Vec<u8>),
    /// Somebody else says to have an address that is ours; `first` since we took it.
    Conflict { address: IpAddr, mac: Mac, first: bool },
    /// None of our business.
    Other,
}

impl Claims {
    /// None yet, for the interface with an Ethernet address.
    pub(crate) fn new(mac: Mac) -> Claims {
        Claims { mac, owned: BTreeMap::new() }
    }

    /// Takes an address: it is due at once. False: it was ours already.
    pub(crate) fn take(&mut self, address: IpAddr, now: Instant) -> bool {
        if self.owned.contains_key(&address) {
            return false;
        }
        self.owned.insert(address, Announcement { done: 0, due: now, contested: false });
        true
    }

    /// Gives an address up. False: it was not ours.
    pub(crate) fn release(&mut self, address: IpAddr) -> bool {
        self.owned.remove(&address).is_some()
    }

    /// Takes and gives up so that exactly these are ours; what was taken, what was given up.
    pub(crate) fn set(&mut self, wanted: &BTreeSet<IpAddr>, now: Instant) -> (Vec<IpAddr>, Vec<IpAddr>) {
        let gone: Vec<IpAddr> = self.owned.keys().filter(|address| !wanted.contains(address)).copied().collect();
        for address in &gone {
            self.release(*address);
        }
        (wanted.iter().copied().filter(|address| self.take(*address, now)).collect(), gone)
    }

    /// All addresses that are ours.
    pub(crate) fn addresses(&self) -> BTreeSet<IpAddr> {
        self.owned.keys().copied().collect()
    }

    /// When something is due next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.owned.values().map(|announcement| announcement.due).min()
    }

    /// What is to be sent by now: all forms for each address that is due. Each is then due again later.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        for (address, announcement) in &mut self.owned {
            if announcement.due > now {
                continue;
            }
            let gap = FIRST_GAPS.get(announcement.done).copied().unwrap_or(GAP);
            announcement.done += 1;
            announcement.due = now + gap;
            frames.push(packet::announcement(*address, self.mac));
        }
        frames
    }

    /// What a received packet means. A conflict makes the address due at once, once every announcement: two nodes that
    /// both think to own it do not shout at each other without end.
    pub(crate) fn hear(&mut self, packet: &Packet, now: Instant) -> Heard {
        if packet.mac() == self.mac {
            return Heard::Other;
        }
        if let Some(address) = packet.claimed()
            && let Some(announcement) = self.owned.get_mut(&address)
        {
            let first = !announcement.contested;
            if first {
                announcement.contested = true;
                announcement.due = now;
            }
            return Heard::Conflict { address, mac: packet.mac(), first };
        }
        let is_ours = packet.asked().is_some_and(|address| self.owned.contains_key(&address));
        let answer = if is_ours { packet.answer(self.mac) } else { None };
        answer.map_or(Heard::Other, Heard::Question)
    }
}

#[cfg(test)]
mod tests;
