//! What is kept of upstream servers' answers, for how long, and when it is asked for anew.

use std::time::Duration;

use crate::name::Name;

/// Bounds on how long answers are kept, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// The most for answers with records. Their TTLs are cut down to it.
    pub positive: u32,
    /// The least for answers with records, also where their TTLs say less.
    pub positive_least: u32,
    /// The most for denials that an SOA record vouches for (RFC 2308).
    pub negative: u32,
    /// The least for denials that an SOA record vouches for.
    pub negative_least: u32,
    /// Failures (RFC 9520 section 3.2: at least one second, at most five minutes).
    pub failure: u32,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self { positive: 3600, positive_least: 0, negative: 1800, negative_least: 0, failure: 1 }
    }
}

/// Answers that are over are given while nobody can say anything newer (RFC 8767).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stale {
    /// How long after their lifetime they may still be given.
    pub longest: Duration,
    /// How long a newer answer is waited for before the old one is given (RFC 8767 section 5: 1.8 seconds); zero gives
    /// the old one at once and asks meanwhile.
    pub patience: Duration,
    /// The TTL of records that are over, in seconds (RFC 8767 section 4: 30).
    pub ttl: u32,
    /// How long nobody is asked again after a refresh failed (RFC 8767 section 5: at most 30 seconds).
    pub recheck: Duration,
}

impl Default for Stale {
    fn default() -> Self {
        Self {
            longest: Duration::from_secs(3600),
            patience: Duration::from_millis(1800),
            ttl: 30,
            recheck: Duration::from_secs(5),
        }
    }
}

/// Answers that are asked for often are asked for anew before they are over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefetch {
    /// How many questions make an answer popular.
    pub amount: u32,
    /// The longest gap between two of them.
    pub gap: Duration,
    /// It is asked for anew when so many hundredths of its lifetime are left, at the latest when a second is left.
    pub percent: u8,
}

impl Default for Prefetch {
    fn default() -> Self {
        Self { amount: 3, gap: Duration::from_secs(60), percent: 10 }
    }
}

/// What is kept of upstream servers' answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// For how long.
    pub lifetimes: Lifetimes,
    /// Whether what is over may still be given.
    pub stale: Option<Stale>,
    /// Whether what is popular is asked for anew before it is over.
    pub prefetch: Option<Prefetch>,
    /// Zones of which answers with records are not kept.
    pub not_positive: Vec<Name>,
    /// Zones of which denials are not kept.
    pub not_negative: Vec<Name>,
    /// TTLs are given as they came, however old they are.
    pub constant_ttl: bool,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            lifetimes: Lifetimes::default(),
            stale: Some(Stale::default()),
            prefetch: Some(Prefetch::default()),
            not_positive: Vec::new(),
            not_negative: Vec::new(),
            constant_ttl: false,
        }
    }
}

impl Keep {
    /// Nothing is kept.
    #[must_use]
    pub fn nothing() -> Self {
        let lifetimes = Lifetimes { positive: 0, positive_least: 0, negative: 0, negative_least: 0, failure: 0 };
        Self { lifetimes, stale: None, prefetch: None, ..Self::default() }
    }
}

/// Whether a name in wire form lies in a zone.
pub(crate) fn lies_in(name: &[u8], zone: &Name) -> bool {
    let zone = zone.wire();
    let Some(before) = name.len().checked_sub(zone.len()) else {
        return false;
    };
    if name[before..] != *zone {
        return false;
    }
    // The zone must start where a label starts.
    let mut at = 0;
    while at < before {
        at += 1 + usize::from(name[at]);
    }
    at == before
}
