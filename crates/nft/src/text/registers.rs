//! What the registers hold, in words, at one point of a rule.

use std::collections::BTreeMap;

use crate::expr::Register;
use crate::value::{Type, Value};

/// What was loaded into a register.
#[derive(Debug, Clone)]
pub(super) struct Loaded {
    /// In nft's words.
    pub(super) text: String,
    /// What it means, for the constants that it is compared with.
    pub(super) kind: Option<Type>,
    /// The constant that it is.
    pub(super) value: Option<Value>,
    /// Its netmask, if it was masked with one.
    pub(super) prefix: Option<u32>,
    /// Words of four bytes.
    pub(super) words: u32,
    /// What it was before it was masked, and the mask.
    pub(super) masked: Option<(String, Value)>,
}

impl Loaded {
    /// Something of a type.
    pub(super) fn new(text: String, kind: Type) -> Loaded {
        let words = u32::from(kind.padded_len()) / 4;
        Loaded { text, kind: Some(kind), value: None, prefix: None, words, masked: None }
    }

    /// As a part of a key: where nothing is compared, a netmask is said here.
    fn part(&self) -> String {
        match self.prefix {
            Some(prefix) => format!("{}/{prefix}", self.text),
            None => self.text.clone(),
        }
    }

    /// A constant to compare with, as text.
    pub(super) fn constant(&self, value: &Value) -> String {
        match &self.kind {
            Some(kind) => value.display(&[*kind]).to_string(),
            None => value.display(&[]).to_string(),
        }
    }
}

/// All registers.
#[derive(Debug, Default)]
pub(super) struct Registers {
    words: BTreeMap<u32, (usize, Loaded)>,
    loads: usize,
}

impl Registers {
    /// Notes a load; what it overwrites is forgotten.
    pub(super) fn set(&mut self, dreg: Register, loaded: Loaded) {
        let (first, behind) = (dreg.word(), dreg.word() + loaded.words.max(1));
        self.words.retain(|word, (_, old)| *word >= behind || word + old.words.max(1) <= first);
        self.words.insert(first, (self.loads, loaded));
        self.loads += 1;
    }

    /// Notes that what a register holds was changed in place: it stands where it stood in a concatenation.
    pub(super) fn change(&mut self, register: Register, loaded: Loaded) {
        match self.words.get_mut(&register.word()).filter(|(_, old)| old.words == loaded.words) {
            Some((_, old)) => *old = loaded,
            None => self.set(register, loaded),
        }
    }

    /// What a register holds.
    pub(super) fn get(&self, register: Register) -> Loaded {
        let known = self.words.get(&register.word()).map(|(_, loaded)| loaded.clone());
        known.unwrap_or_else(|| Loaded {
            text: format!("@reg{}", register.word()),
            kind: None,
            value: None,
            prefix: None,
            words: 1,
            masked: None,
        })
    }

    /// Whether something was loaded there.
    pub(super) fn is_loaded(&self, register: Register) -> bool {
        self.words.contains_key(&register.word())
    }

    /// The concatenation that begins at a register: what was loaded behind it, one right after the other.
    pub(super) fn key(&self, first: Register) -> String {
        let mut text = self.get(first).part();
        let Some(&(mut load, ref loaded)) = self.words.get(&first.word()) else { return text };
        let mut at = first.word() + loaded.words;
        while let Some((next, loaded)) = self.words.get(&at) {
            if *next != load + 1 {
                break;
            }
            text += " . ";
            text += &loaded.part();
            load = *next;
            at += loaded.words.max(1);
        }
        text
    }

    /// What a register holds where a type is expected.
    pub(super) fn typed(&self, register: Register, kind: Type) -> String {
        let loaded = self.get(register);
        match &loaded.value {
            Some(value) => value.display(&[kind]).to_string(),
            None => loaded.text,
        }
    }

    /// What a register holds where a mark is expected.
    pub(super) fn mark(&self, register: Register) -> String {
        self.typed(register, Type::Mark)
    }
}
