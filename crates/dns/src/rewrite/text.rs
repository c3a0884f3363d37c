//! Names as they are written: labels between dots, a dot at the end, octets that would confuse escaped (RFC 1035 section
//! 5.1).

use crate::name::{Name, labels, push_label};
use crate::protocol::{LABEL_MAX, NAME_MAX};

/// A name in wire form, as text.
pub(crate) fn present(wire: &[u8]) -> String {
    let mut text = String::with_capacity(wire.len());
    for label in labels(wire) {
        for octet in label {
            match octet {
                b'.' | b'\\' => text.extend(['\\', char::from(*octet)]),
                0x21..=0x7e => text.push(char::from(*octet)),
                _ => text.push_str(&format!("\\{octet:03}")),
            }
        }
        text.push('.');
    }
    if text.is_empty() { ".".to_owned() } else { text }
}

/// A name from text, in lower case; `None` where it is none. The dot at the end may be left out.
pub(crate) fn read(text: &str) -> Option<Name> {
    let mut wire = Vec::with_capacity(text.len() + 2);
    let mut label = Vec::new();
    let mut octets = text.bytes();
    if text == "." {
        return Some(Name::from_wire(&[0]));
    }
    while let Some(octet) = octets.next() {
        match octet {
            b'.' => end(&mut wire, &mut label)?,
            b'\\' => label.push(escaped(&mut octets)?),
            octet => label.push(octet),
        }
    }
    if !label.is_empty() {
        end(&mut wire, &mut label)?;
    }
    wire.push(0);
    (wire.len() > 1 && wire.len() <= NAME_MAX).then(|| Name::from_wire(&wire))
}

fn end(wire: &mut Vec<u8>, label: &mut Vec<u8>) -> Option<()> {
    if label.is_empty() || label.len() > LABEL_MAX {
        return None;
    }
    push_label(wire, label);
    label.clear();
    Some(())
}

fn escaped(octets: &mut std::str::Bytes<'_>) -> Option<u8> {
    let first = octets.next()?;
    if !first.is_ascii_digit() {
        return Some(first);
    }
    let digits = [first, octets.next()?, octets.next()?];
    std::str::from_utf8(&digits).ok()?.parse().ok()
}
