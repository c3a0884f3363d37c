//! Which field of which message has which number: `crates/apiserver/protobuf/numbers.txt`, which `generate.py` beside it
//! extracts and tells how to read. Parsed once, when a body in protobuf comes.

use std::collections::HashMap;
use std::sync::LazyLock;

const TEXT: &str = include_str!("../../protobuf/numbers.txt");

/// A field of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Numbered {
    pub number: u32,
    pub target: Target,
}

/// Where a field's value goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// Into the field of this name.
    Field(&'static str),
    /// Into the object itself: it is a message of this name, whose fields are the object's.
    Embedded(String),
}

/// The fields of the message of this name (that of the type in the schema table); none when it is not known.
pub(super) fn of(message: &str) -> &'static [Numbered] {
    static MESSAGES: LazyLock<HashMap<String, Box<[Numbered]>>> = LazyLock::new(parse);
    MESSAGES.get(message).map(|fields| &**fields).unwrap_or_default()
}

fn parse() -> HashMap<String, Box<[Numbered]>> {
    let mut prefixes: HashMap<&str, &str> = HashMap::new();
    let mut messages = HashMap::new();
    for line in TEXT.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let Some(first) = words.next() else { continue };
        if let Some(short) = first.strip_prefix('@') {
            prefixes.insert(short, words.next().unwrap_or_default());
            continue;
        }
        let full = |name: &str| {
            let (short, name) = name.split_once('.').unwrap_or(("", name));
            format!("{}{name}", prefixes.get(short).copied().unwrap_or_default())
        };
        let fields = words.filter_map(|word| {
            let (name, number) = word.split_once('=')?;
            let target = match name.strip_prefix('+') {
                Some(message) => Target::Embedded(full(message)),
                None => Target::Field(name),
            };
            Some(Numbered { number: number.parse().ok()?, target })
        });
        messages.insert(full(first), fields.collect());
    }
    messages
}
