//! One question and its answer.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use hickory_proto::rr::RecordType;
use serde_json::{Map, Value, json};

use crate::forward::lies_in;
use crate::name::Name;
use crate::protocol::{HEADER, rcode};
use crate::query::Query;
use crate::reply::Transport;

/// Which answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classes {
    /// NOERROR with records.
    pub success: bool,
    /// NXDOMAIN, and NOERROR without records.
    pub denial: bool,
    /// Every other code.
    pub error: bool,
}

impl Classes {
    /// Every answer.
    pub const ALL: Self = Self { success: true, denial: true, error: true };
    /// None, to add to.
    pub const NONE: Self = Self { success: false, denial: false, error: false };
}

/// One question and its answer, as they are queued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When the question came.
    pub asked: SystemTime,
    /// How long the answer took.
    pub took: Duration,
    /// Who asked.
    pub client: SocketAddr,
    /// Which address was asked, where that is known.
    pub server: Option<SocketAddr>,
    /// Whether it came over TCP.
    pub is_tcp: bool,
    /// The question's ID.
    pub id: u16,
    /// Its name.
    pub name: Name,
    /// Its type.
    pub qtype: u16,
    /// Its class.
    pub qclass: u16,
    /// The octets of the question.
    pub question_octets: usize,
    /// The largest UDP answer that the asker takes, where the question says so.
    pub udp_size: Option<u16>,
    /// Whether DNSSEC records are wanted.
    pub dnssec_ok: bool,
    /// The answer's header.
    pub header: [u8; HEADER],
    /// The octets of the answer.
    pub answer_octets: usize,
}

impl Entry {
    /// What is known of a question and its answer; `None` where they are none.
    #[must_use]
    pub fn of(packet: &[u8], answer: &[u8], client: SocketAddr, transport: Transport, took: Duration) -> Option<Self> {
        let query = Query::parse(packet).ok()?;
        Some(Self {
            asked: SystemTime::now().checked_sub(took).unwrap_or(SystemTime::UNIX_EPOCH),
            took,
            client,
            server: None,
            is_tcp: transport == Transport::Tcp,
            id: query.id,
            name: Name::from_wire(query.name.wire()),
            qtype: query.qtype,
            qclass: query.qclass,
            question_octets: packet.len(),
            udp_size: query.edns.map(|edns| edns.udp_size),
            dnssec_ok: query.dnssec_ok(),
            header: *answer.first_chunk()?,
            answer_octets: answer.len(),
        })
    }

    /// The response code, without the upper bits that EDNS adds.
    #[must_use]
    pub fn rcode(&self) -> u16 {
        u16::from(self.header[3] & 0xf)
    }

    /// How many records the answer section has.
    #[must_use]
    pub fn answers(&self) -> u16 {
        u16::from_be_bytes([self.header[6], self.header[7]])
    }

    /// Whether it is of one of these classes.
    #[must_use]
    pub fn is_of(&self, classes: Classes) -> bool {
        match self.rcode() {
            rcode::NOERROR if self.answers() > 0 => classes.success,
            rcode::NOERROR | rcode::NXDOMAIN => classes.denial,
            _ => classes.error,
        }
    }

    /// Whether its name lies in one of these zones; none stand for all.
    #[must_use]
    pub fn is_within(&self, zones: &[Name]) -> bool {
        zones.is_empty() || zones.iter().any(|zone| lies_in(self.name.wire(), zone))
    }

    /// The line, without its end. Names of fields are dnstap's where it has one.
    #[must_use]
    pub fn line(&self, identity: &str, one_in: u32) -> String {
        let mut line = Map::new();
        let mut put = |name: &str, value: Value| {
            line.insert(name.to_owned(), value);
        };
        let asked = self.asked.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let answered = asked + self.took;
        put("type", json!("CLIENT_RESPONSE"));
        put("identity", json!(identity));
        put("socket_family", json!(if self.client.ip().to_canonical().is_ipv4() { "INET" } else { "INET6" }));
        put("socket_protocol", json!(if self.is_tcp { "TCP" } else { "UDP" }));
        put("query_address", json!(self.client.ip().to_canonical().to_string()));
        put("query_port", json!(self.client.port()));
        if let Some(server) = self.server {
            put("response_address", json!(server.ip().to_canonical().to_string()));
            put("response_port", json!(server.port()));
        }
        put("query_time_sec", json!(asked.as_secs()));
        put("query_time_nsec", json!(asked.subsec_nanos()));
        put("response_time_sec", json!(answered.as_secs()));
        put("response_time_nsec", json!(answered.subsec_nanos()));
        put("duration_us", json!(u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX)));
        put("id", json!(self.id));
        put("name", json!(crate::rewrite::text::present(self.name.wire())));
        put("qtype", json!(RecordType::from(self.qtype).to_string()));
        put(
            "class",
            json!(if self.qclass == crate::protocol::class::IN {
                "IN".to_owned()
            } else {
                format!("CLASS{}", self.qclass)
            }),
        );
        put("query_octets", json!(self.question_octets));
        if let Some(size) = self.udp_size {
            put("bufsize", json!(size));
        }
        put("do", json!(self.dnssec_ok));
        put("rcode", json!(code_name(self.rcode())));
        put("flags", json!(flags(self.header)));
        put("answers", json!(self.answers()));
        put("response_octets", json!(self.answer_octets));
        // Whoever counts lines must know how many stand for one.
        put("one_in", json!(one_in));
        Value::Object(line).to_string()
    }
}

fn flags(header: [u8; HEADER]) -> Vec<&'static str> {
    let bits =
        [(2, 0x80, "qr"), (2, 4, "aa"), (2, 2, "tc"), (2, 1, "rd"), (3, 0x80, "ra"), (3, 0x20, "ad"), (3, 0x10, "cd")];
    bits.into_iter().filter(|(at, bit, _)| header[*at] & bit != 0).map(|(_, _, name)| name).collect()
}

/// The name of a response code (RFC 1035 section 4.1.1).
fn code_name(code: u16) -> String {
    let name = match code {
        rcode::NOERROR => "NOERROR",
        rcode::FORMERR => "FORMERR",
        rcode::SERVFAIL => "SERVFAIL",
        rcode::NXDOMAIN => "NXDOMAIN",
        rcode::NOTIMP => "NOTIMP",
        rcode::REFUSED => "REFUSED",
        other => return format!("RCODE{other}"),
    };
    name.to_owned()
}
