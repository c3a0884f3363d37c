//! Addresses of other nodes that this one asks for, to see that they are answered for. Pure: time is given.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::arp::Mac;
use crate::packet::{Packet, probe};

/// Between the questions for an address that is not answered: this, doubling.
const FIRST_GAP: Duration = Duration::from_millis(50);
const LONGEST_GAP: Duration = Duration::from_secs(1);
/// Between the questions for one that is.
const GAP: Duration = Duration::from_secs(5);
/// So many questions without an answer take back what was seen.
const LOST: u32 = 3;

/// What one node asks.
#[derive(Debug)]
pub(crate) struct Watched {
    mac: Mac,
    asked: BTreeMap<IpAddr, Question>,
}

#[derive(Debug)]
struct Question {
    due: Instant,
    /// Questions since the last answer.
    unanswered: u32,
    answer: Option<Mac>,
}

impl Watched {
    /// Nothing yet, of the interface with an Ethernet address.
    pub(crate) fn new(mac: Mac) -> Self {
        Self { mac, asked: BTreeMap::new() }
    }

    /// Asks for exactly these. True: some are new.
    pub(crate) fn set(&mut self, addresses: &BTreeSet<IpAddr>, now: Instant) -> bool {
        self.asked.retain(|address, _| addresses.contains(address));
        let before = self.asked.len();
        for address in addresses {
            self.asked.entry(*address).or_insert(Question { due: now, unanswered: 0, answer: None });
        }
        self.asked.len() > before
    }

    /// When something is to be asked next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.asked.values().map(|question| question.due).min()
    }

    /// The questions that are due; each is due again later.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        for (address, question) in self.asked.iter_mut().filter(|(_, question)| question.due <= now) {
            if question.unanswered >= LOST {
                question.answer = None;
            }
            question.due = now + FIRST_GAP.saturating_mul(1 << question.unanswered.min(10)).min(LONGEST_GAP);
            question.unanswered = question.unanswered.saturating_add(1);
            frames.push(probe(*address, self.mac));
        }
        frames
    }

    /// Something was heard. True: it tells of an address what was not known.
    pub(crate) fn hear(&mut self, packet: &Packet, now: Instant) -> bool {
        let Some((address, mac)) = packet.answers(self.mac) else { return false };
        let Some(question) = self.asked.get_mut(&address).filter(|question| question.unanswered > 0) else {
            return false;
        };
        (question.unanswered, question.due) = (0, now + GAP);
        question.answer.replace(mac) != Some(mac)
    }

    /// Who answers for each address that is answered for.
    pub(crate) fn answers(&self) -> BTreeMap<IpAddr, Mac> {
        self.asked.iter().filter_map(|(address, question)| Some((*address, question.answer?))).collect()
    }
}

#[cfg(test)]
mod tests;
