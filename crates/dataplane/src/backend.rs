//! Backends: the only place where anything outside this process is touched. [`nftables`] is the kernel of a network
//! namespace, [`fake`] a rule set in memory that behaves like it.

use nft::conntrack::{Entry, Filter};
use nft::{Batch, TableId};

use crate::compile::{Config, ConfigError};
use crate::counters::Counts;
use crate::flows::StaleFlows;
use crate::ruleset::{Refused, TableContent};

pub mod fake;
mod interference;
pub mod nftables;

pub use interference::{Culprit, Interference, Other, Watch};

/// Somewhere where rules take effect.
pub trait Backend {
    /// What was chosen about the rules.
    fn config(&self) -> &Config;

    /// What a table holds; `None`: there is no such table. Elements that packets made are left out. The answer is of
    /// one moment: nobody changed the table while it was read.
    fn read(&mut self, table: &TableId) -> Result<Option<TableContent>, ReadError>;

    /// What a table has counted; nothing if there is no such table, or it counts nothing.
    fn counts(&mut self, table: &TableId) -> Result<Counts, ReadError>;

    /// Does all of a batch or nothing of it.
    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError>;

    /// A file to wait for: it is readable when [`Backend::interference`] may have something to tell. `None`: nobody else
    /// can change what the backend holds.
    fn changes(&self) -> Result<Option<Watch>, WatchError> {
        Ok(None)
    }

    /// What others did since the last call; own commits are not told. Never waits.
    fn interference(&mut self) -> Result<Interference, WatchError> {
        Ok(Interference::default())
    }

    /// Rules of other Service proxies beside ours, in order.
    fn others(&mut self) -> Result<Vec<Other>, ReadError> {
        Ok(Vec::new())
    }

    /// The connections of these filters that are wanted. None, where there are no packets.
    fn flows(&mut self, filters: &[Filter], wanted: &dyn Fn(&Entry) -> bool) -> Result<Vec<Entry>, FlowsError> {
        let _ = (filters, wanted);
        Ok(Vec::new())
    }

    /// Ends these very connections; how many were still there.
    fn end(&mut self, flows: &[Entry]) -> Result<usize, FlowsError> {
        let _ = flows;
        Ok(0)
    }

    /// Ends the connections that are stale; how many there were.
    fn end_flows(&mut self, stale: &StaleFlows) -> Result<usize, FlowsError>;
}

/// Why it is not known what is held.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The kernel's answer.
    #[error("reading {table}")]
    Dump {
        /// Of which table.
        table: String,
        /// What failed.
        #[source]
        source: nft::DumpError,
    },
    /// The kernel's answer to the question which tables there are.
    #[error("looking for tables")]
    List(#[source] nft::DumpError),
    /// The table was changed by somebody each time that it was read.
    #[error("{0} is changed by somebody else all the time")]
    Unsteady(String),
}

/// Why a batch was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The kernel's answer, which names the object.
    #[error(transparent)]
    Kernel(#[from] nft::CommitError),
    /// The same of a rule set in memory.
    #[error(transparent)]
    Memory(#[from] Refused),
}

/// Why it is not known what others did.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// Notifications are not received.
    #[error("listening to the kernel's notifications")]
    Listen(#[from] nft::SocketError),
    /// The rule set's generation is not told.
    #[error("asking for the rule set's generation")]
    Generation(#[source] nft::DumpError),
    /// There is no file left to wait with.
    #[error("a second file for the kernel's notifications")]
    File(#[source] std::io::Error),
}

/// Why stale connections were not ended.
#[derive(Debug, thiserror::Error)]
#[error("ending connections to endpoints that are gone")]
pub struct FlowsError(#[from] nft::ConntrackError);

/// Why a kernel is not spoken to at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The rules could not be made.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// No socket.
    #[error("opening a netlink socket to {subsystem}")]
    Socket {
        /// `nf_tables` or `conntrack`.
        subsystem: &'static str,
        /// What failed.
        #[source]
        source: nft::SocketError,
    },
    /// The kernel does not tell what is there.
    #[error("asking for the rule set's generation")]
    Generation(#[source] nft::DumpError),
}
