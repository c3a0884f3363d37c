//! A rule set in memory, for tests without privileges: it takes what a kernel takes, and its packets are traced.

use nft::conntrack::Entry;
use nft::{Batch, TableId};

use crate::backend::{CommitError, FlowsError, ReadError};
use crate::compile::{Config, Map};
use crate::flows::StaleFlows;
use crate::ruleset::{Ruleset, TableContent};

/// A kernel that is not there.
#[derive(Debug, Default)]
pub struct Backend {
    config: Config,
    /// What it holds.
    pub ruleset: Ruleset,
    /// Its connections.
    pub flows: Vec<Entry>,
    /// Every batch that it was given, those that it refused too.
    pub batches: Vec<Batch>,
}

impl Backend {
    /// One that holds nothing.
    pub fn new(config: Config) -> Backend {
        Backend { config, ..Backend::default() }
    }

    /// One that holds these rules already, as after a restart.
    pub fn with_ruleset(config: Config, ruleset: Ruleset) -> Backend {
        Backend { ruleset, ..Backend::new(config) }
    }
}

impl crate::backend::Backend for Backend {
    fn config(&self) -> &Config {
        &self.config
    }

    fn read(&mut self, table: &TableId) -> Result<Option<TableContent>, ReadError> {
        let mut content = self.ruleset.tables.get(table).cloned();
        for map in Map::ALL.into_iter().filter(|map| map.is_filled_by_packets()) {
            if let Some((_, elements)) = content.as_mut().and_then(|content| content.sets.get_mut(map.name())) {
                elements.clear();
            }
        }
        Ok(content)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        if !batch.is_empty() {
            self.batches.push(batch.clone());
        }
        Ok(self.ruleset.apply(batch)?)
    }

    fn end_flows(&mut self, stale: &StaleFlows) -> Result<usize, FlowsError> {
        let before = self.flows.len();
        self.flows
            .retain(|entry| !stale.filters().iter().any(|filter| filter.matches(entry)) || !stale.is_stale(entry));
        Ok(before - self.flows.len())
    }
}
