//! What differs between the families, and the keys and data that are made of it.

use std::net::IpAddr;
use std::num::NonZeroU16;

use nft::{Expr, Field, Register, Value};

use crate::compile::Compiler;
use crate::compile::key::Key;
use crate::model::{Family, Protocol};
use crate::route::{Destination, Endpoint};

impl Compiler {
    pub(super) fn source(&self) -> Field {
        match self.family {
            Family::V4 => Field::IpSaddr,
            Family::V6 => Field::Ip6Saddr,
        }
    }

    pub(super) fn destination(&self) -> Field {
        match self.family {
            Family::V4 => Field::IpDaddr,
            Family::V6 => Field::Ip6Daddr,
        }
    }

    /// Loads a packet's key from the first register on; answers with the register behind it.
    pub(super) fn load_key(&self, key: Key, rule: &mut Vec<Expr>) -> Register {
        let fields: &[Field] = match key {
            Key::Address => &[self.destination(), Field::L4proto, Field::ThDport],
            Key::NodePort => &[Field::L4proto, Field::ThDport],
        };
        self.load(fields, rule)
    }

    fn load(&self, fields: &[Field], rule: &mut Vec<Expr>) -> Register {
        rule.extend(Field::concat(Register::R0, fields));
        Register::R0.plus(fields.iter().map(|field| field.words()).sum())
    }

    /// What keeps so many bits of an address.
    pub(super) fn netmask(&self, length: u8) -> Value {
        match self.family {
            Family::V4 => Value::new().ipv4(u32::MAX.checked_shl(32 - u32::from(length.min(32))).unwrap_or(0).into()),
            Family::V6 => {
                Value::new().ipv6(u128::MAX.checked_shl(128 - u32::from(length.min(128))).unwrap_or(0).into())
            }
        }
    }

    /// Words of four bytes in an address.
    pub(super) fn address_words(&self) -> u32 {
        self.source().words()
    }
}

/// A destination as a key.
pub(crate) fn destination_key(destination: &Destination) -> Value {
    let key = match destination {
        Destination::Address { address, .. } => Value::new().ip(*address),
        Destination::NodePort { .. } => Value::new(),
    };
    key.u8(destination.protocol().number()).u16(destination.port().get())
}

/// A key as a destination; `None` if it is none of ours.
pub(crate) fn destination_of(key: &Value, family: Family) -> Option<Destination> {
    // Each part of a key fills whole words.
    let (address, rest): (Option<IpAddr>, &[u8]) = match (key.as_slice(), family) {
        (rest @ [_, _, _, _, _, _, _, _], _) => (None, rest),
        (key, Family::V4) => (Some(key.first_chunk::<4>().copied()?.into()), key.get(4..)?),
        (key, Family::V6) => (Some(key.first_chunk::<16>().copied()?.into()), key.get(16..)?),
    };
    let [protocol, _, _, _, high, low, _, _] = *rest else { return None };
    let (protocol, port) = (Protocol::from_number(protocol)?, NonZeroU16::new(u16::from_be_bytes([high, low]))?);
    Some(match address {
        Some(address) => Destination::Address { address, protocol, port },
        None => Destination::NodePort { family, protocol, port },
    })
}

/// An endpoint as data.
pub(crate) fn endpoint_value(endpoint: &Endpoint) -> Value {
    Value::new().ip(endpoint.address).u16(endpoint.port.get())
}

/// Data as an endpoint.
pub(crate) fn endpoint_of(value: &Value, family: Family) -> Option<Endpoint> {
    let bytes = value.as_slice();
    let (address, port): (IpAddr, &[u8]) = match family {
        Family::V4 => (<[u8; 4]>::try_from(bytes.get(..4)?).ok()?.into(), bytes.get(4..6)?),
        Family::V6 => (<[u8; 16]>::try_from(bytes.get(..16)?).ok()?.into(), bytes.get(16..18)?),
    };
    let port = NonZeroU16::new(u16::from_be_bytes(port.try_into().ok()?))?;
    Some(Endpoint { address, port })
}
