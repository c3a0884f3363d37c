//! Reading `table.txt`; its form is told at the head of `generate.py`.

use std::collections::BTreeMap;

use super::{Field, GroupVersionKind, Presence, Shape, Traits, Type, TypeId};

const TEXT: &str = include_str!("../../schema/table.txt");

/// A line of the table that is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the schema table is not understood: {text}")]
pub(super) struct TableError {
    line: usize,
    text: String,
}

/// The table that is part of the program.
#[allow(clippy::expect_used, reason = "the text is part of the program, and a test parses it")]
pub(super) fn built_in() -> Box<[Type]> {
    parse(TEXT).expect("the schema table is well formed")
}

/// Reads a table: first the names of the types, then their fields, since fields name types that come later.
pub(super) fn parse(text: &'static str) -> Result<Box<[Type]>, TableError> {
    let mut table = Reader { prefixes: BTreeMap::new(), ids: BTreeMap::new() };
    let mut names = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let bad = || TableError { line: at + 1, text: line.to_owned() };
        if let Some(abbreviation) = line.strip_prefix('@') {
            let (short, prefix) = abbreviation.split_once(' ').ok_or_else(bad)?;
            table.prefixes.insert(short, prefix);
        } else if let Some(head) = line.strip_prefix('=') {
            let short = head.split(' ').next().unwrap_or(head);
            names.push((table.full_name(short).ok_or_else(bad)?, short));
        }
    }
    names.sort();
    for (at, (_, short)) in names.iter().enumerate() {
        table.ids.insert(short, TypeId(u16::try_from(at).unwrap_or(u16::MAX)));
    }
    let mut types = Vec::with_capacity(names.len());
    let mut open: Option<(Type, Vec<Field>)> = None;
    for (at, line) in text.lines().enumerate() {
        let bad = || TableError { line: at + 1, text: line.to_owned() };
        if line.starts_with(['#', '@']) || line.is_empty() {
            continue;
        }
        if let Some(head) = line.strip_prefix('=') {
            types.extend(open.take().map(close));
            open = Some((table.head(head).ok_or_else(bad)?, Vec::new()));
        } else {
            let (_, fields) = open.as_mut().ok_or_else(bad)?;
            fields.push(table.field(line).ok_or_else(bad)?);
        }
    }
    types.extend(open.take().map(close));
    types.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(types.into())
}

fn close((mut of, mut fields): (Type, Vec<Field>)) -> Type {
    fields.sort_by_key(|f| f.name);
    of.fields = fields.into();
    of
}

struct Reader {
    prefixes: BTreeMap<&'static str, &'static str>,
    ids: BTreeMap<&'static str, TypeId>,
}

impl Reader {
    fn full_name(&self, short: &str) -> Option<String> {
        let (abbreviation, name) = short.split_once('.')?;
        Some(format!("{}{name}", self.prefixes.get(abbreviation)?))
    }

    fn head(&self, line: &'static str) -> Option<Type> {
        let mut words = line.split(' ');
        let name = self.full_name(words.next()?)?.into();
        let mut found = Type { name, atomic: false, gvk: None, fields: Box::default() };
        for word in words {
            if word == "!" {
                found.atomic = true;
            } else {
                let mut parts = word.split('/');
                found.gvk =
                    Some(GroupVersionKind { group: parts.next()?, version: parts.next()?, kind: parts.next()? });
            }
        }
        Some(found)
    }

    fn field(&self, line: &'static str) -> Option<Field> {
        let mut words = line.split(' ');
        let (name, shape) = (words.next()?, self.shape(words.next()?)?);
        let mut field = Field { name, shape, required: false, presence: Presence::Always, traits: None };
        for word in words {
            match word {
                "*" => field.required = true,
                "~" => field.presence = Presence::OmitZero,
                "?" => field.presence = Presence::OmitNull,
                "^" => field.presence = Presence::NullWhenAbsent,
                _ => Self::trait_word(field.traits.get_or_insert_default(), word)?,
            }
        }
        Some(field)
    }

    fn trait_word(traits: &mut Traits, word: &'static str) -> Option<()> {
        match word.split_once(':').unwrap_or((word, "")) {
            ("S", "") => traits.set = true,
            ("A", "") => traits.atomic = true,
            ("G", "") => traits.granular = true,
            ("m", keys) => traits.keys = keys.split(',').collect(),
            ("k", key) => traits.merge_key = Some(key),
            ("p", strategy) => traits.strategy = Some(strategy),
            ("d", json) => traits.default = Some(serde_json::from_str(json).ok()?),
            ("g", name) => traits.go_name = Some(name),
            ("e", name) => traits.embedded_in = Some(name),
            ("v", values) => traits.values = Some(values),
            _ => return None,
        }
        Some(())
    }

    fn shape(&self, word: &str) -> Option<Shape> {
        Some(match word {
            "s" => Shape::String,
            "b" => Shape::Bool,
            "i" => Shape::Int32,
            "l" => Shape::Int64,
            "n" => Shape::Double,
            "x" => Shape::IntOrString,
            "q" => Shape::Quantity,
            "t" => Shape::Time,
            "u" => Shape::MicroTime,
            "y" => Shape::Bytes,
            "a" => Shape::Any,
            _ => match word.split_at_checked(1)? {
                ("[", of) => Shape::List(Box::new(self.shape(of)?)),
                ("{", of) => Shape::Map(Box::new(self.shape(of)?)),
                _ => Shape::Object(*self.ids.get(word)?),
            },
        })
    }
}
