//! One server block: its zones, its port and what its plugins say.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use crate::config::Cluster;
use crate::forward::settings::{PORT, Route};
use crate::index::SearchOptions;
use crate::name::Name;
use crate::{hosts, querylog, rewrite};

use super::blocks::{Block, Directive};
use super::mistake::{Mistake, Wrong};
use super::plugins::{self, cache::Cache, observing, serving};
use super::surroundings::Surroundings;
use super::words::Word;

/// Every plugin that is known, in alphabetical order.
const KNOWN: &str = "any, autopath, bind, bufsize, cache, errors, forward, health, hosts, kubernetes, loadbalance, log, \
                     loop, multisocket, prometheus, ready, reload, rewrite, transfer";
/// Those that may stand more than once.
const OFTEN: [&str; 4] = ["forward", "rewrite", "log", "transfer"];
const KEY: &str = "[dns://]ZONE[:PORT]";

/// A server block.
#[derive(Debug, Default)]
pub(super) struct Site {
    pub(super) line: usize,
    pub(super) zones: Vec<Name>,
    pub(super) port: u16,
    pub(super) bind: Vec<IpAddr>,
    pub(super) cluster: Option<(Cluster, usize)>,
    pub(super) routes: Vec<(Route, usize)>,
    pub(super) cache: Option<Cache>,
    pub(super) hosts: Option<hosts::Settings>,
    pub(super) rewrites: Vec<rewrite::Rule>,
    pub(super) logs: Vec<(querylog::Settings, usize)>,
    pub(super) health: Option<(SocketAddr, Duration)>,
    pub(super) ready: Option<SocketAddr>,
    pub(super) metrics: Option<SocketAddr>,
    pub(super) reload: Option<serving::Reload>,
    pub(super) find_loops: bool,
    pub(super) workers: Option<usize>,
    pub(super) udp_most: Option<usize>,
    pub(super) transfer: Vec<IpNet>,
    pub(super) autopath: Option<(SearchOptions, usize)>,
}

impl Site {
    pub(super) fn read(block: &Block, surroundings: &dyn Surroundings) -> Result<Self, Mistake> {
        let mut site = Self { line: block.keys.first().map_or(1, |key| key.line), ..Self::default() };
        site.read_keys(&block.keys)?;
        let mut seen = HashSet::new();
        for directive in &block.plugins {
            let name = directive.name.text.as_str();
            if !seen.insert(name) && !OFTEN.contains(&name) {
                return Err(Wrong::Twice { what: format!("plugin {name}") }.at(directive.name.line));
            }
            site.read_plugin(directive, surroundings)?;
        }
        Ok(site)
    }

    fn read_keys(&mut self, keys: &[Word]) -> Result<(), Mistake> {
        let mut port = None;
        for key in keys {
            for text in key.text.split(',').filter(|text| !text.is_empty()) {
                let (zones, own) = read_key(text, key.line)?;
                if port.replace(own).is_some_and(|before| before != own) {
                    return Err(other_port(key.line));
                }
                self.zones.extend(zones);
            }
        }
        self.port = port.unwrap_or(PORT);
        Ok(())
    }

    fn read_plugin(&mut self, directive: &Directive, surroundings: &dyn Surroundings) -> Result<(), Mistake> {
        let line = directive.name.line;
        match directive.name.text.as_str() {
            "kubernetes" => self.cluster = Some((plugins::kubernetes::read(directive, &self.zones)?, line)),
            "forward" => self.routes.push((plugins::forward::read(directive, surroundings)?, line)),
            "cache" => self.cache = Some(plugins::cache::read(directive)?),
            "hosts" => self.hosts = Some(plugins::hosts::read(directive, &self.zones)?),
            "rewrite" => self.rewrites.push(plugins::rewrite::read(directive, &self.zones)?),
            "log" => self.logs.push((plugins::log::read(directive, &self.zones)?, line)),
            "errors" => observing::errors(directive)?,
            "health" => self.health = Some(observing::health(directive)?),
            "ready" => self.ready = Some(observing::ready(directive)?),
            "prometheus" => self.metrics = Some(observing::prometheus(directive)?),
            "loop" => {
                serving::bare("loop", directive)?;
                self.find_loops = true;
            }
            // ANY is answered as RFC 8482 says in any case.
            "any" => serving::bare("any", directive)?,
            "reload" => self.reload = Some(serving::reload(directive)?),
            "loadbalance" => serving::loadbalance(directive)?,
            "bind" => self.bind = serving::bind(directive)?,
            "bufsize" => self.udp_most = Some(serving::bufsize(directive)?),
            "multisocket" => self.workers = Some(serving::multisocket(directive)?),
            "transfer" => self.transfer.extend(serving::transfer(directive)?),
            "autopath" => self.autopath = Some((serving::autopath(directive, surroundings)?, line)),
            plugin => return Err(unknown(plugin, line)),
        }
        Ok(())
    }
}

pub(super) fn other_port(line: usize) -> Mistake {
    let what = "serving at several ports".to_owned();
    Wrong::Impossible { what, cure: "run one server, with a Corefile of its own, for each port" }.at(line)
}

fn read_key(text: &str, line: usize) -> Result<(Vec<Name>, u16), Mistake> {
    let wrong = || Wrong::Word { place: "server block".to_owned(), found: text.to_owned(), expected: KEY }.at(line);
    let rest = match text.split_once("://") {
        None => text,
        Some(("dns", rest)) => rest,
        Some((protocol, _)) => {
            let what = format!("answering over {protocol}");
            return Err(Wrong::Impossible { what, cure: "answers go over UDP and TCP: write ZONE:PORT" }.at(line));
        }
    };
    let (zone, port) = match rest.rsplit_once(':') {
        Some((zone, port)) => (zone, port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?),
        None => (rest, PORT),
    };
    let zones = if zone.contains('/') {
        crate::index::reverse_zones(zone.parse().map_err(|_| wrong())?)
    } else {
        vec![if zone.is_empty() { ".".to_owned() } else { zone.to_owned() }]
    };
    let zones = zones.iter().map(|zone| Name::parse(zone).map_err(|_| wrong())).collect::<Result<_, _>>()?;
    Ok((zones, port))
}

fn unknown(plugin: &str, line: usize) -> Mistake {
    let hint = match plugin {
        "proxy" => "; it is called forward",
        "upstream" => "; aliases are followed by forward",
        "acl" | "view" => "; who is answered is said by --client",
        "dnstap" => "; log writes a line of JSON for each question",
        "debug" | "trace" | "pprof" | "whoami" | "erratic" | "chaos" => "; leave it out",
        "tls" => "; answers go over UDP and TCP alone",
        "file" | "auto" | "etcd" | "secondary" | "template" | "route53" | "azure" | "clouddns" | "k8s_external" => {
            "; forward such zones to a server that has them"
        }
        _ => "",
    };
    Wrong::Plugin { plugin: plugin.to_owned(), hint: hint.to_owned(), known: KNOWN.to_owned() }.at(line)
}
