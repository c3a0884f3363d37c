//! The words of a directive, taken one after the other and told apart.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::name::Name;

use super::blocks::Directive;
use super::mistake::{Mistake, Wrong};
use super::words::Word;

/// The words of a plugin or an option.
pub(super) struct Arguments<'d> {
    place: String,
    line: usize,
    rest: std::slice::Iter<'d, Word>,
}

impl<'d> Arguments<'d> {
    /// Those of a plugin.
    pub(super) fn of(directive: &'d Directive) -> Self {
        Self { place: directive.name.text.clone(), line: directive.name.line, rest: directive.arguments.iter() }
    }

    /// Those of a plugin's option, which has no braces.
    pub(super) fn of_option(plugin: &str, option: &'d Directive) -> Result<Self, Mistake> {
        let arguments = Self { place: format!("{plugin} {}", option.name.text), ..Self::of(option) };
        if option.body.is_some() {
            return Err(Wrong::Brace("an option has no braces").at(option.name.line));
        }
        Ok(arguments)
    }

    pub(super) fn line(&self) -> usize {
        self.line
    }

    pub(super) fn mistake(&self, found: &str, expected: &'static str) -> Mistake {
        Wrong::Word { place: self.place.clone(), found: found.to_owned(), expected }.at(self.line)
    }

    pub(super) fn impossible(&self, what: String, cure: &'static str) -> Mistake {
        Wrong::Impossible { what: format!("{}: {what}", self.place), cure }.at(self.line)
    }

    pub(super) fn peek(&self) -> Option<&'d str> {
        self.rest.as_slice().first().map(|word| word.text.as_str())
    }

    pub(super) fn next(&mut self) -> Option<&'d str> {
        self.rest.next().map(|word| word.text.as_str())
    }

    pub(super) fn must(&mut self, expected: &'static str) -> Result<&'d str, Mistake> {
        self.next().ok_or_else(|| Wrong::Missing { place: self.place.clone(), expected }.at(self.line))
    }

    /// All that are left, at least one.
    pub(super) fn some(&mut self, expected: &'static str) -> Result<Vec<&'d str>, Mistake> {
        let first = self.must(expected)?;
        Ok(std::iter::once(first).chain(self.rest.by_ref().map(|word| word.text.as_str())).collect())
    }

    /// Says that nothing is left.
    pub(super) fn end(mut self) -> Result<(), Mistake> {
        match self.next() {
            None => Ok(()),
            Some(more) => Err(Wrong::TooMuch { place: self.place, found: more.to_owned() }.at(self.line)),
        }
    }

    pub(super) fn number<T: std::str::FromStr>(&mut self, expected: &'static str) -> Result<T, Mistake> {
        let word = self.must(expected)?;
        word.parse().map_err(|_| self.mistake(word, expected))
    }

    pub(super) fn duration(&mut self, expected: &'static str) -> Result<Duration, Mistake> {
        let word = self.must(expected)?;
        duration(word).ok_or_else(|| self.mistake(word, expected))
    }

    pub(super) fn zone(&self, word: &str) -> Result<Name, Mistake> {
        read_zone(word).ok_or_else(|| self.mistake(word, "a zone"))
    }

    /// The zones that are left; maybe none.
    pub(super) fn zones(&mut self) -> Result<Vec<Name>, Mistake> {
        let words: Vec<_> = self.rest.by_ref().map(|word| word.text.as_str()).collect();
        words.into_iter().map(|word| self.zone(word)).collect()
    }

    /// `[HOST]:PORT`, where no host stands for every address.
    pub(super) fn address(&mut self, default: SocketAddr) -> Result<SocketAddr, Mistake> {
        match self.next() {
            None => Ok(default),
            Some(word) => read_address(word, default.port()).ok_or_else(|| self.mistake(word, "ADDRESS:PORT")),
        }
    }
}

/// Every address, at a port.
pub(super) fn everywhere(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)
}

fn read_address(word: &str, port: u16) -> Option<SocketAddr> {
    let host = |host: &str| match host {
        "" => Some(IpAddr::from(Ipv6Addr::UNSPECIFIED)),
        "localhost" => Some(IpAddr::from([127, 0, 0, 1])),
        host => host.trim_start_matches('[').trim_end_matches(']').parse().ok(),
    };
    if let Ok(address) = word.parse() {
        return Some(address);
    }
    if let Ok(address) = word.parse() {
        return Some(SocketAddr::new(address, port));
    }
    let (before, after) = word.rsplit_once(':')?;
    Some(SocketAddr::new(host(before)?, after.parse().ok()?))
}

/// A zone, in lower case: a name, or a range of addresses whose reverse zone is meant, where that is one zone.
pub(super) fn read_zone(word: &str) -> Option<Name> {
    if word.contains('/') {
        let zones = crate::index::reverse_zones(word.parse().ok()?);
        let [zone] = zones.as_slice() else {
            return None;
        };
        return Name::parse(zone).ok();
    }
    if word.is_empty() {
        return None;
    }
    Name::parse(word).ok()
}

/// A duration as Go writes it: numbers with units, such as `1h30m` or `1.5s`. A bare 0 needs no unit.
pub(super) fn duration(word: &str) -> Option<Duration> {
    if word == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut seconds) = (word, 0.0f64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at(digits);
        let units = [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
        let (unit, factor) = units.into_iter().find(|(unit, _)| {
            // `m` is minutes where it is not the start of `ms`.
            after.strip_prefix(unit).is_some_and(|next| !next.starts_with(|letter: char| letter.is_alphabetic()))
        })?;
        seconds += number.parse::<f64>().ok()? * factor;
        rest = &after[unit.len()..];
    }
    // Ten years are more than anybody means.
    (seconds < 3.2e8).then(|| Duration::from_secs_f64(seconds))
}
