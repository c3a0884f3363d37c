//! The door to the kernel's nf_tables.

use crate::batch::Batch;
use crate::chain::Chain;
use crate::commit::{self, CommitError, Committed};
use crate::dump::{self, DumpError, Listed};
use crate::element::Element;
use crate::netlink::{Netlink, SocketError};
use crate::operation::Object;
use crate::rule::Rule;
use crate::set::Set;
use crate::table::{Table, TableId};

/// Commits batches and dumps what is there. Each call waits for the kernel, at most 20 seconds; most take less than a
/// millisecond. A socket belongs to the network namespace in which it was opened, wherever its user goes.
#[derive(Debug)]
pub struct Socket {
    netlink: Netlink,
}

impl Socket {
    /// Opens one in the network namespace of the calling thread. Costs a file descriptor, and 64 KiB once it is used.
    pub fn in_current_netns() -> Result<Socket, SocketError> {
        Ok(Socket { netlink: Netlink::open()? })
    }

    /// Does all of a batch or nothing of it. An empty batch is no call to the kernel.
    pub fn commit(&mut self, batch: &Batch) -> Result<Committed, CommitError> {
        commit::commit(&mut self.netlink, batch)
    }

    /// The number by which [`crate::Monitor`] tells this socket's changes from others'.
    pub fn port(&self) -> u32 {
        self.netlink.port()
    }

    /// The rule set's generation: another number after each transaction of anybody in this network namespace.
    pub fn generation(&mut self) -> Result<u32, DumpError> {
        dump::generation(&mut self.netlink)
    }

    /// All tables of the families ip, ip6 and inet.
    pub fn tables(&mut self) -> Result<Vec<Listed<Table>>, DumpError> {
        dump::tables(&mut self.netlink)
    }

    /// The chains of a table. No table, no chains: no error.
    pub fn chains(&mut self, table: &TableId) -> Result<Vec<Listed<Chain>>, DumpError> {
        dump::chains(&mut self.netlink, table)
    }

    /// The rules of a table, chain by chain, in order. No table, no rules: no error.
    pub fn rules(&mut self, table: &TableId) -> Result<Vec<Listed<Rule>>, DumpError> {
        dump::rules(&mut self.netlink, table)
    }

    /// The sets and maps of a table, anonymous ones too. Without a table: `ENOENT`.
    pub fn sets(&mut self, table: &TableId) -> Result<Vec<Listed<Set>>, DumpError> {
        dump::sets(&mut self.netlink, table)
    }

    /// The named counters of a table. No table, no counters: no error.
    pub fn counters(&mut self, table: &TableId) -> Result<Vec<Listed<Object>>, DumpError> {
        dump::counters(&mut self.netlink, table)
    }

    /// All elements of a set or map, in the kernel's order.
    pub fn elements(&mut self, table: &TableId, set: &str) -> Result<Vec<Element>, DumpError> {
        dump::elements(&mut self.netlink, table, set)
    }

    /// Gives each element of a set or map to `take` as it comes, without keeping them. If the rule set changes
    /// meanwhile the dump ends with [`DumpError::Interrupted`]: what was taken is then neither complete nor consistent.
    pub fn each_element(&mut self, table: &TableId, set: &str, take: impl FnMut(Element)) -> Result<(), DumpError> {
        dump::each_element(&mut self.netlink, table, set, take)
    }
}
