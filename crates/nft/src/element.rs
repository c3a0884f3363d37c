//! Elements of sets and maps.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::set::{Set, SetData};
use crate::value::Value;
use crate::verdict::Verdict;

/// What a map's element carries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Data {
    /// A value; every field padded to four bytes.
    Value(Value),
    /// A verdict.
    Verdict(Verdict),
    /// The name of an object.
    Object(Arc<str>),
}

/// What an element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Role {
    /// One key, or the begin of an interval.
    #[default]
    Key,
    /// The first key behind an interval: only in interval sets whose key is one field (`NFT_SET_ELEM_INTERVAL_END`).
    IntervalEnd,
    /// What is found for keys that are not there (`NFT_SET_ELEM_CATCHALL`); its own key is empty.
    CatchAll,
}

/// What an element counts of the packets that found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Counter {
    /// How many there were.
    pub packets: u64,
    /// Their bytes, IP headers among them.
    pub bytes: u64,
}

/// An element.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Element {
    /// The key: every field padded to four bytes, as [`Value`]'s methods do (also where there is but one field).
    pub key: Value,
    /// The last key of an interval: only in interval sets whose key is a concatenation.
    pub key_end: Option<Value>,
    /// What a map's element carries.
    pub data: Option<Data>,
    /// How long it lives; `None`: as the set says. Milliseconds count.
    pub timeout: Option<Duration>,
    /// How long it still lives: only in dumps.
    pub expires: Option<Duration>,
    /// Shown by `nft list`; at most 128 bytes.
    pub comment: Option<Box<str>>,
    /// What it counts. In a dump: up to then; in an addition: where it begins.
    pub counter: Option<Counter>,
    /// What it is.
    pub role: Role,
}

impl Element {
    /// A set's element.
    pub fn new(key: Value) -> Element {
        Element {
            key,
            key_end: None,
            data: None,
            timeout: None,
            expires: None,
            comment: None,
            counter: None,
            role: Role::Key,
        }
    }

    /// A map's element with a value.
    pub fn value(key: Value, data: Value) -> Element {
        Element { data: Some(Data::Value(data)), ..Element::new(key) }
    }

    /// A map's element with a verdict.
    pub fn verdict(key: Value, verdict: Verdict) -> Element {
        Element { data: Some(Data::Verdict(verdict)), ..Element::new(key) }
    }

    /// The interval from `first` to `last`, both included, of a set whose key is a concatenation. Each field is an
    /// interval of its own.
    pub fn range(first: Value, last: Value) -> Element {
        Element { key_end: Some(last), ..Element::new(first) }
    }

    /// The interval from `first` up to, not including, `behind` of a set whose key is one field: two elements. `None`:
    /// up to the greatest key.
    pub fn interval(first: Value, behind: Option<Value>) -> Vec<Element> {
        let end = behind.map(|key| Element { role: Role::IntervalEnd, ..Element::new(key) });
        std::iter::once(Element::new(first)).chain(end).collect()
    }

    /// With a time to live.
    pub fn with_timeout(mut self, timeout: Duration) -> Element {
        self.timeout = Some(timeout);
        self
    }

    /// With a comment.
    pub fn with_comment(mut self, comment: &str) -> Element {
        self.comment = Some(comment.into());
        self
    }

    /// As text, with the types of the set that it is in.
    pub fn display<'a>(&'a self, set: &'a Set) -> impl fmt::Display + 'a {
        InSet { element: self, set }
    }
}

struct InSet<'a> {
    element: &'a Element,
    set: &'a Set,
}

impl fmt::Display for InSet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Element { key, key_end, data, timeout, expires, comment, counter, role } = self.element;
        match role {
            Role::Key => write!(f, "{}", key.display(&self.set.key))?,
            Role::IntervalEnd => write!(f, "< {}", key.display(&self.set.key))?,
            Role::CatchAll => f.write_str("*")?,
        }
        if let Some(end) = key_end {
            write!(f, " - {}", end.display(&self.set.key))?;
        }
        if let Some(Counter { packets, bytes }) = counter {
            write!(f, " counter packets {packets} bytes {bytes}")?;
        }
        if let Some(timeout) = timeout {
            write!(f, " timeout {timeout:?}")?;
        }
        if let Some(expires) = expires {
            write!(f, " expires {expires:?}")?;
        }
        if let Some(comment) = comment {
            write!(f, " comment {comment:?}")?;
        }
        match (data, &self.set.data) {
            (None, _) => Ok(()),
            (Some(Data::Value(value)), Some(SetData::Value(types))) => write!(f, " : {}", value.display(types)),
            (Some(Data::Value(value)), _) => write!(f, " : {}", value.display(&[])),
            (Some(Data::Verdict(verdict)), _) => write!(f, " : {verdict}"),
            (Some(Data::Object(name)), _) => write!(f, " : {name:?}"),
        }
    }
}
