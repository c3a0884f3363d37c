//! What a server has done, counted where it was done.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::protocol::{rcode, rtype};
use crate::query::Query;
use crate::reply::Transport;

/// Response codes that are counted each, and one place for all others.
const CODES: usize = 7;
/// Who can have made an answer.
const MAKERS: usize = 5;
/// Types that are counted each; all others are `other`.
const TYPES: [(&str, u16); 14] = [
    ("A", rtype::A),
    ("AAAA", rtype::AAAA),
    ("SRV", rtype::SRV),
    ("PTR", rtype::PTR),
    ("CNAME", rtype::CNAME),
    ("TXT", rtype::TXT),
    ("SOA", rtype::SOA),
    ("NS", rtype::NS),
    ("MX", rtype::MX),
    ("HTTPS", rtype::HTTPS),
    ("ANY", rtype::ANY),
    ("DS", rtype::DS),
    ("DNSKEY", rtype::DNSKEY),
    ("RRSIG", rtype::RRSIG),
];
const KINDS: usize = TYPES.len() + 1;

/// Upper bounds of octets, as CoreDNS' histograms have them.
pub const OCTETS: [u64; 14] = [0, 100, 200, 300, 400, 511, 1023, 2047, 4095, 8291, 16_000, 32_000, 48_000, 64_000];
/// Upper bounds of durations in nanoseconds, as CoreDNS' histograms have them: a quarter of a millisecond, doubled
/// fifteen times.
pub const DURATIONS: [u64; 16] = {
    let mut bounds = [250_000; 16];
    let mut at = 1;
    while at < bounds.len() {
        bounds[at] = bounds[at - 1] * 2;
        at += 1;
    }
    bounds
};

/// Who made an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maker {
    /// The server itself: what is refused whatever is asked.
    Server,
    /// The index.
    Index,
    /// The cache.
    Cache,
    /// Upstream servers.
    Upstream,
    /// Names from a file.
    Hosts,
}

impl Maker {
    /// The plugin of CoreDNS that would have made it.
    #[must_use]
    pub fn plugin(self) -> &'static str {
        match self {
            Self::Server => "",
            Self::Index => "kubernetes",
            Self::Cache => "cache",
            Self::Upstream => "forward",
            Self::Hosts => "hosts",
        }
    }
}

/// How many values there are up to each of some bounds, how many above, and their sum.
#[derive(Debug)]
struct Spread<const N: usize> {
    counts: [AtomicU64; N],
    above: AtomicU64,
    sum: AtomicU64,
}

impl<const N: usize> Default for Spread<N> {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| AtomicU64::new(0)), above: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }
}

impl<const N: usize> Spread<N> {
    fn add(&self, bounds: &[u64; N], value: u64, times: u64) {
        let place = self.counts.get(bounds.partition_point(|bound| *bound < value)).unwrap_or(&self.above);
        place.fetch_add(times, Ordering::Relaxed);
        self.sum.fetch_add(value.saturating_mul(times), Ordering::Relaxed);
    }

    fn add_to(&self, sum: &mut Histogram) {
        sum.counts.resize(N + 1, 0);
        for (have, more) in sum.counts.iter_mut().zip(self.counts.iter().chain([&self.above])) {
            *have += more.load(Ordering::Relaxed);
        }
        sum.sum += self.sum.load(Ordering::Relaxed);
    }
}

/// How values are spread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many values are at most each of the bounds and above the one before; the last, above all.
    pub counts: Vec<u64>,
    /// Their sum, in the bounds' unit.
    pub sum: u64,
}

/// One thread's counters, on cache lines of their own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Tally {
    /// By transport, address family and type.
    asked: [[[AtomicU64; KINDS]; 2]; 2],
    unread: [AtomicU64; 2],
    dnssec_ok: AtomicU64,
    /// By maker and code.
    answered: [[AtomicU64; CODES]; MAKERS],
    question_octets: [Spread<{ OCTETS.len() }>; 2],
    answer_octets: [Spread<{ OCTETS.len() }>; 2],
    took: Spread<{ DURATIONS.len() }>,
    silent: AtomicU64,
    strangers: AtomicU64,
    truncated: AtomicU64,
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
    turned_away: AtomicU64,
    unsent: AtomicU64,
    searched: AtomicU64,
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn place(transport: Transport) -> usize {
    usize::from(transport == Transport::Tcp)
}

impl Tally {
    /// A question that could be read, of so many octets.
    pub(super) fn question(&self, transport: Transport, v6: bool, query: &Query<'_>, octets: usize) {
        let kind = TYPES.iter().position(|(_, number)| *number == query.qtype).unwrap_or(KINDS - 1);
        add(&self.asked[place(transport)][usize::from(v6)][kind]);
        self.question_octets[place(transport)].add(&OCTETS, octets as u64, 1);
        if query.dnssec_ok() {
            add(&self.dnssec_ok);
        }
    }

    /// A message that is no question, or cannot be read.
    pub(super) fn unread(&self, transport: Transport) {
        add(&self.unread[place(transport)]);
    }

    /// What an answer says.
    pub(super) fn answer(&self, maker: Maker, code: u16, truncated: bool) {
        add(&self.answered[maker as usize][usize::from(code).min(CODES - 1)]);
        if truncated {
            add(&self.truncated);
        }
    }

    /// How long an answer is.
    pub(super) fn answer_octets(&self, transport: Transport, octets: usize) {
        self.answer_octets[place(transport)].add(&OCTETS, octets as u64, 1);
    }

    /// How long so many answers took, each.
    pub(super) fn took(&self, time: Duration, answers: usize) {
        if answers > 0 {
            self.took.add(&DURATIONS, time.as_nanos() as u64, answers as u64);
        }
    }

    pub(super) fn silence(&self) {
        add(&self.silent);
    }

    /// Somebody asked who is not served.
    pub(super) fn stranger(&self) {
        add(&self.silent);
        add(&self.strangers);
    }

    pub(super) fn cache(&self, hit: bool) {
        add(if hit { &self.cache_hits } else { &self.cache_misses });
    }

    pub(super) fn turned_away(&self) {
        add(&self.turned_away);
    }

    /// A search path was gone through, and an answer found.
    pub(super) fn searched(&self) {
        add(&self.searched);
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
    /// Those of them that came from addresses that are not served.
    pub strangers: u64,
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
    /// Questions of search paths that were answered by way of a later name of the path.
    pub searched: u64,
}

impl Counts {
    /// The sum over all threads.
    pub(super) fn sum<'t>(tallies: impl Iterator<Item = &'t Tally>) -> Self {
        let mut sum = Self::default();
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for tally in tallies {
            let code = |code: u16| tally.answered.iter().map(|codes| load(&codes[usize::from(code)])).sum::<u64>();
            let came = |at: usize| tally.asked[at].iter().flatten().chain([&tally.unread[at]]).map(load).sum::<u64>();
            sum.udp += came(0);
            sum.tcp += came(1);
            sum.noerror += code(rcode::NOERROR);
            sum.formerr += code(rcode::FORMERR);
            sum.servfail += code(rcode::SERVFAIL);
            sum.nxdomain += code(rcode::NXDOMAIN);
            sum.notimp += code(rcode::NOTIMP);
            sum.refused += code(rcode::REFUSED);
            sum.other += code(CODES as u16 - 1);
            sum.silent += load(&tally.silent);
            sum.strangers += load(&tally.strangers);
            sum.truncated += load(&tally.truncated);
            sum.cache_hits += load(&tally.cache_hits);
            sum.cache_misses += load(&tally.cache_misses);
            sum.turned_away += load(&tally.turned_away);
            sum.unsent += load(&tally.unsent);
            sum.searched += load(&tally.searched);
        }
        sum
    }
}

/// Questions of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Over TCP, or else over UDP.
    pub tcp: bool,
    /// From an IPv6 address, or else from an IPv4 one.
    pub v6: bool,
    /// The type's name; `other` for what is not counted by itself.
    pub rtype: &'static str,
    /// How many.
    pub count: u64,
}

/// Answers of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Who made them.
    pub maker: Maker,
    /// The response code's name.
    pub rcode: &'static str,
    /// How many.
    pub count: u64,
}

/// What a server has done since it started, in the detail that monitoring wants. Kinds that never came are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Questions by kind.
    pub asked: Vec<Asked>,
    /// Questions that want DNSSEC records.
    pub dnssec_ok: u64,
    /// Answers by kind.
    pub answered: Vec<Answered>,
    /// Octets of questions, over UDP and TCP; bounds are [`OCTETS`].
    pub question_octets: [Histogram; 2],
    /// Octets of answers, over UDP and TCP; bounds are [`OCTETS`].
    pub answer_octets: [Histogram; 2],
    /// Nanoseconds from a question's arrival until its answer was sent; bounds are [`DURATIONS`]. Questions that came
    /// together count as long as the last of them.
    pub took: Histogram,
}

impl Figures {
    /// The sum over all threads.
    pub(super) fn sum<'t>(tallies: impl Iterator<Item = &'t Tally>) -> Self {
        const NAMES: [&str; CODES] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "other"];
        const ALL: [Maker; MAKERS] = [Maker::Server, Maker::Index, Maker::Cache, Maker::Upstream, Maker::Hosts];
        let (mut figures, mut asked, mut answered) = (Self::default(), [[[0; KINDS]; 2]; 2], [[0; CODES]; MAKERS]);
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        for tally in tallies {
            let counters = tally.asked.iter().flatten().flatten();
            asked.iter_mut().flatten().flatten().zip(counters).for_each(|(sum, counter)| *sum += load(counter));
            let counters = tally.answered.iter().flatten();
            answered.iter_mut().flatten().zip(counters).for_each(|(sum, counter)| *sum += load(counter));
            figures.dnssec_ok += load(&tally.dnssec_ok);
            for at in 0..2 {
                tally.question_octets[at].add_to(&mut figures.question_octets[at]);
                tally.answer_octets[at].add_to(&mut figures.answer_octets[at]);
            }
            tally.took.add_to(&mut figures.took);
        }
        for (transport, families) in asked.iter().enumerate() {
            for (family, kinds) in families.iter().enumerate() {
                let (tcp, v6) = (transport == 1, family == 1);
                let name = |kind: usize| TYPES.get(kind).map_or("other", |(name, _)| name);
                let came = kinds.iter().enumerate().filter(|(_, count)| **count > 0);
                figures.asked.extend(came.map(|(kind, count)| Asked { tcp, v6, rtype: name(kind), count: *count }));
            }
        }
        for (maker, codes) in ALL.into_iter().zip(answered) {
            let went = NAMES.into_iter().zip(codes).filter(|(_, count)| *count > 0);
            figures.answered.extend(went.map(|(rcode, count)| Answered { maker, rcode, count }));
        }
        figures
    }
}
