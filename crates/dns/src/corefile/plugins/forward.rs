//! `forward`: who is asked for names outside the cluster.

use std::net::{IpAddr, SocketAddr};

use crate::corefile::arguments::Arguments;
use crate::corefile::blocks::Directive;
use crate::corefile::mistake::{Mistake, Wrong};
use crate::corefile::surroundings::Surroundings;
use crate::forward::settings::{PORT, Policy, Route, TLS_PORT, Tls, Upstream, resolv_conf};
use crate::protocol::rcode;

const PLUGIN: &str = "forward";
/// As CoreDNS has it.
const UPSTREAMS_MAX: usize = 15;
const TO: &str = "an address, tls://ADDRESS or a file like /etc/resolv.conf";

/// What the plugin says. What is kept of answers is `cache`'s to say.
pub(in crate::corefile) fn read(directive: &Directive, surroundings: &dyn Surroundings) -> Result<Route, Mistake> {
    let mut arguments = Arguments::of(directive);
    let from = arguments.must("the zone that it is for, such as .")?;
    let mut route = Route::to(arguments.zone(from)?, []);
    route.policy = Policy::Random;
    for to in arguments.some(TO)? {
        route.upstreams.extend(read_to(to, &arguments, surroundings)?);
    }
    if route.upstreams.len() > UPSTREAMS_MAX {
        return Err(Wrong::TooLarge { most: UPSTREAMS_MAX, what: "upstream servers" }.at(arguments.line()));
    }
    let mut tls = None;
    for option in directive.body.iter().flatten() {
        let arguments = Arguments::of_option(PLUGIN, option)?;
        read_option(&option.name.text, arguments, &mut route, &mut tls)?;
    }
    let Some((said, line)) = tls else {
        return Ok(route);
    };
    for upstream in &mut route.upstreams {
        let Some(tls) = &mut upstream.tls else {
            let what = format!("{PLUGIN}: TLS to {}", upstream.address);
            return Err(Wrong::Impossible { what, cure: "write tls://ADDRESS for servers that speak TLS" }.at(line));
        };
        if tls.name.is_some() && said.name.is_some() {
            return Err(Wrong::Twice { what: "the name of a server's certificate".to_owned() }.at(line));
        }
        *tls = Tls { name: tls.name.take().or_else(|| said.name.clone()), ..said.clone() };
    }
    Ok(route)
}

/// A server, or those of a file.
fn read_to(to: &str, arguments: &Arguments<'_>, files: &dyn Surroundings) -> Result<Vec<Upstream>, Mistake> {
    if let Some((protocol, rest)) = to.split_once("://") {
        return match protocol {
            "dns" => Ok(vec![Upstream::plain(address(rest, PORT).ok_or_else(|| arguments.mistake(to, TO))?)]),
            "tls" => tls_upstream(rest).map(|upstream| vec![upstream]).ok_or_else(|| arguments.mistake(to, TO)),
            _ => {
                let what = format!("{to}, over another protocol");
                Err(arguments
                    .impossible(what, "servers are asked over UDP, TCP and TLS: write ADDRESS or tls://ADDRESS"))
            }
        };
    }
    if let Some(address) = address(to, PORT) {
        return Ok(vec![Upstream::plain(address)]);
    }
    if !to.contains('/') {
        return Err(arguments.mistake(to, TO));
    }
    let failed = |reason: String| Wrong::File { path: to.to_owned(), reason }.at(arguments.line());
    let text = files.read(to).map_err(|error| failed(error.to_string()))?;
    let servers = resolv_conf(&text, UPSTREAMS_MAX);
    if servers.is_empty() {
        return Err(failed("it names no server (`nameserver ADDRESS`)".to_owned()));
    }
    Ok(servers.into_iter().map(Upstream::plain).collect())
}

fn address(text: &str, port: u16) -> Option<SocketAddr> {
    let bare = || text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    text.parse().ok().or_else(|| Some(SocketAddr::new(bare()?, port)))
}

/// `ADDRESS[%NAME][:PORT]`
fn tls_upstream(text: &str) -> Option<Upstream> {
    let Some((before, after)) = text.split_once('%') else {
        return Some(Upstream { address: address(text, TLS_PORT)?, tls: Some(Tls::default()) });
    };
    let (name, port) = match after.rsplit_once(':') {
        Some((name, port)) => (name, port.parse().ok()?),
        None => (after, TLS_PORT),
    };
    let address = address(before, port)?;
    Some(Upstream { address, tls: Some(Tls { name: Some(name.to_owned()), ..Tls::default() }) })
}

fn read_option(
    option: &str,
    mut arguments: Arguments<'_>,
    route: &mut Route,
    tls: &mut Option<(Tls, usize)>,
) -> Result<(), Mistake> {
    match option {
        "except" => {
            let zones = arguments.some("zones")?;
            for zone in zones {
                route.except.push(arguments.zone(zone)?);
            }
        }
        "force_tcp" => route.force_tcp = true,
        // Servers are asked over UDP first, however the question came.
        "prefer_udp" => {}
        "expire" => route.idle = arguments.duration("a duration")?,
        "max_idle_conns" => {
            let most: usize = arguments.number("a number of connections")?;
            route.idle_most = if most == 0 { Route::to(route.zone.clone(), []).idle_most } else { most };
        }
        "read_timeout" => route.patience = arguments.duration("a duration")?,
        "max_fails" => route.max_fails = arguments.number("a number of probes")?,
        "max_connect_attempts" => route.attempts = arguments.number("a number of exchanges")?,
        "policy" => {
            const POLICIES: &str = "random, round_robin or sequential";
            route.policy = match arguments.must(POLICIES)? {
                "random" => Policy::Random,
                "round_robin" => Policy::RoundRobin,
                "sequential" => Policy::Sequential,
                other => return Err(arguments.mistake(other, POLICIES)),
            }
        }
        "health_check" => read_probe(&mut arguments, route)?,
        "max_concurrent" => {
            let most: usize = arguments.number("a number of questions")?;
            route.max_concurrent = if most == 0 { usize::MAX } else { most };
        }
        "failfast_all_unhealthy_upstreams" => route.fail_fast = true,
        "failover" => {
            for word in arguments.some("response codes")? {
                let code = code(word).ok_or_else(|| arguments.mistake(word, "SERVFAIL, REFUSED or NXDOMAIN"))?;
                route.failover.push(code);
            }
        }
        "source_address" => route.source = Some(arguments.number("an address")?),
        "tls" => read_tls(&mut arguments, tls)?,
        "tls_servername" => {
            let name = arguments.must("a name")?.to_owned();
            tls.get_or_insert_with(|| (Tls::default(), arguments.line())).0.name = Some(name);
        }
        other => return Err(unknown(other, arguments.line())),
    }
    arguments.end()
}

/// `health_check DURATION [no_rec] [domain FQDN]`
fn read_probe(arguments: &mut Arguments<'_>, route: &mut Route) -> Result<(), Mistake> {
    route.probe.interval = arguments.duration("a duration")?;
    if route.probe.interval.is_zero() {
        return Err(arguments.mistake("0", "a duration above 0"));
    }
    while let Some(word) = arguments.next() {
        match word {
            "no_rec" => route.probe.recursion = false,
            "domain" => {
                let name = arguments.must("a name")?;
                route.probe.name = arguments.zone(name)?;
            }
            other => return Err(arguments.mistake(other, "no_rec or domain NAME")),
        }
    }
    Ok(())
}

/// `tls [CERT KEY] [CA]`
fn read_tls(arguments: &mut Arguments<'_>, tls: &mut Option<(Tls, usize)>) -> Result<(), Mistake> {
    let line = arguments.line();
    let said = &mut tls.get_or_insert_with(|| (Tls::default(), line)).0;
    let mut files = Vec::new();
    while files.len() < 3
        && let Some(file) = arguments.next()
    {
        files.push(file.into());
    }
    let mut files = files.into_iter();
    match files.len() {
        0 => {}
        1 => said.authorities = files.next(),
        _ => {
            said.identity = files.next().zip(files.next());
            said.authorities = files.next();
        }
    }
    Ok(())
}

fn code(word: &str) -> Option<u16> {
    match word.to_ascii_uppercase().as_str() {
        "SERVFAIL" => Some(rcode::SERVFAIL),
        // They are failures of the server's to who asked.
        "FORMERR" | "NOTIMP" => Some(rcode::SERVFAIL),
        "REFUSED" => Some(rcode::REFUSED),
        "NXDOMAIN" => Some(rcode::NXDOMAIN),
        _ => None,
    }
}

fn unknown(option: &str, line: usize) -> Mistake {
    let cure = match option {
        "next" | "next_on_nodata" => "put all servers into one forward and use failover RCODE...",
        "doh_method" => "leave it out: DNS over HTTPS is not spoken here",
        "resolver" => "write upstream servers as addresses",
        _ => {
            "it has except, force_tcp, prefer_udp, expire, max_idle_conns, read_timeout, max_fails, max_connect_attempts, \
             policy, health_check, max_concurrent, failfast_all_unhealthy_upstreams, failover, source_address, tls and \
             tls_servername"
        }
    };
    Wrong::Option { plugin: PLUGIN, option: option.to_owned(), cure: cure.to_owned() }.at(line)
}
