//! The tables and how their values are encoded.
//!
//! All numbers are little-endian. A live record is its three revisions and then its value. A batch of the log is
//! the time of its commit (milliseconds since the epoch), the number of events, and the events one after another;
//! byte strings have their length (u32) before them.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use redb::{ReadableTable, TableDefinition, WriteTransaction};

use crate::event::{Change, Event, EventBatch, Previous, Record};
use crate::transaction::{CommitError, Expect, Operation, ReadError, Transaction};

/// The format that this program writes.
pub(crate) const FORMAT: u64 = 1;
/// The revision of a store in which nothing was ever written: one, as etcd has it, so that 0 can mean "any".
const FIRST_REVISION: u64 = 1;

pub(crate) const LIVE: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("live");
pub(crate) const LOG: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("log");
pub(crate) const NUMBERS: TableDefinition<'static, &str, u64> = TableDefinition::new("numbers");

const HEADER: usize = 24;

/// The numbers of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    pub format: u64,
    /// The revision of the newest transaction.
    pub revision: u64,
    /// The newest revision whose batch the log no longer has.
    pub compacted: u64,
}

impl Numbers {
    pub fn new() -> Self {
        Self { format: FORMAT, revision: FIRST_REVISION, compacted: FIRST_REVISION }
    }

    /// Reads them; `None` when there are none, because the file is new.
    pub fn read(table: &impl ReadableTable<&'static str, u64>) -> Result<Option<Self>, redb::StorageError> {
        let get = |name: &str| Ok::<_, redb::StorageError>(table.get(name)?.map(|v| v.value()));
        let (Some(format), Some(revision), Some(compacted)) = (get("format")?, get("revision")?, get("compacted")?)
        else {
            return Ok(None);
        };
        Ok(Some(Self { format, revision, compacted }))
    }

    /// Writes them into `transaction`.
    pub fn write(self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        let mut table = transaction.open_table(NUMBERS)?;
        for (name, number) in [("format", self.format), ("revision", self.revision), ("compacted", self.compacted)] {
            table.insert(name, number)?;
        }
        Ok(())
    }
}

/// The live table in a write transaction.
pub(crate) struct Live<'t> {
    table: redb::Table<'t, &'static str, &'static [u8]>,
}

/// Why one transaction cannot be applied: it is refused, or nothing works any more.
pub(crate) enum Refusal {
    Refused(CommitError),
    Failed(redb::Error),
}

impl<E: Into<redb::Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl<'t> Live<'t> {
    pub fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self { table: transaction.open_table(LIVE)? })
    }

    /// Checks the conditions of `asked` and makes its changes at `revision`. A refused transaction changes nothing.
    pub fn apply(&mut self, asked: Transaction, revision: u64) -> Result<Vec<Event>, Refusal> {
        if asked.at.is_some_and(|at| at + 1 != revision) {
            let (key, actual) = (String::new(), Some(revision - 1));
            return Err(Refusal::Refused(CommitError::Conflict { key, actual }));
        }
        for compare in &asked.compares {
            let actual = self.table.get(compare.key.as_str())?.and_then(|v| mod_revision(v.value()));
            let met = match compare.expect {
                Expect::Absent => actual.is_none(),
                Expect::Present => actual.is_some(),
                Expect::Revision(r) => actual == Some(r),
            };
            if !met {
                return Err(Refusal::Refused(CommitError::Conflict { key: compare.key.clone(), actual }));
            }
        }
        let mut keys: Vec<&str> = asked.operations.iter().map(Operation::key).collect();
        keys.sort_unstable();
        if let Some(twice) = keys.windows(2).find(|w| w[0] == w[1]) {
            return Err(Refusal::Refused(CommitError::DuplicateKey { key: twice[0].to_owned() }));
        }
        let mut events = Vec::with_capacity(asked.operations.len());
        for operation in asked.operations {
            match operation {
                Operation::Put { key, value } => events.push(self.put(key, value, revision)?),
                Operation::Delete { key } => events.extend(self.delete(key)?),
            }
        }
        Ok(events)
    }

    fn put(&mut self, key: String, value: Bytes, revision: u64) -> Result<Event, Refusal> {
        let before = match self.table.get(key.as_str())? {
            Some(old) => Some(decode_live(&key, old.value()).map_err(|_| damaged(&key))?),
            None => None,
        };
        let (create_revision, version) =
            before.as_ref().map_or((revision, 1), |old| (old.create_revision, old.version + 1));
        let mut encoded = BytesMut::with_capacity(HEADER + value.len());
        encoded.put_u64_le(create_revision);
        encoded.put_u64_le(revision);
        encoded.put_u64_le(version);
        encoded.put_slice(&value);
        self.table.insert(key.as_str(), encoded.as_ref())?;
        Ok(Event { key, change: Change::Put { value, create_revision, version }, previous: before.map(previous) })
    }

    fn delete(&mut self, key: String) -> Result<Option<Event>, Refusal> {
        let before = match self.table.remove(key.as_str())? {
            Some(old) => decode_live(&key, old.value()).map_err(|_| damaged(&key))?,
            None => return Ok(None),
        };
        Ok(Some(Event { key, change: Change::Delete, previous: Some(previous(before)) }))
    }
}

fn previous(record: Record) -> Previous {
    Previous { value: record.value, mod_revision: record.mod_revision }
}

fn damaged(key: &str) -> redb::Error {
    redb::Error::Corrupted(format!("the record {key} is shorter than its header"))
}

fn mod_revision(encoded: &[u8]) -> Option<u64> {
    encoded.get(8..16).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes)
}

/// Reads a live record.
pub(crate) fn decode_live(key: &str, mut encoded: &[u8]) -> Result<Record, ReadError> {
    if encoded.len() < HEADER {
        return Err(ReadError::Damaged { entry: key.to_owned() });
    }
    Ok(Record {
        create_revision: encoded.get_u64_le(),
        mod_revision: encoded.get_u64_le(),
        version: encoded.get_u64_le(),
        key: key.to_owned(),
        value: Bytes::copy_from_slice(encoded),
    })
}

/// Encodes a batch for the log. `time` is in milliseconds since the epoch.
pub(crate) fn encode_batch(batch: &EventBatch, time: u64) -> BytesMut {
    let mut out = BytesMut::with_capacity(64 + batch.weight());
    out.put_u64_le(time);
    out.put_u32_le(u32::try_from(batch.events.len()).unwrap_or(u32::MAX));
    for event in &batch.events {
        put_bytes(&mut out, event.key.as_bytes());
        match &event.change {
            Change::Put { value, create_revision, version } => {
                out.put_u8(1);
                out.put_u64_le(*create_revision);
                out.put_u64_le(*version);
                put_bytes(&mut out, value);
            }
            Change::Delete => out.put_u8(0),
        }
        match &event.previous {
            Some(previous) => {
                out.put_u8(1);
                out.put_u64_le(previous.mod_revision);
                put_bytes(&mut out, &previous.value);
            }
            None => out.put_u8(0),
        }
    }
    out
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32_le(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

/// When the batch was committed, in milliseconds since the epoch.
pub(crate) fn batch_time(encoded: &[u8]) -> Option<u64> {
    encoded.get(..8).and_then(|b| b.try_into().ok()).map(u64::from_le_bytes)
}

/// Reads a batch of the log.
pub(crate) fn decode_batch(revision: u64, encoded: &[u8]) -> Result<EventBatch, ReadError> {
    let mut input = Bytes::copy_from_slice(encoded);
    read_batch(revision, &mut input).ok_or_else(|| ReadError::Damaged { entry: revision.to_string() })
}

fn read_batch(revision: u64, input: &mut Bytes) -> Option<EventBatch> {
    input.try_get_u64_le().ok()?;
    let count = input.try_get_u32_le().ok()?;
    let mut events = Vec::new();
    for _ in 0..count {
        let key = String::from_utf8(get_bytes(input)?.to_vec()).ok()?;
        let change = match input.try_get_u8().ok()? {
            0 => Change::Delete,
            _ => {
                let (create_revision, version) = (input.try_get_u64_le().ok()?, input.try_get_u64_le().ok()?);
                Change::Put { value: get_bytes(input)?, create_revision, version }
            }
        };
        let previous = match input.try_get_u8().ok()? {
            0 => None,
            _ => Some(Previous { mod_revision: input.try_get_u64_le().ok()?, value: get_bytes(input)? }),
        };
        events.push(Event { key, change, previous });
    }
    Some(EventBatch { revision, events })
}

fn get_bytes(input: &mut Bytes) -> Option<Bytes> {
    let length = input.try_get_u32_le().ok()? as usize;
    if input.len() < length { None } else { Some(input.split_to(length)) }
}
