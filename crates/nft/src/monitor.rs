//! Notifications: who changed what.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use crate::netlink::{Netlink, SocketError};
use crate::table::{Family, TableId};
use crate::wire::number::{self, GROUP_NFTABLES, NFTABLES, message};
use crate::wire::{Attributes, Message};

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

/// Receives the notifications of one network namespace. Can be polled: it is readable when there is one.
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

    /// The next notifications; none if there are none in time. [`SocketError::Overrun`]: some were lost, and listening
    /// goes on.
    pub fn next(&mut self, timeout: Duration) -> Result<Vec<Notification>, SocketError> {
        let received = self.netlink.receive_until(timeout)?;
        Ok(received.into_iter().flatten().filter_map(|message| notification(&message)).collect())
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
