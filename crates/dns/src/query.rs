//! Reading one question from a datagram into fixed buffers, without allocation.
//!
//! What is refused, and how: fewer than twelve octets, or a message that is itself a response, gets silence, because
//! answering it could make two servers talk for ever. Another opcode gets NOTIMP. No question, more than one
//! (RFC 9619), a compressed or overlong name, a record that runs past the end, two OPT records or octets after the
//! last record get FORMERR. Records other than OPT are walked over and not looked at.

use crate::protocol::{HEADER, LABEL_MAX, NAME_MAX, class, rcode, rtype};

const LABELS_MAX: usize = 127;

/// Why a message gets no proper answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing is sent.
    Silence,
    /// A bare header is sent, with this response code.
    Bare(Bare),
}

/// What a bare error answer repeats of the message that it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bare {
    /// The message's ID.
    pub id: u16,
    /// The message's opcode, 0 to 15.
    pub opcode: u8,
    /// Whether recursion was desired.
    pub recursion_desired: bool,
    /// FORMERR or NOTIMP.
    pub rcode: u16,
}

/// The EDNS(0) record of a question (RFC 6891).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edns {
    /// The largest UDP answer that the asker takes, as it says itself.
    pub udp_size: u16,
    /// The version; only 0 is known.
    pub version: u8,
    /// Whether DNSSEC records are wanted.
    pub dnssec_ok: bool,
}

/// The name that is asked for: lower case, with the place of each label.
#[derive(Clone)]
pub struct AskedName {
    lower: [u8; NAME_MAX],
    length: u8,
    starts: [u8; LABELS_MAX],
    labels: u8,
    capitals: bool,
}

impl AskedName {
    /// Reads an uncompressed name from the start of `wire`.
    #[must_use]
    pub fn read(wire: &[u8]) -> Option<Self> {
        read_name(wire)
    }

    /// The name in lower case and wire form, root label included.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.lower[..usize::from(self.length)]
    }

    /// How many labels there are, the root's not counted.
    #[must_use]
    pub fn label_count(&self) -> usize {
        usize::from(self.labels)
    }

    /// Where label `at` starts, counted in octets from the name's start. The label after the last is the root.
    #[must_use]
    pub fn label_start(&self, at: usize) -> usize {
        if at < self.label_count() { usize::from(self.starts[at]) } else { usize::from(self.length).saturating_sub(1) }
    }

    /// Label `at` without its length.
    #[must_use]
    pub fn label(&self, at: usize) -> &[u8] {
        let start = self.label_start(at);
        let length = usize::from(self.lower[start]);
        &self.lower[start + 1..start + 1 + length]
    }

    /// Whether the question was asked with capital letters.
    #[must_use]
    pub fn has_capitals(&self) -> bool {
        self.capitals
    }

    /// How many labels stand before `zone`, when the name lies in it.
    #[must_use]
    pub fn labels_before(&self, zone: &[u8], zone_labels: usize) -> Option<usize> {
        let before = self.label_count().checked_sub(zone_labels)?;
        (self.wire()[self.label_start(before)..] == *zone).then_some(before)
    }
}

impl std::fmt::Debug for AskedName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        crate::name::Name::from_wire(self.wire()).fmt(f)
    }
}

/// One question, as far as a server needs it.
#[derive(Debug, Clone)]
pub struct Query<'p> {
    /// The message's ID.
    pub id: u16,
    /// Whether the asker wants names outside the zones to be looked up.
    pub recursion_desired: bool,
    /// The AD bit: the asker understands "authentic data" (RFC 6840 section 5.7).
    pub authentic_data: bool,
    /// The CD bit: the asker validates itself (RFC 4035).
    pub checking_disabled: bool,
    /// The name.
    pub name: AskedName,
    /// The type.
    pub qtype: u16,
    /// The class.
    pub qclass: u16,
    /// The EDNS record, if there is one.
    pub edns: Option<Edns>,
    question: &'p [u8],
}

impl<'p> Query<'p> {
    /// Reads a message.
    ///
    /// # Errors
    /// How the message is to be refused.
    pub fn parse(packet: &'p [u8]) -> Result<Self, Refusal> {
        let header = packet.first_chunk::<HEADER>().ok_or(Refusal::Silence)?;
        if header[2] & 0x80 != 0 {
            return Err(Refusal::Silence);
        }
        let bare = Bare {
            id: u16::from_be_bytes([header[0], header[1]]),
            opcode: header[2] >> 3 & 0xf,
            recursion_desired: header[2] & 1 != 0,
            rcode: rcode::NOTIMP,
        };
        if bare.opcode != 0 {
            return Err(Refusal::Bare(bare));
        }
        read(packet, header, bare).ok_or(Refusal::Bare(Bare { rcode: rcode::FORMERR, ..bare }))
    }

    /// The question section as it was asked, capitals included: name, type and class.
    #[must_use]
    pub fn question(&self) -> &'p [u8] {
        self.question
    }

    /// Whether the asker wants DNSSEC records.
    #[must_use]
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// Whether the class is the Internet's, the only one that is answered.
    #[must_use]
    pub fn is_internet(&self) -> bool {
        self.qclass == class::IN
    }
}

fn read<'p>(packet: &'p [u8], header: &[u8; HEADER], bare: Bare) -> Option<Query<'p>> {
    let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    if count(4) != 1 {
        return None;
    }
    let name = read_name(&packet[HEADER..])?;
    let fixed = HEADER + usize::from(name.length);
    let (qtype, qclass) = (read_u16(packet, fixed)?, read_u16(packet, fixed + 2)?);
    let mut at = fixed + 4;
    for _ in 0..u32::from(count(6)) + u32::from(count(8)) {
        let record = skip_record(packet, at)?;
        if record.rtype == rtype::OPT {
            return None;
        }
        at = record.end;
    }
    let mut edns = None;
    for _ in 0..count(10) {
        let record = skip_record(packet, at)?;
        if record.rtype == rtype::OPT && edns.replace(read_edns(packet, at, &record)?).is_some() {
            return None;
        }
        at = record.end;
    }
    (at == packet.len()).then_some(Query {
        id: bare.id,
        recursion_desired: bare.recursion_desired,
        authentic_data: header[3] & 0x20 != 0,
        checking_disabled: header[3] & 0x10 != 0,
        name,
        qtype,
        qclass,
        edns,
        question: &packet[HEADER..fixed + 4],
    })
}

fn read_name(packet: &[u8]) -> Option<AskedName> {
    let mut name = AskedName { lower: [0; NAME_MAX], length: 0, starts: [0; LABELS_MAX], labels: 0, capitals: false };
    let mut at = 0;
    loop {
        let length = usize::from(*packet.get(at)?);
        if length == 0 {
            break;
        }
        // A name that is not yet over has its root label to come, so 254 octets are the most before it.
        if length > LABEL_MAX || at + 1 + length > NAME_MAX - 1 {
            return None;
        }
        name.starts[usize::from(name.labels)] = at as u8;
        name.labels += 1;
        at += 1 + length;
    }
    let asked = packet.get(..=at)?;
    name.length = asked.len() as u8;
    let lower = &mut name.lower[..asked.len()];
    lower.copy_from_slice(asked);
    // A label's length is at most 63, which is below 'A': the whole name can be folded at once.
    lower.make_ascii_lowercase();
    name.capitals = *lower != *asked;
    Some(name)
}

struct Skipped {
    rtype: u16,
    fixed: usize,
    end: usize,
}

/// Walks over a record that starts at `at`. A compressed name must point before itself.
fn skip_record(packet: &[u8], at: usize) -> Option<Skipped> {
    let fixed = skip_name(packet, at)?;
    let rtype = read_u16(packet, fixed)?;
    let end = fixed + 10 + usize::from(read_u16(packet, fixed + 8)?);
    (end <= packet.len()).then_some(Skipped { rtype, fixed, end })
}

/// Where the name that starts at `at` ends. A pointer must lead to what stands before it.
pub(crate) fn skip_name(packet: &[u8], at: usize) -> Option<usize> {
    let mut end = at;
    loop {
        let length = usize::from(*packet.get(end)?);
        match length {
            0 => return Some(end + 1),
            1..=LABEL_MAX => end += 1 + length,
            0xc0.. => {
                let target = usize::from(read_u16(packet, end)? & 0x3fff);
                return (target < at && target >= HEADER).then_some(end + 2);
            }
            _ => return None,
        }
        if end - at >= NAME_MAX {
            return None;
        }
    }
}

fn read_edns(packet: &[u8], at: usize, record: &Skipped) -> Option<Edns> {
    if packet[at] != 0 {
        return None;
    }
    let mut option = record.fixed + 10;
    while option < record.end {
        option += 4 + usize::from(read_u16(packet, option + 2)?);
    }
    if option != record.end {
        return None;
    }
    Some(Edns {
        udp_size: read_u16(packet, record.fixed + 2)?,
        version: packet[record.fixed + 5],
        dnssec_ok: packet[record.fixed + 6] & 0x80 != 0,
    })
}

fn read_u16(packet: &[u8], at: usize) -> Option<u16> {
    let octets = packet.get(at..at + 2)?;
    Some(u16::from_be_bytes([octets[0], octets[1]]))
}

#[cfg(test)]
mod tests;
