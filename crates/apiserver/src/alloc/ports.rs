//! Node ports: those of Services' ports and of their health checks, which share one range.
//!
//! A number is given once, whatever the protocol, as in Kubernetes. The range has two bands as a range of addresses has
//! (KEP-3668).

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use rand::Rng;

/// The smallest and the largest lower band.
const LOWER_BAND: (u32, u32) = (16, 128);
/// Which part of the range the lower band is, between those.
const LOWER_PART: u32 = 32;
/// Where the numbers begin that a dry run makes up.
const DRY_RUN_BASE: u16 = 32_768;

/// Why a port is not given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PortError {
    #[error("provided port is not in the valid range. The range of valid ports is {}-{}", .0.start(), .0.end())]
    OutOfRange(RangeInclusive<u16>),
    #[error("provided port is already allocated")]
    Taken,
    #[error("range is full")]
    Full,
}

/// Where the records are that take ports.
pub(crate) const FOLDER: &str = "/portolan/nodeports/";

/// The key of the record that takes a port.
pub(crate) fn key(port: u16) -> String {
    format!("{FOLDER}{port}")
}

/// The ports of one transaction: what it takes, and what it gives back if it comes to be.
pub(crate) struct Ports<F> {
    range: RangeInclusive<u16>,
    is_taken: F,
    dry_run: bool,
    pub taken: BTreeSet<u16>,
    pub released: BTreeSet<u16>,
    /// Of what was asked, whether it was a port by name, and whether it was given.
    pub asked: Vec<(bool, bool)>,
}

impl<F: Fn(u16) -> bool> Ports<F> {
    pub fn new(range: RangeInclusive<u16>, dry_run: bool, is_taken: F) -> Self {
        Self { range, is_taken, dry_run, taken: BTreeSet::new(), released: BTreeSet::new(), asked: Vec::new() }
    }

    /// Takes this port.
    pub fn take(&mut self, port: i64) -> Result<u16, PortError> {
        let taken = self.take_this(port);
        self.asked.push((true, taken.is_ok()));
        taken
    }

    fn take_this(&mut self, port: i64) -> Result<u16, PortError> {
        let outside = || PortError::OutOfRange(self.range.clone());
        let port = u16::try_from(port).map_err(|_| outside())?;
        if !self.range.contains(&port) {
            return Err(outside());
        }
        if self.taken.contains(&port) || (self.is_taken)(port) {
            return Err(PortError::Taken);
        }
        self.taken.insert(port);
        Ok(port)
    }

    /// Takes a free port.
    pub fn take_next(&mut self, random: &mut impl Rng) -> Result<u16, PortError> {
        let taken = self.take_any(random);
        self.asked.push((false, taken.is_ok()));
        taken
    }

    fn take_any(&mut self, random: &mut impl Rng) -> Result<u16, PortError> {
        let port = if self.dry_run {
            self.taken.last().copied().unwrap_or(DRY_RUN_BASE).saturating_add(1)
        } else {
            let middle = lower_band(&self.range) + u32::from(*self.range.start());
            let (first, last) = (u32::from(*self.range.start()), u32::from(*self.range.end()));
            let next = self.pick(middle, last, random).or_else(|| self.pick(first, (middle - 1).min(last), random));
            next.ok_or(PortError::Full)?
        };
        self.taken.insert(port);
        Ok(port)
    }

    /// Gives a port back.
    pub fn release(&mut self, port: u16) {
        self.released.insert(port);
    }

    fn pick(&self, from: u32, to: u32, random: &mut impl Rng) -> Option<u16> {
        if from > to {
            return None;
        }
        let start = random.random_range(from..=to);
        (start..=to)
            .chain(from..start)
            .filter_map(|port| u16::try_from(port).ok())
            .find(|port| !self.taken.contains(port) && !(self.is_taken)(*port))
    }
}

/// How many ports the lower band has.
pub(crate) fn lower_band(range: &RangeInclusive<u16>) -> u32 {
    let size = (u32::from(*range.end()) + 1).saturating_sub(u32::from(*range.start()));
    if size <= LOWER_BAND.0 { 0 } else { (size / LOWER_PART).clamp(LOWER_BAND.0, LOWER_BAND.1) }
}
