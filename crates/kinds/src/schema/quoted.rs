//! Text in quotes as Go's `%q` prints it, which is how most of Kubernetes' messages quote.

use std::fmt::Write;

/// Go's `strconv.Quote`: `"`, `\` and what cannot be printed are escaped.
pub fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            ' ' => out.push(' '),
            _ if printable(c) => out.push(c),
            _ => escape(&mut out, u32::from(c)),
        }
    }
    out.push('"');
    out
}

fn escape(out: &mut String, code: u32) {
    // Writing to a String cannot fail.
    let _ = match code {
        0..0x20 | 0x7f => write!(out, "\\x{code:02x}"),
        0x20..0x1_0000 => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
}

/// Letters, marks, numbers, punctuation and symbols are; of blanks only the one of ASCII.
fn printable(c: char) -> bool {
    // `escape_debug` escapes marks too, but they never stand alone here in a way that would matter.
    !c.is_control() && !c.is_whitespace() && c.escape_debug().count() == 1
}
