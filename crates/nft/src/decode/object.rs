//! Tables, chains, rules, sets and counters from attributes.

use std::sync::Arc;
use std::time::Duration;

use super::{DecodeError, expr};
use crate::chain::{BaseChain, Chain, ChainType, Hook, Policy};
use crate::expr::ObjectKind;
use crate::operation::Object;
use crate::rule::Rule;
use crate::set::{Set, SetData, SetFlags};
use crate::table::{Family, Table, TableId};
use crate::userdata;
use crate::value::Type;
use crate::wire::Attributes;
use crate::wire::number::{self, LIST_ELEM};

/// A table, and its handle.
pub(crate) fn table(family: Family, a: Attributes<'_>) -> Result<(u64, Table), DecodeError> {
    let name = a.text(number::table::NAME).ok_or(DecodeError("table's name"))?;
    let flags = a.u32(number::table::FLAGS).unwrap_or(0);
    let (dormant, owned) = (flags & number::table::DORMANT != 0, flags & number::table::OWNER != 0);
    let comment = a.find(number::table::USERDATA).and_then(|data| userdata::comment(data, userdata::COMMENT));
    let handle = a.u64(number::table::HANDLE).ok_or(DecodeError("table's handle"))?;
    Ok((handle, Table { id: TableId::new(family, name), dormant, owned, comment }))
}

/// A chain, and its handle.
pub(crate) fn chain(family: Family, a: Attributes<'_>) -> Result<(u64, Chain), DecodeError> {
    let table = a.text(number::chain::TABLE).ok_or(DecodeError("chain's table"))?;
    let name = a.text(number::chain::NAME).ok_or(DecodeError("chain's name"))?;
    let base = a.nested(number::chain::HOOK).map(|hook| base_chain(a, hook)).transpose()?;
    let comment = a.find(number::chain::USERDATA).and_then(|data| userdata::comment(data, userdata::COMMENT));
    let handle = a.u64(number::chain::HANDLE).ok_or(DecodeError("chain's handle"))?;
    Ok((handle, Chain { table: TableId::new(family, table), name: name.into(), base, comment }))
}

fn base_chain(a: Attributes<'_>, hook: Attributes<'_>) -> Result<BaseChain, DecodeError> {
    let kind = a.text(number::chain::TYPE).and_then(ChainType::from_name).ok_or(DecodeError("chain's type"))?;
    let at = hook.u32(number::chain::HOOK_NUM).and_then(Hook::from_number).ok_or(DecodeError("chain's hook"))?;
    let priority = hook.u32(number::chain::HOOK_PRIORITY).ok_or(DecodeError("chain's priority"))? as i32;
    let policy = match a.u32(number::chain::POLICY) {
        Some(0) => Policy::Drop,
        Some(1) => Policy::Accept,
        _ => return Err(DecodeError("chain's policy")),
    };
    Ok(BaseChain { kind, hook: at, priority, policy })
}

/// A rule, and its handle.
pub(crate) fn rule(family: Family, a: Attributes<'_>) -> Result<(u64, Rule), DecodeError> {
    let table = a.text(number::rule::TABLE).ok_or(DecodeError("rule's table"))?;
    let chain = a.text(number::rule::CHAIN).ok_or(DecodeError("rule's chain"))?;
    let exprs = match a.nested(number::rule::EXPRESSIONS) {
        Some(list) => expr::list(list)?,
        None => Vec::new(),
    };
    let comment = a.find(number::rule::USERDATA).and_then(|data| userdata::comment(data, userdata::COMMENT));
    let handle = a.u64(number::rule::HANDLE).ok_or(DecodeError("rule's handle"))?;
    Ok((handle, Rule { table: TableId::new(family, table), chain: chain.into(), exprs, comment }))
}

/// A set, and its handle.
pub(crate) fn set(family: Family, a: Attributes<'_>) -> Result<(u64, Set), DecodeError> {
    let table = a.text(number::set::TABLE).ok_or(DecodeError("set's table"))?;
    let name = a.text(number::set::NAME).ok_or(DecodeError("set's name"))?;
    let key_len = a.u32(number::set::KEY_LEN).ok_or(DecodeError("set's key length"))?;
    let description = a.nested(number::set::DESC);
    let lens = description.and_then(|d| d.nested(number::set::DESC_CONCAT)).map(field_lens).unwrap_or_default();
    let own = !(number::set::FLAG_MAP | number::set::FLAG_OBJECT | number::set::FLAG_CONCAT);
    let set = Set {
        table: TableId::new(family, table),
        name: name.into(),
        key: types(a.u32(number::set::KEY_TYPE).unwrap_or_default(), key_len, &lens),
        data: set_data(a)?,
        flags: SetFlags(a.u32(number::set::FLAGS).unwrap_or_default() & own),
        size: description.and_then(|d| d.u32(number::set::DESC_SIZE)),
        timeout: a.u64(number::set::TIMEOUT).map(Duration::from_millis),
        gc_interval: a.u32(number::set::GC_INTERVAL).filter(|ms| *ms != 0).map(|ms| Duration::from_millis(ms.into())),
        comment: a.find(number::set::USERDATA).and_then(|data| userdata::comment(data, userdata::SET_COMMENT)),
    };
    let handle = a.u64(number::set::HANDLE).ok_or(DecodeError("set's handle"))?;
    Ok((handle, set))
}

/// A named counter, and its handle; `None` for other objects.
pub(crate) fn counter(family: Family, a: Attributes<'_>) -> Result<Option<(u64, Object)>, DecodeError> {
    if a.u32(number::object::TYPE) != Some(ObjectKind::Counter.number()) {
        return Ok(None);
    }
    let table = a.text(number::object::TABLE).ok_or(DecodeError("counter's table"))?;
    let name = a.text(number::object::NAME).ok_or(DecodeError("counter's name"))?;
    let data = a.nested(number::object::DATA).ok_or(DecodeError("counter's data"))?;
    let object = Object::Counter {
        table: TableId::new(family, table),
        name: Arc::from(name),
        packets: data.u64(number::object::COUNTER_PACKETS).ok_or(DecodeError("counter's packets"))?,
        bytes: data.u64(number::object::COUNTER_BYTES).ok_or(DecodeError("counter's bytes"))?,
    };
    let handle = a.u64(number::object::HANDLE).ok_or(DecodeError("counter's handle"))?;
    Ok(Some((handle, object)))
}

fn set_data(a: Attributes<'_>) -> Result<Option<SetData>, DecodeError> {
    if let Some(kind) = a.u32(number::set::OBJ_TYPE) {
        let kind = ObjectKind::from_number(kind).ok_or(DecodeError("set's object type"))?;
        return Ok(Some(SetData::Object(kind)));
    }
    Ok(match (a.u32(number::set::DATA_TYPE), a.u32(number::set::DATA_LEN)) {
        (None, _) => None,
        (Some(number::set::VERDICT), _) => Some(SetData::Verdict),
        (Some(kind), Some(len)) => Some(SetData::Value(types(kind, len, &[]))),
        (Some(_), None) => return Err(DecodeError("map's data length")),
    })
}

fn field_lens(list: Attributes<'_>) -> Vec<u8> {
    list.filter(|(kind, _)| *kind == LIST_ELEM)
        .filter_map(|(_, field)| Attributes(field).u32(number::set::FIELD_LEN))
        .map(|len| u8::try_from(len).unwrap_or(u8::MAX))
        .collect()
}

/// The types that a number packs, six bits each. `lens` are the lengths of a key's fields, if they are known.
fn types(packed: u32, len: u32, lens: &[u8]) -> Vec<Type> {
    let whole = || vec![Type::from_id((packed & 0x3f) as u8, u8::try_from(len).unwrap_or(u8::MAX))];
    let mut ids = Vec::new();
    let mut rest = packed;
    while rest != 0 {
        ids.insert(0, (rest & 0x3f) as u8);
        rest >>= 6;
    }
    if lens.len() == ids.len() && lens.len() > 1 {
        return ids.iter().zip(lens).map(|(id, len)| Type::from_id(*id, *len)).collect();
    }
    let known: Option<Vec<Type>> = ids.iter().map(|id| Type::with_id(*id)).collect();
    match known {
        Some(types) if types.len() > 1 && types.iter().map(|t| u32::from(t.padded_len())).sum::<u32>() == len => types,
        _ => whole(),
    }
}
