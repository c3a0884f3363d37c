//! An upstream's answer, ready to be copied behind an equal question.
//!
//! Hickory reads what came and writes it anew, so that nothing malformed is ever passed on. The new message has the
//! same question as the one it will answer, hence of the same length, so every compression pointer in its records
//! holds there too; only TTLs have to be counted down.

use std::time::Instant;

use hickory_proto::op::{Message, MessageType, OpCode, Query as HickoryQuery};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};

use crate::name::Name;
use crate::protocol::{HEADER, rcode, rtype};
use crate::query::skip_name;
use crate::reply::{Reply, Section};

use super::keep::{Keep, lies_in};
use super::wanted::{Wanted, WantedRef};

/// An answer to keep.
#[derive(Debug)]
pub struct Stored {
    /// A whole message without OPT record; its header is not used.
    message: Box<[u8]>,
    /// Where each record's TTL stands.
    ttls: Box<[u16]>,
    counts: [u16; 3],
    rcode: u16,
    authentic_data: bool,
    dnssec_ok: bool,
    checking_disabled: bool,
    constant_ttl: bool,
    since: Instant,
    /// All in seconds, and `lifetime` counted from `since`, `stale` from its end.
    lifetime: u32,
    stale: u32,
    stale_ttl: u32,
}

impl Stored {
    /// Keeps what an upstream said. `None` when it does not answer `wanted`, or cannot be written as a message.
    #[must_use]
    pub fn new(mut message: Message, wanted: &Wanted, keep: &Keep, now: Instant) -> Option<Self> {
        if !answers(&message, wanted) {
            return None;
        }
        let code = match u16::from(message.metadata.response_code) {
            code @ (rcode::NOERROR | rcode::NXDOMAIN | rcode::REFUSED) => code,
            // What went wrong between us and the upstream means nothing to the asker.
            _ => rcode::SERVFAIL,
        };
        let lifetime = lifetime(&message, wanted, keep);
        let longest = keep.lifetimes.positive.max(1);
        let sections = [&mut message.answers, &mut message.authorities, &mut message.additionals];
        for record in sections.into_iter().flatten() {
            // What is not kept is passed on as it came.
            if lifetime > 0 {
                record.ttl = record.ttl.min(longest);
            }
        }
        let mut clean = Message::new(0, MessageType::Response, OpCode::Query);
        clean.add_queries(message.queries.iter().map(|query| {
            let mut lower = HickoryQuery::query(query.name().to_lowercase(), query.query_type());
            lower.set_query_class(DNSClass::IN);
            lower
        }));
        let counts = [&message.answers, &message.authorities, &message.additionals].map(|section| section.len() as u16);
        let authentic_data = message.metadata.authentic_data;
        clean.add_answers(message.answers).add_authorities(message.authorities).add_additionals(message.additionals);
        let bytes = clean.to_vec().ok()?;
        let ttls = find_ttls(&bytes, HEADER + wanted.name.wire().len() + 4, counts)?;
        Some(Self {
            message: bytes.into(),
            ttls,
            counts,
            rcode: code,
            authentic_data,
            dnssec_ok: wanted.dnssec_ok,
            checking_disabled: wanted.checking_disabled,
            constant_ttl: keep.constant_ttl,
            since: now,
            lifetime,
            stale: keep.stale.map_or(0, |stale| u32::try_from(stale.longest.as_secs()).unwrap_or(u32::MAX)),
            stale_ttl: keep.stale.map_or(0, |stale| stale.ttl),
        })
    }

    /// That nobody could say anything, kept so that not everybody asks again at once.
    #[must_use]
    pub fn failure(wanted: &Wanted, keep: &Keep, now: Instant) -> Self {
        Self {
            message: wanted.message(0, false).into(),
            ttls: Box::default(),
            counts: [0; 3],
            rcode: rcode::SERVFAIL,
            authentic_data: false,
            dnssec_ok: wanted.dnssec_ok,
            checking_disabled: wanted.checking_disabled,
            constant_ttl: false,
            since: now,
            lifetime: keep.lifetimes.failure,
            stale: 0,
            stale_ttl: 0,
        }
    }

    /// What it answers.
    #[must_use]
    pub fn wanted(&self) -> WantedRef<'_> {
        let end = self.records_start();
        WantedRef {
            name: &self.message[HEADER..end - 4],
            qtype: u16::from_be_bytes([self.message[end - 4], self.message[end - 3]]),
            dnssec_ok: self.dnssec_ok,
            checking_disabled: self.checking_disabled,
        }
    }

    fn records_start(&self) -> usize {
        // The name was written by us or by hickory: it ends.
        skip_name(&self.message, HEADER).map_or(self.message.len(), |end| end + 4)
    }

    /// The response code.
    #[must_use]
    pub fn rcode(&self) -> u16 {
        self.rcode
    }

    /// Whether the upstream has validated it.
    #[must_use]
    pub fn authentic_data(&self) -> bool {
        self.authentic_data
    }

    /// Whether it says that something went wrong, rather than what there is.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        !matches!(self.rcode, rcode::NOERROR | rcode::NXDOMAIN)
    }

    /// Whether it has answers.
    #[must_use]
    pub fn is_positive(&self) -> bool {
        self.rcode == rcode::NOERROR && self.counts[Section::Answer as usize] > 0
    }

    /// Seconds since it was said.
    #[must_use]
    pub fn age(&self, now: Instant) -> u32 {
        u32::try_from(now.saturating_duration_since(self.since).as_secs()).unwrap_or(u32::MAX)
    }

    /// How many seconds it may be kept, from when it was said.
    #[must_use]
    pub fn lifetime(&self) -> u32 {
        self.lifetime
    }

    /// Whether it may be given, as old as it is.
    #[must_use]
    pub fn is_fresh(&self, age: u32) -> bool {
        age < self.lifetime
    }

    /// Whether it may be given only where nobody says anything newer.
    #[must_use]
    pub fn is_stale(&self, age: u32) -> bool {
        self.lifetime > 0 && !self.is_fresh(age) && age - self.lifetime < self.stale && !self.is_failure()
    }

    /// Whether it may be kept at all.
    #[must_use]
    pub fn is_keepable(&self) -> bool {
        self.lifetime > 0
    }

    /// Octets that keeping it takes, about.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.message.len() + 2 * self.ttls.len() + size_of::<Self>() + 64
    }

    /// Writes the records into an answer to an equal question, `age` seconds older than they were.
    pub fn write(&self, reply: &mut Reply<'_>, age: u32) {
        let start = self.records_start();
        let ends = |record: usize| {
            let ttl = usize::from(self.ttls[record]);
            ttl + 6 + usize::from(u16::from_be_bytes([self.message[ttl + 4], self.message[ttl + 5]]))
        };
        let fitting = (0..self.ttls.len()).take_while(|record| ends(*record) - start <= reply.free()).count();
        let counts = first(self.counts, fitting);
        if counts[Section::Answer as usize] < self.counts[Section::Answer as usize] {
            reply.set_truncated();
        }
        let Some(last) = fitting.checked_sub(1) else {
            return;
        };
        let Some(out) = reply.append(&self.message[start..ends(last)], counts) else {
            return;
        };
        for ttl in &self.ttls[..fitting] {
            let at = usize::from(*ttl) - start;
            if let Some(field) = out.get_mut(at..at + 4) {
                let old = u32::from_be_bytes([field[0], field[1], field[2], field[3]]);
                field.copy_from_slice(&self.aged(old, age).to_be_bytes());
            }
        }
    }

    /// What is left of a record's TTL.
    fn aged(&self, ttl: u32, age: u32) -> u32 {
        match (self.is_stale(age), self.constant_ttl) {
            (true, _) => ttl.min(self.stale_ttl),
            (false, true) => ttl,
            (false, false) => ttl.saturating_sub(age),
        }
    }

    /// The answer section, read again, `age` seconds older.
    pub(super) fn answers(&self, age: u32) -> Vec<Record> {
        let mut answers = Message::from_vec(&self.message).map(|message| message.answers).unwrap_or_default();
        for record in &mut answers {
            record.ttl = self.aged(record.ttl, age);
        }
        answers
    }
}

/// The sections of the first `records` records.
fn first(counts: [u16; 3], records: usize) -> [u16; 3] {
    let mut left = records as u16;
    counts.map(|count| {
        let taken = count.min(left);
        left -= taken;
        taken
    })
}

/// Whether a message is a response to the question. Its ID was compared before it was decoded.
fn answers(message: &Message, wanted: &Wanted) -> bool {
    let [query] = message.queries.as_slice() else {
        return false;
    };
    message.metadata.message_type == MessageType::Response
        && message.metadata.op_code == OpCode::Query
        && u16::from(query.query_type()) == wanted.qtype
        && query.query_class() == DNSClass::IN
        && query.name().iter().map(<[u8]>::to_ascii_lowercase).eq(crate::name::labels(wanted.name.wire()))
}

/// How long a message may be kept: as long as its shortest-lived record, and a denial no longer than its SOA record
/// says (RFC 2308 section 5). A denial without one is not kept.
fn lifetime(message: &Message, wanted: &Wanted, keep: &Keep) -> u32 {
    let sane = |ttl: u32| if ttl > i32::MAX as u32 { 0 } else { ttl };
    let shortest = |records: &[Record]| records.iter().map(|record| sane(record.ttl)).min().unwrap_or(u32::MAX);
    let records = shortest(&message.answers).min(shortest(&message.authorities)).min(shortest(&message.additionals));
    let qtype = wanted.qtype;
    let has_type = message
        .answers
        .iter()
        .any(|record| qtype == rtype::ANY || u16::from(record.record_type()) == qtype || qtype == rtype::CNAME);
    let is_of = |zones: &[Name]| zones.iter().any(|zone| lies_in(wanted.name.wire(), zone));
    let bounds = keep.lifetimes;
    match u16::from(message.metadata.response_code) {
        rcode::NOERROR if has_type && is_of(&keep.not_positive) => 0,
        rcode::NOERROR if has_type => records.max(bounds.positive_least).min(bounds.positive),
        rcode::NOERROR | rcode::NXDOMAIN if is_of(&keep.not_negative) => 0,
        rcode::NOERROR | rcode::NXDOMAIN => {
            let minimum = message.authorities.iter().find_map(|record| match &record.data {
                RData::SOA(soa) if record.record_type() == RecordType::SOA => Some(sane(soa.minimum)),
                _ => None,
            });
            let within = |minimum: u32| records.min(minimum).max(bounds.negative_least).min(bounds.negative);
            minimum.map_or(0, within)
        }
        _ => bounds.failure,
    }
}

fn find_ttls(message: &[u8], start: usize, counts: [u16; 3]) -> Option<Box<[u16]>> {
    let records: usize = counts.iter().map(|count| usize::from(*count)).sum();
    let mut ttls = Vec::with_capacity(records);
    let mut at = start;
    for _ in 0..records {
        let ttl = skip_name(message, at)? + 4;
        let length = message.get(ttl + 4..ttl + 6)?;
        at = ttl + 6 + usize::from(u16::from_be_bytes([length[0], length[1]]));
        ttls.push(u16::try_from(ttl).ok()?);
    }
    (at == message.len()).then(|| ttls.into())
}
