//! The lengths of ranges of sources. A packet's source is looked for once for each length that its destination has: the
//! part of that length, in a set that holds all ranges. Most Services that have ranges have them of one or two lengths.
//!
//! A set of intervals would take one look-up. But the kernel copies such a set, of concatenations, with each
//! transaction, and sorts into it in a time that grows with what is there: 1,000 Services of three ranges took six
//! seconds to load, and one more 20 ms.

use std::fmt;

use ipnet::IpNet;

/// Some lengths from 1 to 128. (A range of length zero is everybody.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lengths(u128);

/// More than that are not listed in a name, which would become longer than the kernel takes.
const MOST_LISTED: u32 = 6;

impl Lengths {
    /// Those of these ranges.
    pub(crate) fn of(ranges: &[IpNet]) -> Lengths {
        Lengths(ranges.iter().map(|range| bit(range.prefix_len())).fold(0, |all, one| all | one))
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// In rising order.
    pub(crate) fn iter(self) -> impl Iterator<Item = u8> {
        (1..=128).filter(move |length| self.0 & bit(*length) != 0)
    }

    /// What a text begins with, and what stands behind it and a dash.
    pub(super) fn from_name(name: &str) -> Option<(Lengths, &str)> {
        let (lengths, rest) = name.split_once('-')?;
        let lengths = match lengths.strip_prefix("/x") {
            Some(bits) => u128::from_str_radix(bits, 16).ok()?,
            None => {
                let mut all = 0;
                for length in lengths.strip_prefix('/')?.split('/') {
                    all |= bit(length.parse().ok().filter(|length| (1..=128).contains(length))?);
                }
                all
            }
        };
        Some((Lengths(lengths), rest))
    }
}

fn bit(length: u8) -> u128 {
    length.checked_sub(1).and_then(|shift| 1_u128.checked_shl(shift.into())).unwrap_or(0)
}

impl fmt::Display for Lengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.count_ones() > MOST_LISTED {
            return write!(f, "/x{:x}", self.0);
        }
        self.iter().try_for_each(|length| write!(f, "/{length}"))
    }
}
