//! The classes in use, their numbers, and the chains that they share.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::compile::Class;

/// Counts who uses which class, and which class uses which chain.
#[derive(Debug, Default)]
pub(super) struct Classes {
    classes: BTreeMap<Class, Use>,
    numbers: BTreeSet<u32>,
    /// The numbers that the kernel has for names of classes; first choice for classes of these names.
    remembered: HashMap<String, u32>,
    chains: HashMap<Arc<str>, u32>,
    new: Vec<Class>,
}

#[derive(Debug)]
struct Use {
    number: u32,
    destinations: usize,
}

impl Classes {
    /// What the kernel calls its classes.
    pub(super) fn remember(&mut self, numbers: HashMap<String, u32>) {
        self.remembered = numbers;
    }

    /// One more destination is of this class.
    pub(super) fn acquire(&mut self, class: Class) -> u32 {
        if let Some(used) = self.classes.get_mut(&class) {
            used.destinations += 1;
            return used.number;
        }
        let remembered = self.remembered.remove(&class.to_string());
        let number = remembered.filter(|number| !self.numbers.contains(number)).unwrap_or_else(|| self.free_number());
        self.numbers.insert(number);
        self.classes.insert(class, Use { number, destinations: 1 });
        self.new.push(class);
        number
    }

    /// One destination less. The class stays until [`Classes::take_unused`].
    pub(super) fn release(&mut self, class: Class) -> u32 {
        let Some(used) = self.classes.get_mut(&class) else { return 0 };
        used.destinations = used.destinations.saturating_sub(1);
        used.number
    }

    /// Classes that came into use since the last call, and are.
    pub(super) fn take_new(&mut self) -> Vec<(u32, Class)> {
        let mut new = std::mem::take(&mut self.new);
        new.sort_unstable();
        new.into_iter().filter_map(|class| Some((self.classes.get(&class)?.number, class))).collect()
    }

    /// Classes that are no longer in use.
    pub(super) fn take_unused(&mut self) -> Vec<(u32, Class)> {
        let unused = self.classes.extract_if(.., |_, used| used.destinations == 0);
        let unused: Vec<_> = unused.map(|(class, used)| (used.number, class)).collect();
        for (number, _) in &unused {
            self.numbers.remove(number);
        }
        self.remembered.clear();
        unused
    }

    /// One more class uses a chain: whether it is the first.
    pub(super) fn use_chain(&mut self, name: &Arc<str>) -> bool {
        let uses = self.chains.entry(Arc::clone(name)).or_insert(0);
        *uses += 1;
        *uses == 1
    }

    /// One class less uses a chain: whether it was the last.
    pub(super) fn leave_chain(&mut self, name: &Arc<str>) -> bool {
        let Some(uses) = self.chains.get_mut(name) else { return false };
        *uses = uses.saturating_sub(1);
        if *uses == 0 {
            self.chains.remove(name);
            return true;
        }
        false
    }

    pub(super) fn all(&self) -> Vec<(u32, Class)> {
        self.classes.iter().map(|(class, used)| (used.number, *class)).collect()
    }

    /// The lowest that nobody has, nor had in the kernel. Zero is what packets bring along: it is never given.
    fn free_number(&self) -> u32 {
        let had: BTreeSet<u32> = self.remembered.values().copied().collect();
        let mut numbers = 1..;
        numbers.find(|number| !self.numbers.contains(number) && !had.contains(number)).unwrap_or(0)
    }
}
