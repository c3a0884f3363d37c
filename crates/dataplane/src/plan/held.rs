//! What a dump says, in a form in which what is wanted can be looked up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use nft::{Chain, Data, Element, Rule, Set, SetFlags, Value, Verdict};

use crate::compile::{Compiler, Key, Map, destination_of, endpoint_of, number_key, slot_key};
use crate::model::{Family, Protocol};
use crate::route::{Block, Destination, Endpoint, List};
use crate::ruleset::{ElementKey, Elements, TableContent};

/// A table's content.
#[derive(Debug)]
pub(super) struct Held {
    family: Family,
    pub(super) table: Form,
    /// Whether its elements bear comments though they should not, or the other way round.
    pub(super) renamed: bool,
    /// Sets and maps that are not as we make them, or not ours at all: they go. What is in the others stays.
    pub(super) wrong_sets: Vec<Arc<str>>,
    /// Chains of ours that are called by other hooks: they go, and come back as they should be.
    pub(super) wrong_chains: Vec<Arc<str>>,
    /// Sets and maps that are as we make them.
    right_sets: BTreeSet<Arc<str>>,
    /// All chains that may stay.
    pub(super) chains: BTreeMap<Arc<str>, (Chain, Vec<Rule>)>,
    /// By map.
    elements: Vec<Elements>,
    numbers: HashMap<String, u32>,
}

/// What must become of a table itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// There is none.
    Missing,
    /// It stays.
    Right,
    /// Somebody has put it to sleep.
    Dormant,
    /// It must go, and another come.
    Wrong,
}

impl Held {
    /// A table that an older version made, or that somebody changed, keeps all that is right: of sets that are defined
    /// as ours are, the elements; of chains, those with our rules. Only a table that cannot be read, or that cannot be
    /// changed while it sleeps, is replaced as a whole: within one transaction no packet sees it missing.
    pub(super) fn new(compiler: &Compiler, table: Option<TableContent>) -> Held {
        let mut held = Held {
            family: compiler.family(),
            table: Form::Missing,
            renamed: false,
            wrong_sets: Vec::new(),
            wrong_chains: Vec::new(),
            right_sets: BTreeSet::new(),
            chains: BTreeMap::new(),
            elements: Map::ALL.iter().map(|_| Elements::new()).collect(),
            numbers: HashMap::new(),
        };
        let Some(table) = table else { return held };
        let wrong_hooks = wrong_hooks(compiler, &table);
        held.table = match (table.unreadable, table.table.dormant) {
            (true, _) => Form::Wrong,
            // The kernel takes no base chains for a table whose sleep changes in the same transaction.
            (_, true) if !wrong_hooks.is_empty() => Form::Wrong,
            (_, true) => Form::Dormant,
            (_, false) => Form::Right,
        };
        if held.table != Form::Wrong {
            held.chains = table.chains;
            held.wrong_chains = wrong_hooks;
            held.wrong_chains.iter().for_each(|name| drop(held.chains.remove(name)));
            held.renamed = compiler.differs_in_comments(&held.chains);
            held.take_sets(compiler, table.sets);
        }
        held
    }

    fn take_sets(&mut self, compiler: &Compiler, mut sets: BTreeMap<Arc<str>, (Arc<Set>, Elements)>) {
        // Anonymous ones go with the rule that they are part of.
        self.wrong_sets = sets
            .values()
            .map(|(set, _)| set)
            .filter(|set| !is_anonymous(set))
            .map(|set| Arc::clone(&set.name))
            .collect();
        for (map, wanted) in Map::ALL.into_iter().zip(compiler.sets()) {
            let Some((_, elements)) = sets.remove(&wanted.name).filter(|(held, _)| held == wanted) else {
                continue;
            };
            if map == Map::Classes {
                self.numbers = class_numbers(&elements);
                // Its elements lead to chains that must go first.
                if !self.wrong_chains.is_empty() {
                    continue;
                }
            }
            self.wrong_sets.retain(|name| *name != wanted.name);
            self.right_sets.insert(Arc::clone(&wanted.name));
            if !map.is_filled_by_packets() {
                self.elements[map as usize] = elements;
            }
        }
    }

    /// Whether sets or chains go: then all rules are written anew, as any of them may use what goes.
    pub(super) fn is_rebuilt(&self) -> bool {
        !self.wrong_sets.is_empty() || !self.wrong_chains.is_empty()
    }

    /// Whether a set is there as we make it.
    pub(super) fn has(&self, set: &Set) -> bool {
        self.right_sets.contains(&set.name)
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
        self.numbers.clone()
    }

    /// The endpoints in the slots of a list, as far as there is no gap.
    pub(super) fn list(&self, destination: &Destination, list: List) -> Vec<Endpoint> {
        (0..).map_while(|slot| self.endpoint(destination, list, slot)).collect()
    }

    /// The same of a port with affinity, with their numbers.
    pub(super) fn numbers(&self, destination: &Destination, list: List) -> Vec<(Endpoint, u32)> {
        (0..).map_while(|slot| self.numbered(destination, list, slot)).collect()
    }

    /// The blocks of numbers that destinations have.
    pub(super) fn blocks(&self) -> BTreeSet<Block> {
        let slots = [Key::Address, Key::NodePort].map(Map::affinity_slots);
        let data = slots.into_iter().flat_map(|map| self.elements[map as usize].values());
        let numbers = data.filter_map(|data| match data {
            Some(Data::Value(value)) => number_of(value),
            _ => None,
        });
        numbers.filter_map(Block::of).collect()
    }

    fn endpoint(&self, destination: &Destination, list: List, slot: usize) -> Option<Endpoint> {
        match self.value(Map::endpoints(Key::of(destination)), slot_key(destination, list, slot)) {
            Some(value) => endpoint_of(value, self.family),
            None => Some(self.numbered(destination, list, slot)?.0),
        }
    }

    fn numbered(&self, destination: &Destination, list: List, slot: usize) -> Option<(Endpoint, u32)> {
        let slots = Map::affinity_slots(Key::of(destination));
        let number = number_of(self.value(slots, slot_key(destination, list, slot))?)?;
        let endpoint = self.value(Map::AffinityEndpoints, number_key((list, number)))?;
        Some((endpoint_of(endpoint, self.family)?, number))
    }

    fn value(&self, map: Map, key: Value) -> Option<&Value> {
        match self.elements[map as usize].get(&ElementKey::one(key))? {
            Some(Data::Value(value)) => Some(value),
            _ => None,
        }
    }
}

fn number_of(value: &Value) -> Option<u32> {
    Some(u32::from_ne_bytes(value.as_slice().try_into().ok()?))
}

/// `NFT_SET_ANONYMOUS`
fn is_anonymous(set: &Set) -> bool {
    set.flags.contains(SetFlags(0x1))
}

fn class_numbers(classes: &Elements) -> HashMap<String, u32> {
    let numbers = classes.iter().filter_map(|(at, data)| {
        let number = number_of(&at.key)?;
        match data {
            Some(Data::Verdict(Verdict::Goto(chain))) => Some((chain.to_string(), number)),
            _ => None,
        }
    });
    numbers.collect()
}

/// Chains by names of ours that are called by other hooks than ours, or by none.
fn wrong_hooks(compiler: &Compiler, table: &TableContent) -> Vec<Arc<str>> {
    let always = compiler.program().into_iter().map(|(chain, _)| chain);
    let hooks: HashMap<_, _> =
        always.chain(compiler.optional_chains()).filter_map(|chain| Some((chain.name, chain.base?))).collect();
    let wrong = table.chains.values().filter(|(held, _)| hooks.get(&held.name) != held.base.as_ref());
    wrong.map(|(held, _)| Arc::clone(&held.name)).collect()
}
