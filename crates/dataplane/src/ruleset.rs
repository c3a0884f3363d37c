//! Tables with their chains, rules, sets and elements as plain values: what a kernel holds, or is thought to hold.
//!
//! [`Ruleset::apply`] does what the kernel does with a batch, and refuses what the kernel refuses, as far as the data
//! plane's own batches go. So the in-memory backend catches a batch that a kernel would not take.

use std::collections::BTreeMap;
use std::sync::Arc;

use nft::{
    Batch, Chain, Data, Element, Expr, Object, ObjectId, Operation, Role, Rule, Set, Table, TableId, Value, Verdict,
};

/// Everything, table by table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ruleset {
    /// The tables.
    pub tables: BTreeMap<TableId, TableContent>,
}

/// What is in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableContent {
    /// The table itself.
    pub table: Table,
    /// Its chains, with their rules in order.
    pub chains: BTreeMap<Arc<str>, (Chain, Vec<Rule>)>,
    /// Its sets and maps, with their elements.
    pub sets: BTreeMap<Arc<str>, (Arc<Set>, Elements)>,
    /// Whether there is more that could not be read.
    pub unreadable: bool,
}

/// The elements of a set with what they carry. (Compact: a kernel of many Services has hundreds of thousands.)
pub type Elements = BTreeMap<ElementKey, Option<Data>>;

/// What tells an element apart from others of its set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ElementKey {
    /// The key, or the first of an interval.
    pub key: Value,
    /// The last of an interval, where the set's key is a concatenation.
    pub end: Option<Box<Value>>,
    /// What it is.
    pub role: Role,
}

impl ElementKey {
    /// One key.
    pub fn one(key: Value) -> ElementKey {
        ElementKey { key, end: None, role: Role::Key }
    }

    /// Of an element.
    pub fn of(element: &Element) -> ElementKey {
        ElementKey { key: element.key.clone(), end: element.key_end.clone().map(Box::new), role: element.role }
    }

    /// As an element again.
    pub fn with(self, data: Option<Data>) -> Element {
        Element { key_end: self.end.map(|end| *end), data, role: self.role, ..Element::new(self.key) }
    }
}

/// Why a batch is refused. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("operation {index} refused: {operation}: {reason}")]
pub struct Refused {
    /// The operation's index in the batch.
    pub index: usize,
    /// The operation as text.
    pub operation: String,
    /// Why.
    pub reason: Reason,
}

/// Why an operation is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// `ENOENT`
    #[error("no such object")]
    NotFound,
    /// `EEXIST`
    #[error("it exists with other content")]
    Exists,
    /// `EBUSY`
    #[error("it is in use")]
    InUse,
    /// What a backend for tests was told to refuse.
    #[error("it is told to refuse it")]
    Unwanted,
    /// `EOPNOTSUPP`: an operation that the data plane never uses.
    #[error("not modelled")]
    Unsupported,
}

impl TableContent {
    /// A table without anything in it.
    pub fn new(table: Table) -> TableContent {
        TableContent { table, chains: BTreeMap::new(), sets: BTreeMap::new(), unreadable: false }
    }

    /// How many elements its sets have.
    pub fn element_count(&self) -> usize {
        self.sets.values().map(|(_, elements)| elements.len()).sum()
    }

    fn is_used(&self, wanted: &str) -> bool {
        let uses = |expr: &Expr| match expr {
            Expr::Lookup { set, .. } | Expr::Dynset { set, .. } => **set == *wanted,
            _ => false,
        };
        self.chains.values().flat_map(|(_, rules)| rules).any(|rule| rule.exprs.iter().any(uses))
    }

    fn is_target(&self, chain: &str) -> bool {
        let goes = |verdict: &Verdict| verdict.chain().is_some_and(|target| **target == *chain);
        let mut rules = self.chains.values().flat_map(|(_, rules)| rules);
        let mut data = self.sets.values().flat_map(|(_, elements)| elements.values());
        rules.any(|rule| rule.exprs.iter().any(|expr| matches!(expr, Expr::Verdict(verdict) if goes(verdict))))
            || data.any(|data| matches!(data, Some(Data::Verdict(verdict)) if goes(verdict)))
    }
}

impl Ruleset {
    /// Nothing.
    pub fn new() -> Ruleset {
        Ruleset::default()
    }

    /// Does all of a batch or nothing of it.
    pub fn apply(&mut self, batch: &Batch) -> Result<(), Refused> {
        let before = self.clone();
        for (index, operation) in batch.operations.iter().enumerate() {
            if let Err(reason) = self.operate(operation) {
                *self = before;
                return Err(Refused { index, operation: operation.to_string(), reason });
            }
        }
        Ok(())
    }

    fn operate(&mut self, operation: &Operation) -> Result<(), Reason> {
        match operation {
            Operation::Add(object) => self.add(object),
            Operation::Delete(id) => self.delete(id),
            Operation::Destroy(id) => match self.delete(id) {
                Err(Reason::NotFound) => Ok(()),
                other => other,
            },
            Operation::FlushChain(table, chain) => {
                self.table(table)?.chains.get_mut(chain).ok_or(Reason::NotFound)?.1.clear();
                Ok(())
            }
            Operation::FlushTable(table) => {
                self.table(table)?.chains.values_mut().for_each(|(_, rules)| rules.clear());
                Ok(())
            }
            Operation::FlushSet(table, set) => {
                self.table(table)?.sets.get_mut(set).ok_or(Reason::NotFound)?.1.clear();
                Ok(())
            }
            Operation::AppendRule(rule) => self.append(rule),
            Operation::AddElements { set, elements } => self.add_elements(set, elements),
            Operation::DeleteElements { set, elements } => {
                let held = &mut self.table(&set.table)?.sets.get_mut(&set.name).ok_or(Reason::NotFound)?.1;
                for element in elements {
                    held.remove(&ElementKey::of(element)).ok_or(Reason::NotFound)?;
                }
                Ok(())
            }
            _ => Err(Reason::Unsupported),
        }
    }

    fn table(&mut self, id: &TableId) -> Result<&mut TableContent, Reason> {
        self.tables.get_mut(id).ok_or(Reason::NotFound)
    }

    fn add(&mut self, object: &Object) -> Result<(), Reason> {
        match object {
            Object::Table(table) => {
                let held = self.tables.entry(table.id.clone()).or_insert_with(|| TableContent::new(table.clone()));
                held.table.dormant = table.dormant;
            }
            Object::Chain(chain) => {
                let chains = &mut self.table(&chain.table)?.chains;
                chains.entry(chain.name.clone()).or_insert_with(|| (chain.clone(), Vec::new()));
            }
            Object::Set(set) => {
                let sets = &mut self.table(&set.table)?.sets;
                let held = sets.entry(set.name.clone()).or_insert_with(|| (Arc::clone(set), Elements::new()));
                if held.0 != *set {
                    return Err(Reason::Exists);
                }
            }
            Object::Counter { .. } => return Err(Reason::Unsupported),
        }
        Ok(())
    }

    fn delete(&mut self, id: &ObjectId) -> Result<(), Reason> {
        match id {
            ObjectId::Table(id) => {
                self.tables.remove(id).ok_or(Reason::NotFound)?;
            }
            ObjectId::Chain(table, name) => {
                let table = self.table(table)?;
                let (_, rules) = table.chains.get(name).ok_or(Reason::NotFound)?;
                if !rules.is_empty() || table.is_target(name) {
                    return Err(Reason::InUse);
                }
                table.chains.remove(name);
            }
            ObjectId::Set(table, name) => {
                let table = self.table(table)?;
                if !table.sets.contains_key(name) {
                    return Err(Reason::NotFound);
                }
                if table.is_used(name) {
                    return Err(Reason::InUse);
                }
                table.sets.remove(name);
            }
            ObjectId::Object(..) => return Err(Reason::Unsupported),
        }
        Ok(())
    }

    fn append(&mut self, rule: &Rule) -> Result<(), Reason> {
        let table = self.table(&rule.table)?;
        for expr in &rule.exprs {
            match expr {
                Expr::Verdict(verdict) => check_target(table, verdict)?,
                Expr::Lookup { set, .. } | Expr::Dynset { set, .. } if !table.sets.contains_key(set) => {
                    return Err(Reason::NotFound);
                }
                _ => {}
            }
        }
        table.chains.get_mut(&rule.chain).ok_or(Reason::NotFound)?.1.push(rule.clone());
        Ok(())
    }

    fn add_elements(&mut self, set: &Set, elements: &[Element]) -> Result<(), Reason> {
        let table = self.table(&set.table)?;
        for element in elements {
            if let Some(Data::Verdict(verdict)) = &element.data {
                check_target(table, verdict)?;
            }
        }
        let held = &mut table.sets.get_mut(&set.name).ok_or(Reason::NotFound)?.1;
        for element in elements {
            let kept = held.entry(ElementKey::of(element)).or_insert_with(|| element.data.clone());
            if *kept != element.data {
                return Err(Reason::Exists);
            }
        }
        Ok(())
    }
}

fn check_target(table: &TableContent, verdict: &Verdict) -> Result<(), Reason> {
    match verdict.chain() {
        Some(chain) if !table.chains.contains_key(chain) => Err(Reason::NotFound),
        _ => Ok(()),
    }
}
