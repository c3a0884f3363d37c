//! How a backup is written down.
//!
//! [`MAGIC`]; for each record the length of its key, the key, the length of its value, the value; then the end:
//! [`END`] in place of a length, the revision (u64), the number of records (u64), and the SHA-256 of all that comes
//! before it. Lengths are u32; all numbers are little-endian.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};

#[cfg(test)]
mod tests;

/// What a backup begins with; its version is the 1.
const MAGIC: &[u8] = b"portolan backup 1\n";
/// What stands where the next key's length would.
const END: u32 = u32::MAX;
const DIGEST: usize = 32;
/// What follows the records, without the digest.
const TAIL: usize = 4 + 8 + 8;

/// Why something is no backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// It does not begin like one.
    #[error("it is no backup of this version of Portolan")]
    Magic,
    /// It was cut off or changed.
    #[error("the backup is cut off or damaged")]
    Damaged,
}

/// Writes a backup.
pub(crate) struct Writer {
    /// What was written and not taken away yet.
    pub bytes: BytesMut,
    digest: Sha256,
    records: u64,
}

impl Writer {
    pub fn new() -> Self {
        let mut writer = Self { bytes: BytesMut::new(), digest: Sha256::new(), records: 0 };
        writer.put(MAGIC);
        writer
    }

    fn put(&mut self, bytes: &[u8]) {
        self.digest.update(bytes);
        self.bytes.put_slice(bytes);
    }

    fn put_with_length(&mut self, bytes: &[u8]) {
        // Keys and values are bounded far below this.
        self.put(&u32::try_from(bytes.len()).unwrap_or(END - 1).to_le_bytes());
        self.put(bytes);
    }

    /// Writes a record.
    pub fn record(&mut self, key: &str, value: &[u8]) {
        self.put_with_length(key.as_bytes());
        self.put_with_length(value);
        self.records += 1;
    }

    /// Writes the end.
    pub fn finish(&mut self, revision: u64) {
        self.put(&END.to_le_bytes());
        self.put(&revision.to_le_bytes());
        self.put(&self.records.to_le_bytes());
        let digest = std::mem::take(&mut self.digest).finalize();
        self.bytes.put_slice(&digest);
    }
}

/// A backup that was read whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Archive {
    /// The revision at which the records were so.
    pub revision: u64,
    /// Keys and values.
    pub records: Vec<(String, Bytes)>,
}

impl Archive {
    /// Reads a backup.
    ///
    /// # Errors
    /// When it is none, or not whole.
    pub fn read(bytes: Bytes) -> Result<Self, ArchiveError> {
        if !bytes.starts_with(MAGIC) {
            return Err(ArchiveError::Magic);
        }
        let end = bytes.len().checked_sub(DIGEST).filter(|end| *end >= MAGIC.len() + TAIL);
        let end = end.ok_or(ArchiveError::Damaged)?;
        if *Sha256::digest(&bytes[..end]) != bytes[end..] {
            return Err(ArchiveError::Damaged);
        }
        Self::records(bytes.slice(MAGIC.len()..end)).ok_or(ArchiveError::Damaged)
    }

    fn records(mut bytes: Bytes) -> Option<Self> {
        let mut records = Vec::new();
        loop {
            let length = bytes.try_get_u32_le().ok()?;
            if length == END {
                break;
            }
            let key = String::from_utf8(take(&mut bytes, length)?.to_vec()).ok()?;
            let length = bytes.try_get_u32_le().ok()?;
            records.push((key, take(&mut bytes, length)?));
        }
        let (revision, count) = (bytes.try_get_u64_le().ok()?, bytes.try_get_u64_le().ok()?);
        (bytes.is_empty() && count == records.len() as u64).then_some(Self { revision, records })
    }
}

fn take(bytes: &mut Bytes, length: u32) -> Option<Bytes> {
    let length = usize::try_from(length).ok()?;
    (bytes.len() >= length).then(|| bytes.split_to(length))
}
