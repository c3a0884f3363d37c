//! `bind`, `bufsize`, `multisocket`, `reload`, `loadbalance`, `loop`, `transfer`, `autopath`, `any`: how questions are
//! served.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::corefile::arguments::Arguments;
use crate::corefile::blocks::Directive;
use crate::corefile::mistake::Mistake;
use crate::corefile::surroundings::Surroundings;
use crate::forward::settings::search_domains;
use crate::index::SearchOptions;

use super::observing::{no_body, no_option};

/// How this process resolves names.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// How often the Corefile is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reload {
    /// The time between two looks.
    pub interval: Duration,
    /// So much more or less, so that not all servers look at once.
    pub jitter: Duration,
}

/// `bind ADDRESS...`
pub(in crate::corefile) fn bind(directive: &Directive) -> Result<Vec<IpAddr>, Mistake> {
    no_body("bind", directive)?;
    let mut arguments = Arguments::of(directive);
    let words = arguments.some("addresses")?;
    let read =
        |word: &str| word.parse().map_err(|_| arguments.mistake(word, "an address (interfaces are not known here)"));
    words.into_iter().map(read).collect()
}

/// `bufsize [OCTETS]`
pub(in crate::corefile) fn bufsize(directive: &Directive) -> Result<usize, Mistake> {
    const OCTETS: &str = "a number of octets from 512 to 4096";
    no_body("bufsize", directive)?;
    let mut arguments = Arguments::of(directive);
    if arguments.peek().is_none() {
        return Ok(1232);
    }
    let octets: usize = arguments.number(OCTETS)?;
    if !(512..=4096).contains(&octets) {
        return Err(arguments.mistake(&octets.to_string(), OCTETS));
    }
    arguments.end()?;
    Ok(octets)
}

/// `multisocket [SOCKETS]`; 0 stands for as many as there are processors.
pub(in crate::corefile) fn multisocket(directive: &Directive) -> Result<usize, Mistake> {
    no_body("multisocket", directive)?;
    let mut arguments = Arguments::of(directive);
    let sockets = if arguments.peek().is_some() { arguments.number("a number of sockets")? } else { 0 };
    arguments.end()?;
    Ok(sockets)
}

/// `reload [INTERVAL] [JITTER]`
pub(in crate::corefile) fn reload(directive: &Directive) -> Result<Reload, Mistake> {
    no_body("reload", directive)?;
    let mut arguments = Arguments::of(directive);
    let mut reload = Reload { interval: Duration::from_secs(30), jitter: Duration::from_secs(15) };
    if arguments.peek().is_some() {
        reload.interval = arguments.duration("a duration")?;
        if reload.interval < Duration::from_secs(2) {
            return Err(arguments.mistake("the interval", "at least 2s"));
        }
    }
    if arguments.peek().is_some() {
        reload.jitter = arguments.duration("a duration")?;
    }
    reload.jitter = reload.jitter.min(reload.interval / 2);
    arguments.end()?;
    Ok(reload)
}

/// `loadbalance [round_robin]`: addresses are rotated anyway.
pub(in crate::corefile) fn loadbalance(directive: &Directive) -> Result<(), Mistake> {
    let mut arguments = Arguments::of(directive);
    match arguments.next() {
        None | Some("round_robin") => {}
        Some(other) => {
            return Err(arguments.impossible(format!("the policy {other:?}"), "write loadbalance round_robin"));
        }
    }
    arguments.end()?;
    match directive.body.iter().flatten().next() {
        Some(option) => Err(no_option("loadbalance", option, "addresses are rotated, and nothing is preferred")),
        None => Ok(()),
    }
}

/// A plugin that has no words at all.
pub(in crate::corefile) fn bare(plugin: &'static str, directive: &Directive) -> Result<(), Mistake> {
    no_body(plugin, directive)?;
    Arguments::of(directive).end()
}

/// `transfer [ZONE...] { to ADDRESS... }`: who may have the whole zone.
pub(in crate::corefile) fn transfer(directive: &Directive) -> Result<Vec<IpNet>, Mistake> {
    // Zones are the cluster's own: there is nothing else to transfer.
    Arguments::of(directive).zones()?;
    let mut allowed = Vec::new();
    for option in directive.body.iter().flatten() {
        let mut arguments = Arguments::of_option("transfer", option)?;
        if option.name.text != "to" {
            return Err(no_option("transfer", option, "it has to; nobody is notified of changes"));
        }
        for word in arguments.some("addresses")? {
            let network = match word {
                "*" => {
                    allowed.extend(
                        [[0; 4].into(), IpAddr::from([0u8; 16])].iter().filter_map(|at| IpNet::new(*at, 0).ok()),
                    );
                    continue;
                }
                word => word.parse().ok().or_else(|| Some(IpNet::from(word.parse::<IpAddr>().ok()?))),
            };
            allowed.push(network.ok_or_else(|| arguments.mistake(word, "an address, a network or *"))?);
        }
    }
    Ok(allowed)
}

/// `autopath [ZONE...] @kubernetes`: search paths are gone through for who asks. Those of Pods end with their node's
/// domains, which this process has too.
pub(in crate::corefile) fn autopath(
    directive: &Directive,
    surroundings: &dyn Surroundings,
) -> Result<SearchOptions, Mistake> {
    no_body("autopath", directive)?;
    let mut arguments = Arguments::of(directive);
    let words = arguments.some("@kubernetes")?;
    match words.last() {
        // Where there is no such file, there are no domains.
        Some(&"@kubernetes") => Ok(SearchOptions {
            further: surroundings.read(RESOLV_CONF).map(|text| search_domains(&text)).unwrap_or_default(),
        }),
        _ => Err(arguments.impossible("a search path from a file".to_owned(), "write autopath @kubernetes")),
    }
}
