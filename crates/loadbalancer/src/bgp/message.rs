//! BGP's messages as bytes: what a speaker needs that only announces (RFC 4271; 4-octet AS numbers RFC 6793, several
//! protocols RFC 4760, capabilities RFC 5492, communities RFC 1997, graceful restart RFC 4724, route refresh RFC 2918).
//! Pure. Routes that others announce are stepped over.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

/// The longest message.
pub const LONGEST: usize = 4096;
/// Bytes of a message's header.
pub const HEADER: usize = 19;
/// Stands for an AS number that has no two bytes.
const AS_TRANS: u16 = 23_456;
/// How many bytes of prefixes are put into one message, well below what fits beside the attributes.
const PREFIXES: usize = 2048;

const OPEN: u8 = 1;
const UPDATE: u8 = 2;
const NOTIFICATION: u8 = 3;
const KEEPALIVE: u8 = 4;
const REFRESH: u8 = 5;

const OPTIONAL: u8 = 0x80;
const TRANSITIVE: u8 = 0x40;
const EXTENDED: u8 = 0x10;

/// A family of prefixes, unicast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Family {
    fn code(self) -> u16 {
        match self {
            Self::V4 => 1,
            Self::V6 => 2,
        }
    }

    fn of_code(code: u16) -> Option<Self> {
        match code {
            1 => Some(Self::V4),
            2 => Some(Self::V6),
            _ => None,
        }
    }

    /// Of an address.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv6() { Self::V6 } else { Self::V4 }
    }
}

/// The begin of a session: who speaks, and what it can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The AS number.
    pub asn: u32,
    /// Seconds without a word after which the session is over; 0: never.
    pub hold: u16,
    /// The speaker's identifier.
    pub router: Ipv4Addr,
    /// The families that it speaks of.
    pub families: Vec<Family>,
    /// Whether it understands AS numbers of four bytes.
    pub wide: bool,
    /// For how many seconds others are to keep its routes while it restarts; `None`: not at all.
    pub restart: Option<u16>,
}

/// Why a session ends (RFC 4271, 4.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// The code.
    pub code: u8,
    /// The code under it.
    pub subcode: u8,
    /// More of it.
    pub data: Vec<u8>,
}

/// A message that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The begin.
    Open(Open),
    /// A sign of life.
    Keepalive,
    /// The end.
    Notification(Notification),
    /// Routes, which are not read.
    Update,
    /// All routes of a family are wanted again.
    Refresh(Option<Family>),
}

/// What is said of all routes of a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// The own AS number, where the other speaker is of another one: eBGP.
    pub path: Option<u32>,
    /// Whether AS numbers are written with four bytes.
    pub wide: bool,
    /// Where packets are to be sent.
    pub next_hop: IpAddr,
    /// How much the route is liked, for iBGP.
    pub preference: Option<u32>,
    /// Communities, each `AS:VALUE` in two halves.
    pub communities: Vec<u32>,
}

/// What is wrong with a message: the notification that says so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message that is none: {what}")]
pub struct Malformed {
    /// In words.
    pub what: &'static str,
    /// As it is told to the other.
    pub notification: Notification,
}

impl Notification {
    /// One without more to say.
    pub fn new(code: u8, subcode: u8) -> Self {
        Self { code, subcode, data: Vec::new() }
    }
}

fn malformed(what: &'static str, code: u8, subcode: u8) -> Malformed {
    Malformed { what, notification: Notification::new(code, subcode) }
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xff; 16];
    // Bodies are kept below the longest message.
    bytes.extend(((HEADER + body.len()) as u16).to_be_bytes());
    bytes.push(kind);
    bytes.extend(body);
    bytes
}

impl Open {
    /// As a message.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut capabilities = Vec::new();
        let mut capability = |code: u8, value: &[u8]| capabilities.extend([&[code, value.len() as u8], value].concat());
        for family in &self.families {
            let [high, low] = family.code().to_be_bytes();
            capability(1, &[high, low, 0, 1]);
        }
        capability(2, &[]);
        if let Some(seconds) = self.restart {
            let mut value = (seconds & 0x0fff).to_be_bytes().to_vec();
            for family in &self.families {
                let [high, low] = family.code().to_be_bytes();
                // What the kernel does for the addresses goes on while the speaker restarts.
                value.extend([high, low, 1, 0x80]);
            }
            capability(64, &value);
        }
        if self.wide {
            capability(65, &self.asn.to_be_bytes());
        }
        let mut body = vec![4];
        body.extend(u16::try_from(self.asn).unwrap_or(AS_TRANS).to_be_bytes());
        body.extend(self.hold.to_be_bytes());
        body.extend(self.router.octets());
        body.extend([capabilities.len() as u8 + 2, 2, capabilities.len() as u8]);
        body.extend(capabilities);
        message(OPEN, &body)
    }

    fn read(body: &[u8]) -> Result<Self, Malformed> {
        let short = || malformed("an OPEN that is cut short", 1, 2);
        let [version, as_high, as_low, hold_high, hold_low, a, b, c, d, length, rest @ ..] = body else {
            return Err(short());
        };
        if *version != 4 {
            return Err(malformed("another version of BGP", 2, 1));
        }
        let hold = u16::from_be_bytes([*hold_high, *hold_low]);
        if matches!(hold, 1 | 2) {
            return Err(malformed("a hold time of less than three seconds", 2, 6));
        }
        let mut open = Self {
            asn: u16::from_be_bytes([*as_high, *as_low]).into(),
            hold,
            router: Ipv4Addr::new(*a, *b, *c, *d),
            families: Vec::new(),
            wide: false,
            restart: None,
        };
        let mut parameters = rest.get(..usize::from(*length)).ok_or_else(short)?;
        while let [kind, length, rest @ ..] = parameters {
            let value = rest.get(..usize::from(*length)).ok_or_else(short)?;
            if *kind == 2 {
                open.capabilities(value).ok_or_else(short)?;
            }
            parameters = &rest[value.len()..];
        }
        // Who says nothing of families speaks of IPv4 alone.
        if open.families.is_empty() {
            open.families.push(Family::V4);
        }
        Ok(open)
    }

    fn capabilities(&mut self, mut all: &[u8]) -> Option<()> {
        while let [code, length, rest @ ..] = all {
            let value = rest.get(..usize::from(*length))?;
            match (*code, value) {
                (1, [high, low, _, 1]) => self.families.extend(Family::of_code(u16::from_be_bytes([*high, *low]))),
                (64, [high, low, ..]) => self.restart = Some(u16::from_be_bytes([*high, *low]) & 0x0fff),
                (65, [a, b, c, d]) => (self.wide, self.asn) = (true, u32::from_be_bytes([*a, *b, *c, *d])),
                _ => {}
            }
            all = &rest[value.len()..];
        }
        Some(())
    }
}

/// A sign of life.
pub fn keepalive() -> Vec<u8> {
    message(KEEPALIVE, &[])
}

/// The end of a session, as a message.
pub fn notification(notification: &Notification) -> Vec<u8> {
    message(NOTIFICATION, &[&[notification.code, notification.subcode], &notification.data[..]].concat())
}

/// Messages that announce prefixes, all of the family of the next hop.
pub fn announce(prefixes: &[IpNet], attributes: &Attributes) -> Vec<Vec<u8>> {
    let common = attributes.to_bytes();
    let update = |prefixes: Vec<u8>| match attributes.next_hop {
        IpAddr::V4(_) => body(&[], &common, &prefixes),
        IpAddr::V6(next_hop) => {
            let mut value = vec![0, 2, 1, 16];
            value.extend(next_hop.octets());
            value.push(0);
            value.extend(prefixes);
            // Attributes stand in the order of their numbers where that can be had: this one is the last but one.
            body(&[], &[common.clone(), attribute(OPTIONAL, 14, &value)].concat(), &[])
        }
    };
    batches(prefixes).into_iter().map(|prefixes| message(UPDATE, &update(prefixes))).collect()
}

/// Messages that take prefixes of a family back.
pub fn withdraw(prefixes: &[IpNet], family: Family) -> Vec<Vec<u8>> {
    let update = |prefixes: Vec<u8>| match family {
        Family::V4 => body(&prefixes, &[], &[]),
        Family::V6 => body(&[], &attribute(OPTIONAL, 15, &[&[0, 2, 1], &prefixes[..]].concat()), &[]),
    };
    batches(prefixes).into_iter().map(|prefixes| message(UPDATE, &update(prefixes))).collect()
}

/// The message that says that all routes of a family have been announced (RFC 4724, 2).
pub fn end_of_routes(family: Family) -> Vec<u8> {
    match family {
        Family::V4 => message(UPDATE, &body(&[], &[], &[])),
        Family::V6 => message(UPDATE, &body(&[], &attribute(OPTIONAL, 15, &[0, 2, 1]), &[])),
    }
}

fn body(withdrawn: &[u8], attributes: &[u8], announced: &[u8]) -> Vec<u8> {
    let mut body = (withdrawn.len() as u16).to_be_bytes().to_vec();
    body.extend(withdrawn);
    body.extend((attributes.len() as u16).to_be_bytes());
    body.extend(attributes);
    body.extend(announced);
    body
}

/// Prefixes as bytes, as many together as fit into a message.
fn batches(prefixes: &[IpNet]) -> Vec<Vec<u8>> {
    let mut batches: Vec<Vec<u8>> = Vec::new();
    for prefix in prefixes {
        let octets = match prefix.network() {
            IpAddr::V4(network) => network.octets().to_vec(),
            IpAddr::V6(network) => network.octets().to_vec(),
        };
        let length = usize::from(prefix.prefix_len()).div_ceil(8);
        match batches.last_mut().filter(|batch| batch.len() < PREFIXES) {
            Some(batch) => batch.push(prefix.prefix_len()),
            None => batches.push(vec![prefix.prefix_len()]),
        }
        if let Some(batch) = batches.last_mut() {
            batch.extend(&octets[..length]);
        }
    }
    batches
}

fn attribute(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![flags | EXTENDED, code];
    bytes.extend((value.len() as u16).to_be_bytes());
    bytes.extend(value);
    bytes
}

impl Attributes {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = attribute(TRANSITIVE, 1, &[0]);
        let narrow = self.path.map(|asn| u16::try_from(asn).unwrap_or(AS_TRANS));
        let path = match (self.path, narrow, self.wide) {
            (Some(asn), _, true) => [&[2, 1], &asn.to_be_bytes()[..]].concat(),
            (_, Some(asn), false) => [&[2, 1], &asn.to_be_bytes()[..]].concat(),
            _ => Vec::new(),
        };
        bytes.extend(attribute(TRANSITIVE, 2, &path));
        if let IpAddr::V4(next_hop) = self.next_hop {
            bytes.extend(attribute(TRANSITIVE, 3, &next_hop.octets()));
        }
        if let Some(preference) = self.preference {
            bytes.extend(attribute(TRANSITIVE, 5, &preference.to_be_bytes()));
        }
        if !self.communities.is_empty() {
            let value: Vec<u8> = self.communities.iter().flat_map(|community| community.to_be_bytes()).collect();
            bytes.extend(attribute(OPTIONAL | TRANSITIVE, 8, &value));
        }
        // Who reads two bytes is told the whole number beside them (RFC 6793, 4.2.2).
        if let Some(asn) = self.path.filter(|asn| !self.wide && *asn > u32::from(u16::MAX)) {
            bytes.extend(attribute(OPTIONAL | TRANSITIVE, 17, &[&[2, 1], &asn.to_be_bytes()[..]].concat()));
        }
        bytes
    }
}

/// How long the message is that begins with this header.
///
/// # Errors
/// When it is none.
pub fn length(header: &[u8; HEADER]) -> Result<usize, Malformed> {
    if header[..16] != [0xff; 16] {
        return Err(malformed("a marker that is none", 1, 1));
    }
    let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
    if (HEADER..=LONGEST).contains(&length) { Ok(length) } else { Err(malformed("a length out of range", 1, 2)) }
}

/// Reads a message, header and all.
///
/// # Errors
/// When it is none.
pub fn read(bytes: &[u8]) -> Result<Message, Malformed> {
    let Some((header, body)) = bytes.split_first_chunk::<HEADER>() else {
        return Err(malformed("a message that is cut short", 1, 2));
    };
    if length(header)? != bytes.len() {
        return Err(malformed("another length than it says", 1, 2));
    }
    match (header[18], body) {
        (OPEN, body) => Open::read(body).map(Message::Open),
        (KEEPALIVE, []) => Ok(Message::Keepalive),
        (NOTIFICATION, [code, subcode, data @ ..]) => {
            Ok(Message::Notification(Notification { code: *code, subcode: *subcode, data: data.to_vec() }))
        }
        (UPDATE, [_, _, _, _, ..]) => Ok(Message::Update),
        (REFRESH, [high, low, _, 1]) => Ok(Message::Refresh(Family::of_code(u16::from_be_bytes([*high, *low])))),
        (REFRESH, [_, _, _, _]) => Ok(Message::Refresh(None)),
        (UPDATE | NOTIFICATION | KEEPALIVE | REFRESH, _) => Err(malformed("a length that is wrong", 1, 2)),
        _ => Err(malformed("a type that is unknown", 1, 3)),
    }
}

#[cfg(test)]
mod tests;
