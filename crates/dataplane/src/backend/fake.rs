//! A rule set in memory, for tests without privileges: it takes what a kernel takes, and its packets are traced.

use std::collections::BTreeMap;

use std::net::IpAddr;

use nft::conntrack::{Entry, Filter};
use nft::{Batch, Data, Element, ObjectId, Operation, TableId, Value};

use crate::backend::{CommitError, Culprit, FlowsError, Interference, Other, ReadError, WatchError};
use crate::compile::{Config, Map};
use crate::counters::Counts;
use crate::flows::StaleFlows;
use crate::ruleset::{Reason, Refused, Ruleset, TableContent};

/// A kernel that is not there.
#[derive(Debug, Default)]
pub struct Backend {
    config: Config,
    /// What it holds.
    pub ruleset: Ruleset,
    /// What each table has counted. Packets are not sent through it: this is for tests to set.
    pub counts: BTreeMap<TableId, Counts>,
    /// Its connections.
    pub flows: Vec<Entry>,
    /// Every batch that it was given, those that it refused too.
    pub batches: Vec<Batch>,
    /// What others did and nobody was told of yet.
    pub interference: Interference,
    /// Who stands beside.
    pub others: Vec<Other>,
    /// Addresses that it refuses: whatever adds, changes or takes away an element with one of them in key or data.
    pub refuses: Vec<IpAddr>,
    /// How often a table was read.
    pub reads: usize,
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

    /// Somebody else commits a batch, or tries to: it is noticed.
    pub fn tamper(&mut self, by: &str, batch: &Batch) -> Result<(), Refused> {
        self.ruleset.apply(batch)?;
        self.interference.add(Culprit { thread: 1, name: by.to_owned() });
        Ok(())
    }
}

impl Backend {
    /// Counters go with their elements, and with their tables.
    fn uncount(&mut self, operation: &Operation) {
        match operation {
            Operation::DeleteElements { set, elements } => {
                let (Some(counts), Some(map)) =
                    (self.counts.get_mut(&set.table), Map::COUNTERS.into_iter().find(|map| *map.name() == *set.name))
                else {
                    return;
                };
                elements.iter().for_each(|element| counts.remove(map, &element.key));
            }
            Operation::Delete(ObjectId::Set(table, name)) | Operation::Destroy(ObjectId::Set(table, name)) => {
                let map = Map::COUNTERS.into_iter().find(|map| *map.name() == **name);
                if let (Some(counts), Some(map)) = (self.counts.get_mut(table), map) {
                    counts.remove_all(map);
                }
            }
            Operation::Delete(ObjectId::Table(table)) | Operation::Destroy(ObjectId::Table(table)) => {
                self.counts.remove(table);
            }
            _ => {}
        }
    }
}

impl Backend {
    fn refused(&self, batch: &Batch) -> Option<Refused> {
        let refuses = |value: &Value| self.refuses.iter().any(|address| holds(value, *address));
        let element = |element: &Element| {
            let data = matches!(&element.data, Some(Data::Value(value)) if refuses(value));
            data || refuses(&element.key)
        };
        let at = |operation: &Operation| match operation {
            Operation::AddElements { elements, .. } | Operation::DeleteElements { elements, .. } => {
                elements.iter().any(element)
            }
            _ => false,
        };
        let index = batch.operations.iter().position(at)?;
        Some(Refused { index, operation: batch.operations[index].to_string(), reason: Reason::Unwanted })
    }
}

/// Whether one of a value's fields is this address.
fn holds(value: &Value, address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => value.as_slice().chunks(4).any(|field| field == address.octets()),
        IpAddr::V6(address) => value.as_slice().windows(16).step_by(4).any(|field| field == address.octets()),
    }
}

impl crate::backend::Backend for Backend {
    fn config(&self) -> &Config {
        &self.config
    }

    fn read(&mut self, table: &TableId) -> Result<Option<TableContent>, ReadError> {
        self.reads += 1;
        let mut content = self.ruleset.tables.get(table).cloned();
        for map in Map::ALL.into_iter().filter(|map| map.is_filled_by_packets()) {
            if let Some((_, elements)) = content.as_mut().and_then(|content| content.sets.get_mut(map.name())) {
                elements.clear();
            }
        }
        Ok(content)
    }

    fn counts(&mut self, table: &TableId) -> Result<Counts, ReadError> {
        Ok(self.counts.get(table).cloned().unwrap_or_default())
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        if !batch.is_empty() {
            self.batches.push(batch.clone());
        }
        if let Some(refused) = self.refused(batch) {
            return Err(refused.into());
        }
        self.ruleset.apply(batch)?;
        for operation in &batch.operations {
            self.uncount(operation);
        }
        Ok(())
    }

    fn interference(&mut self) -> Result<Interference, WatchError> {
        Ok(std::mem::take(&mut self.interference))
    }

    fn others(&mut self) -> Result<Vec<Other>, ReadError> {
        Ok(self.others.clone())
    }

    fn flows(&mut self, filters: &[Filter], wanted: &dyn Fn(&Entry) -> bool) -> Result<Vec<Entry>, FlowsError> {
        let matching = self.flows.iter().filter(|entry| filters.iter().any(|filter| filter.matches(entry)));
        Ok(matching.filter(|entry| wanted(entry)).copied().collect())
    }

    fn end(&mut self, flows: &[Entry]) -> Result<usize, FlowsError> {
        let before = self.flows.len();
        self.flows.retain(|entry| !flows.contains(entry));
        Ok(before - self.flows.len())
    }

    fn end_flows(&mut self, stale: &StaleFlows) -> Result<usize, FlowsError> {
        let before = self.flows.len();
        self.flows
            .retain(|entry| !stale.filters().iter().any(|filter| filter.matches(entry)) || !stale.is_stale(entry));
        Ok(before - self.flows.len())
    }
}
