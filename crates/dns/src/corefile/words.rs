//! A text becomes words: between blanks, or in quotation marks; `#` at a word's start begins a comment; `{$NAME}` and
//! `{%NAME%}` stand for a variable of the environment.

use super::mistake::{Mistake, Wrong};
use super::surroundings::{Surroundings, TEXT_MAX};

/// A word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// Its line, counted from 1.
    pub(super) line: usize,
    /// Whether it stood in quotation marks, where a brace means nothing.
    pub(super) is_quoted: bool,
}

impl Word {
    /// Whether it is this brace.
    pub(super) fn is(&self, brace: &str) -> bool {
        !self.is_quoted && self.text == brace
    }
}

/// The words of each line that has any.
pub(super) fn lines(text: &str, surroundings: &dyn Surroundings) -> Result<Vec<Vec<Word>>, Mistake> {
    if text.len() > TEXT_MAX {
        return Err(Wrong::TooLarge { most: TEXT_MAX, what: "octets" }.at(1));
    }
    let mut reader = Reader { rest: text.trim_start_matches('\u{feff}').chars().peekable(), line: 1 };
    let mut lines: Vec<Vec<Word>> = vec![Vec::new()];
    loop {
        match reader.step()? {
            Step::End => break,
            Step::Line => lines.push(Vec::new()),
            Step::Word(mut word) => {
                word.text = with_variables(&word.text, surroundings);
                if let Some(line) = lines.last_mut() {
                    line.push(word);
                }
            }
        }
    }
    lines.retain(|line| !line.is_empty());
    Ok(lines)
}

enum Step {
    Word(Word),
    Line,
    End,
}

struct Reader<'t> {
    rest: std::iter::Peekable<std::str::Chars<'t>>,
    line: usize,
}

impl Reader<'_> {
    fn step(&mut self) -> Result<Step, Mistake> {
        loop {
            match self.rest.peek() {
                None => return Ok(Step::End),
                Some('\n') => {
                    self.rest.next();
                    self.line += 1;
                    return Ok(Step::Line);
                }
                Some('#') => while self.rest.next_if(|letter| *letter != '\n').is_some() {},
                Some('"') => return self.quoted().map(Step::Word),
                Some('\\') => {
                    self.rest.next();
                    // At a line's end it makes one line of two.
                    self.rest.next_if_eq(&'\r');
                    if self.rest.next_if_eq(&'\n').is_some() {
                        self.line += 1;
                    } else {
                        return Ok(Step::Word(self.plain("\\".to_owned())));
                    }
                }
                Some(blank) if blank.is_whitespace() => {
                    self.rest.next();
                }
                Some(_) => return Ok(Step::Word(self.plain(String::new()))),
            }
        }
    }

    fn plain(&mut self, mut text: String) -> Word {
        while let Some(letter) = self.rest.next_if(|letter| !letter.is_whitespace()) {
            text.push(letter);
        }
        Word { text, line: self.line, is_quoted: false }
    }

    fn quoted(&mut self) -> Result<Word, Mistake> {
        let line = self.line;
        let mut text = String::new();
        self.rest.next();
        loop {
            match self.rest.next() {
                None => return Err(Wrong::Quotation.at(line)),
                Some('"') => return Ok(Word { text, line, is_quoted: true }),
                Some('\\') if self.rest.peek() == Some(&'"') => {
                    self.rest.next();
                    text.push('"');
                }
                Some(letter) => {
                    self.line += usize::from(letter == '\n');
                    text.push(letter);
                }
            }
        }
    }
}

/// A variable that is not set leaves nothing, as CoreDNS has it. What a variable holds is not looked through again.
fn with_variables(text: &str, surroundings: &dyn Surroundings) -> String {
    let mut whole = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(['{']) {
        let (before, from) = rest.split_at(start);
        whole.push_str(before);
        let found = [("{$", "}"), ("{%", "%}")].into_iter().find_map(|(open, close)| {
            let (name, after) = from.strip_prefix(open)?.split_once(close)?;
            (!name.is_empty()).then_some((name, after))
        });
        match found {
            Some((name, after)) => {
                whole.push_str(&surroundings.variable(name).unwrap_or_default());
                rest = after;
            }
            None => {
                whole.push('{');
                rest = &from[1..];
            }
        }
    }
    whole.push_str(rest);
    whole
}
