//! Changes, gathered and brought into the order in which the kernel takes them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use nft::{Batch, Chain, Data, Element, ObjectId, Operation, Rule, Table};

use crate::compile::{Compiler, Map};
use crate::plan::held::{Form, Held};
use crate::ruleset::ElementKey;

/// What is to be added and taken away.
#[derive(Debug, Default)]
pub(super) struct Changes {
    held: Option<Held>,
    leftovers: Leftovers,
    added: Elements,
    removed: Elements,
    new_chains: Vec<(Chain, Vec<Rule>)>,
    gone_chains: Vec<Arc<str>>,
    /// What is said of the elements of the Service that is looked at.
    comment: Option<Box<str>>,
    /// Counters of destinations that are gone.
    uncounted: Vec<(Map, Element)>,
}

/// What becomes of that which is held and not wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Leftovers {
    /// It goes.
    #[default]
    Remove,
    /// It stays, as it may belong to somebody who is not looked at now.
    Keep,
}

/// Elements by map.
#[derive(Debug)]
struct Elements(Vec<Vec<Element>>);

impl Default for Elements {
    fn default() -> Elements {
        Elements(Map::ALL.iter().map(|_| Vec::new()).collect())
    }
}

impl Changes {
    /// Everything that is wanted will be added; what is held already is left as it is, all else that is held goes.
    pub(super) fn reconcile(held: Held, leftovers: Leftovers) -> Changes {
        Changes { held: Some(held), leftovers, ..Changes::default() }
    }

    /// What was dumped and is not yet found to be wanted.
    pub(super) fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    /// From here on, elements that belong to one Service say this.
    pub(super) fn comment(&mut self, comment: Option<Box<str>>) {
        self.comment = comment;
    }

    pub(super) fn add(&mut self, (map, element): (Map, Element)) {
        let element = self.commented(map, element);
        if let Some(held) = &mut self.held {
            let renamed = held.renamed && map.is_of_services();
            if let Some(data) = held.take(map, &element) {
                if data == element.data && !renamed {
                    return;
                }
                self.removed.0[map as usize].push(Element { data, ..element.clone() });
            }
        }
        self.added.0[map as usize].push(element);
    }

    pub(super) fn remove(&mut self, (map, element): (Map, Element)) {
        let element = self.commented(map, element);
        self.removed.0[map as usize].push(element);
    }

    /// One element in another's place. Those that are the same stay.
    pub(super) fn replace(&mut self, before: Option<(Map, Element)>, after: Option<(Map, Element)>) {
        if before != after {
            before.into_iter().for_each(|before| self.remove(before));
            after.into_iter().for_each(|after| self.add(after));
        }
    }

    /// A destination is gone: one that comes back begins at zero.
    pub(super) fn uncount(&mut self, elements: [(Map, Element); 2]) {
        self.uncounted.extend(elements);
    }

    /// To be taken away, a counter that is not there is added first: that would be refused where the set is full. It has
    /// room if all that there is to count fits into half of it. (Without, a destination that comes back counts on.)
    pub(super) fn keep_counters_unless_there_is_room(&mut self, size: usize, destinations: usize) {
        if destinations + self.uncounted.len() > size / 2 {
            self.uncounted.clear();
        }
    }

    fn commented(&self, map: Map, element: Element) -> Element {
        match &self.comment {
            Some(comment) if map.is_of_services() => element.with_comment(comment),
            _ => element,
        }
    }

    pub(super) fn add_chain(&mut self, chain: (Chain, Vec<Rule>)) {
        self.new_chains.push(chain);
    }

    pub(super) fn remove_chain(&mut self, name: Arc<str>) {
        self.gone_chains.push(name);
    }

    /// One transaction, and how many elements, chains and rules are in it.
    pub(super) fn into_batch(mut self, compiler: &Compiler) -> (Batch, usize) {
        let mut batch = Batch::new();
        let mut count = 0;
        let (mut changed_chains, mut emptied_chains) = (Vec::new(), Vec::new());
        if let Some(mut held) = self.held.take() {
            let kept = self.leftovers == Leftovers::Keep;
            for map in Map::ALL.into_iter().filter(|_| !kept) {
                let rest = held.rest(map);
                self.uncounted.extend(rest.iter().flat_map(|element| compiler.counters_of(map, &element.key)));
                self.removed.0[map as usize].extend(rest);
            }
            let mut wanted = compiler.program();
            wanted.append(&mut self.new_chains);
            count += prepare(&mut batch, compiler, &held);
            let rebuilt = held.is_rebuilt();
            for (chain, rules) in wanted {
                match held.chains.remove(&chain.name) {
                    None => self.new_chains.push((chain, rules)),
                    Some(_) if rebuilt => emptied_chains.push((chain, rules)),
                    Some((_, known)) if known != rules => changed_chains.push((chain, rules)),
                    Some(_) => {}
                }
            }
            if !kept {
                self.gone_chains.extend(held.chains.into_keys());
            }
        } else {
            cancel(&mut self.added, &mut self.removed);
        }
        let written = self.new_chains.iter().chain(&changed_chains).chain(&emptied_chains);
        count += written.map(|(_, rules)| 1 + rules.len()).sum::<usize>();
        count += self.gone_chains.len();
        count += self.added.0.iter().chain(&self.removed.0).map(Vec::len).sum::<usize>();

        for (chain, _) in &self.new_chains {
            batch.add_chain(chain.clone());
        }
        for (chain, _) in &changed_chains {
            batch.push(Operation::FlushChain(chain.table.clone(), Arc::clone(&chain.name)));
        }
        for (_, rules) in self.new_chains.into_iter().chain(changed_chains).chain(emptied_chains) {
            rules.into_iter().for_each(|rule| batch.add_rule(rule));
        }
        for (map, elements) in Map::ALL.into_iter().zip(self.removed.0) {
            batch.delete_elements(compiler.set(map), elements);
        }
        for (map, elements) in Map::ALL.into_iter().zip(self.added.0) {
            batch.add_elements(compiler.set(map), elements);
        }
        uncount(&mut batch, compiler, self.uncounted);
        // All rules first: chains that go may still go to each other.
        for name in &self.gone_chains {
            batch.push(Operation::FlushChain(compiler.table().clone(), Arc::clone(name)));
        }
        for name in self.gone_chains {
            batch.delete(ObjectId::Chain(compiler.table().clone(), name));
        }
        (batch, count)
    }
}

/// The table and its sets as they must be before anything is put into them; how many things that changes.
fn prepare(batch: &mut Batch, compiler: &Compiler, held: &Held) -> usize {
    let table = compiler.table();
    let before = batch.operations.len();
    if held.table == Form::Wrong {
        batch.delete(ObjectId::Table(table.clone()));
    }
    if held.table != Form::Right {
        batch.add_table(Table::new(table.clone()));
    }
    if held.is_rebuilt() {
        batch.push(Operation::FlushTable(table.clone()));
    }
    // Sets first: their elements may lead to the chains.
    for name in &held.wrong_sets {
        batch.delete(ObjectId::Set(table.clone(), Arc::clone(name)));
    }
    for name in &held.wrong_chains {
        batch.delete(ObjectId::Chain(table.clone(), Arc::clone(name)));
    }
    for set in compiler.sets().iter().filter(|set| !held.has(set)) {
        batch.add_set(set);
    }
    batch.operations.len() - before
}

/// Nobody knows whether packets have made these elements, and one that is not there cannot be taken away. So they are
/// added first, which changes nothing where they are.
fn uncount(batch: &mut Batch, compiler: &Compiler, uncounted: Vec<(Map, Element)>) {
    let mut by_map = Elements::default();
    for (map, element) in uncounted {
        by_map.0[map as usize].push(element);
    }
    for (map, mut elements) in Map::ALL.into_iter().zip(by_map.0) {
        elements.sort_unstable();
        elements.dedup();
        batch.add_elements(compiler.set(map), elements.clone());
        batch.delete_elements(compiler.set(map), elements);
    }
}

/// What is taken away and added again with the same data and comment, as when a Service takes over another's address, is left.
fn cancel(added: &mut Elements, removed: &mut Elements) {
    for (added, removed) in added.0.iter_mut().zip(&mut removed.0) {
        if added.is_empty() || removed.is_empty() {
            continue;
        }
        let told = |element: &Element| (element.data.clone(), element.comment.clone());
        let gone: HashMap<ElementKey, (Option<Data>, Option<Box<str>>)> =
            removed.iter().map(|element| (ElementKey::of(element), told(element))).collect();
        let mut kept = HashSet::new();
        added.retain(|element| {
            let key = ElementKey::of(element);
            let same = gone.get(&key).is_some_and(|gone| *gone == told(element));
            if same {
                kept.insert(key);
            }
            !same
        });
        removed.retain(|element| !kept.contains(&ElementKey::of(element)));
    }
}
