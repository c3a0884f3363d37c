//! An upstream's answer, ready to be copied behind an equal question.
//!
//! Hickory reads what came and writes it anew, so that nothing malformed is ever passed on. The new message has the
//! same question as the one it will answer, hence of the same length, so every compression pointer in its records
//! holds there too; only TTLs have to be counted down.

use std::time::Instant;

use hickory_proto::op::{Message, MessageType, OpCode, Query as HickoryQuery};
use hickory_proto::rr::{DNSClass, RData, Record, RecordType};

use crate::protocol::{HEADER, rcode, rtype};
use crate::query::skip_name;
use crate::reply::{Reply, Section};

use super::wanted::{Wanted, WantedRef};

/// Bounds on how long answers are kept, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Answers with records.
    pub positive: u32,
    /// Denials that an SOA record vouches for.
    pub negative: u32,
    /// Failures (RFC 9520 section 3.2: at least one second).
    pub failure: u32,
}

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
    since: Instant,
    lifetime: u32,
}

impl Stored {
    /// Keeps what an upstream said. `None` when it does not answer `wanted`, or cannot be written as a message.
    #[must_use]
    pub fn new(message: Message, wanted: &Wanted, lifetimes: Lifetimes, now: Instant) -> Option<Self> {
        if !answers(&message, wanted) {
            return None;
        }
        let code = match u16::from(message.metadata.response_code) {
            code @ (rcode::NOERROR | rcode::NXDOMAIN | rcode::REFUSED) => code,
            // What went wrong between us and the upstream means nothing to the asker.
            _ => rcode::SERVFAIL,
        };
        let lifetime = lifetime(&message, wanted.qtype, lifetimes);
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
            since: now,
            lifetime,
        })
    }

    /// That nobody could say anything, kept so that not everybody asks again at once.
    #[must_use]
    pub fn failure(wanted: &Wanted, lifetimes: Lifetimes, now: Instant) -> Self {
        Self {
            message: wanted.message(0, false).into(),
            ttls: Box::default(),
            counts: [0; 3],
            rcode: rcode::SERVFAIL,
            authentic_data: false,
            dnssec_ok: wanted.dnssec_ok,
            checking_disabled: wanted.checking_disabled,
            since: now,
            lifetime: lifetimes.failure,
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

    /// Seconds since it was said, while it may still be used.
    #[must_use]
    pub fn age(&self, now: Instant) -> Option<u32> {
        let age = now.saturating_duration_since(self.since).as_secs();
        (age < u64::from(self.lifetime)).then_some(age as u32)
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
                field.copy_from_slice(&old.saturating_sub(age).to_be_bytes());
            }
        }
    }

    /// The answer section, read again, `age` seconds older.
    pub(super) fn answers(&self, age: u32) -> Vec<Record> {
        let mut answers = Message::from_vec(&self.message).map(|message| message.answers).unwrap_or_default();
        for record in &mut answers {
            record.ttl = record.ttl.saturating_sub(age);
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
fn lifetime(message: &Message, qtype: u16, lifetimes: Lifetimes) -> u32 {
    let sane = |ttl: u32| if ttl > i32::MAX as u32 { 0 } else { ttl };
    let shortest = |records: &[Record]| records.iter().map(|record| sane(record.ttl)).min().unwrap_or(u32::MAX);
    let records = shortest(&message.answers).min(shortest(&message.authorities)).min(shortest(&message.additionals));
    let has_type = message
        .answers
        .iter()
        .any(|record| qtype == rtype::ANY || u16::from(record.record_type()) == qtype || qtype == rtype::CNAME);
    match u16::from(message.metadata.response_code) {
        rcode::NOERROR if has_type => records.min(lifetimes.positive),
        rcode::NOERROR | rcode::NXDOMAIN => {
            let minimum = message.authorities.iter().find_map(|record| match &record.data {
                RData::SOA(soa) if record.record_type() == RecordType::SOA => Some(sane(soa.minimum)),
                _ => None,
            });
            minimum.map_or(0, |minimum| records.min(minimum).min(lifetimes.negative))
        }
        _ => lifetimes.failure,
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
