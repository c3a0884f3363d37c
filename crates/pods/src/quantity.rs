//! Quantities: `100m`, `1.5`, `64Mi`, `1e3` (apimachinery's `resource.Quantity`).

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// The quantity in units, rounded up; `None` for what is none or too large.
#[must_use]
pub fn units(quantity: &Quantity) -> Option<i64> {
    i64::try_from(round_up(nano(&quantity.0)?, NANO)).ok()
}

/// The quantity in thousandths, rounded up; `None` for what is none or too large.
#[must_use]
pub fn milli(quantity: &Quantity) -> Option<i64> {
    i64::try_from(round_up(nano(&quantity.0)?, NANO / 1000)).ok()
}

/// The quantity divided by another one, rounded up, as the downward API asks for it.
#[must_use]
pub fn divided(quantity: &Quantity, divisor: &Quantity) -> Option<i64> {
    let by = nano(&divisor.0)?;
    if by <= 0 { units(quantity) } else { i64::try_from(round_up(nano(&quantity.0)?, by)).ok() }
}

const NANO: i128 = 1_000_000_000;

fn round_up(value: i128, unit: i128) -> i128 {
    value.div_euclid(unit) + i128::from(value.rem_euclid(unit) != 0)
}

/// In billionths; digits beyond them round up.
fn nano(text: &str) -> Option<i128> {
    let (number, suffix) = split(text);
    let scaled = match suffix {
        "" => decimal(number, 0)?,
        "n" => decimal(number, -9)?,
        "u" => decimal(number, -6)?,
        "m" => decimal(number, -3)?,
        "k" => decimal(number, 3)?,
        "M" => decimal(number, 6)?,
        "G" => decimal(number, 9)?,
        "T" => decimal(number, 12)?,
        "P" => decimal(number, 15)?,
        "E" => decimal(number, 18)?,
        "Ki" => decimal(number, 0)?.checked_mul(1 << 10)?,
        "Mi" => decimal(number, 0)?.checked_mul(1 << 20)?,
        "Gi" => decimal(number, 0)?.checked_mul(1 << 30)?,
        "Ti" => decimal(number, 0)?.checked_mul(1 << 40)?,
        "Pi" => decimal(number, 0)?.checked_mul(1 << 50)?,
        "Ei" => decimal(number, 0)?.checked_mul(1 << 60)?,
        exponent => {
            let digits = exponent.strip_prefix(['e', 'E'])?;
            decimal(number, digits.parse::<i32>().ok().filter(|e| e.abs() <= 30)?)?
        }
    };
    Some(scaled)
}

/// Where the number ends. `E` alone is a suffix, `E3` an exponent.
fn split(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && !matches!(c, '+' | '-' | '.')).unwrap_or(text.len());
    text.split_at(end)
}

/// `[+-]digits[.digits]` times ten to the `exponent`, in billionths.
fn decimal(number: &str, exponent: i32) -> Option<i128> {
    let (negative, number) = match number.as_bytes().first()? {
        b'-' => (true, &number[1..]),
        b'+' => (false, &number[1..]),
        _ => (false, number),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 36 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value: i128 = digits.parse().ok()?;
    let shift = exponent + 9 - i32::try_from(fraction.len()).ok()?;
    let power = 10i128.checked_pow(shift.unsigned_abs())?;
    let scaled = if shift >= 0 { value.checked_mul(power)? } else { round_up(value, power) };
    Some(if negative { -scaled } else { scaled })
}

#[cfg(test)]
mod tests;
