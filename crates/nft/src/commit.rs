//! Commits: a batch goes to the kernel as one datagram, which it does wholly or not at all.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::batch::Batch;
use crate::element::Element;
use crate::encode::{EncodeError, Encoded, Origin, encode};
use crate::netlink::{Netlink, SocketError};
use crate::operation::Operation;
use crate::wire::number::element;
use crate::wire::{Attributes, GENERIC, HEADER, Message, Messages};

/// Of an extended acknowledgement (`NLMSGERR_ATTR_MSG`, `NLMSGERR_ATTR_OFFS`).
const ACK_TEXT: u16 = 1;
const ACK_OFFSET: u16 = 2;
/// `ERESTART`: the kernel's own, not for programs, except here.
const ERESTART: i32 = 85;

/// What a commit took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Committed {
    /// Bytes that the kernel was sent.
    pub bytes: usize,
    /// Writing them.
    pub encoding: Duration,
    /// The kernel, until it has answered.
    pub kernel: Duration,
}

/// Why a batch was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The kernel refused an operation. Nothing was changed.
    #[error(transparent)]
    Refused(Box<Refusal>),
    /// The rule set is no longer of the batch's generation. Nothing was changed.
    #[error("the rule set was changed by somebody else")]
    Stale,
    /// The kernel refused the transaction as a whole (`ELOOP`: chains that jump in a circle). Nothing was changed.
    #[error("the kernel refused the transaction")]
    Transaction(#[source] io::Error),
    /// It cannot be written down. Nothing was changed.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The kernel was not reached (nothing was changed) or its answer got lost (dump and compare).
    #[error(transparent)]
    Socket(#[from] SocketError),
}

/// Which operation the kernel refused, and why.
#[derive(Debug)]
pub struct Refusal {
    /// The operation's index in the batch.
    pub index: usize,
    /// The operation, elements left out.
    pub operation: String,
    /// The element's index in the operation, where the kernel says which it was.
    pub element: Option<usize>,
    /// The element as text.
    pub element_text: Option<String>,
    /// The kernel's error number (`ENOENT`, `EEXIST`, `EBUSY`, `EINVAL`…).
    pub errno: i32,
    /// The kernel's own words, if it has any.
    pub reason: Option<String>,
    /// How many more messages it refused.
    pub others: usize,
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = io::Error::from_raw_os_error(self.errno);
        write!(f, "operation {} refused: {}", self.index, self.operation)?;
        if let Some(text) = &self.element_text {
            write!(f, ", element {text}")?;
        }
        write!(f, ": {error}")?;
        if let Some(reason) = &self.reason {
            write!(f, " ({reason})")?;
        }
        match self.others {
            0 => Ok(()),
            more => write!(f, ", and {more} more"),
        }
    }
}

/// An error that the kernel sent for one message.
struct MessageError {
    sequence: u32,
    errno: i32,
    reason: Option<String>,
    offset: Option<u32>,
}

/// Commits a batch; an empty one is done at once.
pub(crate) fn commit(netlink: &mut Netlink, batch: &Batch) -> Result<Committed, CommitError> {
    if batch.is_empty() {
        return Ok(Committed::default());
    }
    let begun = Instant::now();
    let first = netlink.take_sequence(1);
    let encoded = encode(batch, first)?;
    let encoding = begun.elapsed();
    let count = encoded.origins.len() as u32;
    netlink.take_sequence(count + 1);
    netlink.drain()?;
    netlink.send(&encoded.bytes)?;
    match wait(netlink, first, count)? {
        None => {
            Ok(Committed { bytes: encoded.bytes.len(), encoding, kernel: begun.elapsed().saturating_sub(encoding) })
        }
        Some((error, others)) => Err(explain(batch, &encoded, error, others)),
    }
}

/// Waits for the acknowledgement of the last message or for errors, all of which the kernel sends at once. The first
/// error, and the number of others.
fn wait(netlink: &mut Netlink, first: u32, count: u32) -> Result<Option<(MessageError, usize)>, SocketError> {
    let mut answers = netlink.receive()?;
    let mut refused: Option<MessageError> = None;
    let mut others = 0;
    loop {
        for message in answers {
            let (true, Some(error)) = (message.sequence.wrapping_sub(first) <= count + 1, parse_error(&message)) else {
                continue;
            };
            match (error.errno, &refused) {
                (0, None) => return Ok(None),
                // Acknowledged though the transaction failed: this message alone would have been right.
                (0, Some(_)) => {}
                (_, None) => refused = Some(error),
                (_, Some(_)) => others += 1,
            }
        }
        // After an error nothing more is to come once the socket is empty.
        match refused.take() {
            None => answers = netlink.receive()?,
            Some(error) => match netlink.receive_until(Duration::ZERO) {
                Ok(Some(more)) => {
                    refused = Some(error);
                    answers = more;
                }
                Ok(None) | Err(SocketError::Overrun) => return Ok(Some((error, others))),
                Err(failed) => return Err(failed),
            },
        }
    }
}

fn parse_error(message: &Message<'_>) -> Option<MessageError> {
    if i32::from(message.kind) != libc::NLMSG_ERROR {
        return None;
    }
    let errno = -i32::from_ne_bytes(message.body.get(..4)?.try_into().ok()?);
    let extended = i32::from(message.flags) & libc::NLM_F_ACK_TLVS != 0;
    // The message's header follows; its payload too, unless NLM_F_CAPPED.
    let mut at = 4 + HEADER;
    if i32::from(message.flags) & libc::NLM_F_CAPPED == 0 {
        let len = u32::from_ne_bytes(message.body.get(4..8)?.try_into().ok()?) as usize;
        at = 4 + len.next_multiple_of(4);
    }
    let attributes = Attributes(if extended { message.body.get(at..).unwrap_or_default() } else { &[] });
    let offset = attributes.find(ACK_OFFSET).and_then(|v| v.try_into().ok()).map(u32::from_ne_bytes);
    let reason = attributes.text(ACK_TEXT).map(str::to_owned);
    Some(MessageError { sequence: message.sequence, errno, reason, offset })
}

fn explain(batch: &Batch, encoded: &Encoded, error: MessageError, others: usize) -> CommitError {
    let MessageError { sequence, errno, reason, offset } = error;
    let index = (sequence.wrapping_sub(encoded.first_sequence) as usize).checked_sub(1);
    let Some(origin) = index.and_then(|index| encoded.origins.get(index)) else {
        return match errno {
            ERESTART => CommitError::Stale,
            errno => CommitError::Transaction(io::Error::from_raw_os_error(errno)),
        };
    };
    let operation = &batch.operations[origin.operation as usize];
    let element = offset.and_then(|offset| element_at(&encoded.bytes, origin, offset as usize));
    CommitError::Refused(Box::new(Refusal {
        index: origin.operation as usize,
        operation: summary(operation),
        element,
        element_text: element.and_then(|element| element_text(operation, element)),
        errno,
        reason,
        others,
    }))
}

/// The operation as text, elements counted.
fn summary(operation: &Operation) -> String {
    let elements = |verb, set: &crate::set::Set, all: &[Element]| {
        format!("{verb} {} elements of {} {}", all.len(), set.table, set.name)
    };
    match operation {
        Operation::AddElements { set, elements: all } => elements("add", set, all),
        Operation::DeleteElements { set, elements: all } => elements("delete", set, all),
        Operation::DestroyElements { set, elements: all } => elements("destroy", set, all),
        other => other.to_string(),
    }
}

fn element_text(operation: &Operation, index: usize) -> Option<String> {
    match operation {
        Operation::AddElements { set, elements }
        | Operation::DeleteElements { set, elements }
        | Operation::DestroyElements { set, elements } => {
            elements.get(index).map(|element| element.display(set).to_string())
        }
        _ => None,
    }
}

/// The index in its operation of the element in whose attribute an offset lies, counted from the message's begin.
fn element_at(bytes: &[u8], origin: &Origin, offset: usize) -> Option<usize> {
    let message = bytes.get(origin.offset as usize..)?;
    let body = Messages(message).next()?.body;
    let base = body.as_ptr() as usize - HEADER;
    let list = Attributes(body.get(GENERIC..)?).nested(element::LIST_ELEMENTS)?;
    let within = |(_, value): (u16, &[u8])| {
        // From the attribute's own header to the end of its value.
        let begin = value.as_ptr() as usize - base - 4;
        (begin..begin + 4 + value.len()).contains(&offset)
    };
    list.into_iter().position(within).map(|index| origin.element as usize + index)
}
