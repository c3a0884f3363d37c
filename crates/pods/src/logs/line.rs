//! One line of a log file.

use jiff::Timestamp;

/// `TIME STREAM TAG CONTENT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// When it was written, as it stands in the file.
    pub time: &'a str,
    /// Whether the container's line ends here.
    pub whole: bool,
    /// What the container wrote.
    pub content: &'a [u8],
}

impl<'a> Line<'a> {
    /// Takes a line apart, without its newline; `None` for what is none.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut parts = line.splitn(4, |b| *b == b' ');
        let time = std::str::from_utf8(parts.next()?).ok()?;
        let _stream = parts.next()?;
        let whole = match parts.next()? {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        Some(Self { time, whole, content: parts.next().unwrap_or_default() })
    }

    /// When it was written.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.time.parse().ok()
    }
}

#[cfg(test)]
mod tests;
