//! Elements as attributes, as many in a message as fit.

use super::object::milliseconds;
use super::{EncodeError, Messages, expr};
use crate::element::{Counter, Data, Element, Role};
use crate::expr::Expr;
use crate::set::Set;
use crate::userdata;
use crate::value::Value;
use crate::wire::Writer;
use crate::wire::number::{self, LIST_ELEM, data, element as number_of};

/// A message is ended when its list of elements is this long: an attribute has at most 65,535 bytes, and one element
/// less than 2,000.
const LONGEST_LIST: usize = 32 * 1024;

/// Messages for all elements.
pub(super) fn elements(
    kind: u16,
    flags: i32,
    set: &Set,
    all: &[Element],
    messages: &mut Messages,
) -> Result<(), EncodeError> {
    let with_data = kind == number::message::NEWSETELEM;
    let mut next = 0;
    while next < all.len() {
        let start = messages.begin(kind, flags, set.table.family.number(), next);
        let writer = &mut messages.writer;
        writer.text(number_of::LIST_TABLE, &set.table.name);
        writer.text(number_of::LIST_SET, &set.name);
        let list = writer.begin_nest(number_of::LIST_ELEMENTS);
        while next < all.len() && writer.len() - list < LONGEST_LIST {
            writer.nest(LIST_ELEM, |w| element(set, &all[next], with_data, w))?;
            next += 1;
        }
        writer.end(list);
        writer.end_message(start);
    }
    Ok(())
}

fn element(set: &Set, element: &Element, with_data: bool, w: &mut Writer) -> Result<(), EncodeError> {
    let Element { key, key_end, data, timeout, expires: _, comment, counter, role } = element;
    match role {
        Role::CatchAll => w.u32(number_of::FLAGS, number_of::FLAG_CATCH_ALL),
        Role::IntervalEnd => w.u32(number_of::FLAGS, number_of::FLAG_INTERVAL_END),
        Role::Key => {}
    }
    if *role != Role::CatchAll {
        value(number_of::KEY, set, "key", key, set.key_len(), w)?;
    }
    if let Some(end) = key_end {
        value(number_of::KEY_END, set, "key", end, set.key_len(), w)?;
    }
    if !with_data {
        return Ok(());
    }
    match data {
        None => {}
        Some(Data::Value(bytes)) => {
            value(number_of::DATA, set, "data", bytes, set.data_len().unwrap_or_default(), w)?;
        }
        Some(Data::Verdict(verdict)) => w.nest(number_of::DATA, |w| expr::verdict(verdict, w)),
        Some(Data::Object(name)) => w.text(number_of::OBJREF, name),
    }
    if let Some(timeout) = timeout {
        w.u64(number_of::TIMEOUT, milliseconds(*timeout));
    }
    if let Some(Counter { packets, bytes }) = *counter {
        w.nest(number_of::EXPR, |w| expr::one(&Expr::Counter { packets, bytes }, w));
    }
    if let Some(comment) = comment {
        let mut bytes = Vec::new();
        userdata::put_comment(&mut bytes, userdata::COMMENT, comment);
        w.bytes(number_of::USERDATA, &bytes);
    }
    Ok(())
}

/// A key or data; a single field is written without the padding that values have.
fn value(
    kind: u16,
    set: &Set,
    part: &'static str,
    value: &Value,
    wanted: usize,
    w: &mut Writer,
) -> Result<(), EncodeError> {
    let bytes = value.as_slice();
    let (exact, padding) = bytes.split_at(wanted.min(bytes.len()));
    if exact.len() != wanted || padding.len() > 3 || padding.iter().any(|b| *b != 0) {
        return Err(EncodeError::Length { set: set.name.to_string(), part, got: bytes.len(), wanted });
    }
    w.nest(kind, |w| w.bytes(data::VALUE, exact));
    Ok(())
}
