//! The kernel's nf_tables and conntrack, over netlink.

use std::collections::BTreeMap;
use std::sync::Arc;

use nft::{Batch, Conntrack, DumpError, Family as TableFamily, ObjectId, Socket, TableId};

use crate::backend::{CommitError, FlowsError, OpenError, ReadError};
use crate::compile::{Config, Map};
use crate::counters::Counts;
use crate::flows::StaleFlows;
use crate::ruleset::{ElementKey, Elements, TableContent};

/// How often a table is read again because somebody changed something meanwhile.
const ATTEMPTS: usize = 10;

/// The kernel of one network namespace: that of the thread that opened it, wherever it is used later.
#[derive(Debug)]
pub struct Backend {
    config: Config,
    socket: Socket,
    conntrack: Conntrack,
}

impl Backend {
    /// Opens the calling thread's network namespace. Nothing is changed yet.
    pub fn new(config: Config) -> Result<Backend, OpenError> {
        config.check()?;
        let failed = |subsystem| move |source| OpenError::Socket { subsystem, source };
        let socket = Socket::in_current_netns().map_err(failed("nf_tables"))?;
        let conntrack = Conntrack::in_current_netns().map_err(failed("conntrack"))?;
        Ok(Backend { config, socket, conntrack })
    }

    /// Takes the tables away, of both families, with all that is in them. Connections that they made go on.
    pub fn cleanup(&mut self) -> Result<(), CleanupError> {
        let mut batch = Batch::new();
        for listed in self.socket.tables()? {
            let id = listed.object.id;
            if *id.name == *self.config.table && id.family != TableFamily::Inet {
                batch.delete(ObjectId::Table(id));
            }
        }
        Ok(self.socket.commit(&batch)?)
    }

    fn read_once(&mut self, id: &TableId) -> Result<Option<TableContent>, DumpError> {
        let Some(table) = self.socket.tables()?.into_iter().find(|listed| listed.object.id == *id) else {
            return Ok(None);
        };
        let mut content = TableContent::new(table.object);
        for listed in self.socket.chains(id)? {
            content.chains.insert(listed.object.name.clone(), (listed.object, Vec::new()));
        }
        for listed in self.socket.rules(id)? {
            if let Some((_, rules)) = content.chains.get_mut(&listed.object.chain) {
                rules.push(listed.object.without_counts());
            }
        }
        let by_packets = Map::ALL.into_iter().filter(|map| map.is_filled_by_packets());
        let by_packets: Vec<&str> = by_packets.map(Map::name).collect();
        let mut sets = BTreeMap::new();
        for listed in self.socket.sets(id)? {
            let set = Arc::new(listed.object);
            let mut elements = Elements::new();
            if !by_packets.contains(&&*set.name) {
                let mut take = |element: nft::Element| elements.insert(ElementKey::of(&element), element.data);
                self.socket.each_element(id, &set.name, |element| drop(take(element)))?;
            }
            sets.insert(set.name.clone(), (set, elements));
        }
        content.sets = sets;
        Ok(Some(content))
    }
}

impl crate::backend::Backend for Backend {
    fn config(&self) -> &Config {
        &self.config
    }

    fn read(&mut self, table: &TableId) -> Result<Option<TableContent>, ReadError> {
        let failed = |source| ReadError::Dump { table: table.to_string(), source };
        for _ in 0..ATTEMPTS {
            let before = self.socket.generation().map_err(failed)?;
            let content = match self.read_once(table) {
                // The table went between two of the dumps.
                Err(error) if error.is_not_found() => continue,
                Err(DumpError::Interrupted) => continue,
                read => read.map_err(failed)?,
            };
            if self.socket.generation().map_err(failed)? == before {
                return Ok(content);
            }
        }
        Err(ReadError::Unsteady(table.to_string()))
    }

    fn counts(&mut self, table: &TableId) -> Result<Counts, ReadError> {
        let mut counts = Counts::default();
        for map in Map::COUNTERS {
            let elements = match self.socket.elements(table, map.name()) {
                Err(error) if error.is_not_found() => continue,
                read => read.map_err(|source| ReadError::Dump { table: table.to_string(), source })?,
            };
            for element in elements {
                counts.set(map, element.key, element.counter.unwrap_or_default().packets);
            }
        }
        Ok(counts)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        Ok(self.socket.commit(batch)?)
    }

    fn end_flows(&mut self, stale: &StaleFlows) -> Result<usize, FlowsError> {
        let mut ended = 0;
        for filter in stale.filters() {
            ended += self.conntrack.delete_where(&filter, |entry| stale.is_stale(entry))?;
        }
        Ok(ended)
    }
}

/// Why tables were not taken away.
#[derive(Debug, thiserror::Error)]
pub enum CleanupError {
    /// It is not known whether they are there.
    #[error("looking for tables to take away")]
    Dump(#[from] DumpError),
    /// The kernel refused.
    #[error("taking tables away")]
    Commit(#[from] nft::CommitError),
}
