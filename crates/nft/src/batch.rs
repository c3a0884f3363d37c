//! Batches: operations that the kernel does all or none of.

use std::fmt;
use std::sync::Arc;

use crate::chain::Chain;
use crate::element::Element;
use crate::operation::{Object, ObjectId, Operation};
use crate::rule::Rule;
use crate::set::Set;
use crate::table::Table;

/// A transaction: in order, atomic. Prints one operation a line.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// What is done.
    pub operations: Vec<Operation>,
    /// Refused unless the rule set is still of this generation ([`crate::Socket::generation`]).
    pub generation: Option<u32>,
}

impl Batch {
    /// Nothing yet.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// One more operation.
    pub fn push(&mut self, operation: Operation) {
        self.operations.push(operation);
    }

    /// Makes a table unless it is there.
    pub fn add_table(&mut self, table: Table) {
        self.push(Operation::Add(Object::Table(table)));
    }

    /// Makes a chain unless it is there.
    pub fn add_chain(&mut self, chain: Chain) {
        self.push(Operation::Add(Object::Chain(chain)));
    }

    /// Makes a set or map unless it is there.
    pub fn add_set(&mut self, set: &Arc<Set>) {
        self.push(Operation::Add(Object::Set(Arc::clone(set))));
    }

    /// Adds a rule to the end of its chain.
    pub fn add_rule(&mut self, rule: Rule) {
        self.push(Operation::AppendRule(rule));
    }

    /// Adds elements; none is no operation.
    pub fn add_elements(&mut self, set: &Arc<Set>, elements: Vec<Element>) {
        if !elements.is_empty() {
            self.push(Operation::AddElements { set: Arc::clone(set), elements });
        }
    }

    /// Takes elements away, which must be there; none is no operation.
    pub fn delete_elements(&mut self, set: &Arc<Set>, elements: Vec<Element>) {
        if !elements.is_empty() {
            self.push(Operation::DeleteElements { set: Arc::clone(set), elements });
        }
    }

    /// Takes something away, which must be there.
    pub fn delete(&mut self, id: ObjectId) {
        self.push(Operation::Delete(id));
    }

    /// Takes something away if it is there (Linux 6.3).
    pub fn destroy(&mut self, id: ObjectId) {
        self.push(Operation::Destroy(id));
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for operation in &self.operations {
            writeln!(f, "{operation}")?;
        }
        Ok(())
    }
}
