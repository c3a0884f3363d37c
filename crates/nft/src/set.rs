//! Sets and maps: what look-ups look into.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::expr::ObjectKind;
use crate::table::TableId;
use crate::value::{Type, display_types};

/// What a map's elements carry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SetData {
    /// A value: a concatenation of these types.
    Value(Vec<Type>),
    /// A verdict. Each change makes the kernel check the whole table for loops: 0.7 ms at 10,000 elements, once a
    /// transaction.
    Verdict,
    /// The name of an object.
    Object(ObjectKind),
}

/// What may be done with a set (`NFT_SET_*`); combined with `|`. That it is a map, a concatenation or holds objects
/// follows from its types and is added when it is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SetFlags(pub u32);

impl SetFlags {
    /// None of the others.
    pub const NONE: SetFlags = SetFlags(0);
    /// Elements are not changed while a rule uses it.
    pub const CONSTANT: SetFlags = SetFlags(0x2);
    /// Elements may be intervals.
    pub const INTERVAL: SetFlags = SetFlags(0x4);
    /// Elements may have a timeout.
    pub const TIMEOUT: SetFlags = SetFlags(0x10);
    /// Rules may add and delete elements ([`crate::Expr::Dynset`]).
    pub const DYNAMIC: SetFlags = SetFlags(0x20);

    /// Whether all of `other` are among these.
    pub const fn contains(self, other: SetFlags) -> bool {
        self.0 & other.0 == other.0
    }
}

impl std::ops::BitOr for SetFlags {
    type Output = SetFlags;

    fn bitor(self, other: SetFlags) -> SetFlags {
        SetFlags(self.0 | other.0)
    }
}

/// A set or map.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Set {
    /// The table it is in.
    pub table: TableId,
    /// Its name, unique among the table's sets and maps, at most 255 bytes.
    pub name: Arc<str>,
    /// The key: one type, or a concatenation of up to five.
    pub key: Vec<Type>,
    /// `None`: a set; else a map.
    pub data: Option<SetData>,
    /// What may be done with it.
    pub flags: SetFlags,
    /// At most so many elements. A set that rules fill needs a limit (the kernel takes 65535 if there is none). Without
    /// `dynamic`, a size lets the kernel choose a table of fixed size.
    pub size: Option<u32>,
    /// How long elements live that do not say it themselves. Milliseconds count.
    pub timeout: Option<Duration>,
    /// How often expired elements are cleared away. Milliseconds count.
    pub gc_interval: Option<Duration>,
    /// Shown by `nft list`; at most 128 bytes.
    pub comment: Option<String>,
}

impl Set {
    /// A set without elements' timeouts or limits.
    pub fn new(table: &TableId, name: &str, key: &[Type]) -> Set {
        Set {
            table: table.clone(),
            name: name.into(),
            key: key.to_vec(),
            data: None,
            flags: SetFlags::NONE,
            size: None,
            timeout: None,
            gc_interval: None,
            comment: None,
        }
    }

    /// A map to values.
    pub fn map(table: &TableId, name: &str, key: &[Type], data: &[Type]) -> Set {
        Set { data: Some(SetData::Value(data.to_vec())), ..Set::new(table, name, key) }
    }

    /// A map to verdicts.
    pub fn verdict_map(table: &TableId, name: &str, key: &[Type]) -> Set {
        Set { data: Some(SetData::Verdict), ..Set::new(table, name, key) }
    }

    /// With these flags besides those it has.
    pub fn with_flags(mut self, flags: SetFlags) -> Set {
        self.flags = self.flags | flags;
        self
    }

    /// With a limit to the number of elements.
    pub fn with_size(mut self, size: u32) -> Set {
        self.size = Some(size);
        self
    }

    /// `set` or `map`.
    pub fn kind(&self) -> &'static str {
        if self.data.is_some() { "map" } else { "set" }
    }

    /// Bytes of a key.
    pub fn key_len(&self) -> usize {
        types_len(&self.key)
    }

    /// Bytes of an element's data, if it is a value.
    pub fn data_len(&self) -> Option<usize> {
        match &self.data {
            Some(SetData::Value(types)) => Some(types_len(types)),
            _ => None,
        }
    }
}

/// A single field is as long as its type; fields of a concatenation are padded.
fn types_len(types: &[Type]) -> usize {
    match types {
        [only] => usize::from(only.len()),
        several => several.iter().map(|t| usize::from(t.padded_len())).sum(),
    }
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {{ type {}", self.kind(), self.table, self.name, display_types(&self.key))?;
        match &self.data {
            None => {}
            Some(SetData::Value(types)) => write!(f, " : {}", display_types(types))?,
            Some(SetData::Verdict) => f.write_str(" : verdict")?,
            Some(SetData::Object(kind)) => write!(f, " : {}", kind.text())?,
        }
        f.write_str(";")?;
        let flags = [
            (SetFlags::CONSTANT, "constant"),
            (SetFlags::INTERVAL, "interval"),
            (SetFlags::TIMEOUT, "timeout"),
            (SetFlags::DYNAMIC, "dynamic"),
        ];
        let set: Vec<&str> = flags.iter().filter(|(flag, _)| self.flags.contains(*flag)).map(|(_, n)| *n).collect();
        if !set.is_empty() {
            write!(f, " flags {};", set.join(","))?;
        }
        if let Some(size) = self.size {
            write!(f, " size {size};")?;
        }
        if let Some(timeout) = self.timeout {
            write!(f, " timeout {timeout:?};")?;
        }
        if let Some(interval) = self.gc_interval {
            write!(f, " gc-interval {interval:?};")?;
        }
        f.write_str(" }")?;
        match &self.comment {
            Some(comment) => write!(f, " comment {comment:?}"),
            None => Ok(()),
        }
    }
}
