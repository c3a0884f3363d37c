//! Lines of hosts(5) become names and addresses.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::name::Name;
use crate::protocol::LABEL_MAX;

/// Names and their addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    addresses: HashMap<Name, Vec<IpAddr>>,
    names: HashMap<IpAddr, Vec<Name>>,
    /// By the name below which one label may be anything.
    wildcards: HashMap<Name, Vec<IpAddr>>,
}

impl Table {
    /// Adds the lines of a text: an address, a name and more names; `#` begins a comment. What cannot be read is passed
    /// over, as every reader of such files does; returns how many lines that were.
    pub fn add(&mut self, text: &str) -> usize {
        let mut unread = 0;
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut words = line.split_whitespace();
            let Some(first) = words.next() else {
                continue;
            };
            // A link-local address may name an interface, which means nothing elsewhere.
            match first.split('%').next().unwrap_or_default().parse::<IpAddr>() {
                Ok(address) => unread += words.filter(|word| !self.add_name(word, address)).count(),
                Err(_) => unread += 1,
            }
        }
        unread
    }

    fn add_name(&mut self, word: &str, address: IpAddr) -> bool {
        let push = |addresses: &mut Vec<IpAddr>| {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        };
        if let Some(below) = word.strip_prefix("*.") {
            let Ok(name) = Name::parse(below) else {
                return false;
            };
            push(self.wildcards.entry(name).or_default());
            return true;
        }
        let Ok(name) = Name::parse(word) else {
            return false;
        };
        push(self.addresses.entry(name.clone()).or_default());
        let names = self.names.entry(address).or_default();
        if !names.contains(&name) {
            names.push(name);
        }
        true
    }

    /// The addresses of a name in wire form, of both families; none where it is not known.
    #[must_use]
    pub fn addresses(&self, wire: &[u8]) -> &[IpAddr] {
        let name = Name::from_wire(wire);
        if let Some(addresses) = self.addresses.get(&name) {
            return addresses;
        }
        let below = wire.first().map(|length| 1 + usize::from(*length)).filter(|length| *length > 1);
        let wild = below.and_then(|below| self.wildcards.get(&Name::from_wire(wire.get(below..)?)));
        wild.map_or(&[], Vec::as_slice)
    }

    /// The names of an address.
    #[must_use]
    pub fn names(&self, address: IpAddr) -> &[Name] {
        self.names.get(&address).map_or(&[], Vec::as_slice)
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.addresses.len() + self.wildcards.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The address that a name in a reverse zone stands for, from its labels.
pub(super) fn reverse_address(labels: &[&[u8]]) -> Option<IpAddr> {
    let text = |label: &[u8]| -> Option<u8> { std::str::from_utf8(label).ok()?.parse().ok() };
    match labels {
        [d, c, b, a, arpa @ ..] if *arpa == [&b"in-addr"[..], b"arpa"] => {
            Some(IpAddr::from([text(a)?, text(b)?, text(c)?, text(d)?]))
        }
        [nibbles @ .., ip6, arpa] if *ip6 == b"ip6" && *arpa == b"arpa" && nibbles.len() == 32 => {
            let mut octets = [0u8; 16];
            for (at, label) in nibbles.iter().rev().enumerate() {
                debug_assert!(label.len() <= LABEL_MAX);
                let [digit] = label else {
                    return None;
                };
                let value = char::from(*digit).to_digit(16)? as u8;
                octets[at / 2] |= if at % 2 == 0 { value << 4 } else { value };
            }
            Some(IpAddr::from(octets))
        }
        _ => None,
    }
}
