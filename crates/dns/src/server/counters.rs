//! What a server has done, counted where it was done.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::protocol::rcode;
use crate::reply::Transport;

/// Response codes that are counted each, and one place for all others.
const CODES: usize = 7;

/// One thread's counters, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Tally {
    udp: AtomicU64,
    tcp: AtomicU64,
    codes: [AtomicU64; CODES],
    silent: AtomicU64,
    truncated: AtomicU64,
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
    turned_away: AtomicU64,
    unsent: AtomicU64,
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Tally {
    pub(super) fn query(&self, transport: Transport) {
        add(if transport == Transport::Tcp { &self.tcp } else { &self.udp });
    }

    pub(super) fn answer(&self, code: u16, truncated: bool) {
        add(&self.codes[usize::from(code).min(CODES - 1)]);
        if truncated {
            add(&self.truncated);
        }
    }

    pub(super) fn silence(&self) {
        add(&self.silent);
    }

    pub(super) fn cache(&self, hit: bool) {
        add(if hit { &self.cache_hits } else { &self.cache_misses });
    }

    pub(super) fn turned_away(&self) {
        add(&self.turned_away);
    }

    pub(super) fn unsent(&self) {
        add(&self.unsent);
    }
}

/// What a server has done since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that came over UDP.
    pub udp: u64,
    /// Messages that came over TCP.
    pub tcp: u64,
    /// Answers with NOERROR.
    pub noerror: u64,
    /// Answers with FORMERR.
    pub formerr: u64,
    /// Answers with SERVFAIL.
    pub servfail: u64,
    /// Answers with NXDOMAIN.
    pub nxdomain: u64,
    /// Answers with NOTIMP.
    pub notimp: u64,
    /// Answers with REFUSED.
    pub refused: u64,
    /// Answers with another code.
    pub other: u64,
    /// Messages that met silence.
    pub silent: u64,
    /// Answers that were cut short.
    pub truncated: u64,
    /// Questions outside the zones that the cache could answer.
    pub cache_hits: u64,
    /// Questions outside the zones that it could not.
    pub cache_misses: u64,
    /// Questions that failed because too many were waiting, and connections that were closed because too many were open.
    pub turned_away: u64,
    /// Answers that the kernel did not take.
    pub unsent: u64,
}

impl Counts {
    /// The sum over all threads.
    pub(super) fn sum<'t>(tallies: impl Iterator<Item = &'t Tally>) -> Self {
        let mut sum = Self::default();
        for tally in tallies {
            let code = |code: u16| tally.codes[usize::from(code)].load(Ordering::Relaxed);
            sum.udp += tally.udp.load(Ordering::Relaxed);
            sum.tcp += tally.tcp.load(Ordering::Relaxed);
            sum.noerror += code(rcode::NOERROR);
            sum.formerr += code(rcode::FORMERR);
            sum.servfail += code(rcode::SERVFAIL);
            sum.nxdomain += code(rcode::NXDOMAIN);
            sum.notimp += code(rcode::NOTIMP);
            sum.refused += code(rcode::REFUSED);
            sum.other += tally.codes[CODES - 1].load(Ordering::Relaxed);
            sum.silent += tally.silent.load(Ordering::Relaxed);
            sum.truncated += tally.truncated.load(Ordering::Relaxed);
            sum.cache_hits += tally.cache_hits.load(Ordering::Relaxed);
            sum.cache_misses += tally.cache_misses.load(Ordering::Relaxed);
            sum.turned_away += tally.turned_away.load(Ordering::Relaxed);
            sum.unsent += tally.unsent.load(Ordering::Relaxed);
        }
        sum
    }
}
