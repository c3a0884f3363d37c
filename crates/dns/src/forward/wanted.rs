//! A question as it is passed on and kept.

use crate::name::Name;
use crate::protocol::{HEADER, class, rtype};
use crate::query::Query;
use crate::reply::UDP_ASKED_MAX;

/// What must be equal for an answer to serve two questions, besides the name: borrowed from the question, so that
/// looking costs no allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WantedRef<'a> {
    /// The name in wire form and lower case.
    pub name: &'a [u8],
    /// The type.
    pub qtype: u16,
    /// Whether DNSSEC records are wanted.
    pub dnssec_ok: bool,
    /// Whether the asker validates itself.
    pub checking_disabled: bool,
}

impl<'a> WantedRef<'a> {
    /// What a question wants.
    #[must_use]
    pub fn of(query: &'a Query<'_>) -> Self {
        Self {
            name: query.name.wire(),
            qtype: query.qtype,
            dnssec_ok: query.dnssec_ok(),
            checking_disabled: query.checking_disabled,
        }
    }

    /// The same, to keep.
    #[must_use]
    pub fn to_owned(self) -> Wanted {
        Wanted {
            name: Name::from_wire(self.name),
            qtype: self.qtype,
            dnssec_ok: self.dnssec_ok,
            checking_disabled: self.checking_disabled,
        }
    }
}

/// The same, to keep.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// The name.
    pub name: Name,
    /// The type.
    pub qtype: u16,
    /// Whether DNSSEC records are wanted.
    pub dnssec_ok: bool,
    /// Whether the asker validates itself.
    pub checking_disabled: bool,
}

impl Wanted {
    /// What a question wants.
    #[must_use]
    pub fn of(query: &Query<'_>) -> Self {
        Self::named(Name::from_wire(query.name.wire()), query)
    }

    /// What a question wants, but of another name.
    #[must_use]
    pub fn named(name: Name, query: &Query<'_>) -> Self {
        Self { name, qtype: query.qtype, dnssec_ok: query.dnssec_ok(), checking_disabled: query.checking_disabled }
    }

    /// The same, borrowed.
    #[must_use]
    pub fn borrow(&self) -> WantedRef<'_> {
        WantedRef {
            name: self.name.wire(),
            qtype: self.qtype,
            dnssec_ok: self.dnssec_ok,
            checking_disabled: self.checking_disabled,
        }
    }

    /// The message that asks an upstream server for it. AD says that the upstream's own validation is of interest
    /// (RFC 6840 section 5.7).
    #[must_use]
    pub fn message(&self, id: u16, edns: bool) -> Vec<u8> {
        let mut message = Vec::with_capacity(HEADER + self.name.wire().len() + 15);
        message.extend(id.to_be_bytes());
        message.extend([1, 0x20 | if self.checking_disabled { 0x10 } else { 0 }, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)]);
        message.extend(self.name.wire());
        message.extend(self.qtype.to_be_bytes());
        message.extend(class::IN.to_be_bytes());
        if edns {
            message.push(0);
            message.extend(rtype::OPT.to_be_bytes());
            message.extend(UDP_ASKED_MAX.to_be_bytes());
            message.extend([0, 0, if self.dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
        }
        message
    }
}
