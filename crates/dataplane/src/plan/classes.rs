//! The classes in use, their numbers, and the chains that they share.
//!
//! A class that nobody uses any more is kept for a while: Services that grow and shrink come back to it. To take a chain
//! away the kernel must wait until no packet is in it, some 10 ms in which nothing else is programmed; so that is done
//! seldom, and to many at once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::compile::Class;

/// The most classes that are kept though nobody uses them, and how many stay when there are more.
const MOST_IDLE: usize = 128;
const KEPT_IDLE: usize = 64;

/// Counts who uses which class, and which class uses which chain.
#[derive(Debug, Default)]
pub(super) struct Classes {
    classes: BTreeMap<Class, Use>,
    numbers: BTreeSet<u32>,
    /// The numbers that the kernel has for names of classes; first choice for classes of these names.
    remembered: HashMap<String, u32>,
    chains: HashMap<Arc<str>, u32>,
    new: Vec<Class>,
    /// How many nobody uses.
    idle: usize,
    /// How many times a class was left by its last user.
    left: u64,
}

#[derive(Debug)]
struct Use {
    number: u32,
    destinations: usize,
    /// The number of the time at which its last user left it.
    left: u64,
}

impl Classes {
    /// What the kernel calls its classes.
    pub(super) fn remember(&mut self, numbers: HashMap<String, u32>) {
        self.remembered = numbers;
    }

    /// One more destination is of this class.
    pub(super) fn acquire(&mut self, class: Class) -> u32 {
        if let Some(used) = self.classes.get_mut(&class) {
            self.idle -= usize::from(used.destinations == 0);
            used.destinations += 1;
            return used.number;
        }
        let remembered = self.remembered.remove(&class.to_string());
        let number = remembered.filter(|number| !self.numbers.contains(number)).unwrap_or_else(|| self.free_number());
        self.numbers.insert(number);
        self.classes.insert(class, Use { number, destinations: 1, left: 0 });
        self.new.push(class);
        number
    }

    /// One destination less. The class stays, at least until [`Classes::take_unused`].
    pub(super) fn release(&mut self, class: Class) -> u32 {
        let Some(used) = self.classes.get_mut(&class) else { return 0 };
        if used.destinations == 1 {
            self.idle += 1;
            self.left += 1;
            used.left = self.left;
        }
        used.destinations = used.destinations.saturating_sub(1);
        used.number
    }

    /// Keeps what the kernel has beyond the classes in use, as far as there is room: an agent before this one kept it.
    pub(super) fn keep_idle(&mut self) {
        let mut rest: Vec<(u32, String)> = self.remembered.drain().map(|(name, number)| (number, name)).collect();
        rest.sort_unstable();
        for (number, name) in rest {
            let Some(class) = Class::from_name(&name) else { continue };
            if number != 0 && self.idle < MOST_IDLE && self.numbers.insert(number) {
                self.classes.insert(class, Use { number, destinations: 0, left: 0 });
                self.idle += 1;
                self.new.push(class);
            }
        }
    }

    /// Classes that came into use since the last call, and are.
    pub(super) fn take_new(&mut self) -> Vec<(u32, Class)> {
        let mut new = std::mem::take(&mut self.new);
        new.sort_unstable();
        new.into_iter().filter_map(|class| Some((self.classes.get(&class)?.number, class))).collect()
    }

    /// Classes that nobody uses, when there are too many: those that were left first.
    pub(super) fn take_unused(&mut self) -> Vec<(u32, Class)> {
        self.remembered.clear();
        if self.idle <= MOST_IDLE {
            return Vec::new();
        }
        let idle = self.classes.iter().filter(|(_, used)| used.destinations == 0);
        let mut idle: Vec<(u64, Class)> = idle.map(|(class, used)| (used.left, *class)).collect();
        idle.sort_unstable();
        idle.truncate(idle.len().saturating_sub(KEPT_IDLE));
        self.idle -= idle.len();
        let unused = idle.into_iter().filter_map(|(_, class)| Some((self.classes.remove(&class)?.number, class)));
        let unused: Vec<_> = unused.collect();
        for (number, _) in &unused {
            self.numbers.remove(number);
        }
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
