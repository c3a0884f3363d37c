//! What a dump says, in a form in which what is wanted can be looked up.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use nft::{Chain, Data, Element, Rule, Value, Verdict};

use crate::compile::{Compiler, Key, Map, destination_of, endpoint_of, id_key, slot_key};
use crate::model::{Family, Protocol};
use crate::route::{Destination, Endpoint, List};
use crate::ruleset::{ElementKey, Elements, TableContent};

/// A table's content.
#[derive(Debug)]
pub(super) struct Held {
    family: Family,
    /// Whether there is a table that is made as we make it. If not, `stale` says whether there is another.
    pub(super) usable: bool,
    pub(super) stale: bool,
    /// Whether its elements bear comments though they should not, or the other way round.
    pub(super) renamed: bool,
    pub(super) chains: BTreeMap<Arc<str>, (Chain, Vec<Rule>)>,
    /// By map.
    elements: Vec<Elements>,
}

impl Held {
    /// A table whose sets or base chains are not ours (an older version's, somebody's by the same name) is replaced as
    /// a whole: within one transaction no packet sees it missing.
    pub(super) fn new(compiler: &Compiler, table: Option<TableContent>) -> Held {
        let there = table.is_some();
        let usable = table.as_ref().is_some_and(|table| fits(compiler, table));
        let mut elements: Vec<Elements> = Map::ALL.iter().map(|_| Elements::new()).collect();
        let mut chains = BTreeMap::new();
        if let Some(table) = table.filter(|_| usable) {
            chains = table.chains;
            let mut sets = table.sets;
            for map in Map::ALL.into_iter().filter(|map| !map.is_filled_by_packets()) {
                elements[map as usize] = sets.remove(map.name()).map(|(_, elements)| elements).unwrap_or_default();
            }
        }
        let renamed = usable && compiler.differs_in_comments(&chains);
        Held { family: compiler.family(), usable, stale: there && !usable, renamed, chains, elements }
    }

    /// Takes an element that is wanted out of what is held: its data, if it is there.
    pub(super) fn take(&mut self, map: Map, element: &Element) -> Option<Option<Data>> {
        self.elements[map as usize].remove(&ElementKey::of(element))
    }

    /// What is left, in order.
    pub(super) fn rest(&mut self, map: Map) -> Vec<Element> {
        let rest = std::mem::take(&mut self.elements[map as usize]);
        rest.into_iter().map(|(key, data)| key.with(data)).collect()
    }

    /// The UDP destinations that are left.
    pub(super) fn udp_destinations(&self) -> Vec<Destination> {
        let left = [Key::Address, Key::NodePort].map(Map::classes);
        let keys = left.into_iter().flat_map(|map| self.elements[map as usize].keys());
        let destinations = keys.filter_map(|at| destination_of(&at.key, self.family));
        destinations.filter(|destination| destination.protocol() == Protocol::Udp).collect()
    }

    /// The numbers of the classes, by name.
    pub(super) fn class_numbers(&self) -> HashMap<String, u32> {
        let classes = self.elements[Map::Classes as usize].iter();
        let numbers = classes.filter_map(|(at, data)| {
            let number = u32::from_ne_bytes(at.key.as_slice().try_into().ok()?);
            match data {
                Some(Data::Verdict(Verdict::Goto(chain))) => Some((chain.to_string(), number)),
                _ => None,
            }
        });
        numbers.collect()
    }

    /// The endpoints in the slots of a list, as far as there is no gap.
    pub(super) fn list(&self, destination: &Destination, list: List) -> Vec<Endpoint> {
        (0..).map_while(|slot| self.endpoint(destination, list, slot)).collect()
    }

    fn endpoint(&self, destination: &Destination, list: List, slot: usize) -> Option<Endpoint> {
        let (plain, slots, endpoints) = Map::of_endpoints(destination);
        let key = slot_key(destination, list, slot);
        if let Some(value) = self.value(plain, key.clone()) {
            return endpoint_of(value, self.family);
        }
        let id = u32::from_ne_bytes(self.value(slots, key)?.as_slice().try_into().ok()?);
        endpoint_of(self.value(endpoints, id_key(destination, list, id))?, self.family)
    }

    fn value(&self, map: Map, key: Value) -> Option<&Value> {
        match self.elements[map as usize].get(&ElementKey::one(key))? {
            Some(Data::Value(value)) => Some(value),
            _ => None,
        }
    }
}

/// Whether sets and base chains are those that we make.
fn fits(compiler: &Compiler, table: &TableContent) -> bool {
    let sets = compiler.sets().iter().all(|set| table.sets.get(&set.name).is_some_and(|(held, _)| held == set));
    let base = compiler
        .program()
        .into_iter()
        .all(|(chain, _)| table.chains.get(&chain.name).is_some_and(|(held, _)| held.base == chain.base));
    let foreign = table.sets.len() != compiler.sets().len();
    sets && base && !foreign
}
