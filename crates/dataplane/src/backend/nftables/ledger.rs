//! Whose transactions were ours. The kernel says of each change from which socket it came, and at the end of each
//! transaction who made it and the rule set's new generation, which counts the transactions of the whole network
//! namespace one by one. So even where notifications got lost it can be known that they were all of our own making: when
//! the generation has grown by just as many as we committed.

use nft::{Change, Notification, TableId};

use crate::backend::interference::{Culprit, IPTABLES_NAT, Interference, KUBE_PROXY_CHAIN, KUBE_PROXY_TABLE};

/// Keeps count.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Our socket.
    port: u32,
    tables: Vec<TableId>,
    /// The last that was heard of.
    generation: u32,
    /// Our transactions that were not heard of yet.
    outstanding: u32,
    /// Whether the transaction that is being told changed a table of ours, without being ours.
    touched: bool,
    found: Interference,
}

impl Ledger {
    /// From a generation on. `port` is that of the socket with which we commit.
    pub(super) fn new(port: u32, tables: Vec<TableId>, generation: u32) -> Ledger {
        Ledger { port, tables, generation, outstanding: 0, touched: false, found: Interference::default() }
    }

    /// A transaction of ours was done.
    pub(super) fn committed(&mut self) {
        self.outstanding = self.outstanding.saturating_add(1);
    }

    /// A notification, in order.
    pub(super) fn hear(&mut self, told: Notification) {
        let own = told.port == self.port;
        match told.change {
            Change::Generation { id, thread, name } => {
                if own {
                    self.outstanding = self.outstanding.saturating_sub(1);
                } else if self.touched {
                    self.found.add(Culprit { thread, name });
                }
                self.touched = false;
                self.generation = id;
            }
            _ if own => {}
            change => {
                self.found.beside |= is_beside(&change);
                self.touched |= change.table().is_some_and(|table| self.tables.contains(table));
            }
        }
    }

    /// Notifications are missing up to a generation: unless all that happened since the last one was ours, anything may
    /// have been done.
    pub(super) fn missed(&mut self, generation: u32) {
        if after(self.generation, self.outstanding) != generation || self.touched {
            self.found.lost = true;
            self.found.beside = true;
        }
        self.generation = generation;
        self.outstanding = 0;
        self.touched = false;
    }

    /// There is more to hear than is listened to.
    pub(super) fn give_up(&mut self) {
        self.found.lost = true;
    }

    /// What was found since the last call.
    pub(super) fn take(&mut self) -> Interference {
        std::mem::take(&mut self.found)
    }
}

/// The generation after so many transactions. Zero is never one.
fn after(generation: u32, transactions: u32) -> u32 {
    match generation.checked_add(transactions) {
        Some(sum) => sum,
        None => generation.wrapping_add(transactions).wrapping_add(1),
    }
}

fn is_beside(change: &Change) -> bool {
    match change {
        Change::Table(table, _) => *table.name == *KUBE_PROXY_TABLE || *table.name == *IPTABLES_NAT,
        Change::Chain(table, chain, _) => *table.name == *IPTABLES_NAT && **chain == *KUBE_PROXY_CHAIN,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
