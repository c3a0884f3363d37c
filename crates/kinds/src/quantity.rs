//! Quantities of resources (`k8s.io/apimachinery/pkg/api/resource`): `500m`, `1Gi`, `2e3`.
//!
//! A quantity is stored in canonical form, so that two documents that say the same are the same.

use std::fmt;

use serde_json::Value;

#[cfg(test)]
mod tests;

/// Billionths in one.
const ONE: i128 = 1_000_000_000;
/// What binary quantities are capped at: the largest 64-bit integer.
const LARGEST_BINARY: i128 = i64::MAX as i128 * ONE;

/// How a quantity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// `12e6`
    DecimalExponent,
    /// `12Mi`
    Binary,
    /// `12M`
    Decimal,
}

/// An amount, exact to a billionth.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    /// Billionths.
    nanos: i128,
    format: Format,
}

/// Why a text is no quantity; each in Kubernetes' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The text has none of the forms.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    /// The text has no number in front.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// What follows the number is no suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

const DECIMAL: [(&str, i32); 10] =
    [("n", -9), ("u", -6), ("m", -3), ("", 0), ("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

impl Quantity {
    /// Reads a quantity; billionths are rounded away from zero, amounts too large are cut down.
    pub fn parse(text: &str) -> Result<Self, QuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            None => return Err(QuantityError::Format),
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            Some(_) => (false, text),
        };
        let number_end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(number_end);
        if !is_suffix_shaped(suffix) || number.matches('.').count() > 1 {
            return Err(QuantityError::Format);
        }
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(QuantityError::Numeric);
        }
        let (format, shift) = suffix_meaning(suffix).ok_or(QuantityError::Suffix)?;
        let mut nanos = scaled(whole, fraction, shift);
        let mut format = format;
        if format == Format::Binary {
            nanos = nanos.min(LARGEST_BINARY);
            if nanos > 0 && nanos < ONE {
                format = Format::Decimal;
            }
        }
        Ok(Self { nanos: if negative { -nanos } else { nanos }, format })
    }

    /// Reads a quantity from a document, where it is a text or a number.
    pub fn from_value(value: &Value) -> Result<Self, QuantityError> {
        match value {
            Value::String(text) => Self::parse(text),
            Value::Number(number) => Self::parse(&number.to_string()),
            _ => Err(QuantityError::Format),
        }
    }

    /// The amount in billionths.
    pub fn nanos(self) -> i128 {
        self.nanos
    }

    /// The amount in thousandths, rounded up.
    pub fn millis(self) -> i128 {
        ceiling(self.nanos, ONE / 1000)
    }

    /// The amount in whole units, rounded up.
    pub fn units(self) -> i128 {
        ceiling(self.nanos, ONE)
    }

    /// The same amount, rounded up to thousandths.
    #[must_use]
    pub fn rounded_to_millis(self) -> Self {
        let milli = ONE / 1000;
        let rest = self.nanos % milli;
        let nanos = if rest == 0 { self.nanos } else { self.nanos - rest + milli * self.nanos.signum() };
        Self { nanos, ..self }
    }

    /// The sum of two amounts, in the form of the first unless that is zero.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let format = if self.nanos == 0 { other.format } else { self.format };
        Self { nanos: self.nanos.saturating_add(other.nanos), format }
    }

    /// A whole number.
    pub fn of_units(units: i64) -> Self {
        Self { nanos: i128::from(units) * ONE, format: Format::Decimal }
    }

    /// What is left of an amount without another, in the form of the first.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self { nanos: self.nanos.saturating_sub(other.nanos), ..self }
    }

    fn binary(nanos: i128) -> Option<String> {
        if nanos % ONE != 0 || nanos.abs() < 1024 * ONE {
            return None;
        }
        let (mut amount, mut power) = (nanos / ONE, 0);
        while amount % 1024 == 0 && power + 1 < BINARY.len() {
            amount /= 1024;
            power += 1;
        }
        Some(format!("{amount}{}", BINARY[power]))
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        if self.format == Format::Binary
            && let Some(text) = Self::binary(self.nanos)
        {
            return f.write_str(&text);
        }
        let (mut amount, mut exponent) = (self.nanos, -9);
        while amount % 1000 == 0 && (exponent < 18 || self.format == Format::DecimalExponent) {
            amount /= 1000;
            exponent += 3;
        }
        if self.format == Format::DecimalExponent {
            return if exponent == 0 { write!(f, "{amount}") } else { write!(f, "{amount}e{exponent}") };
        }
        let suffix = DECIMAL.iter().find(|(_, e)| *e == exponent).map_or("", |(suffix, _)| suffix);
        write!(f, "{amount}{suffix}")
    }
}

/// Puts the quantities of a map of resources (`limits`, `capacity`) into canonical form, rounded up to thousandths
/// as decoding does.
pub(crate) fn canonicalize_resources(resources: Option<&mut Value>) {
    let Some(map) = resources.and_then(Value::as_object_mut) else { return };
    for value in map.values_mut() {
        if let Ok(quantity) = Quantity::from_value(value) {
            *value = Value::String(quantity.rounded_to_millis().to_string());
        }
    }
}

/// Puts a quantity into canonical form.
pub(crate) fn canonicalize(value: Option<&mut Value>) {
    if let Some(value) = value
        && let Ok(quantity) = Quantity::from_value(value)
    {
        *value = Value::String(quantity.to_string());
    }
}

/// Letters of suffixes, then perhaps a sign and digits.
fn is_suffix_shaped(suffix: &str) -> bool {
    let rest = suffix.trim_start_matches(|c| "eEinumkKMGTP".contains(c));
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
    rest.bytes().all(|b| b.is_ascii_digit())
}

/// A shift by a power of ten or of two.
enum Shift {
    Ten(i32),
    Two(u32),
}

fn suffix_meaning(suffix: &str) -> Option<(Format, Shift)> {
    if let Some((_, exponent)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Some((Format::Decimal, Shift::Ten(*exponent)));
    }
    if let Some(power) = BINARY.iter().position(|s| *s == suffix) {
        return Some((Format::Binary, Shift::Two(10 * u32::try_from(power).ok()?)));
    }
    let exponent = suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok()?;
    Some((Format::DecimalExponent, Shift::Ten(exponent)))
}

/// `whole.fraction` shifted, in billionths, rounded up; saturates.
fn scaled(whole: &str, fraction: &str, shift: Shift) -> i128 {
    let digits: Vec<i128> = whole.bytes().chain(fraction.bytes()).map(|b| i128::from(b - b'0')).collect();
    let factor = match shift {
        Shift::Two(power) => 1i128 << power,
        Shift::Ten(_) => 1,
    };
    let exponent = match shift {
        Shift::Ten(exponent) => exponent,
        Shift::Two(_) => 0,
    };
    let (mut total, mut remainder) = (0i128, false);
    // The place of each digit as a power of ten of billionths.
    let mut place = i64::try_from(whole.len()).unwrap_or(i64::MAX) - 1 + i64::from(exponent) + 9;
    for digit in digits {
        let amount = digit * factor;
        if digit != 0 {
            match u32::try_from(place) {
                Ok(power) => {
                    let unit = 10i128.checked_pow(power).unwrap_or(i128::MAX);
                    total = total.saturating_add(amount.saturating_mul(unit));
                }
                Err(_) => {
                    let unit = u32::try_from(-place).ok().and_then(|p| 10i128.checked_pow(p)).unwrap_or(i128::MAX);
                    total = total.saturating_add(amount / unit);
                    remainder |= amount % unit != 0;
                }
            }
        }
        place -= 1;
    }
    if remainder { total.saturating_add(1) } else { total }
}

fn ceiling(amount: i128, unit: i128) -> i128 {
    let whole = amount.div_euclid(unit);
    if amount.rem_euclid(unit) == 0 { whole } else { whole + 1 }
}
