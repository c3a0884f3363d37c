//! Lines for whoever reads them.
//!
//! A reader may go away at any time (`portolan up | head -1`). That must end neither a cluster nor the removal of one, so
//! nothing here panics, as `println!` does.

use std::fmt::Display;
use std::io::{self, Write};

/// Says a line on standard output, if anybody reads there: what is done matters more than its being read.
pub fn say(line: impl Display) {
    // Nobody is left who could be told that nobody reads.
    let _ = writeln!(io::stdout().lock(), "{line}");
}

/// Says a line on standard error, if anybody reads there.
pub fn complain(line: impl Display) {
    // As above.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Writes what a command was asked for. A reader that went away has all that it wanted.
///
/// # Errors
/// When it cannot be written for another reason, such as a full disk.
pub fn print(text: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}
