//! Times as Go's `time.Parse` reads them, with its errors, and as Kubernetes writes them: UTC, whole seconds or microseconds.

use std::fmt::Write;

use jiff::{ToSpan, civil::DateTime};

const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
const MICROS: &str = "2006-01-02T15:04:05.000000Z07:00";

/// A `metav1.Time` in canonical form; `None` for the zero time, which is written as null.
pub(super) fn seconds(text: &str) -> Result<Option<String>, String> {
    let time = Reader { text, rest: text, layout: SECONDS }.time(false)?;
    Ok(time.map(|t| t.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()))
}

/// A `metav1.MicroTime` in canonical form.
pub(super) fn micros(text: &str) -> Result<Option<String>, String> {
    let time = Reader { text, rest: text, layout: MICROS }.time(true)?;
    Ok(time.map(|t| t.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()))
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    layout: &'static str,
}

impl Reader<'_> {
    fn time(mut self, six: bool) -> Result<Option<DateTime>, String> {
        let year = self.digits(4, 4, "2006")?;
        self.literal("-")?;
        let month = self.ranged(2, "01", 1..=12, "month")?;
        self.literal("-")?;
        let day = self.digits(2, 2, "02")?;
        self.literal("T")?;
        let hour = self.ranged(1, "15", 0..=23, "hour")?;
        self.literal(":")?;
        let minute = self.ranged(2, "04", 0..=59, "minute")?;
        self.literal(":")?;
        let second = self.ranged(2, "05", 0..=59, "second")?;
        let nanosecond = self.fraction(six)?;
        let offset = self.offset()?;
        if !self.rest.is_empty() {
            return Err(format!("parsing time {}: extra text: {}", quoted(self.text), quoted(self.rest)));
        }
        let out_of_range = || format!("parsing time {}: day out of range", quoted(self.text));
        let [month, day, hour, minute, second] =
            [month, day, hour, minute, second].map(|n| i8::try_from(n).unwrap_or(0));
        let year = i16::try_from(year).unwrap_or(0);
        let local = DateTime::new(year, month, day, hour, minute, second, nanosecond).map_err(|_| out_of_range())?;
        let time = local.checked_sub(offset.seconds()).map_err(|_| out_of_range())?;
        Ok((time != DateTime::constant(1, 1, 1, 0, 0, 0, 0)).then_some(time))
    }

    fn bad(&self, element: &str) -> String {
        let (text, rest) = (quoted(self.text), quoted(self.rest));
        format!("parsing time {text} as {}: cannot parse {rest} as {}", quoted(self.layout), quoted(element))
    }

    fn literal(&mut self, literal: &str) -> Result<(), String> {
        self.rest = self.rest.strip_prefix(literal).ok_or_else(|| self.bad(literal))?;
        Ok(())
    }

    /// A number of at least and at most so many digits.
    fn digits(&mut self, least: usize, most: usize, element: &str) -> Result<i32, String> {
        let length = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if length < least {
            return Err(self.bad(element));
        }
        let (number, rest) = self.rest.split_at(length);
        let number = number.parse().map_err(|_| self.bad(element))?;
        self.rest = rest;
        Ok(number)
    }

    fn ranged(
        &mut self,
        least: usize,
        element: &str,
        range: std::ops::RangeInclusive<i32>,
        name: &str,
    ) -> Result<i32, String> {
        let number = self.digits(least, 2, element)?;
        if range.contains(&number) { Ok(number) } else { Err(self.out_of_range(name)) }
    }

    fn out_of_range(&self, name: &str) -> String {
        format!("parsing time {}: {name} out of range", quoted(self.text))
    }

    /// Nanoseconds. Whole-second layouts take any fraction, the other exactly six digits.
    fn fraction(&mut self, six: bool) -> Result<i32, String> {
        let most = if six { 6 } else { usize::MAX };
        let digits =
            self.rest.strip_prefix(['.', ',']).map(|r| r.bytes().take(most).take_while(u8::is_ascii_digit).count());
        match digits {
            Some(length) if length == 6 || (!six && length > 0) => {
                let (fraction, rest) = self.rest.split_at(length + 1);
                self.rest = rest;
                let nine: String = fraction[1..].chars().chain("000000000".chars()).take(9).collect();
                Ok(nine.parse().unwrap_or(0))
            }
            _ if six => Err(self.bad(".000000")),
            _ => Ok(0),
        }
    }

    /// Seconds east of UTC.
    fn offset(&mut self) -> Result<i32, String> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(0);
        }
        let bytes = self.rest.as_bytes();
        let two = |at: usize| match (bytes.get(at), bytes.get(at + 1)) {
            (Some(a @ b'0'..=b'9'), Some(b @ b'0'..=b'9')) => Some(i32::from(a - b'0') * 10 + i32::from(b - b'0')),
            _ => None,
        };
        let sign = match bytes.first() {
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Err(self.bad("Z07:00")),
        };
        let (Some(hours), Some(b':'), Some(minutes)) = (two(1), bytes.get(3), two(4)) else {
            return Err(self.bad("Z07:00"));
        };
        if hours > 24 {
            return Err(self.out_of_range("time zone offset hour"));
        }
        if minutes > 60 {
            return Err(self.out_of_range("time zone offset minute"));
        }
        self.rest = &self.rest[6..];
        Ok(sign * (hours * 3600 + minutes * 60))
    }
}

/// How `time.Parse` quotes: what is not ASCII is escaped byte by byte.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b' '..=b'~' | 0x7f => out.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => drop(write!(out, "\\x{byte:02x}")),
        }
    }
    out.push('"');
    out
}
