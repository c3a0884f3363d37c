//! Elements from attributes.

use std::sync::Arc;
use std::time::Duration;

use super::DecodeError;
use super::expr::{expr, verdict};
use crate::element::{Counter, Data, Element, Role};
use crate::expr::Expr;
use crate::userdata;
use crate::value::Value;
use crate::wire::Attributes;
use crate::wire::number::{self, LIST_ELEM, data, element as number_of};

/// Gives each element of one message to `take`.
pub(crate) fn elements(a: Attributes<'_>, mut take: impl FnMut(Element)) -> Result<(), DecodeError> {
    // A set without elements has no list.
    for (kind, value) in a.nested(number_of::LIST_ELEMENTS).unwrap_or(Attributes(&[])) {
        if kind == LIST_ELEM {
            take(element(Attributes(value))?);
        }
    }
    Ok(())
}

fn element(a: Attributes<'_>) -> Result<Element, DecodeError> {
    let flags = a.u32(number_of::FLAGS).unwrap_or_default();
    let role = match flags {
        _ if flags & number_of::FLAG_CATCH_ALL != 0 => Role::CatchAll,
        _ if flags & number_of::FLAG_INTERVAL_END != 0 => Role::IntervalEnd,
        _ => Role::Key,
    };
    let mut element = Element { role, ..Element::new(Value::new()) };
    let mut has_key = role == Role::CatchAll;
    for (kind, bytes) in a {
        match kind {
            number_of::KEY => {
                has_key = true;
                element.key = padded(Attributes(bytes))?;
            }
            number_of::KEY_END => element.key_end = Some(padded(Attributes(bytes))?),
            number_of::DATA => element.data = Some(element_data(Attributes(bytes))?),
            number_of::OBJREF => element.data = a.text(number_of::OBJREF).map(|name| Data::Object(Arc::from(name))),
            number_of::TIMEOUT => element.timeout = a.u64(kind).map(Duration::from_millis),
            number_of::EXPIRATION => element.expires = a.u64(kind).map(Duration::from_millis),
            number_of::EXPR => element.counter = counter(Attributes(bytes))?,
            number_of::USERDATA => {
                element.comment = userdata::comment(bytes, userdata::COMMENT).map(String::into_boxed_str);
            }
            _ => {}
        }
    }
    if has_key { Ok(element) } else { Err(DecodeError("element's key")) }
}

/// Other statements that elements may bear are not told.
fn counter(a: Attributes<'_>) -> Result<Option<Counter>, DecodeError> {
    Ok(match expr(a)? {
        Expr::Counter { packets, bytes } => Some(Counter { packets, bytes }),
        _ => None,
    })
}

fn element_data(a: Attributes<'_>) -> Result<Data, DecodeError> {
    match a.nested(data::VERDICT) {
        Some(inner) => verdict(inner).map(Data::Verdict).ok_or(DecodeError("element's verdict")),
        None => padded(a).map(Data::Value),
    }
}

/// A value as elements have it: a single field is padded to four bytes.
fn padded(a: Attributes<'_>) -> Result<Value, DecodeError> {
    let bytes = a.find(number::data::VALUE).ok_or(DecodeError("element's value"))?;
    Ok(if bytes.len() % 4 == 0 { Value::bytes(bytes) } else { Value::new().field(bytes) })
}
