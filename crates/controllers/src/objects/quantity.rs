//! Amounts of resources as Kubernetes writes them (`k8s.io/apimachinery/pkg/api/resource`): `500m`, `1.5Gi`, `2e3`.

/// An amount in thousandths of its unit, rounded up; `None` when the text is no quantity. Too much is `i64::MAX`.
pub fn milli(text: &str) -> Option<i64> {
    parse(text, 3)
}

/// An amount in whole units, likewise.
pub fn units(text: &str) -> Option<i64> {
    parse(text, 0)
}

/// More digits than this carry nothing in an `i64`.
const MOST_DIGITS: usize = 18;

/// Reads an amount in units of ten to the minus `exponent`.
fn parse(text: &str, exponent: i32) -> Option<i64> {
    let split = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (negative, digits) = match number.as_bytes().first()? {
        b'-' => (true, &number[1..]),
        b'+' => (false, &number[1..]),
        _ => (false, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(MOST_DIGITS)];
    let (multiplier, scale) = scale(suffix)?;
    let mantissa: i128 = match format!("{whole}{fraction}").trim_start_matches('0') {
        "" => 0,
        digits if digits.len() > MOST_DIGITS * 2 => i128::MAX,
        digits => digits.parse().ok()?,
    };
    let value = scaled(mantissa, multiplier, scale + exponent - i32::try_from(fraction.len()).ok()?);
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    Some(if negative { -value } else { value })
}

/// A suffix as a multiplier and a power of ten.
fn scale(suffix: &str) -> Option<(i128, i32)> {
    Some(match suffix {
        "" => (1, 0),
        "n" => (1, -9),
        "u" => (1, -6),
        "m" => (1, -3),
        "k" => (1, 3),
        "M" => (1, 6),
        "G" => (1, 9),
        "T" => (1, 12),
        "P" => (1, 15),
        "E" => (1, 18),
        "Ki" => (1 << 10, 0),
        "Mi" => (1 << 20, 0),
        "Gi" => (1 << 30, 0),
        "Ti" => (1 << 40, 0),
        "Pi" => (1 << 50, 0),
        "Ei" => (1 << 60, 0),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let exponent: i32 = exponent.parse().ok()?;
            (1, exponent.clamp(-40, 40))
        }
    })
}

fn scaled(mantissa: i128, multiplier: i128, exponent: i32) -> i128 {
    let value = mantissa.saturating_mul(multiplier);
    if exponent >= 0 {
        (0..exponent).fold(value, |v, _| v.saturating_mul(10))
    } else {
        let divisor = (0..-exponent).fold(1_i128, |v, _| v.saturating_mul(10));
        value / divisor + i128::from(value % divisor != 0)
    }
}
