//! Field selectors: `status.phase=Running,spec.nodeName!=a`.

use std::fmt;

use kinds::schema::quoted;

/// Terms that must all hold. The default holds for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Box<[Term]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: Box<str>,
    value: Box<str>,
    equal: bool,
}

/// Why a field selector is refused; the text is the message of a 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldSelectorError {
    /// A term has no operator.
    #[error("invalid selector: '{selector}'; can't understand '{term}'")]
    Term {
        /// The whole selector.
        selector: String,
        /// The term.
        term: String,
    },
    /// A backslash stands before something that needs none.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    /// A comma or an equals sign in a value that is not escaped; Kubernetes prints its code.
    #[error("invalid field selector: unescaped character in value: {0}")]
    Unescaped(u32),
    /// The kind, which has fields of its own to select by, does not have this one.
    #[error("field label not supported: {0}")]
    Unsupported(String),
    /// The kind, which has none of its own, is asked for another than name and namespace.
    #[error("{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"", quoted(.0))]
    Unknown(String),
}

impl FieldSelector {
    /// Reads a selector; an empty text selects everything.
    ///
    /// # Errors
    /// [`FieldSelectorError::Term`], [`FieldSelectorError::Escape`], [`FieldSelectorError::Unescaped`]
    pub fn parse(text: &str) -> Result<Self, FieldSelectorError> {
        let mut parts = split(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|p| !p.is_empty()) {
            let not_understood = || FieldSelectorError::Term { selector: text.to_owned(), term: part.to_owned() };
            let (field, operator, value) = operator(part).ok_or_else(not_understood)?;
            let value = unescape(value)?;
            if !(field.is_empty() && value.is_empty()) {
                terms.push(Term { field: field.into(), value: value.into(), equal: operator != "!=" });
            }
        }
        terms.sort_by_cached_key(Term::to_string);
        Ok(Self { terms: terms.into() })
    }

    /// The selector, if a kind has the fields that it names: `metadata.name`, `metadata.namespace`, or one of `names`.
    ///
    /// # Errors
    /// [`FieldSelectorError::Unsupported`], [`FieldSelectorError::Unknown`]
    pub fn of_fields(self, names: &[&str]) -> Result<Self, FieldSelectorError> {
        let known = |field: &str| matches!(field, "metadata.name" | "metadata.namespace") || names.contains(&field);
        match self.terms.iter().find(|t| !known(&t.field)) {
            None => Ok(self),
            Some(term) if names.is_empty() => Err(FieldSelectorError::Unknown(term.field.to_string())),
            Some(term) => Err(FieldSelectorError::Unsupported(term.field.to_string())),
        }
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether all terms hold for the fields that `lookup` knows; the others are empty.
    pub fn matches<'a>(&self, lookup: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.terms.iter().all(|t| (lookup(&t.field).unwrap_or_default() == &*t.value) == t.equal)
    }

    /// The value that a field must have, if a term says so.
    pub fn exact(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|t| t.equal && *t.field == *field).map(|t| &*t.value)
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, term) in self.terms.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{term}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.field, if self.equal { "=" } else { "!=" })?;
        for c in self.value.chars() {
            if matches!(c, '\\' | ',' | '=') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        Ok(())
    }
}

/// The terms: what stands between commas without a backslash before them.
fn split(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

/// Field, operator and value of a term.
fn operator(term: &str) -> Option<(&str, &str, &str)> {
    term.char_indices().find_map(|(at, _)| {
        let (field, rest) = term.split_at(at);
        let operator = ["!=", "==", "="].into_iter().find(|o| rest.starts_with(o))?;
        Some((field, operator, &rest[operator.len()..]))
    })
}

fn unescape(value: &str) -> Result<String, FieldSelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(FieldSelectorError::Escape(format!("\\{c}"))),
                None => return Err(FieldSelectorError::Escape("\\".to_owned())),
            },
            ',' | '=' => return Err(FieldSelectorError::Unescaped(u32::from(c))),
            c => out.push(c),
        }
    }
    Ok(out)
}
