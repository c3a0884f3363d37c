//! All rules: a question becomes another one, and its answer is turned back.

use hickory_proto::op::Message;
use hickory_proto::rr::{Name as HickoryName, RData, Record};
use regex::Regex;

use crate::forward::{fit, lies_in};
use crate::name::Name;
use crate::protocol::HEADER;
use crate::query::Query;

use super::rule::{AnswerRule, Matching, Rule, filled};
use super::text::{present, read};

/// A rule made something of a name that is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} was rewritten to {to:?}, which is no name")]
pub struct Unnameable {
    /// The name that was asked for.
    pub name: String,
    /// What became of it.
    pub to: String,
}

/// The rules, in their order.
#[derive(Debug, Clone, Default)]
pub struct Rewriter {
    rules: Vec<Rule>,
}

/// A question that was rewritten.
#[derive(Debug)]
pub struct Rewritten {
    packet: Vec<u8>,
    original: Vec<u8>,
    undo: Vec<Undo>,
}

#[derive(Debug)]
enum Undo {
    /// A name, and names below it, in owners and data.
    Remap { from: String, to: String },
    /// Names that end so, in owners and data.
    Suffix { from: String, to: String },
    /// Owners.
    Name(Regex, String),
    /// Data.
    Value(Regex, String),
}

impl Rewriter {
    /// Rules, tried in this order.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules }
    }

    /// Whether there is no rule: questions need not be looked at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The question to be answered in place of one, if a rule is for its name. `packet` is the message that `query` was
    /// read from.
    ///
    /// # Errors
    /// A rule makes something that is no name.
    pub fn question(&self, query: &Query<'_>, packet: &[u8]) -> Result<Option<Rewritten>, Unnameable> {
        let wire = query.name.wire();
        let mut name: Option<String> = None;
        let mut undo = Vec::new();
        for rule in &self.rules {
            let lies = |zone: &Name| lies_in(wire, zone);
            if !rule.zones.is_empty() && !rule.zones.iter().any(lies) || rule.except.iter().any(lies) {
                continue;
            }
            let old = name.clone().unwrap_or_else(|| present(wire));
            let Some(mut new) = rule.matching.apply(&old) else {
                continue;
            };
            if !new.ends_with('.') {
                new.push('.');
            }
            rule.undo(&old, &new, &mut undo);
            name = Some(new);
            if !rule.goes_on {
                break;
            }
        }
        let Some(new) = name else {
            return Ok(None);
        };
        let read = read(&new).ok_or_else(|| Unnameable { name: present(wire), to: new })?;
        let (start, end) = packet.split_at(HEADER);
        let packet_new = [start, read.wire(), &end[wire.len()..]].concat();
        Ok(Some(Rewritten { packet: packet_new, original: packet.to_vec(), undo }))
    }
}

impl Rule {
    /// How answers to what `old` became are turned back.
    fn undo(&self, old: &str, new: &str, undo: &mut Vec<Undo>) {
        let is_exact = matches!(self.matching, Matching::Exact { .. });
        let is_auto = is_exact || self.answers.iter().any(|rule| matches!(rule, AnswerRule::Auto));
        if is_auto {
            undo.push(match &self.matching {
                Matching::Suffix { from, to } => Undo::Suffix { from: to.clone(), to: from.clone() },
                _ => Undo::Remap { from: new.to_owned(), to: old.to_owned() },
            });
        }
        for rule in &self.answers {
            match rule {
                AnswerRule::Auto => {}
                AnswerRule::Name { from, to } => undo.push(Undo::Name(from.clone(), to.clone())),
                AnswerRule::Value { from, to } => undo.push(Undo::Value(from.clone(), to.clone())),
            }
        }
    }
}

impl Undo {
    fn apply(&self, name: &str, is_owner: bool) -> Option<String> {
        match self {
            Self::Remap { from, to } if name == from => Some(to.clone()),
            Self::Remap { from, to } => {
                let below = name.strip_suffix(from.as_str()).filter(|below| below.ends_with('.'))?;
                Some(format!("{below}{to}"))
            }
            Self::Suffix { from, to } => Some(format!("{}{to}", name.strip_suffix(from.as_str())?)),
            Self::Name(from, to) if is_owner => filled(from, to, name),
            Self::Value(from, to) if !is_owner => filled(from, to, name),
            Self::Name(..) | Self::Value(..) => None,
        }
    }
}

impl Rewritten {
    /// The message to be answered.
    #[must_use]
    pub fn packet(&self) -> &[u8] {
        &self.packet
    }

    /// The name that it asks for.
    #[must_use]
    pub fn name(&self) -> Option<Name> {
        Query::parse(&self.packet).ok().map(|query| Name::from_wire(query.name.wire()))
    }

    /// The answer to the question as it was asked, of at most `room` octets, from the answer to what it became. `None`
    /// when the messages cannot be read or written, which would be a defect of ours.
    #[must_use]
    pub fn answer(&self, answer: &[u8], room: usize) -> Option<Vec<u8>> {
        let mut message = Message::from_vec(answer).ok()?;
        message.queries = Message::from_vec(&self.original).ok()?.queries;
        for section in [&mut message.answers, &mut message.authorities, &mut message.additionals] {
            for record in section {
                self.turn_back(record);
            }
        }
        fit(message, room)
    }

    fn turn_back(&self, record: &mut Record) {
        if let Some(name) = self.turned(&record.name, true) {
            record.name = name;
        }
        let value = match &mut record.data {
            RData::CNAME(cname) => &mut cname.0,
            RData::NS(ns) => &mut ns.0,
            RData::PTR(ptr) => &mut ptr.0,
            RData::MX(mx) => &mut mx.exchange,
            RData::SRV(srv) => &mut srv.target,
            RData::NAPTR(naptr) => &mut naptr.replacement,
            RData::SOA(soa) => &mut soa.mname,
            _ => return,
        };
        if let Some(name) = self.turned(value, false) {
            *value = name;
        }
    }

    /// Rules are undone in the opposite order.
    fn turned(&self, name: &HickoryName, is_owner: bool) -> Option<HickoryName> {
        let mut wire: Vec<u8> = name.iter().flat_map(|label| [&[label.len() as u8], label].concat()).collect();
        wire.make_ascii_lowercase();
        let mut text = present(&wire);
        let mut is_changed = false;
        for undo in self.undo.iter().rev() {
            if let Some(turned) = undo.apply(&text, is_owner) {
                text = turned;
                is_changed = true;
            }
        }
        if !is_changed {
            return None;
        }
        let read = read(&text)?;
        HickoryName::from_labels(crate::name::labels(read.wire())).ok()
    }
}
