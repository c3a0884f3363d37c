//! What the user can mend: one line that names the cure, exit code 2, nothing left behind.

use std::fmt;

/// A request that is refused before anything was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(String);

impl Refusal {
    /// A refusal with its one line, which names the cure.
    pub fn new(line: impl Into<String>) -> Self {
        Self(line.into())
    }

    /// A refusal whose line was printed already.
    pub fn silent() -> Self {
        Self(String::new())
    }

    /// Whether its line was printed already.
    pub fn is_silent(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}
