//! Dumps: what the kernel holds.

use std::io;

use crate::chain::Chain;
use crate::decode::{self, DecodeError};
use crate::element::Element;
use crate::netlink::{Netlink, SocketError};
use crate::operation::Object;
use crate::rule::Rule;
use crate::set::Set;
use crate::table::{Family, Table, TableId};
use crate::wire::number::{self, NFTABLES, message};
use crate::wire::{Attributes, Message, Writer};

/// How often a dump is begun again because the rule set changed under it.
pub(crate) const ATTEMPTS: usize = 10;

/// Why a dump failed.
#[derive(Debug, thiserror::Error)]
pub enum DumpError {
    /// The kernel refused it; `ENOENT`: there is no such table or set.
    #[error("the kernel refused the dump")]
    Refused(#[source] io::Error),
    /// The rule set changed while it was dumped, each time that it was tried.
    #[error("the rule set changed while it was dumped")]
    Interrupted,
    /// The kernel's answer was not understood.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The kernel was not reached.
    #[error(transparent)]
    Socket(#[from] SocketError),
}

impl DumpError {
    /// Whether there is no such table or set.
    pub fn is_not_found(&self) -> bool {
        matches!(self, DumpError::Refused(error) if error.raw_os_error() == Some(libc::ENOENT))
    }
}

/// Something that was dumped, with the kernel's number for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<T> {
    /// Unique in its table; never used again.
    pub handle: u64,
    /// What it is.
    pub object: T,
}

/// Sends one request and gives each answer to `take`, until the last. Not begun again.
pub(crate) fn request(
    netlink: &mut Netlink,
    kind: u16,
    dump: bool,
    family: u8,
    write: impl FnOnce(&mut Writer),
    mut take: impl FnMut(&Message<'_>) -> Result<(), DecodeError>,
) -> Result<(), DumpError> {
    let sequence = netlink.take_sequence(1);
    let mut writer = Writer::default();
    let flags = if dump { libc::NLM_F_DUMP } else { libc::NLM_F_ACK };
    let start = writer.begin_message(kind, flags as u16, sequence, family, 0);
    write(&mut writer);
    writer.end_message(start);
    let bytes = writer.finish().ok_or(DecodeError("request's length"))?;
    netlink.drain()?;
    netlink.send(&bytes)?;
    let mut interrupted = false;
    loop {
        for message in netlink.receive()?.filter(|message| message.sequence == sequence) {
            interrupted |= i32::from(message.flags) & libc::NLM_F_DUMP_INTR != 0;
            match i32::from(message.kind) {
                libc::NLMSG_DONE | libc::NLMSG_ERROR => {
                    let code = message.body.get(..4).and_then(|b| b.try_into().ok()).map_or(0, i32::from_ne_bytes);
                    return match -code {
                        0 if interrupted => Err(DumpError::Interrupted),
                        0 => Ok(()),
                        libc::EINTR => Err(DumpError::Interrupted),
                        errno => Err(DumpError::Refused(io::Error::from_raw_os_error(errno))),
                    };
                }
                _ => take(&message)?,
            }
        }
    }
}

/// All objects of a kind; begun again when the rule set changes meanwhile.
fn all<T>(
    netlink: &mut Netlink,
    kind: u16,
    family: u8,
    write: impl Fn(&mut Writer),
    mut decode: impl FnMut(Family, Attributes<'_>) -> Result<Option<T>, DecodeError>,
) -> Result<Vec<T>, DumpError> {
    for _ in 0..ATTEMPTS {
        let mut found = Vec::new();
        let dumped = request(netlink, NFTABLES | kind, true, family, &write, |message| {
            let (family, attributes) = message.generic().ok_or(DecodeError("message"))?;
            // Tables of families that are not spoken of here are not listed.
            if let Some(family) = Family::from_number(family) {
                found.extend(decode(family, attributes)?);
            }
            Ok(())
        });
        match dumped {
            Ok(()) => return Ok(found),
            Err(DumpError::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Err(DumpError::Interrupted)
}

fn listed<T>((handle, object): (u64, T)) -> Listed<T> {
    Listed { handle, object }
}

pub(crate) fn tables(netlink: &mut Netlink) -> Result<Vec<Listed<Table>>, DumpError> {
    all(netlink, message::GETTABLE, 0, |_| {}, |family, a| decode::table(family, a).map(listed).map(Some))
}

pub(crate) fn chains(netlink: &mut Netlink, table: &TableId) -> Result<Vec<Listed<Chain>>, DumpError> {
    let write = |w: &mut Writer| w.text(number::chain::TABLE, &table.name);
    all(netlink, message::GETCHAIN, table.family.number(), write, |family, a| {
        if a.text(number::chain::TABLE) != Some(&table.name) {
            return Ok(None);
        }
        decode::chain(family, a).map(listed).map(Some)
    })
}

pub(crate) fn rules(netlink: &mut Netlink, table: &TableId) -> Result<Vec<Listed<Rule>>, DumpError> {
    let write = |w: &mut Writer| w.text(number::rule::TABLE, &table.name);
    all(netlink, message::GETRULE, table.family.number(), write, |family, a| {
        if a.text(number::rule::TABLE) != Some(&table.name) {
            return Ok(None);
        }
        decode::rule(family, a).map(listed).map(Some)
    })
}

pub(crate) fn sets(netlink: &mut Netlink, table: &TableId) -> Result<Vec<Listed<Set>>, DumpError> {
    let write = |w: &mut Writer| w.text(number::set::TABLE, &table.name);
    all(netlink, message::GETSET, table.family.number(), write, |family, a| {
        if a.text(number::set::TABLE) != Some(&table.name) {
            return Ok(None);
        }
        decode::set(family, a).map(listed).map(Some)
    })
}

pub(crate) fn counters(netlink: &mut Netlink, table: &TableId) -> Result<Vec<Listed<Object>>, DumpError> {
    let write = |w: &mut Writer| w.text(number::object::TABLE, &table.name);
    all(netlink, message::GETOBJ, table.family.number(), write, |family, a| {
        if a.text(number::object::TABLE) != Some(&table.name) {
            return Ok(None);
        }
        Ok(decode::counter(family, a)?.map(listed))
    })
}

pub(crate) fn each_element(
    netlink: &mut Netlink,
    table: &TableId,
    set: &str,
    mut take: impl FnMut(Element),
) -> Result<(), DumpError> {
    let write = |w: &mut Writer| {
        w.text(number::element::LIST_TABLE, &table.name);
        w.text(number::element::LIST_SET, set);
    };
    let kind = NFTABLES | message::GETSETELEM;
    request(netlink, kind, true, table.family.number(), write, |message| {
        let (_, attributes) = message.generic().ok_or(DecodeError("message"))?;
        decode::elements(attributes, &mut take)
    })
}

pub(crate) fn elements(netlink: &mut Netlink, table: &TableId, set: &str) -> Result<Vec<Element>, DumpError> {
    for _ in 0..ATTEMPTS {
        let mut found = Vec::new();
        match each_element(netlink, table, set, |element| found.push(element)) {
            Ok(()) => return Ok(found),
            Err(DumpError::Interrupted) => {}
            Err(error) => return Err(error),
        }
    }
    Err(DumpError::Interrupted)
}

pub(crate) fn generation(netlink: &mut Netlink) -> Result<u32, DumpError> {
    let mut id = None;
    request(
        netlink,
        NFTABLES | message::GETGEN,
        false,
        0,
        |_| {},
        |message| {
            let (_, attributes) = message.generic().ok_or(DecodeError("message"))?;
            id = attributes.u32(number::generation::ID);
            Ok(())
        },
    )?;
    id.ok_or(DumpError::Decode(DecodeError("generation")))
}
