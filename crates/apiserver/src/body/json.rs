//! JSON as Go reads it: the same texts accepted, the same errors, and names that come twice are told.
//!
//! serde_json reads the same language, but its errors are its own, and clients of Kubernetes see Go's.

use serde_json::{Map, Number, Value};

use super::{Document, Duplicate};
use kinds::schema::quoted;

/// How deep lists and objects may be nested. Go allows 10,000; no Kubernetes type needs more than some fifty, what walks
/// documents here does so by recursion, and serde_json, which reads what is stored, goes no deeper than 127.
pub const MAX_DEPTH: usize = 100;

/// Duplicates beyond this number are not told, as in Kubernetes.
const MOST_DUPLICATES: usize = 100;

/// Why text is no JSON, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// It ends too early.
    #[error("unexpected end of JSON input")]
    End,
    /// A character does not belong where it is.
    #[error("invalid character {0} {1}")]
    Character(String, &'static str),
    /// It is nested deeper than [`MAX_DEPTH`].
    #[error("exceeded max depth")]
    Depth,
}

/// Reads one JSON value. Bytes that are not UTF-8 and surrogates without partner become U+FFFD.
///
/// # Errors
/// [`SyntaxError`]
pub fn parse(bytes: &[u8]) -> Result<Document, SyntaxError> {
    let mut reader = Reader { bytes, at: 0, depth: 0, duplicates: Vec::new() };
    reader.blanks();
    let value = reader.value("looking for beginning of value")?;
    reader.blanks();
    match reader.peek() {
        None => {
            let duplicates = reader.duplicates.into_iter().map(told).collect();
            Ok(Document { value, duplicates })
        }
        Some(c) => Err(invalid(c, "after top-level value")),
    }
}

fn told(path: String) -> Duplicate {
    Duplicate { fault: format!("duplicate field {}", quoted(&path)), path }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: usize,
    /// Paths, as seen from the value that is being read.
    duplicates: Vec<String>,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The next byte, or that there is none.
    fn next(&mut self) -> Result<u8, SyntaxError> {
        let c = self.peek().ok_or(SyntaxError::End)?;
        self.at += 1;
        Ok(c)
    }

    /// The next byte of something that a blank would end: that is what Go takes the end of the text for.
    fn next_of(&mut self, context: &'static str) -> Result<u8, SyntaxError> {
        self.next().map_err(|_| invalid(b' ', context))
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn value(&mut self, context: &'static str) -> Result<Value, SyntaxError> {
        match self.peek().ok_or(SyntaxError::End)? {
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::list),
            b'"' => self.string().map(Value::String),
            b't' => self.literal(&LITERAL_TRUE, Value::Bool(true)),
            b'f' => self.literal(&LITERAL_FALSE, Value::Bool(false)),
            b'n' => self.literal(&LITERAL_NULL, Value::Null),
            b'-' | b'0'..=b'9' => self.number(),
            c => Err(invalid(c, context)),
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value, SyntaxError>) -> Result<Value, SyntaxError> {
        if self.depth == MAX_DEPTH {
            return Err(SyntaxError::Depth);
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn object(&mut self) -> Result<Value, SyntaxError> {
        let mut map = Map::new();
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(map));
        }
        loop {
            self.blanks();
            match self.peek().ok_or(SyntaxError::End)? {
                b'"' => {}
                c => return Err(invalid(c, "looking for beginning of object key string")),
            }
            let key = self.string()?;
            self.blanks();
            match self.next()? {
                b':' => {}
                c => return Err(invalid(c, "after object key")),
            }
            self.blanks();
            if map.contains_key(&key) && self.duplicates.len() < MOST_DUPLICATES {
                self.duplicates.push(key.clone());
            }
            let known = self.duplicates.len();
            let value = self.value("looking for beginning of value")?;
            self.prefix(known, &key);
            map.insert(key, value);
            self.blanks();
            match self.next()? {
                b',' => {}
                b'}' => return Ok(Value::Object(map)),
                c => return Err(invalid(c, "after object key:value pair")),
            }
        }
    }

    fn list(&mut self) -> Result<Value, SyntaxError> {
        let mut list = Vec::new();
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(list));
        }
        loop {
            self.blanks();
            let known = self.duplicates.len();
            let value = self.value("looking for beginning of value")?;
            self.prefix(known, &format!("[{}]", list.len()));
            list.push(value);
            self.blanks();
            match self.next()? {
                b',' => {}
                b']' => return Ok(Value::Array(list)),
                c => return Err(invalid(c, "after array element")),
            }
        }
    }

    /// Puts a step before the paths of the duplicates that were found within it.
    fn prefix(&mut self, known: usize, step: &str) {
        for path in self.duplicates.iter_mut().skip(known) {
            let dot = if path.starts_with('[') { "" } else { "." };
            *path = format!("{step}{dot}{path}");
        }
    }

    fn literal(&mut self, literal: &Literal, value: Value) -> Result<Value, SyntaxError> {
        self.at += 1;
        for (expected, context) in literal {
            let c = self.next_of(context)?;
            if c != *expected {
                return Err(invalid(c, context));
            }
        }
        Ok(value)
    }

    fn number(&mut self) -> Result<Value, SyntaxError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.next_of("in numeric literal")? {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            c => return Err(invalid(c, "in numeric literal")),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(Value::Number(number(&self.bytes[start..self.at])))
    }

    fn some_digits(&mut self, context: &'static str) -> Result<(), SyntaxError> {
        match self.next_of(context)? {
            b'0'..=b'9' => {
                self.digits();
                Ok(())
            }
            c => Err(invalid(c, context)),
        }
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        self.at += 1;
        let mut text = String::new();
        let mut start = self.at;
        loop {
            match self.next()? {
                b'"' => {
                    text.push_str(&String::from_utf8_lossy(&self.bytes[start..self.at - 1]));
                    return Ok(text);
                }
                b'\\' => {
                    text.push_str(&String::from_utf8_lossy(&self.bytes[start..self.at - 1]));
                    text.push(self.escape()?);
                    start = self.at;
                }
                c @ 0..0x20 => return Err(invalid(c, "in string literal")),
                _ => {}
            }
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        Ok(match self.next_of("in string escape code")? {
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            c @ (b'"' | b'\\' | b'/') => char::from(c),
            b'u' => {
                let first = self.hex()?;
                self.scalar(first)?
            }
            c => return Err(invalid(c, "in string escape code")),
        })
    }

    /// The character of a `\u` escape, which may be the first of two.
    fn scalar(&mut self, first: u32) -> Result<char, SyntaxError> {
        let after = self.at;
        if (0xd800..0xdc00).contains(&first) && self.bytes[after..].starts_with(b"\\u") {
            self.at += 2;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = after;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self) -> Result<u32, SyntaxError> {
        let context = "in \\u hexadecimal character escape";
        let mut code = 0;
        for _ in 0..4 {
            let c = self.next_of(context)?;
            code = code << 4 | char::from(c).to_digit(16).ok_or_else(|| invalid(c, context))?;
        }
        Ok(code)
    }
}

type Literal = [(u8, &'static str)];
const LITERAL_TRUE: [(u8, &str); 3] = [
    (b'r', "in literal true (expecting 'r')"),
    (b'u', "in literal true (expecting 'u')"),
    (b'e', "in literal true (expecting 'e')"),
];
const LITERAL_FALSE: [(u8, &str); 4] = [
    (b'a', "in literal false (expecting 'a')"),
    (b'l', "in literal false (expecting 'l')"),
    (b's', "in literal false (expecting 's')"),
    (b'e', "in literal false (expecting 'e')"),
];
const LITERAL_NULL: [(u8, &str); 3] = [
    (b'u', "in literal null (expecting 'u')"),
    (b'l', "in literal null (expecting 'l')"),
    (b'l', "in literal null (expecting 'l')"),
];

/// A whole number where 64 bits hold it, else the nearest that a `f64` holds.
fn number(text: &[u8]) -> Number {
    let text = std::str::from_utf8(text).unwrap_or("0");
    if let Ok(n) = text.parse::<i64>() {
        return Number::from(n);
    }
    if let Ok(n) = text.parse::<u64>() {
        return Number::from(n);
    }
    let float = text.parse::<f64>().unwrap_or(0.0).clamp(f64::MIN, f64::MAX);
    Number::from_f64(float).unwrap_or_else(|| Number::from(0))
}

fn invalid(c: u8, context: &'static str) -> SyntaxError {
    let shown = match c {
        b'\'' => r"'\''".to_owned(),
        b'"' => r#"'"'"#.to_owned(),
        other => {
            let text = quoted(char::from(other).encode_utf8(&mut [0; 4]));
            format!("'{}'", text.trim_matches('"'))
        }
    };
    SyntaxError::Character(shown, context)
}
