//! `cache`: what is kept of the answers of upstream servers.

use std::time::Duration;

use crate::corefile::arguments::{Arguments, duration};
use crate::corefile::blocks::Directive;
use crate::corefile::mistake::{Mistake, Wrong};
use crate::forward::keep::{Keep, Lifetimes, Prefetch, Stale};
use crate::name::Name;

const PLUGIN: &str = "cache";
const SECONDS: &str = "a number of seconds";
/// The most that a TTL can say (RFC 2181 section 8).
const TTL_MAX: u32 = i32::MAX as u32;
/// Octets that an answer takes in the cache, about.
const ANSWER_OCTETS: usize = 320;

/// What the plugin says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::corefile) struct Cache {
    pub(in crate::corefile) keep: Keep,
    /// The zones that it is for; empty for those of its block.
    pub(in crate::corefile) zones: Vec<Name>,
    /// Octets, where capacities are given.
    pub(in crate::corefile) weight: Option<usize>,
    pub(in crate::corefile) line: usize,
}

/// Reads the plugin. Bounds that are not given are CoreDNS' own.
pub(in crate::corefile) fn read(directive: &Directive) -> Result<Cache, Mistake> {
    let mut arguments = Arguments::of(directive);
    let mut lifetimes = Lifetimes { positive_least: 5, negative_least: 5, failure: 5, ..Lifetimes::default() };
    if let Some(ttl) = arguments.peek().and_then(|word| word.parse::<u32>().ok()) {
        let word = arguments.next().unwrap_or_default();
        if ttl == 0 || ttl > TTL_MAX {
            return Err(arguments.mistake(word, "a number of seconds above 0"));
        }
        (lifetimes.positive, lifetimes.negative) = (ttl, ttl);
    }
    let keep = Keep { lifetimes, stale: None, prefetch: None, ..Keep::default() };
    let mut cache = Cache { keep, zones: arguments.zones()?, weight: None, line: arguments.line() };
    for option in directive.body.iter().flatten() {
        let arguments = Arguments::of_option(PLUGIN, option)?;
        read_option(&option.name.text, arguments, &mut cache)?;
    }
    Ok(cache)
}

fn read_option(option: &str, mut arguments: Arguments<'_>, cache: &mut Cache) -> Result<(), Mistake> {
    let keep = &mut cache.keep;
    match option {
        "success" | "denial" => {
            let capacity: usize = arguments.number("a number of answers")?;
            let weight = cache.weight.unwrap_or(0).saturating_add(capacity.saturating_mul(ANSWER_OCTETS));
            cache.weight = Some(weight);
            let bounds = &mut keep.lifetimes;
            let (most, least) = if option == "success" {
                (&mut bounds.positive, &mut bounds.positive_least)
            } else {
                (&mut bounds.negative, &mut bounds.negative_least)
            };
            if arguments.peek().is_some() {
                *most = arguments.number(SECONDS)?;
            }
            if arguments.peek().is_some() {
                *least = arguments.number(SECONDS)?;
            }
        }
        "prefetch" => keep.prefetch = read_prefetch(&mut arguments)?,
        "serve_stale" => keep.stale = Some(read_stale(&mut arguments)?),
        "servfail" => {
            let seconds = arguments.duration("a duration")?.as_secs();
            if seconds > 300 {
                return Err(arguments.mistake(&format!("{seconds}s"), "at most 5m"));
            }
            keep.lifetimes.failure = seconds as u32;
        }
        "disable" => {
            let what = arguments.must("success or denial")?;
            let zones = arguments.zones()?;
            let zones = if zones.is_empty() { vec![Name::from_wire(&[0])] } else { zones };
            match what {
                "success" => keep.not_positive.extend(zones),
                "denial" => keep.not_negative.extend(zones),
                other => return Err(arguments.mistake(other, "success or denial")),
            }
        }
        "keepttl" => keep.constant_ttl = true,
        other => {
            let known = "it has success, denial, prefetch, serve_stale, servfail, disable and keepttl".to_owned();
            return Err(Wrong::Option { plugin: PLUGIN, option: other.to_owned(), cure: known }.at(arguments.line()));
        }
    }
    arguments.end()
}

/// `prefetch AMOUNT [DURATION [PERCENTAGE%]]`
fn read_prefetch(arguments: &mut Arguments<'_>) -> Result<Option<Prefetch>, Mistake> {
    let mut prefetch = Prefetch { amount: arguments.number("a number of questions")?, ..Prefetch::default() };
    if arguments.peek().is_some() {
        prefetch.gap = arguments.duration("a duration")?;
    }
    if let Some(word) = arguments.next() {
        const PERCENT: &str = "from 10% to 90%";
        let percent = word.strip_suffix('%').and_then(|number| number.parse().ok());
        let percent = percent.filter(|percent| (10..=90).contains(percent));
        prefetch.percent = percent.ok_or_else(|| arguments.mistake(word, PERCENT))?;
    }
    Ok((prefetch.amount > 0).then_some(prefetch))
}

/// `serve_stale [DURATION] [immediate [TTL [RECHECK]] | verify [TIMEOUT [TTL [RECHECK]]]]`
fn read_stale(arguments: &mut Arguments<'_>) -> Result<Stale, Mistake> {
    let mut stale =
        Stale { longest: Duration::from_secs(3600), patience: Duration::ZERO, ttl: 0, recheck: Duration::ZERO };
    if let Some(longest) = arguments.peek().and_then(duration) {
        arguments.next();
        if longest.is_zero() {
            return Err(arguments.mistake("0", "a duration above 0"));
        }
        stale.longest = longest;
    }
    match arguments.next() {
        None => return Ok(stale),
        Some("immediate") => {}
        Some("verify") => {
            // As long as it takes, which the deadline bounds.
            stale.patience = Duration::from_secs(3600);
            if arguments.peek().is_some() {
                let patience = arguments.duration("a duration")?;
                if !patience.is_zero() {
                    stale.patience = patience;
                }
            }
        }
        Some(other) => return Err(arguments.mistake(other, "a duration, immediate or verify")),
    }
    if arguments.peek().is_some() {
        stale.ttl = u32::try_from(arguments.duration("a duration")?.as_secs()).unwrap_or(TTL_MAX);
    }
    if arguments.peek().is_some() {
        stale.recheck = arguments.duration("a duration")?;
    }
    Ok(stale)
}
