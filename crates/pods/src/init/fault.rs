//! What goes wrong in `portolan init`, and how the node hears of it.

use std::io::Write;

use crate::bundle::{Fault, FaultKind, Report};

/// A fault of the specification's.
pub fn specification(message: impl Into<String>) -> Fault {
    Fault { kind: FaultKind::Specification, message: message.into() }
}

/// A fault of the machine's.
pub fn machine(message: impl Into<String>) -> Fault {
    Fault { kind: FaultKind::Machine, message: message.into() }
}

/// Names what was tried, for a fault of the machine's.
pub trait Tried<T> {
    fn tried(self, what: impl FnOnce() -> String) -> Result<T, Fault>;
}

impl<T, E: std::fmt::Display> Tried<T> for Result<T, E> {
    fn tried(self, what: impl FnOnce() -> String) -> Result<T, Fault> {
        self.map_err(|e| machine(format!("{}: {e}", what())))
    }
}

/// Writes the one line that the node waits for. A node that is gone does not read it, and need not.
pub fn answer(report: &Report) {
    if let Ok(mut line) = serde_json::to_vec(report) {
        line.push(b'\n');
        let _unread = std::io::stdout().write_all(&line);
        let _unread = std::io::stdout().flush();
    }
}
