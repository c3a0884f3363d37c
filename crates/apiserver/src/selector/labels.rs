//! Label selectors: `app=a,tier in (x,y),!canary`.

use std::fmt;

use kinds::field::Error;
use kinds::field::Path;
use kinds::names;

/// Requirements that must all hold. The default holds for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Box<[Requirement]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: Box<str>,
    operator: Operator,
    /// In ascending order, none twice.
    values: Box<[Box<str>]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Exists,
    DoesNotExist,
    Equals,
    DoubleEquals,
    NotEquals,
    In,
    NotIn,
    GreaterThan,
    LessThan,
}

/// Why a label selector is refused; the text is the message of a 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LabelSelectorError {
    /// The words do not make a requirement: `unable to parse requirement: found 'b', expected: in, notin, …`
    #[error("unable to parse requirement: found '{found}'{expected}")]
    Requirement {
        /// What stands there.
        found: String,
        /// What should: `, expected: …`
        expected: &'static str,
    },
    /// The requirements do not follow each other as they must.
    #[error("found '{found}', expected: {expected}")]
    Sequence {
        /// What stands there.
        found: String,
        /// What should.
        expected: &'static str,
    },
    /// A key or a value cannot be one: `unable to parse requirement: values[0][app]: Invalid value: …`
    #[error("unable to parse requirement: {0}")]
    Invalid(String),
}

impl LabelSelector {
    /// Reads a selector; an empty text selects everything.
    ///
    /// # Errors
    /// [`LabelSelectorError`]
    pub fn parse(text: &str) -> Result<Self, LabelSelectorError> {
        let mut requirements = Parser { words: lex(text), at: 0 }.selector()?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements: requirements.into() })
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// A label and the only value that it may have, if a requirement says so.
    pub fn exact(&self) -> Option<(&str, &str)> {
        self.requirements.iter().find_map(|requirement| match (requirement.operator, &*requirement.values) {
            (Operator::In | Operator::Equals | Operator::DoubleEquals, [value]) => Some((&*requirement.key, &**value)),
            _ => None,
        })
    }

    /// Whether all requirements hold for the labels that `lookup` knows.
    pub fn matches<'a>(&self, lookup: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|r| r.holds(lookup(&r.key)))
    }
}

impl Requirement {
    fn holds(&self, label: Option<&str>) -> bool {
        let listed = |label: &str| self.values.binary_search_by(|v| (**v).cmp(label)).is_ok();
        match self.operator {
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::In | Operator::Equals | Operator::DoubleEquals => label.is_some_and(listed),
            Operator::NotIn | Operator::NotEquals => !label.is_some_and(listed),
            Operator::GreaterThan | Operator::LessThan => {
                let limit = self.values.first().and_then(|v| v.parse::<i64>().ok());
                let (Some(limit), Some(Ok(value))) = (limit, label.map(str::parse::<i64>)) else { return false };
                if self.operator == Operator::GreaterThan { value > limit } else { value < limit }
            }
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, requirement) in self.requirements.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{requirement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, values) = (&self.key, self.values.join(","));
        match self.operator {
            Operator::Exists => write!(f, "{key}"),
            Operator::DoesNotExist => write!(f, "!{key}"),
            Operator::Equals => write!(f, "{key}={values}"),
            Operator::DoubleEquals => write!(f, "{key}=={values}"),
            Operator::NotEquals => write!(f, "{key}!={values}"),
            Operator::In => write!(f, "{key} in ({values})"),
            Operator::NotIn => write!(f, "{key} notin ({values})"),
            Operator::GreaterThan => write!(f, "{key}>{values}"),
            Operator::LessThan => write!(f, "{key}<{values}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Error,
    End,
    Closed,
    Open,
    Comma,
    Not,
    DoubleEquals,
    Equals,
    NotEquals,
    Greater,
    Less,
    In,
    NotIn,
    Identifier,
}

struct Word {
    token: Token,
    text: String,
}

fn token(text: &str) -> Option<Token> {
    Some(match text {
        ")" => Token::Closed,
        "(" => Token::Open,
        "," => Token::Comma,
        "!" => Token::Not,
        "==" => Token::DoubleEquals,
        "=" => Token::Equals,
        "!=" => Token::NotEquals,
        ">" => Token::Greater,
        "<" => Token::Less,
        "in" => Token::In,
        "notin" => Token::NotIn,
        _ => return None,
    })
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn is_special(c: char) -> bool {
    matches!(c, '=' | '!' | '(' | ')' | ',' | '>' | '<')
}

/// The words of a selector; the last is the end. A NUL ends it, too.
fn lex(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut rest = text.split('\0').next().unwrap_or_default();
    loop {
        rest = rest.trim_start_matches(is_blank);
        let Some(first) = rest.chars().next() else {
            words.push(Word { token: Token::End, text: String::new() });
            return words;
        };
        let length = if is_special(first) {
            special(rest)
        } else {
            rest.find(|c| is_special(c) || is_blank(c)).unwrap_or(rest.len())
        };
        let (text, after) = rest.split_at(length);
        let token = token(text).unwrap_or(if is_special(first) { Token::Error } else { Token::Identifier });
        let text =
            if token == Token::Error { format!("error expected: keyword found '{text}'") } else { text.to_owned() };
        words.push(Word { token, text });
        rest = after;
    }
}

/// The length of the longest operator, or of all special characters if they begin with none.
fn special(text: &str) -> usize {
    let run = text.find(|c| !is_special(c)).unwrap_or(text.len());
    let mut longest = 0;
    for end in 1..=run {
        match token(&text[..end]) {
            Some(_) => longest = end,
            None if longest > 0 => break,
            None => {}
        }
    }
    if longest > 0 { longest } else { run }
}

struct Parser {
    words: Vec<Word>,
    at: usize,
}

impl Parser {
    /// The next word. As a value, `in` and `notin` are like any other.
    fn peek(&self) -> (Token, &str) {
        let Some(word) = self.words.get(self.at).or(self.words.last()) else { return (Token::End, "") };
        let token = if matches!(word.token, Token::In | Token::NotIn) { Token::Identifier } else { word.token };
        (token, &word.text)
    }

    fn next(&mut self) -> (Token, String) {
        let (token, text) = self.peek();
        let text = text.to_owned();
        self.at += 1;
        (token, text)
    }

    fn selector(&mut self) -> Result<Vec<Requirement>, LabelSelectorError> {
        let mut requirements = Vec::new();
        loop {
            let (token, text) = self.peek();
            match token {
                Token::Identifier | Token::Not => {}
                Token::End => return Ok(requirements),
                _ => return Err(sequence(text, "!, identifier, or 'end of string'")),
            }
            requirements.push(self.requirement()?);
            let (token, text) = self.next();
            match token {
                Token::End => return Ok(requirements),
                Token::Comma => {
                    let (token, text) = self.peek();
                    if !matches!(token, Token::Identifier | Token::Not) {
                        return Err(sequence(text, "identifier after ','"));
                    }
                }
                _ => return Err(sequence(&text, "',' or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, LabelSelectorError> {
        let (mut token, mut key) = self.next();
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.next();
        }
        if token != Token::Identifier {
            return Err(unexpected(&key, ", expected: identifier"));
        }
        let faults = names::label_key(&key);
        if !faults.is_empty() {
            // Kubernetes prints the path that it does not have here.
            return Err(LabelSelectorError::Invalid(
                Error::invalid(&Path::new("<nil>"), key, faults.join("; ")).to_string(),
            ));
        }
        let ends = matches!(self.peek().0, Token::End | Token::Comma);
        // What follows `!a` besides the end makes a requirement of its own that forgets the `!`: Kubernetes' way.
        let (operator, values) = match (negated, ends) {
            (true, _) => (Operator::DoesNotExist, Vec::new()),
            (false, true) => (Operator::Exists, Vec::new()),
            (false, false) => {
                let operator = self.operator()?;
                let values = match operator {
                    Operator::In | Operator::NotIn => self.values()?,
                    _ => vec![self.value()?],
                };
                (operator, values)
            }
        };
        requirement(key, operator, values)
    }

    fn operator(&mut self) -> Result<Operator, LabelSelectorError> {
        let word = self.words.get(self.at).or(self.words.last());
        let operator = match word.map(|w| w.token) {
            Some(Token::In) => Operator::In,
            Some(Token::NotIn) => Operator::NotIn,
            Some(Token::Equals) => Operator::Equals,
            Some(Token::DoubleEquals) => Operator::DoubleEquals,
            Some(Token::NotEquals) => Operator::NotEquals,
            Some(Token::Greater) => Operator::GreaterThan,
            Some(Token::Less) => Operator::LessThan,
            _ => {
                let found = word.map(|w| w.text.as_str()).unwrap_or_default();
                return Err(unexpected(found, ", expected: in, notin, =, ==, !=, gt, lt"));
            }
        };
        self.at += 1;
        Ok(operator)
    }

    /// `(a,b)`; an empty place is the empty value.
    fn values(&mut self) -> Result<Vec<String>, LabelSelectorError> {
        let (token, text) = self.next();
        if token != Token::Open {
            return Err(unexpected(&text, " expected: '('"));
        }
        match self.peek().0 {
            Token::Identifier | Token::Comma => {
                let values = self.listed()?;
                self.at += 1;
                Ok(values)
            }
            Token::Closed => {
                self.at += 1;
                Ok(vec![String::new()])
            }
            _ => Err(unexpected(self.peek().1, ", expected: ',', ')' or identifier")),
        }
    }

    /// The values up to the closing parenthesis, which is left.
    fn listed(&mut self) -> Result<Vec<String>, LabelSelectorError> {
        let mut values = Vec::new();
        loop {
            let (token, text) = self.next();
            let following = self.peek().0;
            match token {
                Token::Identifier => {
                    values.push(text);
                    match following {
                        Token::Comma => {}
                        Token::Closed => return Ok(values),
                        _ => return Err(unexpected(self.peek().1, ", expected: ',' or ')'")),
                    }
                }
                Token::Comma => {
                    if values.is_empty() || matches!(following, Token::Closed | Token::Comma) {
                        values.push(String::new());
                    }
                    if following == Token::Closed {
                        return Ok(values);
                    }
                }
                _ => return Err(unexpected(&text, ", expected: ',', or identifier")),
            }
        }
    }

    fn value(&mut self) -> Result<String, LabelSelectorError> {
        if matches!(self.peek().0, Token::End | Token::Comma) {
            return Ok(String::new());
        }
        match self.next() {
            (Token::Identifier, text) => Ok(text),
            (_, text) => Err(unexpected(&text, ", expected: identifier")),
        }
    }
}

fn requirement(key: String, operator: Operator, mut values: Vec<String>) -> Result<Requirement, LabelSelectorError> {
    values.sort_unstable();
    values.dedup();
    let path = Path::new("values");
    let mut faults = Vec::new();
    if matches!(operator, Operator::GreaterThan | Operator::LessThan) {
        let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
        let bad = values.iter().enumerate().filter(|(_, v)| v.parse::<i64>().is_err());
        faults.extend(bad.map(|(at, v)| Error::invalid(&path.index(at), v.as_str(), detail)));
    }
    for (at, value) in values.iter().enumerate() {
        let of_value = names::label_value(value);
        if !of_value.is_empty() {
            faults.push(Error::invalid(&path.index(at).key(&key), value.as_str(), of_value.join("; ")));
        }
    }
    if faults.is_empty() {
        let values = values.into_iter().map(String::into_boxed_str).collect();
        return Ok(Requirement { key: key.into(), operator, values });
    }
    let mut texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
    texts.dedup();
    Err(LabelSelectorError::Invalid(match texts.as_slice() {
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    }))
}

fn unexpected(found: &str, expected: &'static str) -> LabelSelectorError {
    LabelSelectorError::Requirement { found: found.to_owned(), expected }
}

fn sequence(found: &str, expected: &'static str) -> LabelSelectorError {
    LabelSelectorError::Sequence { found: found.to_owned(), expected }
}
