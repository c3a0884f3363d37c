//! Objects as netlink attributes and batches as messages.

use crate::batch::Batch;
use crate::operation::Operation;
use crate::wire::Writer;
use crate::wire::number::{BATCH_BEGIN, BATCH_END, BATCH_GENERATION, NFTABLES};

mod element;
mod expr;
mod object;
mod operation;

/// Why a batch cannot even be written down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A key or data is not as long as the set's type says.
    #[error("{set}: a {part} of {got} bytes where its type has {wanted}")]
    Length {
        /// The set's name.
        set: String,
        /// `key` or `data`.
        part: &'static str,
        /// What there is.
        got: usize,
        /// What the type says.
        wanted: usize,
    },
    /// An attribute would be longer than 65,535 bytes: a rule of thousands of expressions.
    #[error("an attribute longer than 65,535 bytes")]
    TooLong,
}

/// A batch as the kernel takes it, and where each message came from.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) bytes: Vec<u8>,
    /// One for each message between begin and end.
    pub(crate) origins: Vec<Origin>,
    /// Of the first message, the begin; each next one has the next number.
    pub(crate) first_sequence: u32,
}

/// Where a message came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The operation's index in the batch.
    pub(crate) operation: u32,
    /// The index of the first element in it.
    pub(crate) element: u32,
    /// Where the message begins.
    pub(crate) offset: u32,
}

/// Writes messages with growing sequence numbers.
struct Messages {
    writer: Writer,
    origins: Vec<Origin>,
    sequence: u32,
    operation: u32,
}

impl Messages {
    /// Begins the message of one operation.
    fn begin(&mut self, kind: u16, flags: i32, family: u8, element: usize) -> usize {
        self.sequence = self.sequence.wrapping_add(1);
        let offset = self.writer.len() as u32;
        self.origins.push(Origin { operation: self.operation, element: element as u32, offset });
        self.writer.begin_message(NFTABLES | kind, flags as u16, self.sequence, family, 0)
    }

    /// One message with what the closure writes.
    fn one(&mut self, kind: u16, flags: i32, family: u8, inside: impl FnOnce(&mut Writer)) {
        let start = self.begin(kind, flags, family, 0);
        inside(&mut self.writer);
        self.writer.end_message(start);
    }
}

/// Writes a batch; `sequence` is its first message's. The last operation's message asks to be acknowledged.
pub(crate) fn encode(batch: &Batch, sequence: u32) -> Result<Encoded, EncodeError> {
    let mut messages =
        Messages { writer: Writer::with_capacity(capacity(batch)), origins: Vec::new(), sequence, operation: 0 };
    let begin = messages.writer.begin_message(BATCH_BEGIN, 0, sequence, 0, NFTABLES >> 8);
    if let Some(generation) = batch.generation {
        messages.writer.u32(BATCH_GENERATION, generation);
    }
    messages.writer.end_message(begin);
    for (index, operation) in batch.operations.iter().enumerate() {
        messages.operation = index as u32;
        operation::encode(operation, &mut messages)?;
    }
    if let Some(last) = messages.origins.last() {
        messages.writer.add_flags(last.offset as usize, libc::NLM_F_ACK as u16);
    }
    let end_sequence = messages.sequence.wrapping_add(1);
    let end = messages.writer.begin_message(BATCH_END, 0, end_sequence, 0, NFTABLES >> 8);
    messages.writer.end_message(end);
    let bytes = messages.writer.finish().ok_or(EncodeError::TooLong)?;
    Ok(Encoded { bytes, origins: messages.origins, first_sequence: sequence })
}

/// About as many bytes as the batch will take, so that a large one is not copied while it grows.
fn capacity(batch: &Batch) -> usize {
    let of = |operation: &Operation| match operation {
        Operation::AddElements { elements, .. } => elements.len() * 64,
        Operation::DeleteElements { elements, .. } | Operation::DestroyElements { elements, .. } => elements.len() * 40,
        _ => 512,
    };
    256 + batch.operations.iter().map(of).sum::<usize>()
}

#[cfg(test)]
mod tests;
