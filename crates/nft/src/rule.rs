//! Rules.

use std::fmt;
use std::sync::Arc;

use crate::expr::Expr;
use crate::table::TableId;
use crate::text::rule_text;

/// A rule: expressions that are run in order until one ends the rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// The table it is in.
    pub table: TableId,
    /// The chain it is in.
    pub chain: Arc<str>,
    /// What it does.
    pub exprs: Vec<Expr>,
    /// Shown by `nft list`; at most 128 bytes.
    pub comment: Option<String>,
}

impl Rule {
    /// A rule without comment.
    pub fn new(table: &TableId, chain: &str, exprs: Vec<Expr>) -> Rule {
        Rule { table: table.clone(), chain: chain.into(), exprs, comment: None }
    }

    /// With a comment.
    pub fn with_comment(mut self, comment: &str) -> Rule {
        self.comment = Some(comment.to_owned());
        self
    }

    /// With all counters at zero: to compare a rule that was dumped with one that is wanted.
    pub fn without_counts(mut self) -> Rule {
        for expr in &mut self.exprs {
            if let Expr::Counter { packets, bytes } = expr {
                (*packets, *bytes) = (0, 0);
            }
        }
        self
    }

    /// What it does, as one line in nft's manner.
    pub fn text(&self) -> String {
        rule_text(&self.exprs)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {} {} {}", self.table, self.chain, self.text())?;
        match &self.comment {
            Some(comment) => write!(f, " comment {comment:?}"),
            None => Ok(()),
        }
    }
}
