//! Which port has which block of numbers, and which endpoint which number of it.
//!
//! What was given once stays: a number that changed would make all clients that are remembered by it choose anew. So
//! blocks and numbers are those of the routes that a Service had, or else those in the kernel.

use std::collections::{BTreeSet, HashSet};

use crate::compile::endpoint_hash;
use crate::plan::held::Held;
use crate::route::{Block, Endpoint, List, Numbers, PortRoutes, ServiceRoutes};

/// The blocks that ports have.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    used: BTreeSet<Block>,
    /// What the kernel had at the last comparison: left to those who had it.
    held: BTreeSet<Block>,
    /// Where the next free one of each sort is looked for: one that was given back is not given to others at once, as
    /// clients may be remembered by it.
    next: [u32; 2],
}

impl Blocks {
    /// Nobody has any, but for what the kernel holds.
    pub(super) fn begin(held: BTreeSet<Block>) -> Blocks {
        Blocks { held, ..Blocks::default() }
    }

    /// Whether nobody had it; now somebody does.
    fn take(&mut self, block: Block) -> bool {
        self.used.insert(block)
    }

    /// One that nobody had; `None` when there is none left.
    fn take_new(&mut self, wide: bool) -> Option<Block> {
        let count = Block::count(wide);
        for _ in 0..count {
            let next = &mut self.next[usize::from(wide)];
            let block = Block::nth(*next, wide)?;
            *next = (*next + 1) % count;
            if !self.held.contains(&block) && self.used.insert(block) {
                return Some(block);
            }
        }
        None
    }

    fn free(&mut self, block: Block) {
        self.used.remove(&block);
    }
}

/// What is known when everything is compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dump<'a> {
    /// What the kernel holds.
    pub(super) held: &'a Held,
    /// What the Service had before, if anything is known of that: others may have taken it out of the kernel.
    pub(super) had: Option<&'a ServiceRoutes>,
}

impl Dump<'_> {
    fn numbers(&self, port: &PortRoutes) -> Option<Numbers> {
        let mut had = self.had.iter().flat_map(|had| &had.ports);
        dumped(port, self.held).or_else(|| had.find(|had| had.shares_destination(port))?.numbers.as_deref().cloned())
    }
}

/// Gives the ports of `new` their numbers if clients stay with their endpoints. `old` is what the Service had.
pub(super) fn number(new: &mut ServiceRoutes, old: &ServiceRoutes, dump: Option<Dump<'_>>, blocks: &mut Blocks) {
    let mut kept = BTreeSet::new();
    if new.affinity.is_some() {
        for port in &mut new.ports {
            let before = old.ports.iter().find(|old| old.shares_destination(port));
            // Two ports may have come of one: the first has what that had.
            let own = before.and_then(|before| before.numbers.as_deref()).filter(|own| kept.insert(own.block()));
            let dumped = if own.is_none() { dump.and_then(|dump| dump.numbers(port)) } else { None };
            let dumped = dumped.filter(|dumped| blocks.take(dumped.block()));
            port.numbers = numbers(port, own.or(dumped.as_ref()), blocks).map(Box::new);
            let now = port.numbers.as_ref().map(|numbers| numbers.block());
            if let Some(dumped) = dumped.filter(|dumped| Some(dumped.block()) != now) {
                blocks.free(dumped.block());
            }
        }
    }
    let now: BTreeSet<Block> = new.ports.iter().filter_map(|port| Some(port.numbers.as_ref()?.block())).collect();
    let before = old.ports.iter().filter_map(|port| Some(port.numbers.as_ref()?.block()));
    before.filter(|block| !now.contains(block)).for_each(|block| blocks.free(block));
}

/// A port's numbers; `known` are those that it had. Without endpoints it keeps its block, and needs none if it has none.
fn numbers(port: &PortRoutes, known: Option<&Numbers>, blocks: &mut Blocks) -> Option<Numbers> {
    let mut all: Vec<Endpoint> = port.cluster.iter().chain(&port.local).copied().collect();
    all.sort_unstable();
    all.dedup();
    let enough = |known: &&Numbers| known.block().is_wide() || Block::is_enough(all.len());
    let block = match known.filter(enough) {
        Some(known) => known.block(),
        None if all.is_empty() => return None,
        None => {
            let block = blocks.take_new(!Block::is_enough(all.len()));
            if block.is_none() {
                tracing::warn!(
                    port = port.port,
                    "too many ports have affinity: clients of this one are not remembered"
                );
            }
            block?
        }
    };
    let mut taken = HashSet::with_capacity(all.len());
    let known = |endpoint: &Endpoint| known.filter(|known| known.block() == block)?.get(endpoint);
    let mut numbers: Vec<(Endpoint, u32)> = all
        .iter()
        .filter_map(|endpoint| Some((*endpoint, known(endpoint).filter(|number| taken.insert(*number))?)))
        .collect();
    let had: HashSet<Endpoint> = numbers.iter().map(|(endpoint, _)| *endpoint).collect();
    for endpoint in all.into_iter().filter(|endpoint| !had.contains(endpoint)) {
        let mut offset = endpoint_hash(&endpoint);
        let number = loop {
            let number = block.first() + offset % block.size();
            if taken.insert(number) {
                break number;
            }
            offset = offset.wrapping_add(1);
        };
        numbers.push((endpoint, number));
    }
    Some(Numbers::new(block, numbers))
}

/// The numbers that the kernel has for a port's endpoints: of one block, and each once, whatever others did to it.
fn dumped(port: &PortRoutes, held: &Held) -> Option<Numbers> {
    let lists = port.routes.iter().flat_map(|route| [List::Cluster, List::Local].map(|list| (route.destination, list)));
    let numbered = lists.flat_map(|(destination, list)| held.numbers(&destination, list));
    let (mut block, mut endpoints, mut numbers) = (None, HashSet::new(), HashSet::new());
    let mut all = Vec::new();
    for (endpoint, number) in numbered {
        let of = Block::of(number);
        if of.is_none() || *block.get_or_insert(of) != of || endpoints.contains(&endpoint) || !numbers.insert(number) {
            continue;
        }
        endpoints.insert(endpoint);
        all.push((endpoint, number));
    }
    Some(Numbers::new(block??, all))
}

#[cfg(test)]
mod tests;
