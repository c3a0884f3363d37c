//! Words become server blocks: the zones that a block is for, and its plugins with their options.
//!
//! ```text
//! KEY [KEY...] {
//!     PLUGIN [WORD...] {
//!         OPTION [WORD...]
//!     }
//! }
//! ```
//!
//! `(NAME) { ... }` is a snippet, whose lines `import NAME` puts elsewhere; `import FILE` puts a file's lines there.

use std::collections::{HashMap, VecDeque};

use super::mistake::{Mistake, Wrong};
use super::surroundings::Surroundings;
use super::words::{Word, lines};

/// How deep imports may go.
const DEPTH_MAX: usize = 8;
/// How deep braces may go within a plugin.
const NESTING_MAX: usize = 4;
/// The most lines, imported ones included.
const LINES_MAX: usize = 50_000;

/// A plugin or an option of one, with what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) name: Word,
    pub(super) arguments: Vec<Word>,
    /// The lines between braces after it; `None` where there are no braces.
    pub(super) body: Option<Vec<Directive>>,
}

/// A server block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) keys: Vec<Word>,
    pub(super) plugins: Vec<Directive>,
}

/// The server blocks of a text.
pub(super) fn blocks(text: &str, surroundings: &dyn Surroundings) -> Result<Vec<Block>, Mistake> {
    let mut source = Source { surroundings, snippets: HashMap::new(), taken: 0, nesting: 0 };
    let mut lines = Lines::new(lines(text, surroundings)?);
    let mut blocks = Vec::new();
    source.file(&mut lines, 0, &mut blocks)?;
    Ok(blocks)
}

struct Source<'s> {
    surroundings: &'s dyn Surroundings,
    snippets: HashMap<String, Vec<Vec<Word>>>,
    taken: usize,
    nesting: usize,
}

/// Lines that are read one after the other.
struct Lines {
    rest: VecDeque<Vec<Word>>,
}

impl Lines {
    fn new(lines: Vec<Vec<Word>>) -> Self {
        Self { rest: lines.into() }
    }
}

impl Source<'_> {
    fn count(&mut self, line: usize) -> Result<(), Mistake> {
        self.taken += 1;
        if self.taken > LINES_MAX {
            return Err(Wrong::TooLarge { most: LINES_MAX, what: "lines" }.at(line));
        }
        Ok(())
    }

    fn file(&mut self, lines: &mut Lines, depth: usize, blocks: &mut Vec<Block>) -> Result<(), Mistake> {
        while let Some(mut words) = lines.rest.pop_front() {
            let line = words[0].line;
            self.count(line)?;
            if words[0].is("import") {
                for mut imported in self.import(&words, depth)? {
                    self.file(&mut imported, depth + 1, blocks)?;
                }
                continue;
            }
            // Zones may go on in the next line after a comma.
            while words.last().is_some_and(|word| !word.is_quoted && word.text.ends_with(',')) {
                let Some(more) = lines.rest.pop_front() else { break };
                self.count(line)?;
                words.extend(more);
            }
            let (keys, braces) = split_at_brace(words)?;
            let Some(rest) = braces else {
                return Err(Wrong::Brace("a server block needs braces: ZONE { ... }").at(line));
            };
            let snippet = snippet_name(&keys);
            if let Some(name) = snippet {
                let body = raw_body(lines, rest, line)?;
                self.snippets.insert(name, body);
                continue;
            }
            if keys.is_empty() {
                return Err(Wrong::Brace("a server block needs zones before its brace").at(line));
            }
            push_back(lines, rest);
            let mut plugins = Vec::new();
            self.body(lines, depth, line, &mut plugins)?;
            blocks.push(Block { keys, plugins });
        }
        Ok(())
    }

    /// Directives up to the closing brace, which is taken too.
    fn body(
        &mut self,
        lines: &mut Lines,
        depth: usize,
        opened: usize,
        directives: &mut Vec<Directive>,
    ) -> Result<(), Mistake> {
        loop {
            let Some(words) = lines.rest.pop_front() else {
                return Err(Wrong::Brace("the brace that opens here is not closed").at(opened));
            };
            let line = words[0].line;
            self.count(line)?;
            if words[0].is("}") {
                push_back(lines, words[1..].to_vec());
                return Ok(());
            }
            if words[0].is("{") {
                return Err(Wrong::Brace("a brace opens where a plugin or an option is expected").at(line));
            }
            if words[0].is("import") {
                for imported in self.import(&words, depth)? {
                    self.inside(imported, depth + 1, directives)?;
                }
                continue;
            }
            directives.push(self.directive(words, lines, depth)?);
        }
    }

    /// The directives of lines that end without a brace, as imported ones do.
    fn inside(&mut self, mut lines: Lines, depth: usize, directives: &mut Vec<Directive>) -> Result<(), Mistake> {
        while let Some(words) = lines.rest.pop_front() {
            let line = words[0].line;
            self.count(line)?;
            if words[0].is("}") || words[0].is("{") {
                return Err(Wrong::Brace("a brace stands alone").at(line));
            }
            if words[0].is("import") {
                for imported in self.import(&words, depth)? {
                    self.inside(imported, depth + 1, directives)?;
                }
                continue;
            }
            let directive = self.directive(words, &mut lines, depth)?;
            directives.push(directive);
        }
        Ok(())
    }

    fn directive(&mut self, mut words: Vec<Word>, lines: &mut Lines, depth: usize) -> Result<Directive, Mistake> {
        let line = words[0].line;
        // `plugin word }`: the brace closes the block around.
        let closes =
            words.iter().skip(1).position(|word| word.is("}")).filter(|_| !words.iter().any(|word| word.is("{")));
        if let Some(at) = closes {
            let rest = words.split_off(at + 1);
            push_back(lines, rest);
        }
        let (mut head, rest) = split_at_brace(words)?;
        let name = head.remove(0);
        let body = match rest {
            None => None,
            Some(_) if self.nesting >= NESTING_MAX => {
                return Err(Wrong::Brace("a brace opens deeper than any option goes").at(line));
            }
            Some(rest) => {
                push_back(lines, rest);
                let mut body = Vec::new();
                self.nesting += 1;
                self.body(lines, depth, line, &mut body)?;
                self.nesting -= 1;
                Some(body)
            }
        };
        Ok(Directive { name, arguments: head, body })
    }

    /// The lines that an import stands for: a snippet's, a file's, or those of several files.
    fn import(&mut self, words: &[Word], depth: usize) -> Result<Vec<Lines>, Mistake> {
        let line = words[0].line;
        let what = match words {
            [_, what] => &what.text,
            [] | [_] => {
                return Err(Wrong::Missing { place: "import".to_owned(), expected: "a file or a snippet" }.at(line));
            }
            [_, _, more, ..] => {
                return Err(Wrong::TooMuch { place: "import".to_owned(), found: more.text.clone() }.at(line));
            }
        };
        if depth >= DEPTH_MAX {
            return Err(Wrong::Depth { most: DEPTH_MAX }.at(line));
        }
        if let Some(snippet) = self.snippets.get(what) {
            return Ok(vec![Lines::new(snippet.clone())]);
        }
        // A pattern that nothing fits imports nothing.
        let files = if what.contains('*') { self.surroundings.matching(what) } else { vec![what.clone()] };
        let mut imported = Vec::with_capacity(files.len());
        for path in files {
            let read = self.surroundings.read(&path);
            let text = read.map_err(|error| Wrong::File { path: path.clone(), reason: error.to_string() }.at(line))?;
            imported.push(Lines::new(lines(&text, self.surroundings)?));
        }
        Ok(imported)
    }
}

fn push_back(lines: &mut Lines, words: Vec<Word>) {
    if !words.is_empty() {
        lines.rest.push_front(words);
    }
}

/// What stands before the first opening brace, and what stands after it in the same line.
fn split_at_brace(mut words: Vec<Word>) -> Result<(Vec<Word>, Option<Vec<Word>>), Mistake> {
    // `zone{` is how people write it, too.
    if let Some(at) = words.iter().position(|word| !word.is_quoted && word.text.len() > 1 && word.text.ends_with('{'))
        && !words[..at].iter().any(|word| word.is("{"))
    {
        let line = words[at].line;
        words[at].text.pop();
        words.insert(at + 1, Word { text: "{".to_owned(), line, is_quoted: false });
    }
    let Some(at) = words.iter().position(|word| word.is("{")) else {
        return match words.iter().find(|word| word.is("}")) {
            Some(brace) => Err(Wrong::Brace("a brace closes that was not opened").at(brace.line)),
            None => Ok((words, None)),
        };
    };
    let rest = words.split_off(at + 1);
    words.pop();
    Ok((words, Some(rest)))
}

fn snippet_name(keys: &[Word]) -> Option<String> {
    match keys {
        [key] if !key.is_quoted => Some(key.text.strip_prefix('(')?.strip_suffix(')')?.to_owned()),
        _ => None,
    }
}

/// The lines up to the brace that closes a snippet, as they are.
fn raw_body(lines: &mut Lines, first: Vec<Word>, opened: usize) -> Result<Vec<Vec<Word>>, Mistake> {
    push_back(lines, first);
    let (mut body, mut depth) = (Vec::new(), 1usize);
    while let Some(words) = lines.rest.pop_front() {
        for (at, word) in words.iter().enumerate() {
            let opens = !word.is_quoted && word.text.ends_with('{');
            depth += usize::from(opens);
            if word.is("}") {
                depth -= 1;
                if depth == 0 {
                    if at > 0 {
                        body.push(words[..at].to_vec());
                    }
                    push_back(lines, words[at + 1..].to_vec());
                    return Ok(body);
                }
            }
        }
        body.push(words);
    }
    Err(Wrong::Brace("the brace that opens here is not closed").at(opened))
}
