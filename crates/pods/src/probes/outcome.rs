//! Answers.

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is well.
    Well,
    /// It is not, and why.
    Ill(String),
    /// It could not be asked, and why.
    Unknown(String),
}
