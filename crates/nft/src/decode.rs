//! What the kernel dumps, back to objects.

mod element;
mod expr;
mod object;

pub(crate) use element::elements;
pub(crate) use object::{chain, counter, rule, set, table};

/// What the kernel sent is not as its headers say; names what is missing or wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the kernel's {0} is not as expected")]
pub struct DecodeError(pub &'static str);

#[cfg(test)]
mod tests;
