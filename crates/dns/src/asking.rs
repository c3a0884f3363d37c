//! For tests: questions made by hand, answers read by hickory and printed in one line.

use hickory_proto::op::Message;
use hickory_proto::rr::{RData, Record, RecordType};

use crate::index::{Index, Verdict};
use crate::name::Name;
use crate::query::Query;
use crate::reply::{Flags, Reply, Transport};

/// A question in wire form. The name's capitals are kept.
pub(crate) fn question(name: &str, qtype: u16, edns: Option<u16>) -> Vec<u8> {
    let mut packet = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    for label in name.trim_end_matches('.').split('.').filter(|label| !label.is_empty()) {
        packet.push(label.len() as u8);
        packet.extend(label.as_bytes());
    }
    packet.push(0);
    packet.extend(qtype.to_be_bytes());
    packet.extend([0, 1]);
    if let Some(size) = edns {
        packet.extend([0, 0, 41]);
        packet.extend(size.to_be_bytes());
        packet.extend([0; 6]);
    }
    packet
}

/// The number of a type by its name.
pub(crate) fn rtype(name: &str) -> u16 {
    name.parse::<RecordType>().map_or_else(|_| name.trim_start_matches("TYPE").parse().unwrap(), u16::from)
}

/// Asks the index, and reads what it writes. The verdict comes along.
pub(crate) fn ask(index: &Index, packet: &[u8], transport: Transport) -> (Verdict, Message) {
    ask_in_turn(index, packet, transport, 0)
}

pub(crate) fn ask_in_turn(index: &Index, packet: &[u8], transport: Transport, turn: u32) -> (Verdict, Message) {
    let query = Query::parse(packet).unwrap();
    let mut buffer = vec![0; 65_535];
    let mut reply = Reply::start(&mut buffer, &query, transport);
    let verdict = index.answer(&query, &mut reply, turn);
    let code = code(&verdict);
    let length = reply.finish(code, Flags { authoritative: true, ..Flags::default() });
    assert!(length <= transport.room(&query), "an answer of {length} octets is larger than was asked for");
    (verdict, Message::from_vec(&buffer[..length]).unwrap())
}

fn code(verdict: &Verdict) -> u16 {
    match verdict {
        Verdict::Answered(code) | Verdict::Fallthrough(code) => *code,
        Verdict::Continue(_) | Verdict::NotOurs | Verdict::Search(_) => 0,
    }
}

/// Asks the index on behalf of a client whose search path is gone through: the verdict, and what was written.
pub(crate) fn search(index: &Index, packet: &[u8], client: &str, outside: bool) -> (Option<Verdict>, Message) {
    let query = Query::parse(packet).unwrap();
    let mut buffer = vec![0; 65_535];
    let mut reply = Reply::start(&mut buffer, &query, Transport::Tcp);
    let denied = index.answer(&query, &mut reply, 0);
    let verdict = index.search(&query, client.parse().unwrap(), outside, &mut reply, 0);
    let length = reply.finish(code(verdict.as_ref().unwrap_or(&denied)), Flags::default());
    (verdict, Message::from_vec(&buffer[..length]).unwrap())
}

/// A record as `OWNER TYPE DATA`; of an SOA record only that it is one.
pub(crate) fn line(record: &Record) -> String {
    let data = match &record.data {
        RData::SOA(_) => String::new(),
        RData::HINFO(hinfo) => format!(" {}", String::from_utf8_lossy(&hinfo.cpu)),
        data => format!(" {data}"),
    };
    // Hickory escapes a dash at a label's start, which needs no escape in a master file.
    format!("{} {}{data}", record.name, record.record_type()).replace("\\-", "-")
}

fn lines(records: &[Record]) -> Vec<String> {
    let mut lines: Vec<_> = records.iter().map(line).collect();
    lines.sort_unstable();
    lines
}

/// An answer in one line: records of the answer section, then after ` / ` the additional ones. A denial is `NODATA` or
/// `NXDOMAIN` and the zone that vouches for it; anything else is its response code.
pub(crate) fn told(message: &Message) -> String {
    let code = format!("{:?}", message.metadata.response_code).to_uppercase();
    let answers = lines(&message.answers).join(" + ");
    let authority = lines(&message.authorities);
    match (code.as_str(), authority.first().and_then(|soa| soa.strip_suffix(" SOA"))) {
        ("NOERROR", None) if !answers.is_empty() => {
            let additional = lines(&message.additionals).join(" + ");
            if additional.is_empty() { answers } else { format!("{answers} / {additional}") }
        }
        ("NOERROR", Some(zone)) if answers.is_empty() => format!("NODATA {zone}"),
        (_, Some(zone)) if answers.is_empty() => format!("{code} {zone}"),
        (_, None) if answers.is_empty() => code,
        _ => format!("{code} {answers} {authority:?}"),
    }
}

/// A name in wire form.
pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}
