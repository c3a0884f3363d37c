//! The kernel's nf_tables and conntrack, over netlink.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use nft::conntrack::{Entry, Filter};
use nft::{Batch, Conntrack, DumpError, Family as TableFamily, Heard, Monitor, ObjectId, Operation, Socket, TableId};

use crate::backend::interference::{IPTABLES_NAT, KUBE_PROXY_CHAIN, KUBE_PROXY_TABLE};
use crate::backend::{CommitError, FlowsError, Interference, OpenError, Other, ReadError, Watch, WatchError};
use crate::compile::{Compiler, Config, Map};
use crate::counters::Counts;
use crate::flows::StaleFlows;
use crate::ruleset::{ElementKey, Elements, TableContent};

/// How often a table is read again because somebody changed something meanwhile.
const ATTEMPTS: usize = 10;
/// Transactions of more elements than that are not listened to.
const LARGE: usize = 1_000;
/// How many datagrams are heard at once: somebody who changes rules without end must not keep us from ours. What is
/// left then is heard by the sync that mends.
const MOST_HEARD: usize = 10_000;

mod ledger;

use ledger::Ledger;

/// The kernel of one network namespace: that of the thread that opened it, wherever it is used later.
#[derive(Debug)]
pub struct Backend {
    config: Config,
    socket: Socket,
    conntrack: Conntrack,
    monitor: Monitor,
    ledger: Ledger,
}

impl Backend {
    /// Opens the calling thread's network namespace. Nothing is changed yet.
    pub fn new(config: Config) -> Result<Backend, OpenError> {
        config.check()?;
        let failed = |subsystem| move |source| OpenError::Socket { subsystem, source };
        // First, so that nothing happens between what is known and what is heard.
        let monitor = Monitor::in_current_netns().map_err(failed("nf_tables"))?;
        let mut socket = Socket::in_current_netns().map_err(failed("nf_tables"))?;
        let conntrack = Conntrack::in_current_netns().map_err(failed("conntrack"))?;
        let tables = config.families.iter().map(|family| Compiler::new(&config, *family).table().clone()).collect();
        let ledger = Ledger::new(socket.port(), tables, socket.generation().map_err(OpenError::Generation)?);
        Ok(Backend { config, socket, conntrack, monitor, ledger })
    }

    /// Hears all that was told up to now.
    fn hear(&mut self) -> Result<(), WatchError> {
        for _ in 0..MOST_HEARD {
            match self.monitor.next(Duration::ZERO)? {
                Heard::Nothing => return Ok(()),
                Heard::Notifications(told) => told.into_iter().for_each(|one| self.ledger.hear(one)),
                Heard::Lost => self.ledger.missed(self.socket.generation().map_err(WatchError::Generation)?),
            }
        }
        self.ledger.give_up();
        Ok(())
    }

    /// Commits what would fill the monitor's socket. What others do meanwhile shows in the generation.
    fn commit_unheard(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.monitor.pause().map_err(nft::CommitError::Socket)?;
        let committed = self.socket.commit(batch);
        self.monitor.resume().map_err(nft::CommitError::Socket)?;
        let nft::Committed { bytes, encoding, kernel } = committed?;
        tracing::debug!(bytes, ?encoding, ?kernel, "a large transaction");
        self.ledger.committed();
        let heard = self.hear().and_then(|()| self.socket.generation().map_err(WatchError::Generation));
        match heard {
            Ok(generation) => self.ledger.missed(generation),
            Err(error) => {
                // It is told by the next look at what others did; until then they are thought to have done something.
                tracing::warn!(error = &error as &dyn std::error::Error, "what others do is not heard");
                self.ledger.missed(0);
            }
        }
        Ok(())
    }

    /// Takes the tables away, of both families, with all that is in them. Connections that they made go on as long as
    /// anybody's nat chain is left: with the last one the kernel stops translating.
    pub fn cleanup(&mut self) -> Result<(), CleanupError> {
        let mut batch = Batch::new();
        for listed in self.socket.tables()? {
            let id = listed.object.id;
            if *id.name == *self.config.table && id.family != TableFamily::Inet {
                batch.delete(ObjectId::Table(id));
            }
        }
        self.socket.commit(&batch)?;
        Ok(())
    }

    /// A table of which something is not understood (a sort of chain, a type) is somebody else's work.
    fn read_once(&mut self, id: &TableId) -> Result<Option<TableContent>, DumpError> {
        match self.read_all(id) {
            Err(DumpError::Decode(error)) => {
                tracing::warn!(table = %id, %error, "a table of ours holds what we never make; it will be made anew");
                Ok(Some(TableContent { unreadable: true, ..TableContent::new(nft::Table::new(id.clone())) }))
            }
            read => read,
        }
    }

    fn read_all(&mut self, id: &TableId) -> Result<Option<TableContent>, DumpError> {
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
            let skipped = by_packets.contains(&&*set.name);
            let elements = if skipped { Elements::new() } else { self.read_elements(id, &set.name)? };
            sets.insert(set.name.clone(), (set, elements));
        }
        content.sets = sets;
        Ok(Some(content))
    }

    /// The kernel goes through a set's hash table anew for each part of a dump, and passes over as many elements as it has
    /// told. While the table grows, which it does after a large change and without another generation, their order is
    /// another one each time: elements are told twice, and as many not at all. So where one is told twice all are read
    /// again.
    fn read_elements(&mut self, id: &TableId, set: &str) -> Result<Elements, DumpError> {
        let mut all = Elements::new();
        for _ in 0..ATTEMPTS {
            let (mut read, mut twice) = (Elements::new(), false);
            let mut take =
                |element: nft::Element| twice |= read.insert(ElementKey::of(&element), element.data).is_some();
            self.socket.each_element(id, set, &mut take)?;
            if !twice {
                return Ok(read);
            }
            all.append(&mut read);
        }
        tracing::debug!(set, "each dump told elements twice: what all of them told is taken together");
        Ok(all)
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
        if batch.is_empty() {
            return Ok(());
        }
        if element_count(batch) > LARGE {
            return self.commit_unheard(batch);
        }
        self.socket.commit(batch)?;
        self.ledger.committed();
        Ok(())
    }

    fn changes(&self) -> Result<Option<Watch>, WatchError> {
        let file = self.monitor.as_fd().try_clone_to_owned().map_err(WatchError::File)?;
        Ok(Some(Watch::new(file)))
    }

    fn interference(&mut self) -> Result<Interference, WatchError> {
        self.hear()?;
        Ok(self.ledger.take())
    }

    fn others(&mut self) -> Result<Vec<Other>, ReadError> {
        let mut others = Vec::new();
        for listed in self.socket.tables().map_err(ReadError::List)? {
            let id = listed.object.id;
            if id.family == TableFamily::Inet {
                continue;
            }
            if *id.name == *KUBE_PROXY_TABLE {
                others.push(Other::KubeProxyNftables(id));
            } else if *id.name == *IPTABLES_NAT {
                let failed = |source| ReadError::Dump { table: id.to_string(), source };
                let chains = self.socket.chains(&id).map_err(failed)?;
                if chains.iter().any(|listed| *listed.object.name == *KUBE_PROXY_CHAIN) {
                    others.push(Other::KubeProxyIptables(id));
                }
            }
        }
        others.sort_unstable();
        Ok(others)
    }

    fn flows(&mut self, filters: &[Filter], wanted: &dyn Fn(&Entry) -> bool) -> Result<Vec<Entry>, FlowsError> {
        let mut found = Vec::new();
        for filter in filters {
            found.extend(self.conntrack.list_where(filter, wanted)?);
        }
        Ok(found)
    }

    fn end(&mut self, flows: &[Entry]) -> Result<usize, FlowsError> {
        Ok(self.conntrack.delete_entries(flows)?)
    }

    fn end_flows(&mut self, stale: &StaleFlows) -> Result<usize, FlowsError> {
        let mut ended = 0;
        for filter in stale.filters() {
            ended += self.conntrack.delete_where(&filter, |entry| stale.is_stale(entry))?;
        }
        Ok(ended)
    }
}

fn element_count(batch: &Batch) -> usize {
    let counts = batch.operations.iter().map(|operation| match operation {
        Operation::AddElements { elements, .. } | Operation::DeleteElements { elements, .. } => elements.len(),
        _ => 0,
    });
    counts.sum()
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
