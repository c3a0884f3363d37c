//! Notifications: who changed what.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::netlink::{Netlink, SocketError};
use crate::table::{Family, TableId};
use crate::wire::number::{self, GROUP_NFTABLES, NFTABLES, message};
use crate::wire::{Attributes, Message, Messages};

/// A change that somebody committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The socket that committed it ([`crate::Socket::port`]).
    pub port: u32,
    /// What was changed.
    pub change: Change,
}

/// What was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A table came (true) or went.
    Table(TableId, bool),
    /// A chain came (true) or went.
    Chain(TableId, Arc<str>, bool),
    /// A rule of a chain came (true) or went.
    Rule(TableId, Arc<str>, bool),
    /// A set or map came (true) or went.
    Set(TableId, Arc<str>, bool),
    /// Elements of a set or map came (true) or went.
    Elements(TableId, Arc<str>, bool),
    /// The transaction is over; all before it since the last one belongs to it.
    Generation {
        /// The new generation.
        id: u32,
        /// The id of the thread that did it.
        thread: u32,
        /// Its name.
        name: String,
    },
}

/// What a [`Monitor`] heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Nothing, within the time given.
    Nothing,
    /// These, in order. May be empty: what was told is nothing that is spoken of here.
    Notifications(Vec<Notification>),
    /// More than the socket holds (`ENOBUFS`): everything that was told up to now is gone, a part of it unread.
    /// Listening goes on.
    Lost,
}

/// Receives the notifications of one network namespace. Can be polled: it is readable when there is one, or when some
/// were lost.
#[derive(Debug)]
pub struct Monitor {
    netlink: Netlink,
}

impl Monitor {
    /// Listens in the network namespace of the calling thread, from now on.
    pub fn in_current_netns() -> Result<Monitor, SocketError> {
        let mut netlink = Netlink::open()?;
        netlink.join(GROUP_NFTABLES)?;
        Ok(Monitor { netlink })
    }

    /// What is told within some time; [`Duration::ZERO`] never waits.
    pub fn next(&mut self, timeout: Duration) -> Result<Heard, SocketError> {
        match self.netlink.receive_until(timeout) {
            Ok(None) => Ok(Heard::Nothing),
            Ok(Some(messages)) => Ok(Heard::Notifications(messages.filter_map(|m| notification(&m)).collect())),
            Err(SocketError::Overrun | SocketError::Truncated(_)) => {
                // The kernel drops all that comes until the socket is empty: what is left in it has gaps behind it.
                self.netlink.drain()?;
                Ok(Heard::Lost)
            }
            Err(error) => Err(error),
        }
    }

    /// Hears nothing until [`Monitor::resume`]. The kernel writes a notification for each element of a transaction, if
    /// anybody listens: a large one of one's own fills the socket and says nothing new.
    pub fn pause(&mut self) -> Result<(), SocketError> {
        self.netlink.leave(GROUP_NFTABLES)
    }

    /// Listens again.
    pub fn resume(&mut self) -> Result<(), SocketError> {
        self.netlink.join(GROUP_NFTABLES)
    }

    /// Sets how many bytes of notifications wait to be heard, as the kernel counts them. The limit of the system
    /// (`net.core.rmem_max`) holds where the right to exceed it is missing.
    pub fn set_buffer(&mut self, bytes: u32) {
        self.netlink.set_receive_buffer(bytes);
    }
}

impl Notification {
    /// Takes received bytes apart. What is not understood is left out; anything may be in them.
    pub fn parse(bytes: &[u8]) -> Vec<Notification> {
        Messages(bytes).filter_map(|message| notification(&message)).collect()
    }
}

impl Change {
    /// The table that it is in; `None` for [`Change::Generation`].
    pub fn table(&self) -> Option<&TableId> {
        match self {
            Change::Table(table, _)
            | Change::Chain(table, ..)
            | Change::Rule(table, ..)
            | Change::Set(table, ..)
            | Change::Elements(table, ..) => Some(table),
            Change::Generation { .. } => None,
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.netlink.as_fd()
    }
}

/// What a message says; `None` for families and objects that are not spoken of here.
fn notification(message: &Message<'_>) -> Option<Notification> {
    if message.kind & 0xff00 != NFTABLES {
        return None;
    }
    let (family, attributes) = message.generic()?;
    let change = match message.kind & 0xff {
        message::NEWGEN => Change::Generation {
            id: attributes.u32(number::generation::ID)?,
            thread: attributes.u32(number::generation::PROCESS).unwrap_or_default(),
            name: attributes.text(number::generation::PROCESS_NAME).unwrap_or_default().to_owned(),
        },
        kind => object_change(kind, Family::from_number(family)?, attributes)?,
    };
    Some(Notification { port: message.port, change })
}

fn object_change(kind: u16, family: Family, a: Attributes<'_>) -> Option<Change> {
    // The table is the first attribute of all of these.
    let table = TableId::new(family, a.text(number::table::NAME)?);
    let text = |kind| a.text(kind).map(Arc::<str>::from);
    Some(match kind {
        message::NEWTABLE | message::DELTABLE => Change::Table(table, kind == message::NEWTABLE),
        message::NEWCHAIN | message::DELCHAIN => {
            Change::Chain(table, text(number::chain::NAME)?, kind == message::NEWCHAIN)
        }
        message::NEWRULE | message::DELRULE => {
            Change::Rule(table, text(number::rule::CHAIN)?, kind == message::NEWRULE)
        }
        message::NEWSET | message::DELSET => Change::Set(table, text(number::set::NAME)?, kind == message::NEWSET),
        message::NEWSETELEM | message::DELSETELEM => {
            Change::Elements(table, text(number::element::LIST_SET)?, kind == message::NEWSETELEM)
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
