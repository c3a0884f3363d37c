mod cache;
mod stored;

use std::time::Instant;

use hickory_proto::op::{Message, MessageType, OpCode, Query as HickoryQuery, ResponseCode};
use hickory_proto::rr::{Name as HickoryName, RData, Record, RecordType, rdata};

use super::keep::Keep;
use super::stored::Stored;
use super::wanted::Wanted;
use crate::asking;
use crate::protocol::rtype;
use crate::query::Query;
use crate::reply::{Flags, Reply, Transport};

/// Nothing stale, nothing ahead of time.
pub(super) fn keep() -> Keep {
    Keep { stale: None, prefetch: None, ..Keep::default() }
}

pub(super) fn wanted(name: &str, qtype: u16) -> Wanted {
    let packet = asking::question(name, qtype, None);
    Wanted::of(&Query::parse(&packet).unwrap())
}

pub(super) fn name(text: &str) -> HickoryName {
    HickoryName::from_ascii(text).unwrap()
}

/// A record from `NAME TTL TYPE DATA`.
pub(super) fn record(text: &str) -> Record {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let data = match parts[2] {
        "A" => RData::A(rdata::A(parts[3].parse().unwrap())),
        "CNAME" => RData::CNAME(rdata::CNAME(name(parts[3]))),
        "TXT" => RData::TXT(rdata::TXT::new(vec![parts[3].to_owned()])),
        "SOA" => RData::SOA(rdata::SOA::new(name("ns."), name("root."), 1, 2, 3, 4, parts[3].parse().unwrap())),
        other => panic!("a record of type {other}"),
    };
    Record::from_rdata(name(parts[0]), parts[1].parse().unwrap(), data)
}

/// An upstream's answer.
pub(super) fn answer(question: &str, qtype: u16, code: ResponseCode, answers: &[&str], authority: &[&str]) -> Message {
    let mut message = Message::new(0, MessageType::Response, OpCode::Query);
    message.metadata.response_code = code;
    message.add_query(HickoryQuery::query(name(question), RecordType::from(qtype)));
    message.add_answers(answers.iter().map(|text| record(text)));
    message.add_authorities(authority.iter().map(|text| record(text)));
    message
}

pub(super) fn stored(question: &str, answers: &[&str], now: Instant) -> Stored {
    let message = answer(question, rtype::A, ResponseCode::NoError, answers, &[]);
    Stored::new(message, &wanted(question, rtype::A), &keep(), now).unwrap()
}

/// What a question gets from a stored answer.
pub(super) fn served(stored: &Stored, packet: &[u8], age: u32) -> Message {
    let query = Query::parse(packet).unwrap();
    let mut buffer = [0; 4096];
    let mut reply = Reply::start(&mut buffer, &query, Transport::Udp { most: 4096 });
    stored.write(&mut reply, age);
    let length = reply.finish(stored.rcode(), Flags::default());
    Message::from_vec(&buffer[..length]).unwrap()
}
