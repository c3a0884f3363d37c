//! Operations as messages.

use libc::{NLM_F_APPEND, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};

use super::element::elements;
use super::{EncodeError, Messages, expr, object};
use crate::operation::{Object, ObjectId, Operation};
use crate::rule::Rule;
use crate::table::TableId;
use crate::userdata;
use crate::wire::Writer;
use crate::wire::number::{self, message};

pub(super) fn encode(operation: &Operation, messages: &mut Messages) -> Result<(), EncodeError> {
    match operation {
        Operation::Add(object) => make(object, NLM_F_CREATE, messages),
        Operation::Create(object) => make(object, NLM_F_CREATE | NLM_F_EXCL, messages),
        Operation::Delete(id) => delete(id, false, messages),
        Operation::Destroy(id) => delete(id, true, messages),
        Operation::FlushTable(table) => delete_rules(table, None, None, messages),
        Operation::FlushChain(table, chain) => delete_rules(table, Some(chain), None, messages),
        Operation::DeleteRule { table, chain, handle } => delete_rules(table, Some(chain), Some(*handle), messages),
        Operation::AppendRule(rule) => make_rule(rule, NLM_F_CREATE | NLM_F_APPEND, None, messages),
        Operation::PrependRule(rule) => make_rule(rule, NLM_F_CREATE, None, messages),
        Operation::ReplaceRule { handle, rule } => make_rule(rule, NLM_F_REPLACE, Some(*handle), messages),
        Operation::AddElements { set, elements: all } => {
            return elements(message::NEWSETELEM, NLM_F_CREATE, set, all, messages);
        }
        Operation::DeleteElements { set, elements: all } => {
            return elements(message::DELSETELEM, 0, set, all, messages);
        }
        Operation::DestroyElements { set, elements: all } => {
            return elements(message::DESTROYSETELEM, 0, set, all, messages);
        }
        Operation::FlushSet(table, name) => messages.one(message::DELSETELEM, 0, table.family.number(), |w| {
            w.text(number::element::LIST_TABLE, &table.name);
            w.text(number::element::LIST_SET, name);
        }),
    }
    Ok(())
}

fn make(object: &Object, flags: i32, messages: &mut Messages) {
    match object {
        Object::Table(table) => {
            messages.one(message::NEWTABLE, flags, table.id.family.number(), |w| object::table(table, w));
        }
        Object::Chain(chain) => {
            messages.one(message::NEWCHAIN, flags, chain.table.family.number(), |w| object::chain(chain, w));
        }
        Object::Set(set) => {
            // The kernel asks for a number that names the set within the transaction, though its name does too.
            let id = messages.sequence;
            messages.one(message::NEWSET, flags, set.table.family.number(), |w| object::set(set, id, w));
        }
        Object::Counter { table, name, packets, bytes } => {
            messages.one(message::NEWOBJ, flags, table.family.number(), |w| {
                object::counter(table, name, *packets, *bytes, w);
            });
        }
    }
}

fn delete(id: &ObjectId, destroy: bool, messages: &mut Messages) {
    let (kind, destroy_kind, table) = match id {
        ObjectId::Table(table) => (message::DELTABLE, message::DESTROYTABLE, table),
        ObjectId::Chain(table, _) => (message::DELCHAIN, message::DESTROYCHAIN, table),
        ObjectId::Set(table, _) => (message::DELSET, message::DESTROYSET, table),
        ObjectId::Object(table, ..) => (message::DELOBJ, message::DESTROYOBJ, table),
    };
    let kind = if destroy { destroy_kind } else { kind };
    messages.one(kind, 0, table.family.number(), |w| match id {
        ObjectId::Table(table) => w.text(number::table::NAME, &table.name),
        ObjectId::Chain(table, name) => {
            w.text(number::chain::TABLE, &table.name);
            w.text(number::chain::NAME, name);
        }
        ObjectId::Set(table, name) => {
            w.text(number::set::TABLE, &table.name);
            w.text(number::set::NAME, name);
        }
        ObjectId::Object(table, name, kind) => {
            w.text(number::object::TABLE, &table.name);
            w.text(number::object::NAME, name);
            w.u32(number::object::TYPE, kind.number());
        }
    });
}

fn delete_rules(table: &TableId, chain: Option<&str>, handle: Option<u64>, messages: &mut Messages) {
    messages.one(message::DELRULE, 0, table.family.number(), |w| {
        w.text(number::rule::TABLE, &table.name);
        if let Some(chain) = chain {
            w.text(number::rule::CHAIN, chain);
        }
        if let Some(handle) = handle {
            w.u64(number::rule::HANDLE, handle);
        }
    });
}

fn make_rule(rule: &Rule, flags: i32, handle: Option<u64>, messages: &mut Messages) {
    messages.one(message::NEWRULE, flags, rule.table.family.number(), |w| write_rule(rule, handle, w));
}

fn write_rule(rule: &Rule, handle: Option<u64>, w: &mut Writer) {
    w.text(number::rule::TABLE, &rule.table.name);
    w.text(number::rule::CHAIN, &rule.chain);
    if let Some(handle) = handle {
        w.u64(number::rule::HANDLE, handle);
    }
    w.nest(number::rule::EXPRESSIONS, |w| expr::list(&rule.exprs, w));
    if let Some(comment) = &rule.comment {
        let mut data = Vec::new();
        userdata::put_comment(&mut data, userdata::COMMENT, comment);
        w.bytes(number::rule::USERDATA, &data);
    }
}
