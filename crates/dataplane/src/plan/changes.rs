//! Changes, gathered and brought into the order in which the kernel takes them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use nft::{Batch, Chain, Data, Element, ObjectId, Operation, Rule, Table};

use crate::compile::{Compiler, Map};
use crate::plan::held::Held;
use crate::ruleset::ElementKey;

/// What is to be added and taken away.
#[derive(Debug, Default)]
pub(super) struct Changes {
    held: Option<Held>,
    added: Elements,
    removed: Elements,
    new_chains: Vec<(Chain, Vec<Rule>)>,
    gone_chains: Vec<Arc<str>>,
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
    pub(super) fn reconcile(held: Held) -> Changes {
        Changes { held: Some(held), ..Changes::default() }
    }

    /// What was dumped and is not yet found to be wanted.
    pub(super) fn held(&self) -> Option<&Held> {
        self.held.as_ref()
    }

    pub(super) fn add(&mut self, (map, element): (Map, Element)) {
        if let Some(data) = self.held.as_mut().and_then(|held| held.take(map, &element)) {
            if data == element.data {
                return;
            }
            self.removed.0[map as usize].push(Element { data, ..element.clone() });
        }
        self.added.0[map as usize].push(element);
    }

    pub(super) fn remove(&mut self, (map, element): (Map, Element)) {
        self.removed.0[map as usize].push(element);
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
        let mut changed_chains = Vec::new();
        if let Some(mut held) = self.held.take() {
            for map in Map::ALL {
                self.removed.0[map as usize].extend(held.rest(map));
            }
            let mut wanted = compiler.program();
            wanted.append(&mut self.new_chains);
            if !held.usable {
                count += create(&mut batch, compiler, held.stale);
            }
            for (chain, rules) in wanted {
                match held.chains.remove(&chain.name) {
                    None => self.new_chains.push((chain, rules)),
                    Some((_, known)) if known != rules => changed_chains.push((chain, rules)),
                    Some(_) => {}
                }
            }
            self.gone_chains.extend(held.chains.into_keys());
        }
        cancel(&mut self.added, &mut self.removed);
        count += self.new_chains.iter().chain(&changed_chains).map(|(_, rules)| 1 + rules.len()).sum::<usize>();
        count += self.gone_chains.len();
        count += self.added.0.iter().chain(&self.removed.0).map(Vec::len).sum::<usize>();

        for (chain, _) in &self.new_chains {
            batch.add_chain(chain.clone());
        }
        for (chain, _) in &changed_chains {
            batch.push(Operation::FlushChain(chain.table.clone(), Arc::clone(&chain.name)));
        }
        for (_, rules) in self.new_chains.into_iter().chain(changed_chains) {
            rules.into_iter().for_each(|rule| batch.add_rule(rule));
        }
        for (map, elements) in Map::ALL.into_iter().zip(self.removed.0) {
            batch.delete_elements(compiler.set(map), elements);
        }
        for (map, elements) in Map::ALL.into_iter().zip(self.added.0) {
            batch.add_elements(compiler.set(map), elements);
        }
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

fn create(batch: &mut Batch, compiler: &Compiler, replace: bool) -> usize {
    if replace {
        batch.delete(ObjectId::Table(compiler.table().clone()));
    }
    batch.add_table(Table::new(compiler.table().clone()));
    for set in compiler.sets() {
        batch.add_set(set);
    }
    1 + compiler.sets().len()
}

/// What is taken away and added again with the same data, as when a Service takes over another's address, is left.
fn cancel(added: &mut Elements, removed: &mut Elements) {
    for (added, removed) in added.0.iter_mut().zip(&mut removed.0) {
        if added.is_empty() || removed.is_empty() {
            continue;
        }
        let gone: HashMap<ElementKey, Option<Data>> =
            removed.iter().map(|element| (ElementKey::of(element), element.data.clone())).collect();
        let mut kept = HashSet::new();
        added.retain(|element| {
            let key = ElementKey::of(element);
            let same = gone.get(&key).is_some_and(|data| *data == element.data);
            if same {
                kept.insert(key);
            }
            !same
        });
        removed.retain(|element| !kept.contains(&ElementKey::of(element)));
    }
}
