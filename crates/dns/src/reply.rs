//! Writing an answer into a fixed buffer.
//!
//! An answer repeats the question as it was asked, capitals included, and refers to its names by compression
//! pointers (RFC 1035 section 4.1.4). It never grows past what the asker can take: what does not fit is left out,
//! and only answers that are left out set TC (RFC 2181 section 9).

use std::net::IpAddr;

use crate::protocol::{HEADER, TCP_MAX, UDP_PLAIN, class, rtype};
use crate::query::{Bare, Edns, Query};

/// Octets of an OPT record without options.
const OPT_LENGTH: usize = 11;
/// The largest UDP question that is read, as our own OPT records say (DNS Flag Day 2020).
pub const UDP_ASKED_MAX: u16 = 1232;
/// The octets that a record has between its owner's name and its data.
const RECORD_FIXED: usize = 10;
/// The furthest place that a compression pointer can name.
const POINTER_MAX: usize = 0x3fff;

/// How the answer will travel, which bounds its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A datagram; `most` is the server's own bound on its octets, whatever the asker says.
    Udp {
        /// The bound, at least 512.
        most: usize,
    },
    /// A stream, where 65,535 octets fit.
    Tcp,
}

impl Transport {
    /// The octets that an answer to `query` may have.
    #[must_use]
    pub fn room(self, query: &Query<'_>) -> usize {
        match self {
            Self::Udp { most } => {
                query.edns.map_or(UDP_PLAIN, |edns| usize::from(edns.udp_size).clamp(UDP_PLAIN, most.max(UDP_PLAIN)))
            }
            Self::Tcp => TCP_MAX,
        }
    }
}

/// The sections that records go to, in the order in which they must be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Records that answer the question.
    Answer,
    /// The zone that vouches for a denial.
    Authority,
    /// Addresses that the asker will want next.
    Additional,
}

/// A place in the message where a name, or the rest of one, can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pointer(u16);

impl Pointer {
    /// The name that is asked for.
    pub const QUESTION: Self = Self(HEADER as u16);

    /// A place in the question's name, `offset` octets after its start.
    #[must_use]
    pub fn into_question(offset: usize) -> Self {
        Self::QUESTION.plus(offset)
    }

    /// A place `offset` octets after this one, in the same name.
    #[must_use]
    pub fn plus(self, offset: usize) -> Self {
        Self(self.0 + offset as u16)
    }
}

/// A name as it is written: some labels, then either a pointer to the rest or nothing, where the labels end in the
/// root label themselves.
#[derive(Debug, Clone, Copy)]
pub struct Spelled<'a> {
    /// Labels in wire form.
    pub labels: &'a [u8],
    /// Where the rest stands.
    pub rest: Option<Pointer>,
}

impl<'a> Spelled<'a> {
    /// A name that stands elsewhere in the message already.
    #[must_use]
    pub fn at(pointer: Pointer) -> Self {
        Self { labels: &[], rest: Some(pointer) }
    }

    /// A whole name in wire form, root label included.
    #[must_use]
    pub fn whole(wire: &'a [u8]) -> Self {
        Self { labels: wire, rest: None }
    }

    /// The octets that the name takes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.labels.len() + if self.rest.is_some() { 2 } else { 0 }
    }

    /// Writes the name at the start of `out`, which must be long enough, and says how many octets it took.
    pub fn write(&self, out: &mut [u8]) -> usize {
        let labels = self.labels.len();
        out[..labels].copy_from_slice(self.labels);
        if let Some(Pointer(place)) = self.rest {
            out[labels..labels + 2].copy_from_slice(&(0xc000 | place).to_be_bytes());
        }
        self.length()
    }
}

/// Header bits of an answer that are not the question's own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flags {
    /// AA: the answer comes from the zone's own server.
    pub authoritative: bool,
    /// RA: names outside the zones are looked up here.
    pub recursion_available: bool,
    /// AD: an upstream server has validated the answer.
    pub authentic_data: bool,
}

/// An answer that is being written.
#[derive(Debug)]
pub struct Reply<'b> {
    buffer: &'b mut [u8],
    at: usize,
    records_start: usize,
    limit: usize,
    counts: [u16; 3],
    truncated: bool,
    id: u16,
    recursion_desired: bool,
    checking_disabled: bool,
    edns: Option<Edns>,
}

impl<'b> Reply<'b> {
    /// Starts an answer to `query` in `buffer`, which bounds it too and must have at least 512 octets.
    #[must_use]
    pub fn start(buffer: &'b mut [u8], query: &Query<'_>, transport: Transport) -> Self {
        let opt = if query.edns.is_some() { OPT_LENGTH } else { 0 };
        let limit = transport.room(query).min(buffer.len()) - opt;
        let question = query.question();
        let records_start = HEADER + question.len();
        buffer[HEADER..records_start].copy_from_slice(question);
        Self {
            buffer,
            at: records_start,
            records_start,
            limit,
            counts: [0; 3],
            truncated: false,
            id: query.id,
            recursion_desired: query.recursion_desired,
            checking_disabled: query.checking_disabled,
            edns: query.edns,
        }
    }

    /// Starts a record and returns the place for its data, or `None` when it does not fit.
    pub fn record(
        &mut self,
        section: Section,
        owner: Spelled<'_>,
        rtype: u16,
        ttl: u32,
        length: usize,
    ) -> Option<&mut [u8]> {
        debug_assert!(self.counts[section as usize + 1..].iter().all(|&later| later == 0));
        let end = self.at + owner.length() + RECORD_FIXED + length;
        if end > self.limit {
            self.truncated |= section == Section::Answer;
            return None;
        }
        let out = &mut self.buffer[self.at..end];
        let fixed = owner.write(out);
        out[fixed..fixed + 2].copy_from_slice(&rtype.to_be_bytes());
        out[fixed + 2..fixed + 4].copy_from_slice(&class::IN.to_be_bytes());
        out[fixed + 4..fixed + 8].copy_from_slice(&ttl.to_be_bytes());
        out[fixed + 8..fixed + 10].copy_from_slice(&(length as u16).to_be_bytes());
        self.at = end;
        self.counts[section as usize] += 1;
        Some(&mut out[fixed + RECORD_FIXED..])
    }

    /// Writes an A or AAAA record; `false` when it does not fit.
    pub fn address(&mut self, section: Section, owner: Spelled<'_>, ttl: u32, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => {
                self.record(section, owner, rtype::A, ttl, 4).map(|data| data.copy_from_slice(&v4.octets())).is_some()
            }
            IpAddr::V6(v6) => self
                .record(section, owner, rtype::AAAA, ttl, 16)
                .map(|data| data.copy_from_slice(&v6.octets()))
                .is_some(),
        }
    }

    /// Where the next record's owner will stand, when a pointer reaches that far.
    #[must_use]
    pub fn next_owner(&self) -> Option<Pointer> {
        (self.at <= POINTER_MAX).then_some(Pointer(self.at as u16))
    }

    /// Writes a record whose data is one name. The place of that name is returned for later owners, when the record
    /// fits and a pointer reaches it.
    pub fn named(
        &mut self,
        section: Section,
        owner: Spelled<'_>,
        rtype: u16,
        ttl: u32,
        target: Spelled<'_>,
    ) -> Option<Pointer> {
        let place = self.at + owner.length() + RECORD_FIXED;
        let data = self.record(section, owner, rtype, ttl, target.length())?;
        target.write(data);
        (place <= POINTER_MAX).then_some(Pointer(place as u16))
    }

    /// Appends whole records that were encoded elsewhere behind a question of the same length. `false`, and nothing is
    /// written, when they do not fit.
    pub fn append(&mut self, records: &[u8], counts: [u16; 3]) -> Option<&mut [u8]> {
        let end = self.at + records.len();
        if end > self.limit {
            return None;
        }
        let out = &mut self.buffer[self.at..end];
        out.copy_from_slice(records);
        self.at = end;
        for (have, more) in self.counts.iter_mut().zip(counts) {
            *have += more;
        }
        Some(out)
    }

    /// Octets that are still free for records.
    #[must_use]
    pub fn free(&self) -> usize {
        self.limit - self.at
    }

    /// Says that answers were left out.
    pub fn set_truncated(&mut self) {
        self.truncated = true;
    }

    /// Says that what was left out goes into another message.
    pub fn clear_truncated(&mut self) {
        self.truncated = false;
    }

    /// Whether answers were left out.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// How many answer records there are so far.
    #[must_use]
    pub fn answers(&self) -> u16 {
        self.counts[Section::Answer as usize]
    }

    /// Gives the buffer back, with an answer that is not finished.
    pub(crate) fn into_buffer(self) -> &'b mut [u8] {
        self.buffer
    }

    /// Takes back every record.
    pub fn clear(&mut self) {
        self.at = self.records_start;
        self.counts = [0; 3];
        self.truncated = false;
    }

    /// Writes the header and the OPT record. Returns the message's length.
    pub fn finish(&mut self, rcode: u16, flags: Flags) -> usize {
        let mut additional = self.counts[Section::Additional as usize];
        let mut end = self.at;
        if let Some(edns) = self.edns {
            let opt = &mut self.buffer[end..end + OPT_LENGTH];
            opt[0] = 0;
            opt[1..3].copy_from_slice(&rtype::OPT.to_be_bytes());
            opt[3..5].copy_from_slice(&UDP_ASKED_MAX.to_be_bytes());
            opt[5] = (rcode >> 4) as u8;
            opt[6] = 0;
            opt[7] = if edns.dnssec_ok { 0x80 } else { 0 };
            opt[8..].fill(0);
            additional += 1;
            end += OPT_LENGTH;
        }
        let bit = |set: bool, value: u8| if set { value } else { 0 };
        let header = &mut self.buffer[..HEADER];
        header[..2].copy_from_slice(&self.id.to_be_bytes());
        header[2] =
            0x80 | bit(flags.authoritative, 0x04) | bit(self.truncated, 0x02) | bit(self.recursion_desired, 0x01);
        header[3] = bit(flags.recursion_available, 0x80)
            | bit(flags.authentic_data, 0x20)
            | bit(self.checking_disabled, 0x10)
            | (rcode & 0xf) as u8;
        header[4..6].copy_from_slice(&1u16.to_be_bytes());
        header[6..8].copy_from_slice(&self.counts[0].to_be_bytes());
        header[8..10].copy_from_slice(&self.counts[1].to_be_bytes());
        header[10..12].copy_from_slice(&additional.to_be_bytes());
        end
    }
}

/// Writes a bare error answer: a header and nothing else. Returns its length, twelve octets.
pub fn write_bare(buffer: &mut [u8], bare: Bare) -> usize {
    buffer[..HEADER].fill(0);
    buffer[..2].copy_from_slice(&bare.id.to_be_bytes());
    buffer[2] = 0x80 | bare.opcode << 3 | u8::from(bare.recursion_desired);
    buffer[3] = (bare.rcode & 0xf) as u8;
    HEADER
}

#[cfg(test)]
mod tests;
