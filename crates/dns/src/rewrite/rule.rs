//! One rule.

use regex::Regex;

use crate::name::Name;

/// Which names a rule is for, and what they become. Texts are in lower case; names end in a dot.
#[derive(Debug, Clone)]
pub enum Matching {
    /// One name.
    Exact {
        /// The name.
        from: String,
        /// What it becomes.
        to: String,
    },
    /// Names that start so.
    Prefix {
        /// The start.
        from: String,
        /// What the start becomes.
        to: String,
    },
    /// Names that end so.
    Suffix {
        /// The end, with its dot.
        from: String,
        /// What the end becomes.
        to: String,
    },
    /// Names in which this stands, anywhere.
    Substring {
        /// What stands there.
        from: String,
        /// What it becomes, wherever it stands.
        to: String,
    },
    /// Names that an expression matches.
    Regex {
        /// The expression.
        from: Regex,
        /// What the name becomes. `{1}` stands for the expression's first group.
        to: String,
    },
}

/// What is done to names in the answer.
#[derive(Debug, Clone)]
pub enum AnswerRule {
    /// What the question became, becomes again what it was: records' names, and names in their data.
    Auto,
    /// Records' names that an expression matches.
    Name {
        /// The expression.
        from: Regex,
        /// What the name becomes.
        to: String,
    },
    /// Names in records' data that an expression matches.
    Value {
        /// The expression.
        from: Regex,
        /// What the name becomes.
        to: String,
    },
}

/// One rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The zones whose names it is for; empty for all.
    pub zones: Vec<Name>,
    /// Zones within them that it is not for.
    pub except: Vec<Name>,
    /// Which names.
    pub matching: Matching,
    /// What is done to answers; nothing but the question's own name is turned back where it is empty.
    pub answers: Vec<AnswerRule>,
    /// Whether the rules after it are tried too when it was applied.
    pub goes_on: bool,
}

impl Matching {
    /// What a name becomes; `None` where the rule is not for it.
    pub(super) fn apply(&self, name: &str) -> Option<String> {
        match self {
            Self::Exact { from, to } => (name == from).then(|| to.clone()),
            Self::Prefix { from, to } => name.strip_prefix(from.as_str()).map(|rest| format!("{to}{rest}")),
            Self::Suffix { from, to } => name.strip_suffix(from.as_str()).map(|rest| format!("{rest}{to}")),
            Self::Substring { from, to } => name.contains(from.as_str()).then(|| name.replace(from.as_str(), to)),
            Self::Regex { from, to } => filled(from, to, name),
        }
    }
}

/// A template with the groups of an expression that matches a name.
pub(super) fn filled(from: &Regex, to: &str, name: &str) -> Option<String> {
    let groups = from.captures(name)?;
    let mut filled = to.to_owned();
    for (at, group) in groups.iter().enumerate() {
        filled = filled.replace(&format!("{{{at}}}"), group.map_or("", |group| group.as_str()));
    }
    Some(filled)
}
