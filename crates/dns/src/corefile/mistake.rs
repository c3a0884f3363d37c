//! What is wrong with a Corefile, where, and what to do about it.

/// What is wrong with a Corefile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Corefile line {line}: {what}")]
pub struct Mistake {
    /// The line, counted from 1; of the file that is imported, where one is.
    pub line: usize,
    /// What is wrong there.
    pub what: Wrong,
}

/// What can be wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// A plugin that is not known here.
    #[error("plugin {plugin:?} is not known here{hint}; known are {known}")]
    Plugin {
        /// The plugin.
        plugin: String,
        /// What to do instead, after a semicolon.
        hint: String,
        /// Every plugin that is known.
        known: String,
    },
    /// An option that is not known here.
    #[error("{plugin} has no option {option:?} here; {cure}")]
    Option {
        /// The plugin.
        plugin: &'static str,
        /// The option.
        option: String,
        /// What to do instead.
        cure: String,
    },
    /// Something that CoreDNS takes and this server does not.
    #[error("{what} is not possible here; {cure}")]
    Impossible {
        /// What is asked for.
        what: String,
        /// What to do instead.
        cure: &'static str,
    },
    /// A word that is not what it should be.
    #[error("{place}: {found:?} is not {expected}")]
    Word {
        /// The plugin or option.
        place: String,
        /// The word.
        found: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Words are missing.
    #[error("{place} lacks {expected}")]
    Missing {
        /// The plugin or option.
        place: String,
        /// What it should have.
        expected: &'static str,
    },
    /// Words too many.
    #[error("{place}: {found:?} is too much")]
    TooMuch {
        /// The plugin or option.
        place: String,
        /// The first of them.
        found: String,
    },
    /// What may stand once stands twice.
    #[error("{what} stands twice; it may stand once")]
    Twice {
        /// What it is.
        what: String,
    },
    /// A brace is not where it belongs.
    #[error("{0}")]
    Brace(&'static str),
    /// A quotation does not end.
    #[error("the quotation that begins here does not end")]
    Quotation,
    /// A file cannot be read.
    #[error("cannot read {path}: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Imports lead into each other, or are too many.
    #[error("imports go deeper than {most}; does a file or a snippet import itself?")]
    Depth {
        /// The most.
        most: usize,
    },
    /// The file is too large.
    #[error("more than {most} {what}")]
    TooLarge {
        /// The most.
        most: usize,
        /// Of what.
        what: &'static str,
    },
    /// A rewritten name's expression.
    #[error("{place}: {found:?} is no expression: {reason}")]
    Expression {
        /// The plugin or option.
        place: String,
        /// The expression.
        found: String,
        /// Why.
        reason: String,
    },
    /// Nothing is there.
    #[error("no server block; the least is `. {{ forward . ADDRESS }}`")]
    Nothing,
}

impl Wrong {
    /// The mistake of it in a line.
    #[must_use]
    pub fn at(self, line: usize) -> Mistake {
        Mistake { line, what: self }
    }
}
