//! The kernel's table of connections: listed, filtered, deleted.
//!
//! A connection that was rewritten keeps its rewrite as long as it has an entry. TCP ends by itself; UDP flows to
//! endpoints that are gone must be deleted here, or their client is never heard again.
//!
//! Kernels since 6.8 delete by filter in one message. For older ones the matching entries are listed and deleted one
//! by one, many in a datagram; the first refusal shows which kind it is. IPv6 addresses are never left to the kernel's
//! filter: Linux (5.8, when it learnt to filter, to 6.18 at least) takes those that differ instead of those that are
//! equal, so that a filtered deletion would spare what was meant and delete all else.

use std::io;

use crate::decode::DecodeError;
use crate::dump::{self, DumpError};
use crate::netlink::{Netlink, SocketError};
use crate::wire::Writer;

mod entry;
mod filter;
mod format;

pub use entry::{Entry, Protocol, Status, Tuple};
pub use filter::{Filter, ProtocolFilter, TupleFilter};

/// `IPCTNL_MSG_CT_*` of subsystem 1.
const GET: u16 = (1 << 8) | 1;
const DELETE: u16 = (1 << 8) | 2;
/// Bytes of one datagram of deletions, far below what a socket takes.
const LONGEST_DATAGRAM: usize = 256 << 10;

/// Why entries were not listed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum ConntrackError {
    /// A filter that matches every entry is not taken for a deletion.
    #[error("a filter without conditions would delete every connection")]
    EmptyFilter,
    /// An address of a filter is of another family than the filter.
    #[error("the filter's addresses are not all of its family")]
    MixedFamilies,
    /// Not listed.
    #[error("listing connections")]
    List(#[source] DumpError),
    /// The kernel refused a deletion.
    #[error("the kernel refused to delete connections")]
    Refused(#[source] io::Error),
    /// The kernel was not reached.
    #[error(transparent)]
    Socket(#[from] SocketError),
}

impl From<DumpError> for ConntrackError {
    fn from(error: DumpError) -> ConntrackError {
        match error {
            DumpError::Socket(error) => ConntrackError::Socket(error),
            error => ConntrackError::List(error),
        }
    }
}

/// The door to conntrack. Each call waits for the kernel, at most 20 seconds.
#[derive(Debug)]
pub struct Conntrack {
    netlink: Netlink,
    /// Whether the kernel deletes by filter; `true` until it refuses.
    deletes_by_filter: bool,
}

impl Conntrack {
    /// Opens one in the network namespace of the calling thread.
    pub fn in_current_netns() -> Result<Conntrack, SocketError> {
        Ok(Conntrack { netlink: Netlink::open()?, deletes_by_filter: true })
    }

    /// Gives each matching entry to `take` as it comes. Entries may come and go meanwhile; if the whole table is moved
    /// the listing ends with [`DumpError::Interrupted`], as some may have been left out.
    pub fn each(&mut self, filter: &Filter, mut take: impl FnMut(Entry)) -> Result<(), ConntrackError> {
        filter.check()?;
        let family = filter.family();
        let write = |w: &mut Writer| format::filter(filter, w);
        let dumped = dump::request(&mut self.netlink, GET, true, family, write, |message| {
            let (_, attributes) = message.generic().ok_or(DecodeError("connection"))?;
            let entry = format::entry(attributes).ok_or(DecodeError("connection"))?;
            // A kernel older than 5.8 does not know filters and lists everything.
            if filter.matches(&entry) {
                take(entry);
            }
            Ok(())
        });
        dumped.map_err(ConntrackError::from)
    }

    /// All matching entries.
    pub fn list(&mut self, filter: &Filter) -> Result<Vec<Entry>, ConntrackError> {
        self.list_where(filter, |_| true)
    }

    /// The connection whose answers go this way, before their rewrite is undone; `None`: there is none. Asks for one
    /// entry, however many there are. Of entries in zones only zone 0 is looked at.
    pub fn answered(&mut self, reply: &Tuple) -> Result<Option<Entry>, ConntrackError> {
        let mut found = None;
        let write = |w: &mut Writer| format::answers(reply, w);
        let asked = dump::request(&mut self.netlink, GET, false, reply.family(), write, |message| {
            let (_, attributes) = message.generic().ok_or(DecodeError("connection"))?;
            found = Some(format::entry(attributes).ok_or(DecodeError("connection"))?);
            Ok(())
        });
        match asked {
            Ok(()) => Ok(found),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes all matching entries. The filter must say something beyond its family.
    pub fn delete(&mut self, filter: &Filter) -> Result<(), ConntrackError> {
        filter.check()?;
        if filter.is_empty() {
            return Err(ConntrackError::EmptyFilter);
        }
        if self.deletes_by_filter && !filter.is_a_name() && !filter.has_ipv6_address() {
            match self.delete_by_filter(filter) {
                // The kernel took the filter for an entry's whole name, which lacks parts.
                Err(ConntrackError::Refused(error)) if is_unknown(&error) => self.deletes_by_filter = false,
                done => return done,
            }
        }
        self.delete_where(filter, |_| true).map(drop)
    }

    /// Deletes the matching entries for which the closure says so; how many. One pass for any number of reasons.
    pub fn delete_where(
        &mut self,
        filter: &Filter,
        mut unwanted: impl FnMut(&Entry) -> bool,
    ) -> Result<usize, ConntrackError> {
        let found = self.list_where(filter, &mut unwanted)?;
        self.delete_entries(&found)
    }

    /// Deletes these very entries, not others that have taken their place since; how many were still there.
    pub fn delete_entries(&mut self, entries: &[Entry]) -> Result<usize, ConntrackError> {
        let mut deleted = 0;
        let mut next = entries;
        while !next.is_empty() {
            let first = self.netlink.take_sequence(next.len() as u32);
            let mut writer = Writer::default();
            let mut last = 0;
            let mut count = 0;
            for entry in next {
                if writer.len() >= LONGEST_DATAGRAM {
                    break;
                }
                let sequence = first.wrapping_add(count);
                last = writer.begin_message(DELETE, 0, sequence, entry.original.family(), 0);
                format::name(entry, &mut writer);
                writer.end_message(last);
                count += 1;
            }
            writer.add_flags(last, libc::NLM_F_ACK as u16);
            deleted += self.send_deletions(writer, first, count)?;
            next = &next[count as usize..];
        }
        Ok(deleted)
    }

    /// The matching entries for which the closure says so: of a large table only those are kept.
    pub fn list_where(
        &mut self,
        filter: &Filter,
        mut wanted: impl FnMut(&Entry) -> bool,
    ) -> Result<Vec<Entry>, ConntrackError> {
        let mut attempts = dump::ATTEMPTS;
        loop {
            let mut found = Vec::new();
            let listed = self.each(filter, |entry| {
                if wanted(&entry) {
                    found.push(entry);
                }
            });
            attempts -= 1;
            match listed {
                Ok(()) => return Ok(found),
                Err(ConntrackError::List(DumpError::Interrupted)) if attempts > 0 => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn delete_by_filter(&mut self, filter: &Filter) -> Result<(), ConntrackError> {
        let sequence = self.netlink.take_sequence(1);
        let mut writer = Writer::default();
        let start = writer.begin_message(DELETE, libc::NLM_F_ACK as u16, sequence, filter.family(), 0);
        // The kernel looks at the family only if the version is not 0.
        writer.set_version(start, 1);
        format::filter(filter, &mut writer);
        writer.end_message(start);
        self.send_deletions(writer, sequence, 1).map(drop)
    }

    /// Sends deletions and counts those that were done. What is not there any more is no error.
    fn send_deletions(&mut self, writer: Writer, first: u32, count: u32) -> Result<usize, ConntrackError> {
        let bytes = writer.finish().ok_or_else(|| ConntrackError::List(DecodeError("request's length").into()))?;
        self.netlink.drain()?;
        self.netlink.send(&bytes)?;
        let mut gone = 0;
        let mut refused = None;
        loop {
            for message in self.netlink.receive()? {
                let index = message.sequence.wrapping_sub(first);
                if index >= count || i32::from(message.kind) != libc::NLMSG_ERROR {
                    continue;
                }
                let code = message.body.get(..4).and_then(|b| b.try_into().ok()).map_or(0, i32::from_ne_bytes);
                match -code {
                    0 => {}
                    libc::ENOENT => gone += 1,
                    errno => refused = Some(io::Error::from_raw_os_error(errno)),
                }
                if index == count - 1 {
                    return match refused {
                        Some(error) => Err(ConntrackError::Refused(error)),
                        None => Ok(count as usize - gone),
                    };
                }
            }
        }
    }
}

/// Whether the kernel did not understand the request.
fn is_unknown(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EAFNOSUPPORT))
}

#[cfg(test)]
mod tests;
