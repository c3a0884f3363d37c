//! Names in wire form: length-prefixed labels, lower case, ended by the root label.

use std::fmt;

use crate::protocol::{LABEL_MAX, NAME_MAX};

/// A name could not be put into wire form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A label is empty or has more than 63 octets.
    #[error("{name:?} has a label of {length} octets: a label has 1 to 63")]
    Label {
        /// The name as given.
        name: String,
        /// The label's length.
        length: usize,
    },
    /// The whole name has more than 255 octets on the wire.
    #[error("{name:?} has more than 255 octets on the wire")]
    TooLong {
        /// The name as given.
        name: String,
    },
}

/// A domain name, absolute, in lower case, in wire form (RFC 1035 section 3.1), without compression.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<[u8]>);

impl Name {
    /// Reads `a.b.c` or `a.b.c.`; the empty string and `.` are the root. There are no escapes.
    ///
    /// # Errors
    /// A label that is empty or too long, or a name that is too long.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let trimmed = text.strip_suffix('.').unwrap_or(text);
        let mut wire = Vec::with_capacity(trimmed.len() + 2);
        if !trimmed.is_empty() {
            for label in trimmed.split('.') {
                if label.is_empty() || label.len() > LABEL_MAX {
                    return Err(NameError::Label { name: text.to_owned(), length: label.len() });
                }
                push_label(&mut wire, label.as_bytes());
            }
        }
        wire.push(0);
        if wire.len() > NAME_MAX {
            return Err(NameError::TooLong { name: text.to_owned() });
        }
        Ok(Self(wire.into_boxed_slice()))
    }

    /// Takes octets that are known to be an uncompressed, lower-case wire name.
    pub(crate) fn from_wire(wire: &[u8]) -> Self {
        Self(wire.into())
    }

    /// The octets, root label included.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// How many labels there are, the root's not counted.
    #[must_use]
    pub fn label_count(&self) -> usize {
        labels(&self.0).count()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() == 1 {
            return f.write_str(".");
        }
        for label in labels(&self.0) {
            write!(f, "{}.", label.escape_ascii())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Appends one label in lower case with its length before it. The label must have 1 to 63 octets.
pub(crate) fn push_label(wire: &mut Vec<u8>, label: &[u8]) {
    debug_assert!(!label.is_empty() && label.len() <= LABEL_MAX);
    wire.push(label.len() as u8);
    wire.extend(label.iter().map(u8::to_ascii_lowercase));
}

/// The labels of an uncompressed wire name, or of a part of one, up to the root label or the end.
pub(crate) fn labels(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = wire;
    std::iter::from_fn(move || {
        let (&length, tail) = rest.split_first()?;
        if length == 0 {
            return None;
        }
        let (label, after) = tail.split_at_checked(usize::from(length))?;
        rest = after;
        Some(label)
    })
}

/// Whether `label` can stand in a name: 1 to 63 octets and no dot, which would look like two labels when printed.
pub(crate) fn is_label(label: &str) -> bool {
    !label.is_empty() && label.len() <= LABEL_MAX && !label.contains('.')
}

#[cfg(test)]
mod tests;
