//! What time it is, as objects write it.

use jiff::Timestamp;

/// Now, as objects write it: `2026-11-20T14:05:06Z`.
pub(crate) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time in seconds since the epoch, as objects write it.
pub(crate) fn at(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Now, in seconds since the epoch.
pub(crate) fn now_seconds() -> i64 {
    Timestamp::now().as_second()
}
