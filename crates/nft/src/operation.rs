//! Operations: what a transaction is made of. A list of them is the whole effect of a change, comparable and printable.

use std::fmt;
use std::sync::Arc;

use crate::chain::Chain;
use crate::element::Element;
use crate::expr::ObjectKind;
use crate::rule::Rule;
use crate::set::Set;
use crate::table::{Table, TableId};

/// Something that has a name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Object {
    /// A table.
    Table(Table),
    /// A chain.
    Chain(Chain),
    /// A set or map.
    Set(Arc<Set>),
    /// A named counter, which [`crate::Expr::Objref`] uses. Begins with these numbers.
    Counter {
        /// The table it is in.
        table: TableId,
        /// Its name.
        name: Arc<str>,
        /// Packets counted.
        packets: u64,
        /// Bytes counted.
        bytes: u64,
    },
}

/// The name of something.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectId {
    /// A table, with everything in it.
    Table(TableId),
    /// A chain, with its rules. One that is jumped to is refused.
    Chain(TableId, Arc<str>),
    /// A set or map. One that a rule uses is refused.
    Set(TableId, Arc<str>),
    /// A named object. One that a rule uses is refused.
    Object(TableId, Arc<str>, ObjectKind),
}

/// One step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Makes it unless it is there (a chain that is there takes the new policy).
    Add(Object),
    /// Makes it; refused (EEXIST) if it is there.
    Create(Object),
    /// Takes it away; refused (ENOENT) if it is not there. A refused transaction is slow: know what is there.
    Delete(ObjectId),
    /// Takes it away if it is there. Linux 6.3.
    Destroy(ObjectId),
    /// Takes all rules of a table away.
    FlushTable(TableId),
    /// Takes all rules of a chain away.
    FlushChain(TableId, Arc<str>),
    /// A rule at the end of its chain.
    AppendRule(Rule),
    /// A rule at the begin of its chain.
    PrependRule(Rule),
    /// A rule in the place of another one.
    ReplaceRule {
        /// The other one's handle, from a dump.
        handle: u64,
        /// The new one; its handle will be new.
        rule: Rule,
    },
    /// Takes a rule away.
    DeleteRule {
        /// The table it is in.
        table: TableId,
        /// The chain it is in.
        chain: Arc<str>,
        /// Its handle, from a dump.
        handle: u64,
    },
    /// Elements. One that is there with the same data is left; with other data it is refused: delete it first, in the
    /// same transaction.
    AddElements {
        /// The set or map.
        set: Arc<Set>,
        /// Any number of them.
        elements: Vec<Element>,
    },
    /// Takes elements away, by their keys; refused (ENOENT) if one is not there.
    DeleteElements {
        /// The set or map.
        set: Arc<Set>,
        /// Any number of them; only keys count.
        elements: Vec<Element>,
    },
    /// Takes elements away that are there, by their keys. Linux 6.3. For elements with a timeout, which may have gone.
    DestroyElements {
        /// The set or map.
        set: Arc<Set>,
        /// Any number of them; only keys count.
        elements: Vec<Element>,
    },
    /// Takes all elements away.
    FlushSet(TableId, Arc<str>),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Object::Table(table) => table.fmt(f),
            Object::Chain(chain) => chain.fmt(f),
            Object::Set(set) => set.fmt(f),
            Object::Counter { table, name, packets, bytes } => {
                write!(f, "counter {table} {name} {{ packets {packets} bytes {bytes} }}")
            }
        }
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ObjectId::Table(table) => write!(f, "table {table}"),
            ObjectId::Chain(table, name) => write!(f, "chain {table} {name}"),
            ObjectId::Set(table, name) => write!(f, "set {table} {name}"),
            ObjectId::Object(table, name, kind) => write!(f, "{} {table} {name}", kind.text()),
        }
    }
}

/// One line, as nft would write the command; elements in full.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Add(object) => write!(f, "add {object}"),
            Operation::Create(object) => write!(f, "create {object}"),
            Operation::Delete(id) => write!(f, "delete {id}"),
            Operation::Destroy(id) => write!(f, "destroy {id}"),
            Operation::FlushTable(table) => write!(f, "flush table {table}"),
            Operation::FlushChain(table, chain) => write!(f, "flush chain {table} {chain}"),
            Operation::AppendRule(rule) => write!(f, "add {rule}"),
            Operation::PrependRule(rule) => write!(f, "insert {rule}"),
            Operation::ReplaceRule { handle, rule } => {
                write!(f, "replace rule {} {} handle {handle} {}", rule.table, rule.chain, rule.text())
            }
            Operation::DeleteRule { table, chain, handle } => write!(f, "delete rule {table} {chain} handle {handle}"),
            Operation::AddElements { set, elements } => write_elements("add", set, elements, f),
            Operation::DeleteElements { set, elements } => write_elements("delete", set, elements, f),
            Operation::DestroyElements { set, elements } => write_elements("destroy", set, elements, f),
            Operation::FlushSet(table, set) => write!(f, "flush set {table} {set}"),
        }
    }
}

fn write_elements(verb: &str, set: &Set, elements: &[Element], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{verb} element {} {} {{", set.table, set.name)?;
    for (n, element) in elements.iter().enumerate() {
        let comma = if n > 0 { "," } else { "" };
        write!(f, "{comma} {}", element.display(set))?;
    }
    f.write_str(" }")
}
