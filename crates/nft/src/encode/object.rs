//! Tables, chains, sets and counters as attributes.

use std::time::Duration;

use crate::chain::{Chain, Policy};
use crate::expr::ObjectKind;
use crate::set::{Set, SetData};
use crate::table::{Table, TableId};
use crate::userdata;
use crate::value::Type;
use crate::wire::Writer;
use crate::wire::number::{self, LIST_ELEM};

pub(super) fn table(table: &Table, w: &mut Writer) {
    w.text(number::table::NAME, &table.id.name);
    let flag = |set: bool, number: u32| if set { number } else { 0 };
    let flags = flag(table.dormant, number::table::DORMANT) | flag(table.owned, number::table::OWNER);
    w.u32(number::table::FLAGS, flags);
    comment(number::table::USERDATA, table.comment.as_deref(), w);
}

pub(super) fn chain(chain: &Chain, w: &mut Writer) {
    w.text(number::chain::TABLE, &chain.table.name);
    w.text(number::chain::NAME, &chain.name);
    if let Some(base) = &chain.base {
        w.nest(number::chain::HOOK, |w| {
            w.u32(number::chain::HOOK_NUM, base.hook.number());
            w.u32(number::chain::HOOK_PRIORITY, base.priority as u32);
        });
        let policy = match base.policy {
            Policy::Drop => 0,
            Policy::Accept => 1,
        };
        w.u32(number::chain::POLICY, policy);
        w.text(number::chain::TYPE, base.kind.name());
    }
    comment(number::chain::USERDATA, chain.comment.as_deref(), w);
}

pub(super) fn set(set: &Set, id: u32, w: &mut Writer) {
    w.text(number::set::TABLE, &set.table.name);
    w.text(number::set::NAME, &set.name);
    w.u32(number::set::FLAGS, flags(set));
    w.u32(number::set::KEY_TYPE, type_number(&set.key));
    w.u32(number::set::KEY_LEN, set.key_len() as u32);
    match &set.data {
        None => {}
        Some(SetData::Verdict) => w.u32(number::set::DATA_TYPE, number::set::VERDICT),
        Some(SetData::Value(types)) => {
            w.u32(number::set::DATA_TYPE, type_number(types));
            w.u32(number::set::DATA_LEN, set.data_len().unwrap_or_default() as u32);
        }
        Some(SetData::Object(kind)) => w.u32(number::set::OBJ_TYPE, kind.number()),
    }
    description(set, w);
    w.u32(number::set::ID, id);
    if let Some(timeout) = set.timeout {
        w.u64(number::set::TIMEOUT, milliseconds(timeout));
    }
    if let Some(interval) = set.gc_interval {
        w.u32(number::set::GC_INTERVAL, u32::try_from(interval.as_millis()).unwrap_or(u32::MAX));
    }
    w.bytes(number::set::USERDATA, &set_userdata(set));
}

pub(super) fn counter(table: &TableId, name: &str, packets: u64, bytes: u64, w: &mut Writer) {
    w.text(number::object::TABLE, &table.name);
    w.text(number::object::NAME, name);
    w.u32(number::object::TYPE, ObjectKind::Counter.number());
    w.nest(number::object::DATA, |w| {
        w.u64(number::object::COUNTER_BYTES, bytes);
        w.u64(number::object::COUNTER_PACKETS, packets);
    });
}

/// A time as the kernel counts it.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn flags(set: &Set) -> u32 {
    let mut flags = set.flags.0;
    match &set.data {
        None => {}
        Some(SetData::Object(_)) => flags |= number::set::FLAG_OBJECT,
        Some(_) => flags |= number::set::FLAG_MAP,
    }
    if set.key.len() > 1 {
        flags |= number::set::FLAG_CONCAT;
    }
    flags
}

/// nft packs the types of a concatenation into one number, six bits each.
fn type_number(types: &[Type]) -> u32 {
    types.iter().fold(0, |number, field| (number << 6) | u32::from(field.id()))
}

fn description(set: &Set, w: &mut Writer) {
    if set.size.is_none() && set.key.len() < 2 {
        return;
    }
    w.nest(number::set::DESC, |w| {
        if let Some(size) = set.size {
            w.u32(number::set::DESC_SIZE, size);
        }
        if set.key.len() > 1 {
            w.nest(number::set::DESC_CONCAT, |w| {
                for field in &set.key {
                    w.nest(LIST_ELEM, |w| w.u32(number::set::FIELD_LEN, u32::from(field.len())));
                }
            });
        }
    });
}

/// Byte orders, without which nft cannot print numbers, and the comment.
fn set_userdata(set: &Set) -> Vec<u8> {
    let order = |types: &[Type]| match types {
        [only] if only.is_host_order() => userdata::HOST_ORDER,
        _ => userdata::NETWORK_ORDER,
    };
    let mut data = Vec::new();
    userdata::put_u32(&mut data, userdata::SET_KEY_ORDER, order(&set.key));
    if let Some(SetData::Value(types)) = &set.data {
        userdata::put_u32(&mut data, userdata::SET_DATA_ORDER, order(types));
    }
    if let Some(comment) = &set.comment {
        userdata::put_comment(&mut data, userdata::SET_COMMENT, comment);
    }
    data
}

fn comment(kind: u16, comment: Option<&str>, w: &mut Writer) {
    if let Some(comment) = comment {
        let mut data = Vec::new();
        userdata::put_comment(&mut data, userdata::COMMENT, comment);
        w.bytes(kind, &data);
    }
}
