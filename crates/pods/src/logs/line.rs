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
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let line = Line::parse(b"2026-01-02T03:04:05.000000006Z stdout F a  b").unwrap();
        assert_eq!((line.time, line.whole, line.content), ("2026-01-02T03:04:05.000000006Z", true, &b"a  b"[..]));
        assert_eq!(line.timestamp().unwrap().as_nanosecond() % 1_000_000_000, 6);
        assert!(!Line::parse(b"2026-01-02T03:04:05Z stderr P ").unwrap().whole);
        for broken in [&b""[..], b"x", b"x stdout", b"x stdout G a"] {
            assert_eq!(Line::parse(broken), None);
        }
    }
}
