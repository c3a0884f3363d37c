//! What the user can mend: one line that names the cure, exit code 2, nothing left behind. And how any error becomes
//! one line.

use std::fmt;

#[cfg(test)]
mod tests;

/// A request that is refused before anything was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(String);

impl Refusal {
    /// A refusal with its one line, which names the cure.
    pub fn new(line: impl Into<String>) -> Self {
        Self(line.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// An end whose reason was said already, by a process that did the work for this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaidAlready {
    /// The exit code to end with.
    pub code: u8,
}

impl fmt::Display for SaidAlready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ended with exit code {}", self.code)
    }
}

impl std::error::Error for SaidAlready {}

/// The exit code of an error, 2 for what the user can mend; and its line, unless that was said already.
pub fn verdict(error: &anyhow::Error) -> (u8, Option<String>) {
    if let Some(said) = error.downcast_ref::<SaidAlready>() {
        return (said.code, None);
    }
    let code = if error.downcast_ref::<Refusal>().is_some() { 2 } else { 1 };
    (code, Some(one_line(error)))
}

/// An error and its causes in one line. What a cause says is said once, although some errors hold their cause's text.
pub fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = joined(&cause.to_string());
        if text.is_empty() || line.contains(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line
}

/// A text of several lines as one.
pub fn joined(text: &str) -> String {
    let mut line = String::new();
    for part in text.lines().map(str::trim).filter(|part| !part.is_empty()) {
        match line.chars().last() {
            None => {}
            Some(':' | ',' | ';') => line.push(' '),
            Some(_) => line.push_str("; "),
        }
        line.push_str(part);
    }
    line
}

/// What is wrong with a command line, as one line with the way to help, from what clap says over many.
pub fn of_usage(error: &clap::Error, subcommand: Option<&str>) -> String {
    let rendered = error.render().to_string();
    let said = rendered.lines().take_while(|l| !l.starts_with("Usage:") && !l.starts_with("For more information"));
    let said = joined(&said.collect::<Vec<_>>().join("\n"));
    let said = said.strip_prefix("error: ").unwrap_or(&said);
    let help = subcommand.map(|name| format!("{name} --help")).unwrap_or_else(|| "--help".to_owned());
    format!("{said}; see `portolan {help}`")
}
